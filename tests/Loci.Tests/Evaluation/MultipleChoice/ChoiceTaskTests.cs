using Loci.Evaluation;
using Loci.Tests.Data;
using Xunit;
using static Loci.Tests.Evaluation.TaskFixture;

namespace Loci.Tests.Evaluation.MultipleChoice;

public sealed class ChoiceTaskTests
{
    [Fact]
    public void PiqaOfficial()
    {
        var examples = Load("piqa", PathOf("piqa_official_valid.jsonl"));
        Assert.Equal(3, examples.Count);
        Assert.Equal([("Question: dresser\nAnswer:", " replace drawer with bobby pin "), ("Question: dresser\nAnswer:", " finish, woodgrain with  bobby pin ")], Texts(examples[1]));
        Assert.Equal([0, 1, 1], examples.Select(example => Choose(example, -2, -1)["acc"].Value)); // the labels are 0, 1, 1
    }

    [Fact]
    public void PiqaOfLlmFoundryIsTheSameButForWhiteSpace()
    {
        var official = Load("piqa", PathOf("piqa_official_valid.jsonl"));
        var foundry = Load("piqa", PathOf("piqa.jsonl"));
        Assert.Equal(official.Count, foundry.Count);
        foreach (var (first, second) in official.Zip(foundry))
        {
            Assert.Equal(Texts(first).Select(text => (text.Context, text.Continuation!.Trim())), Texts(second).Select(text => (text.Context, text.Continuation!.Trim())));
            Assert.Equal(Choose(first, -2, -1)["acc"].Value, Choose(second, -2, -1)["acc"].Value);
        }
    }

    // Choices of 4 and 8 characters: -6 beats -8, but by length -8/8 = -1 beats -6/4 = -1.5.
    [Fact]
    public void AccuracyByLengthDividesByCharacters()
    {
        var example = LoadText("piqa", "valid.jsonl", """{"goal": "g", "sol1": "four", "sol2": "ei😀ghts1", "label": 1}""")[0];
        var values = Choose(example, -6, -8);
        Assert.Equal(0, values["acc"].Value);
        Assert.Equal(1, values["acc_norm"].Value);
        Assert.Equal(1, Choose(example, -4.1, -8)["acc_norm"].Value); // -4.1/4 is below -8/8
        Assert.Equal(0, Choose(example, -3.9, -8)["acc_norm"].Value);
        Assert.Equal(0, Choose(example, -5, -5)["acc"].Value); // the first of equals is taken
    }

    [Fact]
    public void HellaSwagOfficial()
    {
        const string Row = """{"activity_label": "Home and Garden", "ctx_a": "[header] How to paint [title] Take a brush.  [step] Dip it.", "ctx_b": "the Man", "ctx": "unused", "endings": [" Paint [substeps] now.", "b", "c", "d"], "label": "2", "split_type": "indomain"}""";
        var example = Assert.Single(LoadText("hellaswag", "hellaswag_val.jsonl", Row));

        // " [title]" becomes ". ", brackets go, and double spaces become single ones, once each; the begun sentence gets a capital and loses others.
        const string Context = "Home and Garden:  How to paint. Take a brush. Dip it. The man";
        var texts = Texts(example);
        Assert.Equal(Context.Replace(":  ", ": ", StringComparison.Ordinal), texts[0].Context.Replace("  ", " ", StringComparison.Ordinal));
        Assert.Equal([" Paint now.", " b", " c", " d"], texts.Select(text => text.Continuation));
        Assert.Equal(1, Choose(example, -4, -3, -1, -2)["acc"].Value);
        Assert.Equal([("domain", "indomain")], example.Slices);
    }

    [Theory]
    [InlineData("  How to x [title] Y. ", "How to x. Y.")]
    [InlineData("[header] A b", " A b")] // as in the harness, the space after a bracket at the beginning stays
    [InlineData("a [step] b", "a b")]
    [InlineData("a [b [c] d", "a d")]
    [InlineData("a    b", "a  b")] // pairs of spaces, once
    public void HellaSwagCleans(string text, string expected) => Assert.Equal(expected, Loci.Evaluation.Tasks.MultipleChoice.HellaSwagTask.Clean(text));

    [Fact]
    public void HellaSwagAsText()
    {
        var examples = Load("hellaswag", PathOf("hellaswag_val_full.txt"));
        Assert.Equal(3, examples.Count);
        Assert.Equal("Roof shingle removal: A man is sitting on a roof. He", Texts(examples[0])[0].Context);
        Assert.Equal(" starts pulling up roofing on a roof.", Texts(examples[0])[3].Continuation);
        Assert.Equal("Clean and jerk: A lady walks to a barbell. She bends down and grabs the pole. The lady", Texts(examples[1])[0].Context);
        Assert.EndsWith("out of the norm for your child.", Texts(examples[2])[0].Context, StringComparison.Ordinal);
        Assert.Equal([1, 1, 0], examples.Select(example => Choose(example, -4, -3, -2, -1)["acc"].Value)); // the labels are 3, 3, 2
    }

