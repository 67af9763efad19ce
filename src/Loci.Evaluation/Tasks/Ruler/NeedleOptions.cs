namespace Loci.Evaluation.Tasks.Ruler;

/// <summary>What needles are hidden in.</summary>
public enum HaystackKind
{
    /// <summary>The same five short sentences again and again, one line each time.</summary>
    Noise,

    /// <summary>Prose; needles stand between its sentences.</summary>
    Essay,

    /// <summary>Needles of other keys, one in each line.</summary>
    Needles,
}

/// <summary>What a key or a value is.</summary>
public enum NeedleKind
{
    /// <summary>An adjective and a noun, such as <c>wakeful-aardvark</c>.</summary>
    Words,

    /// <summary>A decimal number of <see cref="NeedleOptions.NumberDigits"/> digits.</summary>
    Numbers,

    /// <summary>A random UUID (version 4).</summary>
    Uuids,
}

/// <summary>How prompts are worded.</summary>
public enum NeedleTemplate
{
    /// <summary>As RULER words them.</summary>
    Ruler,

    /// <summary>Loci's own: tersely, without an introduction, for small models and short rows.</summary>
    Short,
}

/// <summary>
/// A needle-in-a-haystack task of RULER (Hsieh et al., 2024, arXiv 2404.06654): values of keys are hidden in a long text, and the values of some keys are asked for at its end.
/// </summary>
public sealed record NeedleOptions
{
    private static readonly (string Name, NeedleOptions Options)[] PresetList =
    [
        ("niah-single-1", new NeedleOptions { Haystack = HaystackKind.Noise }),
        ("niah-single-2", new NeedleOptions { Haystack = HaystackKind.Essay }),
        ("niah-single-3", new NeedleOptions { Haystack = HaystackKind.Essay, Values = NeedleKind.Uuids }),
        ("niah-multikey-1", new NeedleOptions { Haystack = HaystackKind.Essay, KeyCount = 4 }),
        ("niah-multikey-2", new NeedleOptions { Haystack = HaystackKind.Needles }),
        ("niah-multikey-3", new NeedleOptions { Haystack = HaystackKind.Needles, Keys = NeedleKind.Uuids, Values = NeedleKind.Uuids }),
        ("niah-multivalue", new NeedleOptions { Haystack = HaystackKind.Essay, ValuesPerKey = 4 }),
        ("niah-multiquery", new NeedleOptions { Haystack = HaystackKind.Essay, KeyCount = 4, QueryCount = 4 }),
    ];

    /// <summary>The names of RULER's eight tasks.</summary>
    public static IReadOnlyList<string> PresetNames { get; } = [.. PresetList.Select(preset => preset.Name)];

    /// <summary>What needles are hidden in.</summary>
    public HaystackKind Haystack { get; init; } = HaystackKind.Noise;

    /// <summary>What keys are.</summary>
    public NeedleKind Keys { get; init; } = NeedleKind.Words;

    /// <summary>What values are.</summary>
    public NeedleKind Values { get; init; } = NeedleKind.Numbers;

    /// <summary>Keys that have needles, those asked for among them (a haystack of needles has more).</summary>
    public int KeyCount { get; init; } = 1;

    /// <summary>Values of each of these keys: every one is a needle.</summary>
    public int ValuesPerKey { get; init; } = 1;

    /// <summary>Keys that are asked for.</summary>
    public int QueryCount { get; init; } = 1;

    /// <summary>How the prompt is worded.</summary>
    public NeedleTemplate Template { get; init; } = NeedleTemplate.Ruler;

    /// <summary>Digits of a number; the first is not 0.</summary>
    public int NumberDigits { get; init; } = 7;

    /// <summary>Tokens of the length that are kept free for the answer, as RULER's 128; null for as many as the answer has.</summary>
    public int? AnswerTokens { get; init; } = 128;

    /// <summary>Whether prose begins at a random sentence of the text, not always at its first (as in RULER).</summary>
    public bool StartsAnywhere { get; init; }

    /// <summary>One of RULER's eight tasks, by the names of <see cref="PresetNames"/>.</summary>
    /// <param name="name">The name.</param>
    /// <exception cref="LociException">There is no such task.</exception>
    public static NeedleOptions Preset(string name)
    {
        foreach ((string known, NeedleOptions options) in PresetList)
        {
            if (known == name)
            {
                return options;
            }
        }

        throw new LociException($"There is no needle task '{name}': use {string.Join(", ", PresetNames)}.");
    }

    /// <summary>Checks the options.</summary>
    /// <returns>The options.</returns>
    /// <exception cref="LociException">They are out of range.</exception>
    public NeedleOptions Validate()
    {
        Require(Enum.IsDefined(Haystack) && Enum.IsDefined(Keys) && Enum.IsDefined(Values) && Enum.IsDefined(Template), "The kinds of haystack, keys, values and template must be known ones.");
        Require(KeyCount >= 1, "A needle task must have at least 1 key.");
        Require(ValuesPerKey >= 1, "A key must have at least 1 value.");
        Require(QueryCount >= 1 && QueryCount <= KeyCount, $"A needle task of {KeyCount} keys must ask for 1 to {KeyCount} of them.");
        Require((long)KeyCount * ValuesPerKey <= NeedleGenerator.DepthSteps, $"Keys times values per key must be at most {NeedleGenerator.DepthSteps}.");
        Require(NumberDigits is >= 1 and <= 18, "Numbers must have 1 to 18 digits.");
        Require(AnswerTokens is null or >= 0, "The tokens kept for the answer must not be negative.");
        long answers = Values == NeedleKind.Numbers || Keys == NeedleKind.Numbers ? 9 * (long)Math.Pow(10, NumberDigits - 1) : long.MaxValue;
        Require(answers >= 2L * KeyCount * ValuesPerKey, $"Numbers of {NumberDigits} digits are too few for {KeyCount * ValuesPerKey} needles; use more digits.");
        return this;

        static void Require(bool condition, string message)
        {
            if (!condition)
            {
                throw new LociException(message);
            }
        }
    }
}
