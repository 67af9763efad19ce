using System.Text.RegularExpressions;
using Loci.Data;
using Loci.Evaluation;
using Loci.Evaluation.Tasks.Ruler;
using Loci.Tests.Data;
using Xunit;

namespace Loci.Tests.Evaluation.Ruler;

public sealed class RulerTaskTests
{
    public static TheoryData<string> Needles { get; } = [.. NeedleOptions.PresetNames];

    public static TheoryData<string> All { get; } = [.. NeedleOptions.PresetNames, "ruler-vt", "ruler-cwe", "ruler-fwe"];

    // Finds the answer in the prompt, as a perfect reader would.
    private static string Oracle(string prompt)
    {
        if (prompt.Contains("special magic", StringComparison.Ordinal))
        {
            string keys = Regex.Match(prompt, @"The special magic \w+ for (.+) mentioned in the provided text (is|are)$").Groups[1].Value;
            string[] found = [.. Regex.Matches(prompt, @"One of the special magic \w+ for (.+?) is: (.+?)\.")
                .Where(needle => Regex.IsMatch(keys, $"(^|, |and ){Regex.Escape(needle.Groups[1].Value)}(,|$)"))
                .OrderBy(needle => keys.IndexOf(needle.Groups[1].Value, StringComparison.Ordinal)).ThenBy(needle => needle.Index).Select(needle => needle.Groups[2].Value)];
            return " " + (found.Length == 1 ? found[0] : $"{string.Join(", ", found[..^1])}, and {found[^1]}");
        }

        if (prompt.Contains("VAR", StringComparison.Ordinal))
        {
            string value = Regex.Match(prompt, @"assigned the value (\d+), they are: $").Groups[1].Value;
            string text = prompt[prompt.LastIndexOf("Memorize", StringComparison.Ordinal)..];
            HashSet<string> has = [];
            foreach (Match line in Regex.Matches(text, @"^VAR (\w+) = (VAR )?(\w+) ?$", RegexOptions.Multiline))
            {
                if (line.Groups[3].Value == value || has.Contains(line.Groups[3].Value))
                {
                    has.Add(line.Groups[1].Value);
                }
            }

            return " " + string.Join(' ', has);
        }

        if (prompt.Contains("numbered list", StringComparison.Ordinal))
        {
            string text = prompt[prompt.LastIndexOf("Below", StringComparison.Ordinal)..];
            string list = text.Split('\n')[1];
            var words = Regex.Matches(list, @"\d+\. (.+?)(?= \d+\. |$)").Select(word => word.Groups[1].Value).CountBy(word => word).OrderByDescending(word => word.Value).Take(10);
            return " " + string.Join(' ', words.Select((word, i) => $"{i + 1}. {word.Key}"));
        }

        string coded = Regex.Match(prompt, @"coded words\. (.+)\n").Groups[1].Value;
        return " " + string.Join(' ', coded.Split(' ').Where(word => word != "...").CountBy(word => word).OrderByDescending(word => word.Value).Take(3).Select(word => word.Key));
    }

    [Theory]
    [MemberData(nameof(All))]
    public void TheOracleIsAlwaysRightAndSilenceNever(string name)
    {
        EvaluationTask task = EvaluationTasks.Find(name);
        TaskOptions options = new() { Lengths = [1024, 4096], Samples = 3 };
        PromptModel oracle = new(Oracle);
        (Dictionary<string, double> metrics, List<EvaluationExample> examples) = oracle.Measure(task, options);
        Assert.Equal(1, metrics["accuracy"]);
        Assert.Equal(6, examples.Count);
        Assert.Equal(task.Metrics.Select(metric => metric.Name).Order(), metrics.Keys.Order());
        if (name != "ruler-cwe")
        {
            Assert.Equal((0, 1), (metrics["answer_loss"], metrics["answer_greedy"]));
        }

        foreach (AnswerExample example in examples.Cast<AnswerExample>())
        {
            int length = int.Parse(example.Slices[0].Value, System.Globalization.CultureInfo.InvariantCulture);
            GenerationRequest generation = (GenerationRequest)example.Requests[0];
            LogLikelihoodRequest likelihood = (LogLikelihoodRequest)example.Requests[1];
            Assert.Equal(generation.Context.Text, likelihood.Context.Text);
            Assert.Empty(generation.Until);
            Assert.Equal(name switch { "ruler-vt" => 30, "ruler-cwe" => 120, "ruler-fwe" => 50, _ => 128 }, generation.MaximumTokens);
            Assert.InRange(TestFiles.Gpt2.Encode(example.Input).Length + generation.MaximumTokens, length - 150, length);
        }

        (metrics, _) = new PromptModel(_ => "").Measure(task, options);
        Assert.Equal((0, 2, 0), (metrics["accuracy"], metrics["answer_loss"], metrics["answer_greedy"]));
    }

