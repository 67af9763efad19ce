using System.Text.RegularExpressions;
using Loci.Data;
using Loci.Evaluation.Tasks.Ruler;
using Loci.Tests.Data;
using Xunit;

namespace Loci.Tests.Evaluation.Ruler;

public sealed class NeedleGeneratorTests
{
    private const string Noise = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.";
    private const string Sentences = "One came. Two went away. Three of them stayed. Four!";

    private static readonly ByteTokenizer Bytes = new();

    public static TheoryData<string> Presets { get; } = [.. NeedleOptions.PresetNames];

    public static TheoryData<string, NeedleTemplate, bool> Cases { get; } = new(
        from name in NeedleOptions.PresetNames
        from template in Enum.GetValues<NeedleTemplate>()
        from bytes in (bool[])[false, true]
        select (name, template, bytes));

    private static NeedleExample Exact(NeedleOptions options, int length, double depth, HaystackText? text = null) =>
        new NeedleGenerator(options with { AnswerTokens = 0 }, Bytes, text).Next(new RandomGenerator(7), length, depth);

    [Fact]
    public void NoiseIsWordedAsInRuler()
    {
        NeedleExample example = Exact(NeedleOptions.Preset("niah-single-1"), 740, 0.5);
        Match needle = Regex.Match(example.Input, @"One of the special magic numbers for ([a-zA-Z -]+) is: ([1-9]\d{6})\.");
        (string key, string value) = (needle.Groups[1].Value, needle.Groups[2].Value);
        string[] lines =
        [
            "A special magic number is hidden within the following text. Make sure to memorize it. I will quiz you about the number afterwards.",
            Noise,
            Noise,
            $"One of the special magic numbers for {key} is: {value}.",
            Noise,
            Noise,
            $"What is the special magic number for {key} mentioned in the provided text? The special magic number for {key} mentioned in the provided text is",
        ];
        Assert.Equal(string.Join('\n', lines), example.Input);
        Assert.Equal([value], example.Answers);
        Assert.Equal(" " + value, example.Continuation);
        Assert.Equal(example.Input.Length, example.InputTokens);
        Assert.Equal(0.5, example.Depth);
        Assert.Equal(lines[3], example.Input[example.Needles[0]]);
    }

    [Theory]
    [InlineData(0, "NEEDLE One came. Two went away. Three of them stayed. Four!")]
    [InlineData(0.25, "One came. NEEDLE Two went away. Three of them stayed. Four!")]
    [InlineData(0.74, "One came. Two went away. NEEDLE Three of them stayed. Four!")]
    [InlineData(1, "One came. Two went away. Three of them stayed. Four! NEEDLE")]
    public void ProseIsDividedIntoSentences(double depth, string expected)
    {
        NeedleOptions options = new() { Haystack = HaystackKind.Essay, Values = NeedleKind.Words, Template = NeedleTemplate.Short, AnswerTokens = 0 };
        NeedleGenerator generator = new(options, Bytes, HaystackText.FromText(Sentences));
        NeedleExample probe = generator.Next(new RandomGenerator(3), 1000, depth);
        string needle = probe.Input[probe.Needles[0]];
        int length = needle.Length + 1 + Sentences.Length + probe.Input.Length - probe.Input.LastIndexOf('\n');
        NeedleExample example = generator.Next(new RandomGenerator(3), length, depth);
        string key = Regex.Match(needle, "^The word for (.+) is ([^ ]+ ?[^ ]*)\\.$").Groups[1].Value;
        Assert.Equal($"{expected.Replace("NEEDLE", needle, StringComparison.Ordinal)}\nThe word for {key} is", example.Input);
        Assert.Equal(length, example.InputTokens);
    }

    [Fact]
    public void ProseIsCutAtAWordAndRepeatsWhereItIsTooShort()
    {
        NeedleOptions options = new() { Haystack = HaystackKind.Essay, Template = NeedleTemplate.Short };
        for (int length = 150; length < 400; length += 7)
        {
            NeedleExample example = Exact(options, length, 1, HaystackText.FromText(Sentences));
            string text = example.Input[..(example.Needles[0].Start.Value - 1)];
            Assert.StartsWith(text, string.Join(' ', Enumerable.Repeat(Sentences, 10)), StringComparison.Ordinal);
            Assert.InRange(example.InputTokens, length - 8, length);
        }
    }

