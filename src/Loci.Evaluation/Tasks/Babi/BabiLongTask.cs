using System.Globalization;
using System.Text;
using System.Text.Json;
using Loci.Data;
using Loci.Evaluation.Tasks.Ruler;

namespace Loci.Evaluation.Tasks.Babi;

/// <summary>BABILong: the facts of bAbI's stories, hidden between the sentences of a book.</summary>
internal sealed class BabiLongTask : EvaluationTask
{
    public const string Accuracy = "accuracy";

    private const int DefaultSamples = 25;
    private const int AnswerTokens = 20;

    // Shorter sentences of the book are left out.
    private const int LeastSentenceTokens = 10;

    public override string Name => "babilong";

    public override string Title => "BABILong";

    public override string Description => "Questions about very short stories whose sentences are hidden between those of a book.";

    public override string Source => "Kuratov et al., 2024, arXiv 2406.10149, github.com/booydar/babilong";

    public override string? DataSource => BabiFiles.Source;

    public override IReadOnlyList<string> SettingNames => ["tasks", "set", "split", "template", "items", "answer-tokens", "measure"];

    public override IReadOnlyList<TaskMetric> Metrics { get; } = [new(Accuracy, "Right answers"), .. AnswerExample.LikelihoodMetrics];

    public override IEnumerable<EvaluationExample> Load(IEvaluationModel model, TaskOptions options)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(options);
        Tokenizer tokenizer = RulerTask.TokenizerOf(model, Name);
        string path = BabiSettings.PathOf(options, Name);
        string split = BabiSettings.SplitOf(options);
        IReadOnlyList<int> tasks = BabiSettings.TasksOf(options, "1-5", BabiLongPrompts.Count);
        IReadOnlyList<int> lengths = RulerTask.LengthsOf(options);
        int samples = RulerTask.SamplesOf(options, DefaultSamples);
        int answerTokens = RulerSettings.Integer(options, "answer-tokens", AnswerTokens, 1, 1 << 16);
        PromptTemplate template = RulerSettings.Choice(options, "template", PromptTemplate.BabiLong);
        AnswerMeasure measure = RulerSettings.Choice(options, "measure", AnswerMeasure.Both);
        Dictionary<string, int[]>? items = options.Settings.TryGetValue("items", out string? itemsPath) ? ReadItems(itemsPath) : null;
        List<(int Task, IReadOnlyList<BabiQuestion> Questions, BabiAnswers Answers)> all = [];
        foreach (int task in tasks)
        {
            IReadOnlyList<BabiQuestion> questions = BabiFiles.Read(path, task, split, BabiSettings.SetOf(options));
            all.Add((task, Select(questions, task, items, itemsPath), new BabiAnswers(questions.Select(question => question.Answer))));
        }

        Book book = new(HaystackText.Open(options.HaystackPath), RulerTask.Counter(tokenizer));
        return Examples();