    [Theory]
    [MemberData(nameof(All))]
    public void ExamplesDependOnTheSeedAlone(string name)
    {
        EvaluationTask task = EvaluationTasks.Find(name);
        PromptModel model = new(_ => "");
        string[] Inputs(TaskOptions options) => [.. task.Load(model, options).Cast<AnswerExample>().Select(example => example.Input).Order(StringComparer.Ordinal)];
        string[] two = Inputs(new TaskOptions { Lengths = [1100], Samples = 2 });
        Assert.Equal(two, Inputs(new TaskOptions { Lengths = [1100], Samples = 2 }));
        Assert.Subset(Inputs(new TaskOptions { Lengths = [1024, 1100], Samples = 3 }).ToHashSet(), two.ToHashSet());
        Assert.Empty(two.Intersect(Inputs(new TaskOptions { Lengths = [1100], Samples = 2, Seed = 1 })));
        Assert.Equal(2, two.Distinct().Count());
    }

    [Fact]
    public void DepthsMakeSlices()
    {
        EvaluationTask task = EvaluationTasks.Find("niah-single-2");
        PromptModel model = new(_ => "");
        TaskOptions options = new() { Lengths = [1024], Depths = [0, 0.125, 1], Samples = 2 };
        Assert.Equal(["0", "0", "12.5", "12.5", "100", "100"], task.Load(model, options).Select(example => example.Slices[1].Value));
        string[] bands = [.. task.Load(model, options with { Depths = [], Samples = 20 }).Select(example => example.Slices[1].Value)];
        Assert.Equal(["0-25", "25-50", "50-75", "75-100"], bands.Distinct());
        Assert.Equal(20, bands.Length);
        Assert.All(EvaluationTasks.Find("niah-multivalue").Load(model, options with { Depths = [] }), example => Assert.Single(example.Slices));
    }

    [Fact]
    public void SettingsChangeTheTask()
    {
        NeedleInHaystackTask task = (NeedleInHaystackTask)EvaluationTasks.Find("niah-single-1");
        TaskOptions options = new()
        {
            Settings = new Dictionary<string, string>
            {
                ["template"] = "short",
                ["haystack"] = "needles",
                ["start"] = "anywhere",
                ["key-kind"] = "numbers",
                ["value-kind"] = "words",
                ["digits"] = "4",
                ["keys"] = "3",
                ["values"] = "2",
                ["queries"] = "2",
                ["answer-tokens"] = "10",
            },
        };
        NeedleOptions expected = new()
        {
            Template = NeedleTemplate.Short,
            Haystack = HaystackKind.Needles,
            StartsAnywhere = true,
            Keys = NeedleKind.Numbers,
            Values = NeedleKind.Words,
            NumberDigits = 4,
            KeyCount = 3,
            ValuesPerKey = 2,
            QueryCount = 2,
            AnswerTokens = 10,
        };
        Assert.Equal(expected, task.OptionsOf(options));
        Assert.Equal(task.SettingNames.Order(), options.Settings.Keys.Append("measure").Order());
        foreach ((string measure, Type[] requests) in ((string, Type[])[])[("generate", [typeof(GenerationRequest)]), ("likelihood", [typeof(LogLikelihoodRequest)])])
        {
            Assert.Equal(requests, Load(task, new TaskOptions { Samples = 1, Settings = new Dictionary<string, string> { ["measure"] = measure } })[0].Requests.Select(request => request.GetType()));
        }
    }

