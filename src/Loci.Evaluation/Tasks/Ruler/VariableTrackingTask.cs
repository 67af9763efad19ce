using System.Text;
using Loci.Data;

namespace Loci.Evaluation.Tasks.Ruler;

/// <summary>RULER's variable tracking: a chain of assignments is hidden in noise; which variables have the value?</summary>
internal sealed class VariableTrackingTask : RulerTask
{
    private const int AnswerTokens = 30;
    private const int ShotTokens = 500;
    private const int ShotStep = 5;
    private const string Noise = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.";

    public override string Name => "ruler-vt";

    public override string Title => "Variable tracking";

    public override string Description => "Variables are assigned to each other in a chain that is hidden in noise; which of them have the value that the first one is given?";

    public override IReadOnlyList<string> SettingNames => ["chains", "hops", "shots", "answer-tokens", "measure"];

    protected override IEnumerable<EvaluationExample> Generate(Tokenizer tokenizer, TaskOptions options, IReadOnlyList<int> lengths, int samples)
    {
        int chains = RulerSettings.Integer(options, "chains", 1, 1, 100);
        int hops = RulerSettings.Integer(options, "hops", 4, 1, 100);
        int shots = RulerSettings.Integer(options, "shots", 1, 0, 1);
        int answerTokens = RulerSettings.Integer(options, "answer-tokens", AnswerTokens, 1, 1 << 16);
        return Examples();

        IEnumerable<EvaluationExample> Examples()
        {
            Func<string, int> count = Counter(tokenizer);
            int? shotNoise = null;
            foreach (int length in lengths)
            {
                for (int sample = 0; sample < samples; sample++)
                {
                    RandomGenerator random = RandomOf(options, length, sample);
                    string shot = "";
                    if (shots > 0)
                    {
                        // RULER's example has as many lines of noise, in steps of five, as 500 tokens hold.
                        shotNoise ??= NoiseOfShot(random.State, chains, Math.Min(10, hops), count);
                        Problem example = Make(random, shotNoise.Value, chains, Math.Min(10, hops), 3);
                        shot = $"{example.Input} {string.Join(' ', example.Variables)}\n\n";
                    }

                    RandomState start = random.State;
                    Problem problem = Largest(
                        Name,
                        hops + 1,
                        size =>
                        {
                            random.State = start;
                            Problem made = Make(random, size, chains, hops, 5);
                            return (shot + made.Input, made);
                        },
                        count,
                        length - answerTokens,
                        length);
                    yield return Example(options, shot + problem.Input, " " + string.Join(' ', problem.Variables), problem.Variables, answerTokens, length);
                }
            }
        }
    }

    /// <summary>Makes a prompt with its answers.</summary>
    internal static Problem Make(RandomGenerator random, int noises, int chains, int hops, int letters)
    {
        string[] names = new string[chains * (hops + 1)];
        HashSet<string> known = new(StringComparer.Ordinal);
        for (int i = 0; i < names.Length; i++)
        {
            do
            {
                names[i] = string.Create(letters, random, static (text, random) =>
                {
                    for (int letter = 0; letter < text.Length; letter++)
                    {
                        text[letter] = (char)('A' + random.NextInt32(26));
                    }
                });
            }
            while (!known.Add(names[i]));
        }

        int[] values = new int[chains];
        List<string> lines = [.. Enumerable.Repeat(Noise, noises)];
        for (int chain = 0; chain < chains; chain++)
        {
            do
            {
                values[chain] = 10000 + random.NextInt32(90000);
            }
            while (values.AsSpan(0, chain).Contains(values[chain]));

            // The assignments come in the order of the chain, before distinct lines of what is there already.
            int[] places = new int[lines.Count];
            for (int i = 0; i < places.Length; i++)
            {
                places[i] = i;
            }

            random.Shuffle(places);
            Span<int> taken = places.AsSpan(0, hops + 1);
            taken.Sort();
            for (int i = 0; i <= hops; i++)
            {
                string name = names[(chain * (hops + 1)) + i];
                lines.Insert(taken[i] + i, i == 0 ? $"VAR {name} = {values[chain]}" : $"VAR {name} = VAR {names[(chain * (hops + 1)) + i - 1]} ");
            }
        }

        StringBuilder text = new("Memorize and track the chain(s) of variable assignment hidden in the following text.\n\n");
        text.AppendJoin('\n', lines);
        text.Append($"\nQuestion: Find all variables that are assigned the value {values[0]} in the text above.");
        text.Append($" Answer: According to the chain(s) of variable assignment in the text above, {hops + 1} variables are assigned the value {values[0]}, they are: ");
        return new Problem(text.ToString(), names[..(hops + 1)]);
    }

    private static int NoiseOfShot(RandomState state, int chains, int hops, Func<string, int> count)
    {
        int least = (hops + ShotStep) / ShotStep * ShotStep;
        int noises = least;
        while (true)
        {
            Problem problem = Make(new RandomGenerator(state), noises + ShotStep, chains, hops, 3);
            if (count($"{problem.Input} {string.Join(' ', problem.Variables)}") > ShotTokens)
            {
                return noises;
            }

            noises += ShotStep;
        }
    }

    /// <summary>A prompt with its answers.</summary>
    internal sealed record Problem(string Input, string[] Variables);
}
