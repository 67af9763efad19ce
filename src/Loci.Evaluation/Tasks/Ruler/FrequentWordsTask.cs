using System.Text;
using Loci.Data;

namespace Loci.Evaluation.Tasks.Ruler;

/// <summary>RULER's frequent words extraction: made-up words come as often as a zeta distribution has it.</summary>
internal sealed class FrequentWordsTask : RulerTask
{
    private const int AnswerTokens = 50;
    private const int Answers = 3;
    private const int Letters = 6;

    public override string Name => "ruler-fwe";

    public override string Title => "Frequent words";

    public override string Description => "Made-up words come as often as a zeta distribution has it; which three come most often?";

    public override IReadOnlyList<string> SettingNames => ["alpha", "answer-tokens", "measure"];

    protected override IEnumerable<EvaluationExample> Generate(Tokenizer tokenizer, TaskOptions options, IReadOnlyList<int> lengths, int samples)
    {
        double alpha = RulerSettings.Number(options, "alpha", 2, 1.1, 4);
        int answerTokens = RulerSettings.Integer(options, "answer-tokens", AnswerTokens, 1, 1 << 16);
        return Examples();

        IEnumerable<EvaluationExample> Examples()
        {
            Func<string, int> count = Counter(tokenizer);
            foreach (int length in lengths)
            {
                // The noise, the answers, and at least one other word.
                int vocabulary = Math.Max(Answers + 2, length / 50);
                int minimum = 1;
                while (!Separates(Counts(minimum, vocabulary, alpha)))
                {
                    minimum++;
                }

                for (int sample = 0; sample < samples; sample++)
                {
                    RandomGenerator random = RandomOf(options, length, sample);
                    RandomState start = random.State;
                    Problem problem = Largest(
                        Name,
                        minimum,
                        words =>
                        {
                            random.State = start;
                            Problem made = Make(random, words, vocabulary, alpha);
                            return (made.Input, made);
                        },
                        count,
                        length - answerTokens,
                        length);
                    yield return Example(options, problem.Input, " " + string.Join(' ', problem.Frequent), problem.Frequent, answerTokens, length);
                }
            }
        }
    }

    /// <summary>Makes a prompt with its answers.</summary>
    internal static Problem Make(RandomGenerator random, int words, int vocabulary, double alpha)
    {
        string[] coded = new string[vocabulary];
        HashSet<string> known = new(StringComparer.Ordinal);
        for (int i = 0; i < vocabulary; i++)
        {
            do
            {
                coded[i] = string.Create(Letters, random, static (text, random) =>
                {
                    for (int letter = 0; letter < text.Length; letter++)
                    {
                        text[letter] = (char)('a' + random.NextInt32(26));
                    }
                });
            }
            while (!known.Add(coded[i]));
        }

        coded[0] = "..."; // the most frequent one is noise

        // The three must come more often than the fourth: where rounding makes them equal, a few words less.
        int[] counts = Counts(words, vocabulary, alpha);
        while (!Separates(counts))
        {
            counts = Counts(--words, vocabulary, alpha);
        }

        int[] order = new int[counts.Sum()];
        int filled = 0;
        for (int i = 0; i < vocabulary; i++)
        {
            order.AsSpan(filled, counts[i]).Fill(i);
            filled += counts[i];
        }

        random.Shuffle(order);
        StringBuilder text = new("Read the following coded text and track the frequency of each coded word. Find the three most frequently appeared coded words. ");
        text.AppendJoin(' ', order.Select(word => coded[word]));
        text.Append("\nQuestion: Do not provide any explanation. Please ignore the dots '....'. What are the three most frequently appeared words in the above coded text?");
        text.Append(" Answer: According to the coded text above, the three most frequently appeared words are:");
        return new Problem(text.ToString(), coded[1..(Answers + 1)]);
    }

    /// <summary>How often each word comes: the k-th as often as k^-alpha / zeta(alpha) of all has it, rounded down.</summary>
    internal static int[] Counts(int words, int vocabulary, double alpha)
    {
        double zeta = Zeta(alpha);
        int[] counts = new int[vocabulary];
        for (int k = 1; k <= vocabulary; k++)
        {
            counts[k - 1] = (int)(words * Math.Pow(k, -alpha) / zeta);
        }

        return counts;
    }

    /// <summary>Riemann's zeta function above 1, by Euler and Maclaurin.</summary>
    internal static double Zeta(double s)
    {
        const int Terms = 30;
        double sum = 0;
        for (int k = 1; k < Terms; k++)
        {
            sum += Math.Pow(k, -s);
        }

        double last = Math.Pow(Terms, -s);
        return sum + (last * Terms / (s - 1)) + (last / 2) + (s * last / Terms / 12) - (s * (s + 1) * (s + 2) * last / Math.Pow(Terms, 3) / 720);
    }

    private static bool Separates(int[] counts) => counts[Answers] > counts[Answers + 1];

    /// <summary>A prompt with its answers.</summary>
    internal sealed record Problem(string Input, string[] Frequent);
}
