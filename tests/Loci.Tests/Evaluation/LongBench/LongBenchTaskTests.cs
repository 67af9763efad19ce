using System.IO.Compression;
using Loci.Data;
using Loci.Evaluation;
using Loci.Evaluation.Tasks.LongBench;
using Loci.Tests.Data;
using Xunit;
using static Loci.Tests.Evaluation.TaskFixture;

namespace Loci.Tests.Evaluation.LongBench;

public sealed class LongBenchTaskTests
{
    private const string Classes = """["Date", "Other number"]""";

    private static string Row(string context, string input, string answers, string classes = "null", int length = 100) =>
        $$"""{"input": "{{input}}", "context": "{{context}}", "answers": {{answers}}, "length": {{length}}, "dataset": "x", "language": "en", "all_classes": {{classes}}, "_id": "1"}""";

    private static double Score(EvaluationExample example, string written) => Assert.Single(example.Score([new Generation(written, [])])).Value.Value;

    [Fact]
    public void ThereAreFourteen()
    {
        Assert.Equal(
            ["narrativeqa", "qasper", "multifieldqa-en", "hotpotqa", "2wikimqa", "musique", "gov-report", "qmsum", "multi-news", "trec", "triviaqa", "samsum", "lcc", "repobench-p"],
            EvaluationTasks.All.Where(task => task.Name.StartsWith("longbench-", StringComparison.Ordinal)).Select(task => task.Name["longbench-".Length..]));
    }

    [Theory]
    [InlineData("hotpotqa", 32, "f1")]
    [InlineData("narrativeqa", 128, "f1")]
    [InlineData("multifieldqa-en", 64, "f1")]
    [InlineData("gov-report", 512, "rouge_l")]
    [InlineData("trec", 64, "accuracy")]
    [InlineData("samsum", 128, "rouge_l")]
    [InlineData("repobench-p", 64, "similarity")]
    public void LengthsAndMeasuresAreThePublishedOnes(string name, int tokens, string metric)
    {
        var example = Assert.Single(LoadText("longbench-" + name, "rows.jsonl", Row("c", "i", """["a"]""", Classes)));
        var request = Assert.IsType<GenerationRequest>(Assert.Single(example.Requests));
        Assert.Equal(tokens, request.MaximumTokens);
        Assert.Equal(name == "samsum" ? ["\n"] : [], request.Until);
        Assert.Equal(metric, Assert.Single(EvaluationTasks.Find("longbench-" + name).Metrics).Name);
    }

    [Theory]
    [InlineData("multifieldqa-en", "Read the following text and answer briefly.\n\nCON {input}\n\nNow, answer the following question based on the above text, only give me the answer and do not output any other words.\n\nQuestion: IN\nAnswer:")]
    [InlineData("trec", "Please determine the type of the question below. Here are some examples of questions.\n\nCON {input}\nIN")]
    [InlineData("lcc", "Please complete the code given below. \nCON {input}Next line of code:\n")]
    [InlineData("repobench-p", "Please complete the code given below. \nCON {input}INNext line of code:\n")]
    public void PromptsAreThePublishedOnes(string name, string prompt) =>
        Assert.Equal(prompt, Texts(Assert.Single(LoadText("longbench-" + name, "rows.jsonl", Row("CON {input}", "IN", """["a"]""", Classes))))[0].Context);

    [Fact]
    public void TheBestAnswerCounts()
    {
        var example = LoadText("longbench-hotpotqa", "rows.jsonl", Row("c", "q", """["Ann Lee", "the Lees"]"""))[0];
        Assert.Equal(1, Score(example, "Lees."));
        Assert.Equal(2.0 / 3, Score(example, "Ann"), 12); // 1 of 1 and 1 of 2
        Assert.Equal(0, Score(example, ""));
        Assert.Equal(0.5, Score(example, "Lees\nor not"), 12); // more than the first line counts: 1 of 3 and 1 of 1
    }

