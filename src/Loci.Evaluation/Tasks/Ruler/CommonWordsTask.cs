using System.Text;
using Loci.Data;

namespace Loci.Evaluation.Tasks.Ruler;

/// <summary>RULER's common words extraction: ten words of a long list come often, all others seldom.</summary>
internal sealed class CommonWordsTask : RulerTask
{
    private const int AnswerTokens = 120;
    private const int CommonWords = 10;

    // From this length on words come more often.
    private const int LongLength = 4096;

    private static readonly Lazy<string[]> LazyWords = new(() => [.. RulerWords.Nouns.Union(RulerWords.Adjectives)]);

    public override string Name => "ruler-cwe";

    public override string Title => "Common words";

    public override string Description => "Ten words of a long numbered list come often, all others seldom; which ten?";

    public override IReadOnlyList<string> SettingNames => ["shots", "answer-tokens", "measure"];

    protected override IEnumerable<EvaluationExample> Generate(Tokenizer tokenizer, TaskOptions options, IReadOnlyList<int> lengths, int samples)
    {
        int shots = RulerSettings.Integer(options, "shots", 1, 0, 100);
        int answerTokens = RulerSettings.Integer(options, "answer-tokens", AnswerTokens, 1, 1 << 16);
        return Examples();

        IEnumerable<EvaluationExample> Examples()
        {
            Func<string, int> count = Counter(tokenizer);
            foreach (int length in lengths)
            {
                for (int sample = 0; sample < samples; sample++)
                {
                    RandomGenerator random = RandomOf(options, length, sample);
                    bool isLong = length >= LongLength;
                    StringBuilder shown = new();
                    for (int shot = 0; shot < shots; shot++)
                    {
                        Problem example = isLong ? Make(random, 40, 10, 3) : Make(random, 20, 3, 1);
                        shown.Append(example.Input).Append(' ').AppendJoin(' ', example.Common.Select((word, i) => $"{i + 1}. {word}")).Append('\n');
                    }

                    // RULER has a line break there even where there is no example.
                    string before = shots > 0 ? shown.ToString() : "\n";
                    RandomState start = random.State;
                    Problem problem = Largest(
                        Name,
                        CommonWords + 1,
                        words =>
                        {
                            random.State = start;
                            Problem made = isLong ? Make(random, words, 30, 3) : Make(random, words, 6, 1);
                            return (before + made.Input, made);
                        },
                        count,
                        length - answerTokens,
                        length);
                    string continuation = " " + string.Join(' ', problem.Common.Select((word, i) => $"{i + 1}. {word}"));
                    yield return Example(options, before + problem.Input, continuation, problem.Common, answerTokens, length);
                }
            }
        }
    }

    /// <summary>Makes a prompt with its answers.</summary>
    internal static Problem Make(RandomGenerator random, int words, int commonRepeats, int uncommonRepeats)
    {
        string[] drawn = DrawWords(random, words);
        int[] order = new int[(CommonWords * commonRepeats) + ((words - CommonWords) * uncommonRepeats)];
        for (int i = 0; i < order.Length; i++)
        {
            order[i] = i < CommonWords * commonRepeats ? i / commonRepeats : CommonWords + ((i - (CommonWords * commonRepeats)) / uncommonRepeats);
        }

        random.Shuffle(order);
        StringBuilder text = new("Below is a numbered list of words. In these words, some appear more often than others. Memorize the ones that appear most often.\n");
        text.AppendJoin(' ', order.Select((word, i) => $"{i + 1}. {drawn[word]}"));
        text.Append($"\nQuestion: What are the {CommonWords} most common words in the above list? Answer: The top {CommonWords} words that appear most often in the list are:");
        return new Problem(text.ToString(), drawn[..CommonWords]);
    }

    // Distinct words; where the lists are too short for so many, pairs of them.
    private static string[] DrawWords(RandomGenerator random, int words)
    {
        string[] all = LazyWords.Value;
        if (words <= all.Length)
        {
            int[] order = [.. Enumerable.Range(0, all.Length)];
            random.Shuffle(order);
            return [.. order.Take(words).Select(word => all[word])];
        }

        HashSet<string> drawn = new(StringComparer.Ordinal);
        while (drawn.Count < words)
        {
            drawn.Add(RulerWords.Next(random, NeedleKind.Words, 1));
        }

        return [.. drawn];
    }

    /// <summary>A prompt with its answers.</summary>
    internal sealed record Problem(string Input, string[] Common);
}