    [Fact]
    public void WinoGrandePutsTheOptionsIn()
    {
        var official = Assert.Single(LoadText("winogrande", "dev.jsonl", """{"qID": "x-1", "sentence": "The cup fell off the shelf because the _ was loose.", "option1": "cup", "option2": "shelf", "answer": "2"}"""));
        Assert.Equal([("The cup fell off the shelf because the cup", " was loose."), ("The cup fell off the shelf because the shelf", " was loose.")], Texts(official));
        Assert.Equal(1, Choose(official, -2, -1)["acc"].Value);
        Assert.Equal(["acc"], EvaluationTasks.Find("winogrande").Metrics.Select(metric => metric.Name));

        var foundry = Load("winogrande", PathOf("winogrande.jsonl"));
        Assert.Equal([("Sarah was a much better surgeon than Maria so Sarah", " always got the easier cases."), ("Sarah was a much better surgeon than Maria so Maria", " always got the easier cases.")], Texts(foundry[0]));
        Assert.Equal([1, 0, 1], foundry.Select(example => Choose(example, -2, -1)["acc"].Value));
    }

    [Theory]
    [InlineData("""{"id": "x", "question": {"stem": "What is it?", "choices": [{"text": "a b", "label": "A"}, {"text": "c", "label": "B"}, {"text": "d", "label": "C"}]}, "answerKey": "B"}""")]
    [InlineData("""{"id": "x", "question": "What is it?", "choices": {"text": ["a b", "c", "d"], "label": ["1", "2", "3"]}, "answerKey": "2"}""")]
    [InlineData("""{"query": "Question: What is it?", "choices": ["a b", "c", "d"], "gold": 1}""")]
    public void ArcInEveryForm(string row)
    {
        foreach (var task in new[] { "arc-easy", "arc-challenge" })
        {
            var example = Assert.Single(LoadText(task, "rows.jsonl", row));
            Assert.Equal([("Question: What is it?\nAnswer:", " a b"), ("Question: What is it?\nAnswer:", " c"), ("Question: What is it?\nAnswer:", " d")], Texts(example));
            Assert.Equal((1.0, 1.0), (Choose(example, -4, -1, -2)["acc"].Value, Choose(example, -4, -1, -2)["acc_norm"].Value));
        }
    }

    [Fact]
    public void ArcFilesAreFoundInAFolder()
    {
        var folder = Path.GetDirectoryName(PathOf("arc_easy.jsonl"))!;
        Assert.Equal(3, Load("arc-easy", folder).Count);
        Assert.Equal(" buildings will be built faster", Texts(Load("arc-challenge", folder)[1])[0].Continuation);
    }

    [Fact]
    public void SiqaWithOptionsAndWithLabelsBeside()
    {
        var example = Load("siqa", PathOf("siqa_dev_3choice.jsonl"))[0];
        const string Context = "Q: Tracy didn't go home that evening and resisted Riley's attacks. What does Tracy need to do before this?\nA:";
        Assert.Equal([(Context, " make a new plan"), (Context, " Go home and see Riley"), (Context, " Find somewhere to go")], Texts(example));
        Assert.Equal(1, Choose(example, -3, -2, -1)["acc"].Value);

        using var folder = new TemporaryFolder();
        folder.Write("dev-labels.lst", "3\n1\n");
        folder.Write("dev.jsonl", """
            {"context": "c", "question": "q", "answerA": "x", "answerB": "y", "answerC": "z"}
            {"context": "d", "question": "q", "answerA": "x", "answerB": "y", "answerC": "z"}
            """);
        var official = Load("siqa", folder.Path);
        Assert.Equal([1, 0], official.Select(one => Choose(one, -3, -2, -1)["acc"].Value));
        Assert.Equal(("Q: d q\nA:", " y"), Texts(official[1])[1]);
    }

    [Theory]
    [InlineData("""{"question": "is it so", "title": "It", "answer": true, "passage": "It is so."}""", "It -- It is so.\nQuestion: is it so?\nAnswer:")]
    [InlineData("""{"question": "is it so", "passage": "It -- It is so.", "idx": 0, "label": 1}""", "It -- It is so.\nQuestion: is it so?\nAnswer:")]
    [InlineData("""{"query": "Passage: It is so.\nQuestion: is it so?", "choices": ["no", "yes"], "gold": 1}""", "It is so.\nQuestion: is it so?\nAnswer:")]
    public void BoolQInEveryForm(string row, string context)
    {
        var example = Assert.Single(LoadText("boolq", "rows.jsonl", row));
        Assert.Equal([(context, " no"), (context, " yes")], Texts(example));
        Assert.Equal(1, Choose(example, -2, -1)["acc"].Value);
    }