    // Lines after the first do not count for these; line ends before it do not either.
    [Fact]
    public void OnlyTheFirstLineCountsAfterExamples()
    {
        var trec = LoadText("longbench-trec", "rows.jsonl", Row("c", "q", """["Date"]""", Classes))[0];
        Assert.Equal(1, Score(trec, "\n Date\nType: Other number"));
        Assert.Equal(0.5, Score(trec, "Date, Other number"));
        Assert.Equal(0, Score(trec, "Other number\nDate"));
        var trivia = LoadText("longbench-triviaqa", "rows.jsonl", Row("c", "q", """["Ann"]"""))[0];
        Assert.Equal(1, Score(trivia, "Ann\nPassage: more"));
        var samsum = LoadText("longbench-samsum", "rows.jsonl", Row("c", "q", """["Ann left"]"""))[0];
        Assert.Equal(1, Score(samsum, "Ann left\nDialogue: x"), 6);
    }

    [Fact]
    public void CodeIsComparedByItsFirstLine()
    {
        var example = LoadText("longbench-lcc", "rows.jsonl", Row("c", "", """["bcde"]"""))[0];
        Assert.Equal(0.75, Score(example, "# next\nabcd\nx"));
        Assert.Equal(1, Score(example, "bcde"));
    }

    [Fact]
    public void LongPromptsLoseTheirMiddle()
    {
        var bytes = new ByteTokenizer();
        Assert.Equal("abij", LongBenchTask.Cut(bytes, "abcdefghij", 4));
        Assert.Equal("abij", LongBenchTask.Cut(bytes, "abcdefghij", 5)); // half of 5 is 2
        Assert.Equal("abcdefghij", LongBenchTask.Cut(bytes, "abcdefghij", 10));

        var options = new TaskOptions { Settings = new Dictionary<string, string> { ["context"] = "20" } };
        Assert.Equal("Please com of code:\n", Texts(LoadText("longbench-lcc", "rows.jsonl", Row("c", "", """["a"]"""), options)[0])[0].Context);
    }

    [Theory]
    [InlineData(3999, "0-4k")]
    [InlineData(4000, "4-8k")]
    [InlineData(7999, "4-8k")]
    [InlineData(8000, "8k+")]
    public void WordsAreTheSlices(int words, string expected) => Assert.Equal([("words", expected)], LoadText("longbench-lcc", "rows.jsonl", Row("c", "", """["a"]""", length: words))[0].Slices);

    [Fact]
    public void DataMayBeInAFolderOrAnArchive()
    {
        using var folder = new TemporaryFolder();
        var path = folder.Write("data/multifieldqa_en.jsonl", Row("c", "one", """["a"]""") + "\n" + Row("c", "two", """["a"]"""));
        Assert.Equal(2, Load("longbench-multifieldqa-en", folder.Path).Count);
        Assert.Equal(2, Load("longbench-multifieldqa-en", Path.Combine(folder.Path, "data")).Count);
        Assert.Equal(2, Load("longbench-multifieldqa-en", path).Count);

        using var other = new TemporaryFolder();
        ZipFile.CreateFromDirectory(Path.Combine(folder.Path, "data"), Path.Combine(other.Path, "data.zip"), CompressionLevel.Fastest, includeBaseDirectory: true);
        Assert.Equal(2, Load("longbench-multifieldqa-en", other.Path).Count);
        Assert.Single(Load("longbench-multifieldqa-en", new TaskOptions { DataPath = Path.Combine(other.Path, "data.zip"), Samples = 1 }));
        Assert.Contains("has none of the files lcc.jsonl", Assert.Throws<LociException>(() => Load("longbench-lcc", other.Path)).Message, StringComparison.Ordinal);
        File.WriteAllText(Path.Combine(other.Path, "data.zip"), "no archive");
        Assert.Contains("Cannot read", Assert.Throws<LociException>(() => Load("longbench-lcc", other.Path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void WrongDataIsNamed()
    {
        Assert.StartsWith("The task longbench-qasper needs its data: give --data longbench-qasper=PATH, a file or folder with LongBench's data: qasper.jsonl", Assert.Throws<LociException>(() => Load("longbench-qasper", new TaskOptions())).Message, StringComparison.Ordinal);
        Assert.Contains("line 1, has no answer", Assert.Throws<LociException>(() => LoadText("longbench-qasper", "rows.jsonl", Row("c", "q", "[]"))).Message, StringComparison.Ordinal);
        Assert.Contains("has no list of texts in the field 'all_classes'", Assert.Throws<LociException>(() => LoadText("longbench-trec", "rows.jsonl", Row("c", "q", """["a"]"""))).Message, StringComparison.Ordinal);
    }
}