        IEnumerable<EvaluationExample> Examples()
        {
            foreach ((int task, IReadOnlyList<BabiQuestion> questions, BabiAnswers answers) in all)
            {
                foreach (int length in lengths)
                {
                    int made = 0;
                    for (int item = 0; item < questions.Count && made < samples; item++)
                    {
                        BabiQuestion question = questions[item];
                        RandomGenerator random = new(RandomGenerator.Hash(options.Seed, 0xBAB1 + (ulong)task), RandomGenerator.Hash((ulong)length, (ulong)item));
                        (string before, string after) = template == PromptTemplate.BabiLong ? BabiLongPrompts.Of(task, question.Question) : ("", $"\nQuestion: {question.Question}\nAnswer:");
                        if (book.Hide(random, question.Facts, before, after, length - answerTokens) is not { } input)
                        {
                            continue;
                        }

                        made++;
                        yield return new AnswerExample(
                            input,
                            " " + question.Answer,
                            answerTokens,
                            [],
                            measure,
                            [("task", "qa" + task.ToString(CultureInfo.InvariantCulture)), ("length", length.ToString(CultureInfo.InvariantCulture))],
                            written => [(Accuracy, answers.IsRight(written, question.Question, question.Answer) ? 1 : 0)]);
                    }

                    if (made == 0)
                    {
                        throw new LociException($"{length} tokens are too few for every story of qa{task} of the task {Name}; use a longer length, other tasks, or the short template.");
                    }
                }
            }
        }
    }

    private static IReadOnlyList<BabiQuestion> Select(IReadOnlyList<BabiQuestion> questions, int task, Dictionary<string, int[]>? items, string? path)
    {
        if (items is null)
        {
            return questions;
        }

        string name = "qa" + task.ToString(CultureInfo.InvariantCulture);
        if (!items.TryGetValue(name, out int[]? chosen) || chosen.Any(item => item < 0 || item >= questions.Count))
        {
            throw new LociException($"{path} names no items of {name}, or more than the {questions.Count} there are; choose other tasks, or give the list that belongs to the data.");
        }

        return [.. chosen.Select(item => questions[item])];
    }

    private static Dictionary<string, int[]> ReadItems(string path)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(TextInput.ReadFile(path));
            return document.RootElement.EnumerateObject().ToDictionary(task => task.Name, task => task.Value.EnumerateArray().Select(item => item.GetInt32()).ToArray());
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException or FormatException or ArgumentException)
        {
            throw new LociException($"{path} is not a list of items; give a JSON object with a list of numbers for each task, such as {{\"qa1\": [1, 4]}}.", exception);
        }
    }

    private enum PromptTemplate
    {
        BabiLong,
        Short,
    }

    /// <summary>The sentences of a book that are long enough, with their tokens.</summary>
    internal sealed class Book
    {
        private readonly Func<string, int> _count;
        private readonly List<(string Text, int Tokens)> _sentences = [];

        public Book(HaystackText text, Func<string, int> count)
        {
            _count = count;
            for (int sentence = 0; sentence < text.SentenceCount; sentence++)
            {
                int first = text.SentenceStart(sentence);
                int end = sentence + 1 < text.SentenceCount ? text.SentenceStart(sentence + 1) : text.WordCount;
                string words = text.Words(first, end - first).ToString();
                int tokens = count(" " + words);
                if (tokens >= LeastSentenceTokens)
                {
                    _sentences.Add((words, tokens));
                }
            }

            if (_sentences.Count == 0)
            {
                throw new LociException($"The text to hide facts in has no sentence of {LeastSentenceTokens} tokens or more; give another one.");
            }
        }

        /// <summary>
        /// Hides facts, in their order, between sentences that follow each other from a random one on; the last sentence is cut where the length is full. Null where not even the facts fit.
        /// </summary>
        public string? Hide(RandomGenerator random, IReadOnlyList<string> facts, string before, string after, int most)
        {
            int first = random.NextInt32(_sentences.Count);
            RandomState placement = random.State;
            string bare = before + string.Join(' ', facts) + after;
            int tokens = _count(bare);
            if (tokens > most)
            {
                return null;
            }

            int space = most - tokens;
            while (true)
            {
                random.State = placement;
                string input = before + Mix(random, facts, Take(first, space)) + after;
                int over = _count(input) - most;
                if (over <= 0)
                {
                    return input;
                }

                space -= over;
            }
        }

        private List<string> Take(int first, int space)
        {
            List<string> taken = [];
            for (int sentence = first; space > 0; sentence = (sentence + 1) % _sentences.Count)
            {
                (string text, int tokens) = _sentences[sentence];
                if (tokens <= space)
                {
                    taken.Add(text);
                    space -= tokens;
                    continue;
                }

                // As many words as there is room for.
                int end = text.Length;
                do
                {
                    end = text.LastIndexOf(' ', end - 1);
                }
                while (end > 0 && _count(" " + text[..end]) > space);

                if (end > 0)
                {
                    taken.Add(text[..end]);
                }

                break;
            }

            return taken;
        }

        private static string Mix(RandomGenerator random, IReadOnlyList<string> facts, List<string> sentences)
        {
            int[] places = new int[facts.Count];
            for (int i = 0; i < places.Length; i++)
            {
                places[i] = random.NextInt32(sentences.Count + 1);
            }

            Array.Sort(places);
            StringBuilder text = new();
            int fact = 0;
            for (int sentence = 0; sentence <= sentences.Count; sentence++)
            {
                for (; fact < places.Length && places[fact] == sentence; fact++)
                {
                    text.Append(text.Length > 0 ? " " : "").Append(facts[fact]);
                }

                if (sentence < sentences.Count)
                {
                    text.Append(text.Length > 0 ? " " : "").Append(sentences[sentence]);
                }
            }

            return text.ToString();
        }
    }
}
