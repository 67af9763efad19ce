using Loci.Data;
using Loci.Evaluation.Tasks.Files;

namespace Loci.Evaluation.Tasks.Retrieval;

/// <summary>
/// Records of made-up people: a document lists them one after another, each with attributes in an order of its own, and ends with a name and a key whose value is asked. Like SWDE and FDA, but
/// generated: of any length, and nothing in it can be known otherwise.
/// </summary>
internal sealed class RecordsTask : EvaluationTask
{
    private const int DefaultSamples = 50;
    private const int MinimumRecords = 2;
    private const int Quarters = 4;

    private static readonly int[] DefaultLengths = [512, 1024, 2048];

    public override string Group => "retrieval";

    public override string Name => "records";

    public override string Title => "Records";

    public override string Description => "What is an attribute of one of many made-up people whose records stand in the context?";

    public override string Source => "Loci's own, after SWDE and FDA in Arora et al., 2024, arXiv 2402.18668; generated";

    public override IReadOnlyList<TaskMetric> Metrics { get; } = [RetrievalExample.Contains, RetrievalExample.AnswerLoss];

    public override IEnumerable<EvaluationExample> Load(IEvaluationModel model, TaskOptions options)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(options);
        var tokenizer = TaskFiles.Tokenizer(this, model);
        var lengths = options.Lengths.Count > 0 ? options.Lengths : DefaultLengths;
        if (options.Depths.FirstOrDefault(depth => depth is not (>= 0 and <= 1), 0) is not 0 and var wrong)
        {
            throw new LociException($"A depth of {wrong} is outside the context: give depths from 0 to 1.");
        }

        var samples = options.Samples ?? DefaultSamples;
        if (samples < 1)
        {
            throw new LociException($"{samples} samples are too few: ask for at least 1.");
        }

        return
            from length in lengths
            from depth in options.Depths.Count > 0 ? options.Depths.Select(depth => (double?)depth) : [null]
            from sample in Enumerable.Range(0, samples)
            select Example(tokenizer, length, depth, new RandomGenerator(options.Seed, (ulong)sample));
    }

    /// <summary>As many records as fit, one of them asked for.</summary>
    private RetrievalExample Example(Tokenizer tokenizer, int length, double? depth, RandomGenerator random)
    {
        var asked = new Record(random, []);
        var attribute = random.NextInt32(asked.Attributes.Count);
        var (key, value) = asked.Attributes[attribute];
        var question = $"Name: {asked.Name}\n{key}:";
        var place = depth ?? random.NextDouble();

        // Tokens of parts may differ a little from those of the whole; what is too much is taken out again.
        HashSet<string> names = [asked.Name];
        var texts = new List<string>();
        var tokens = Count(asked.Text) + Count(question);
        while (true)
        {
            var record = new Record(random, names);
            tokens += Count(record.Text);
            if (tokens > length)
            {
                break;
            }

            texts.Add(record.Text);
        }

        while (true)
        {
            if (texts.Count + 1 < MinimumRecords)
            {
                throw new LociException($"A length of {length} tokens is too short for the task {Name}: two records do not fit; give a greater length.");
            }

            var index = (int)Math.Round(place * texts.Count);
            var prompt = string.Concat([.. texts.Take(index), asked.Text, .. texts.Skip(index), question]);
            if (Count(prompt) <= length)
            {
                var quarter = Math.Min(Quarters - 1, (int)(Quarters * (double)index / (texts.Count + 1)));
                return new RetrievalExample(
                    prompt, [new GoldAnswer(value)], byWords: false,
                    [("length", $"{length}"), ("depth", depth is { } given ? $"{given}" : $"{(double)quarter / Quarters}-{(double)(quarter + 1) / Quarters}"), ("key", key)]);
            }

            texts.RemoveAt(texts.Count - 1);
        }

        int Count(string text) => tokenizer.Encode(text).Length;
    }

    /// <summary>A made-up person.</summary>
    private sealed class Record
    {
        private static readonly string[] Onsets = ["b", "br", "c", "d", "dr", "f", "g", "gr", "h", "k", "l", "m", "n", "p", "r", "s", "st", "t", "th", "tr", "v", "w"];
        private static readonly string[] Vowels = ["a", "e", "i", "o", "u", "ai", "ea", "ou"];
        private static readonly string[] Ends = ["ck", "l", "ld", "m", "n", "nd", "r", "rn", "s", "t", "th", "x"];
        private static readonly string[] Towns = ["bridge", "bury", "field", "ford", "ham", "mouth", "stead", "ton", "wick", "worth"];
        private static readonly string[] Trades =
        [
            "baker", "binder", "brewer", "carpenter", "chandler", "clerk", "cooper", "dyer", "farrier", "fisher", "gardener", "glazier", "joiner", "mason", "miller", "painter", "potter", "saddler",
            "sailor", "smith", "surveyor", "tailor", "tanner", "teacher", "thatcher", "tinker", "turner", "watchmaker", "weaver", "wheelwright",
        ];

        private static readonly string[] Months =
            ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

        /// <summary>Makes a person whose name is none of those given, and adds it to them.</summary>
        public Record(RandomGenerator random, HashSet<string> names)
        {
            do
            {
                Name = $"{Word(random, 1)} {Word(random, 2)}";
            }
            while (!names.Add(Name));

            (string, string)[] attributes =
            [
                ("Trade", Trades[random.NextInt32(Trades.Length)]),
                ("Town", Word(random, 1) + Towns[random.NextInt32(Towns.Length)]),
                ("Born", $"{random.NextInt32(28) + 1} {Months[random.NextInt32(Months.Length)]} {random.NextInt32(200) + 1700}"),
                ("File number", $"{random.NextInt32(900_000) + 100_000}"),
                ("Employer", $"{Word(random, 2)} & {Word(random, 1)}"),
                ("Teacher", $"{Word(random, 1)} {Word(random, 2)}"),
            ];
            var order = Enumerable.Range(0, attributes.Length).ToArray();
            random.Shuffle(order);
            Attributes = [.. order.Select(index => attributes[index])];
            Text = $"Name: {Name}\n{string.Concat(Attributes.Select(attribute => $"{attribute.Key}: {attribute.Value}\n"))}\n";
        }

        public string Name { get; }

        public IReadOnlyList<(string Key, string Value)> Attributes { get; }

        public string Text { get; }

        private static string Word(RandomGenerator random, int syllables)
        {
            var word = "";
            for (var i = 0; i < syllables; i++)
            {
                word += Onsets[random.NextInt32(Onsets.Length)] + Vowels[random.NextInt32(Vowels.Length)];
            }

            word += Ends[random.NextInt32(Ends.Length)];
            return char.ToUpperInvariant(word[0]) + word[1..];
        }
    }
}