    [Fact]
    public void BoolQCompressed()
    {
        var example = Assert.Single(Load("boolq", PathOf("boolq.jsonl.gz")));
        Assert.StartsWith("All biomass goes through", Texts(example)[0].Context, StringComparison.Ordinal);
        Assert.EndsWith("\nQuestion: does ethanol take more energy make that produces?\nAnswer:", Texts(example)[0].Context, StringComparison.Ordinal);
        Assert.Equal(0, Choose(example, -2, -1)["acc"].Value); // no
    }

    [Fact]
    public void LambadaAsksForTheLastWord()
    {
        var examples = Load("lambada", PathOf("lambada_test_openai.jsonl"));
        Assert.Equal(2, examples.Count);
        var (context, word) = Assert.Single(Texts(examples[0]));
        Assert.EndsWith("I don't care about", context, StringComparison.Ordinal);
        Assert.Equal(" signs", word);

        // ln p of -1 and -3: the perplexity is e to 2.
        LogLikelihood[] answers = [new(-1, true, 1), new(-3, false, 2)];
        var model = new AnsweringModel((_, continuation) => continuation == " signs" ? answers[0] : answers[1], _ => "");
        var values = Run(model, "lambada", examples);
        Assert.Equal(0.5, values["acc"]);
        Assert.Equal(Math.Exp(2), values["perplexity"], 12);
    }

    [Fact]
    public void SamplesAreTheFirst()
    {
        var options = new TaskOptions { DataPath = PathOf("winogrande.jsonl"), Samples = 2 };
        Assert.Equal(2, Load("winogrande", options).Count);
        Assert.Equal("0 samples are too few: ask for at least 1.", Assert.Throws<LociException>(() => Load("winogrande", options with { Samples = 0 })).Message);
    }

    [Theory]
    [InlineData("piqa", """{"goal": "g", "sol1": "a"}""", "has no text in the field 'sol2'")]
    [InlineData("piqa", """{"goal": "g", "sol1": "a", "sol2": "b"}""", "has no label")]
    [InlineData("piqa", """{"goal": "g", "sol1": "a", "sol2": "b", "label": 2}""", "has a label for choice 3 of 2")]
    [InlineData("piqa", """{"goal": "g", "sol1": "a", "sol2": "", "label": 1}""", "has an empty choice")]
    [InlineData("piqa", """{"goal": "g", "sol1": "a", "sol2": "b", "label": -1}""", "has the label -1, which stands for none; labels of test sets are not published")]
    [InlineData("piqa", """{"query": "q", "choices": ["a", "b"], "gold": -1}""", "has the label -1, which stands for none; labels of test sets are not published")]
    [InlineData("hellaswag", """{"activity_label": "a", "ctx_a": "b", "ctx_b": "", "endings": ["c", "d"], "label": "-1"}""", "has the label -1, which stands for none")]
    [InlineData("hellaswag", """{"activity_label": "a", "ctx_a": "b", "ctx_b": "", "endings": ["c", "d"], "label": 0.5}""", "has the label '0.5', which is not a whole number")]
    [InlineData("siqa", """{"context": "c", "question": "q", "answerA": "a", "answerB": "b", "answerC": "d", "label": "0"}""", "has a label for choice 0 of 3")]
    [InlineData("winogrande", """{"sentence": "no gap", "option1": "a", "option2": "b", "answer": "1"}""", "has no gap '_' in its sentence")]
    [InlineData("winogrande", """{"sentence": "a _ b", "option1": "a", "option2": "b", "answer": ""}""", "has no label")]
    [InlineData("arc-easy", """{"question": "q", "choices": {"text": ["a"], "label": ["A"]}, "answerKey": "B"}""", "has the answer 'B', which is not among its choices")]
    [InlineData("boolq", """{"question": "q", "passage": "p", "label": "maybe"}""", "has the answer 'maybe', which is neither true nor false")]
    [InlineData("siqa", """{"context": "c", "question": "q", "options": ["a"], "answer": "b"}""", "has an answer that is not among its options")]
    [InlineData("lambada", """{"text": "word"}""", "has no last word after a space")]
    public void WrongRowsAreNamed(string task, string row, string problem)
    {
        var message = Assert.Throws<LociException>(() => LoadText(task, "rows.jsonl", row)).Message;
        Assert.Contains($"rows.jsonl, line 1, {problem}", message, StringComparison.Ordinal);
        Assert.Contains($"the task {task} reads ", message, StringComparison.Ordinal);
    }