    [Fact]
    public void SeveralAreAskedForAsInRuler()
    {
        NeedleExample example = new NeedleGenerator(NeedleOptions.Preset("niah-multiquery"), Bytes).Next(new RandomGenerator(1), 3000);
        string[] keys = [.. example.Answers.Select(value => Regex.Match(example.Input, $@"One of the special magic numbers for ([a-zA-Z -]+) is: {value}\.").Groups[1].Value)];
        string list = $"{keys[0]}, {keys[1]}, {keys[2]}, and {keys[3]}";
        Assert.StartsWith("Some special magic numbers are hidden within the following text. Make sure to memorize it. I will quiz you about the numbers afterwards.\n", example.Input, StringComparison.Ordinal);
        Assert.EndsWith(
            $"\nWhat are all the special magic numbers for {list} mentioned in the provided text? The special magic numbers for {list} mentioned in the provided text are", example.Input, StringComparison.Ordinal);
        Assert.Equal($" {example.Answers[0]}, {example.Answers[1]}, {example.Answers[2]}, and {example.Answers[3]}", example.Continuation);
    }

    [Fact]
    public void TheValuesOfAKeyComeInTheOrderOfTheText()
    {
        NeedleExample example = new NeedleGenerator(NeedleOptions.Preset("niah-multivalue"), Bytes).Next(new RandomGenerator(1), 3000);
        Assert.Equal(4, example.Answers.Distinct().Count());
        Assert.Equal(example.Needles.Select(needle => needle.Start.Value).Order(), example.Needles.Select(needle => needle.Start.Value));
        Assert.Single(example.Needles.Select(needle => Regex.Match(example.Input[needle], "for (.+) is:").Groups[1].Value).Distinct());
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void LengthsAreNearlyReached(string name, NeedleTemplate template, bool bytes)
    {
        Tokenizer tokenizer = bytes ? Bytes : TestFiles.Gpt2;
        NeedleOptions options = NeedleOptions.Preset(name) with { Template = template, StartsAnywhere = true };
        NeedleGenerator generator = new(options, tokenizer);
        NeedleGenerator tight = new(options with { AnswerTokens = null }, tokenizer);
        int line = options.Haystack == HaystackKind.Essay ? bytes ? 20 : 8 : tokenizer.Encode(Noise).Length + (options.Values == NeedleKind.Uuids ? bytes ? 100 : 60 : 10);
        foreach (int length in bytes ? [1500, 4000] : (int[])[500, 1000, 2000])
        {
            for (ulong seed = 0; seed < 10; seed++)
            {
                NeedleExample example = generator.Next(new RandomGenerator(seed), length);
                Assert.Equal(tokenizer.Encode(example.Input).Length, example.InputTokens);
                Assert.InRange(example.InputTokens + 128, length - line, length);

                NeedleExample full = tight.Next(new RandomGenerator(seed), length);
                Assert.InRange(tokenizer.Encode(full.Input + full.Continuation).Length, length - line, length);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Presets))]
    public void NeedlesStandWhereTheRangesSay(string name)
    {
        NeedleOptions options = NeedleOptions.Preset(name);
        NeedleGenerator generator = new(options, TestFiles.Gpt2);
        HashSet<string> seen = [];
        for (ulong seed = 0; seed < 20; seed++)
        {
            NeedleExample example = generator.Next(new RandomGenerator(seed), 1500);
            Assert.Equal(options.QueryCount * options.ValuesPerKey, example.Answers.Count);
            Assert.Equal(example.Answers.Count, example.Needles.Count);
            string end = example.Input[example.Input.LastIndexOf('\n')..];
            foreach ((string value, Range place) in example.Answers.Zip(example.Needles))
            {
                Assert.Matches($@"^One of the special magic (numbers|uuids) for [0-9a-zA-Z -]+ is: {value}\.$", example.Input[place]);
                Assert.Contains(Regex.Match(example.Input[place], "for (.+) is:").Groups[1].Value, end, StringComparison.Ordinal);
                Assert.Equal(example.Input.IndexOf(value, StringComparison.Ordinal), example.Input.LastIndexOf(value, StringComparison.Ordinal));
                Assert.True(seen.Add(value));
            }

            // All needles, those asked for and the others, have keys and values of their own.
            MatchCollection all = Regex.Matches(example.Input, @"One of the special magic \w+ for (.+?) is: (.+?)\.");
            int needles = options.KeyCount * options.ValuesPerKey;
            Assert.True(options.Haystack == HaystackKind.Needles ? all.Count > needles + 5 : all.Count == needles);
            Assert.Equal(all.Count, all.Select(needle => needle.Groups[2].Value).Distinct().Count());
            Assert.Equal(all.Count / options.ValuesPerKey, all.Select(needle => needle.Groups[1].Value).Distinct().Count());
        }
    }

    [Theory]
    [MemberData(nameof(Presets))]
    public void DepthsAreKept(string name)
    {
        NeedleGenerator generator = new(NeedleOptions.Preset(name), Bytes);
        foreach (double depth in (double[])[0, 0.1, 0.5, 0.9, 1])
        {
            NeedleExample example = generator.Next(new RandomGenerator(5), 20000, depth);
            Assert.Equal(depth, example.Depth);
            Assert.Contains(example.Needles, needle => Math.Abs(((double)needle.Start.Value / example.Input.Length) - depth) < 0.12);
        }

        // Drawn ones are spread over the whole.
        double[] drawn = [.. Enumerable.Range(0, 100).Select(seed => generator.Next(new RandomGenerator((ulong)seed), 5000).Depth)];
        Assert.InRange(drawn.Min(), 0, 0.1);
        Assert.InRange(drawn.Max(), 0.9, 1);
        Assert.InRange(drawn.Average(), 0.4, 0.6);
    }

    [Theory]
    [MemberData(nameof(Presets))]
    public void TheGeneratorDecidesAll(string name)
    {
        NeedleOptions options = NeedleOptions.Preset(name) with { StartsAnywhere = true };
        NeedleGenerator first = new(options, TestFiles.Gpt2);
        NeedleGenerator second = new(options, TestFiles.Gpt2);
        first.Next(new RandomGenerator(99), 700);
        RandomGenerator left = new(4);
        RandomGenerator right = new(4);
        for (int i = 0; i < 3; i++)
        {
            NeedleExample one = first.Next(left, 900);
            NeedleExample other = second.Next(right, 900);
            Assert.Equal(one.Input, other.Input);
            Assert.Equal(one.Answers, other.Answers);
            Assert.Equal(left.State, right.State);
        }
    }

    [Fact]
    public void WordsNumbersAndUuidsAreWellFormed()
    {
        RandomGenerator random = new(2);
        for (int i = 0; i < 1000; i++)
        {
            Assert.Matches("^[1-9][0-9]{6}$", RulerWords.Next(random, NeedleKind.Numbers, 7));
            Assert.Matches("^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$", RulerWords.Next(random, NeedleKind.Uuids, 7));
            Assert.Matches("^[a-zA-Z -]+-[a-zA-Z -]+$", RulerWords.Next(random, NeedleKind.Words, 7));
        }

        Assert.Equal(910, RulerWords.Adjectives.Length);
        Assert.Equal(6782, RulerWords.Nouns.Length);
    }

    [Fact]
    public void OptionsAreChecked()
    {
        Assert.Contains("too few", Assert.Throws<LociException>(() => new NeedleGenerator(NeedleOptions.Preset("niah-single-1"), Bytes).Next(new RandomGenerator(1), 300)).Message, StringComparison.Ordinal);
        Assert.Contains("niah-single-1", Assert.Throws<LociException>(() => NeedleOptions.Preset("niah")).Message, StringComparison.Ordinal);
        Assert.Throws<LociException>(() => new NeedleOptions { KeyCount = 2, QueryCount = 3 }.Validate());
        Assert.Throws<LociException>(() => new NeedleOptions { KeyCount = 20, ValuesPerKey = 3 }.Validate());
        Assert.Throws<LociException>(() => new NeedleOptions { NumberDigits = 1, KeyCount = 20 }.Validate());
        Assert.Throws<LociException>(() => new NeedleOptions { Haystack = (HaystackKind)9 }.Validate());
        Assert.Throws<LociException>(() => HaystackText.FromText(" \n "));
        Assert.Throws<ArgumentOutOfRangeException>(() => new NeedleGenerator(new NeedleOptions(), Bytes).Next(new RandomGenerator(1), 2000, 1.5));
    }

    [Fact]
    public void TheTextEndsSentencesWhereReadersDo()
    {
        HaystackText text = HaystackText.FromText("\"Well!\" said  Mr. Smith of St. Ives. (So he did.) and J. Brown heard.\nA heading\n\nThe  end? no, the middle... Yes.");
        string[] expected = ["\"Well!\" said Mr. Smith of St. Ives.", "(So he did.) and J. Brown heard.", "A heading", "The end? no, the middle...", "Yes."];
        Assert.Equal(expected, Enumerable.Range(0, text.SentenceCount).Select(sentence =>
        {
            int first = text.SentenceStart(sentence);
            return text.Words(first, (sentence + 1 < text.SentenceCount ? text.SentenceStart(sentence + 1) : text.WordCount) - first).ToString();
        }));
        Assert.Equal(string.Join(' ', expected), text.Text);
        Assert.InRange(HaystackText.Shipped.Text.Length, 200_000, 300_000);
        Assert.DoesNotMatch("[^ -~]", HaystackText.Shipped.Text);
    }
}