    [Fact]
    public void TheHaystackCanBeGiven()
    {
        string path = Path.GetTempFileName();
        try
        {
            File.WriteAllText(path, "Alpha beta gamma. Delta epsilon.");
            AnswerExample example = Load(EvaluationTasks.Find("niah-single-2"), new TaskOptions { HaystackPath = path, Samples = 1, Depths = [1] })[0];
            Assert.Contains("\nAlpha beta gamma. Delta epsilon. Alpha beta", example.Input, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(path);
        }

        Assert.Throws<LociException>(() => Load(EvaluationTasks.Find("niah-single-2"), new TaskOptions { HaystackPath = path }));
    }

    [Fact]
    public void VariablesAreTracked()
    {
        VariableTrackingTask.Problem problem = VariableTrackingTask.Make(new RandomGenerator(3), 12, 2, 2, 5);
        string value = Regex.Match(problem.Input, @"assigned the value (\d+) in").Groups[1].Value;
        Assert.StartsWith("Memorize and track the chain(s) of variable assignment hidden in the following text.\n\n", problem.Input, StringComparison.Ordinal);
        Assert.EndsWith(
            $"\nQuestion: Find all variables that are assigned the value {value} in the text above. Answer: According to the chain(s) of variable assignment in the text above, 3 variables are assigned the value {value}, they are: ",
            problem.Input,
            StringComparison.Ordinal);
        string[] lines = [.. problem.Input.Split('\n').Skip(2).SkipLast(1)];
        Assert.Equal(12, lines.Count(line => line.StartsWith("The grass", StringComparison.Ordinal)));
        string[] v = problem.Variables;
        Assert.Equal([$"VAR {v[0]} = {value}", $"VAR {v[1]} = VAR {v[0]} ", $"VAR {v[2]} = VAR {v[1]} "], lines.Where(line => v.Any(line.Contains)));
        Assert.Equal(6, lines.Count(line => line.StartsWith("VAR", StringComparison.Ordinal)));
        Assert.All(v, name => Assert.Matches("^[A-Z]{5}$", name));
    }

    [Fact]
    public void AnExampleIsShownBeforeVariables()
    {
        AnswerExample example = Load(EvaluationTasks.Find("ruler-vt"), new TaskOptions { Samples = 1, Lengths = [1024] })[0];
        string[] parts = example.Input.Split("\n\nMemorize");
        Assert.Equal(2, parts.Length);
        Assert.Matches(@"they are:  [A-Z]{3} [A-Z]{3} [A-Z]{3} [A-Z]{3} [A-Z]{3}$", parts[0]);
        Assert.InRange(TestFiles.Gpt2.Encode(parts[0]).Length, 300, 500);
        AnswerExample without = Load(EvaluationTasks.Find("ruler-vt"), new TaskOptions { Samples = 1, Lengths = [1024], Settings = new Dictionary<string, string> { ["shots"] = "0" } })[0];
        Assert.Equal(0, without.Input.LastIndexOf("Memorize", StringComparison.Ordinal));
    }

    [Fact]
    public void CommonWordsComeOften()
    {
        CommonWordsTask.Problem problem = CommonWordsTask.Make(new RandomGenerator(3), 25, 6, 2);
        string[] lines = problem.Input.Split('\n');
        Assert.Equal("Below is a numbered list of words. In these words, some appear more often than others. Memorize the ones that appear most often.", lines[0]);
        Assert.Equal("Question: What are the 10 most common words in the above list? Answer: The top 10 words that appear most often in the list are:", lines[2]);
        string[] words = [.. Regex.Matches(lines[1] + " 91. ", @"(?<=(\d+)\. )(.+?)(?= \d+\. )").Select(word => word.Groups[2].Value)];
        Assert.Equal(90, words.Length);
        Assert.StartsWith("1. ", lines[1], StringComparison.Ordinal);
        foreach ((string word, int count) in words.CountBy(word => word))
        {
            Assert.Equal(problem.Common.Contains(word) ? 6 : 2, count);
        }

        // Where there are more words than in the lists, pairs of them.
        Assert.Equal(10, CommonWordsTask.Make(new RandomGenerator(3), 9000, 1, 1).Common.Distinct().Count());
    }

    [Fact]
    public void FrequentWordsFollowAZetaDistribution()
    {
        Assert.Equal(Math.PI * Math.PI / 6, FrequentWordsTask.Zeta(2), 10);
        Assert.Equal(1.2020569031595943, FrequentWordsTask.Zeta(3), 10);
        Assert.Equal([60, 15, 6, 3, 2], FrequentWordsTask.Counts(100, 5, 2));
        FrequentWordsTask.Problem problem = FrequentWordsTask.Make(new RandomGenerator(3), 100, 5, 2);
        string text = Regex.Match(
            problem.Input,
            @"^Read the following coded text and track the frequency of each coded word\. Find the three most frequently appeared coded words\. (.+)\n"
            + @"Question: Do not provide any explanation\. Please ignore the dots '\.\.\.\.'\. What are the three most frequently appeared words in the above coded text\? "
            + "Answer: According to the coded text above, the three most frequently appeared words are:$").Groups[1].Value;
        Dictionary<string, int> counts = text.Split(' ').CountBy(word => word).ToDictionary();
        Assert.Equal([60, 15, 6, 3], ((string[])["...", .. problem.Frequent]).Select(word => counts[word]));
        Assert.Equal(5, counts.Count);
        Assert.All(problem.Frequent, word => Assert.Matches("^[a-z]{6}$", word));

        // 50 words would give the third and the fourth one each: two each is the nearest below that tells them apart, so there are fewer.
        counts = Regex.Match(FrequentWordsTask.Make(new RandomGenerator(3), 52, 5, 2).Input, @"coded words\. (.+)\n").Groups[1].Value.Split(' ').CountBy(word => word).ToDictionary();
        Assert.Equal(counts.Values.Order().Skip(1).Distinct().Count(), counts.Values.Order().Skip(1).Count());
    }

    [Fact]
    public void AnswersAreMatchedAsInRuler()
    {
        Assert.Equal(0.5, RulerTask.MatchAll(" ABC, then nothing", ["abc", "DEF"]));
        Assert.Equal(1, RulerTask.MatchPart(" ABC, then nothing", ["abc", "DEF"]));
        Assert.Equal(0, RulerTask.MatchPart("", ["abc"]));
        Assert.Equal(1, RulerTask.MatchAll("the 1234567.", ["1234567"]));
        Assert.Equal(0, RulerTask.MatchAll("the 123 4567.", ["1234567"]));
    }

    [Fact]
    public void ScoresAreThoseOfTheResponses()
    {
        AnswerExample example = Load(EvaluationTasks.Find("niah-multivalue"), new TaskOptions { Samples = 1, Lengths = [1024] })[0];
        string[] values = example.Continuation.TrimStart().Split([", and ", ", "], StringSplitOptions.None);
        IReadOnlyDictionary<string, ExampleValue> scores = example.Score([new Generation($"{values[2]}. {values[0]}", []), new LogLikelihood(-6, false, 12)]);
        Assert.Equal(new ExampleValue(0.5), scores["accuracy"]);
        Assert.Equal(new ExampleValue(0.5, 12), scores["answer_loss"]);
        Assert.Equal(new ExampleValue(0), scores["answer_greedy"]);
    }

    [Fact]
    public void WrongOptionsAreRefused()
    {
        Refused("niah-single-1", new TaskOptions { Lengths = [100] }, "too few");
        Refused("ruler-vt", new TaskOptions { Lengths = [100] }, "too few");
        Refused("ruler-cwe", new TaskOptions { Lengths = [100] }, "too few");
        Refused("ruler-fwe", new TaskOptions { Lengths = [100] }, "too few");
        Refused("ruler-fwe", new TaskOptions { Lengths = [0] }, "length");
        Refused("ruler-fwe", new TaskOptions { Samples = 0 }, "samples");
        Refused("niah-single-1", new TaskOptions { Depths = [2] }, "depth");
        Refused("niah-single-1", With("template", "long"), "ruler, short");
        Refused("niah-single-1", With("keys", "many"), "whole number");
        Refused("ruler-fwe", With("alpha", "x"), "number");
        Assert.Contains("tokenizer", Assert.Throws<LociException>(() => EvaluationTasks.Find("niah-single-1").Load(new PromptModel(_ => "", null), new TaskOptions())).Message, StringComparison.Ordinal);

        static TaskOptions With(string name, string value) => new() { Settings = new Dictionary<string, string> { [name] = value } };

        static void Refused(string task, TaskOptions options, string expected) =>
            Assert.Contains(expected, Assert.Throws<LociException>(() => Load(EvaluationTasks.Find(task), options)).Message, StringComparison.Ordinal);
    }

    private static List<AnswerExample> Load(EvaluationTask task, TaskOptions options) => [.. task.Load(new PromptModel(_ => ""), options).Cast<AnswerExample>()];
}