    [Fact]
    public void MissingDataSaysWhatIsExpectedAndWhere()
    {
        var piqa = EvaluationTasks.Find("piqa");
        Assert.Equal($"The task piqa needs its data: give --data piqa=PATH, a file or folder with {piqa.DataSource}.", Assert.Throws<LociException>(() => Load("piqa", new TaskOptions())).Message);
        Assert.StartsWith("There is no file or folder nowhere: the task piqa reads ", Assert.Throws<LociException>(() => Load("piqa", "nowhere")).Message, StringComparison.Ordinal);
        using var folder = new TemporaryFolder();
        Assert.StartsWith($"The folder {folder.Path} has none of the files valid.jsonl,", Assert.Throws<LociException>(() => Load("piqa", folder.Path)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void LabelsMustBeOfTheSameNumber()
    {
        using var folder = new TemporaryFolder();
        var path = folder.Write("valid.jsonl", """{"goal": "g", "sol1": "a", "sol2": "b"}""");
        folder.Write("valid-labels.lst", "0\n1\n");
        Assert.Contains("has more lines than", Assert.Throws<LociException>(() => Load("piqa", path)).Message, StringComparison.Ordinal);
        folder.Write("valid-labels.lst", "");
        Assert.Contains("has no line in", Assert.Throws<LociException>(() => Load("piqa", path)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("hellaswag", """{"activity_label": "a", "ctx_a": "b", "ctx_b": "", "endings": ["c", "d"], "label": 1.0}""")]
    [InlineData("hellaswag", """{"activity_label": "a", "ctx_a": "b", "ctx_b": "", "endings": ["c", "d"], "label": "1.0"}""")]
    [InlineData("piqa", """{"query": "q", "choices": ["a", "b"], "gold": 1.0}""")]
    [InlineData("winogrande", """{"sentence": "a _ b", "option1": "c", "option2": "d", "answer": "2.0"}""")]
    [InlineData("boolq", """{"question": "q", "passage": "p", "label": 1.0}""")]
    public void LabelsMayBeWrittenAsTablesWithGapsAre(string task, string row)
    {
        var example = Assert.Single(LoadText(task, "data.jsonl", row));
        Assert.Equal(1, Choose(example, -2, -1)["acc"].Value);
        Assert.Equal(0, Choose(example, -1, -2)["acc"].Value);
    }

    [Fact]
    public void TheLastWordOfLambadaMayHaveASpaceBehindIt() => Assert.Equal(
        [("one two", " three"), ("one two", " three")],
        LoadText("lambada", "lambada_test.jsonl", "{\"text\": \"one two three \"}\n{\"text\": \"one two three\\n\"}").Select(example => Texts(example)[0]));

    [Theory]
    [InlineData("squad", "{\"data\": []}")]
    [InlineData("squad", "{\"data\": [{\"paragraphs\": [{\"context\": \"c\", \"qas\": []}]}]}")]
    public void DataWithoutAQuestionIsRefused(string name, string content)
    {
        using var folder = new TemporaryFolder();
        var path = folder.Write("data.json", content);
        var task = EvaluationTasks.Find(name);
        Assert.Equal(
            $"{path} has no question in it: the task {name} reads {task.DataSource}.",
            Assert.Throws<LociException>(() => Evaluator.Run(Silent, task, new TaskOptions { DataPath = path }, cancellationToken: TestContext.Current.CancellationToken)).Message);
    }

    [Theory]
    [InlineData("", "is empty")]
    [InlineData("not json", "is neither JSON lines nor JSON")]
    [InlineData("{\"text\": \"a b\"}\n{broken", "line 2, is not JSON")]
    public void FilesThatAreNotJsonAreNamed(string content, string problem) =>
        Assert.Contains(problem, Assert.Throws<LociException>(() => LoadText("lambada", "lambada_test.jsonl", content)).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("[{\"text\": \"a b\"}, {\"text\": \"c d\"}]")]
    [InlineData("{\"text\": \"a b\"}\n\n{\"text\": \"c d\"}\n")]
    public void RowsMayBeLinesOrAList(string content) => Assert.Equal([" b", " d"], LoadText("lambada", "lambada_test.jsonl", content).Select(example => Texts(example)[0].Continuation));

    [Fact]
    public void CompressedFilesThatStopShortAreNamed()
    {
        using var folder = new TemporaryFolder();
        var path = folder.Write("lambada_test.jsonl.gz", TemporaryFolder.Gzip(string.Concat(Enumerable.Range(0, 999).Select(i => $"{{\"text\": \"word {i * 7919}\"}}\n"))));
        Assert.Equal(999, Load("lambada", folder.Path).Count);
        File.WriteAllBytes(path, File.ReadAllBytes(path)[..^100]);
        Assert.Contains("Cannot read", Assert.Throws<LociException>(() => Load("lambada", path)).Message, StringComparison.Ordinal);
    }
}
