using Loci.Data;
using Loci.Evaluation;
using Loci.Evaluation.Tasks.Retrieval;
using Xunit;
using static Loci.Tests.Evaluation.TaskFixture;

namespace Loci.Tests.Evaluation.Retrieval;

public sealed class RetrievalTaskTests
{
    private static readonly ByteTokenizer Bytes = new();

    private static TaskOptions With(string name, string value) => new() { Settings = new Dictionary<string, string> { [name] = value } };

    // The summary goes, then the key at the end, white space and full stops; the key comes with a capital.
    [Fact]
    public void SwdeAsPublished()
    {
        const string Row = """{"doc_id": "1", "key": "director", "value": "Ann Lee", "text": "\n A film. Directed by Ann Lee.\nDirector:\nSummary of information above... director: Ann Lee. director:"}""";
        var example = Assert.Single(LoadText("swde", "swde.jsonl", Row));
        Assert.Equal([("A film. Directed by Ann Lee.\nDirector:. Director:", null), ("A film. Directed by Ann Lee.\nDirector:. Director:", " Ann Lee")], Texts(example));
        var generation = Assert.IsType<GenerationRequest>(example.Requests[0]);
        Assert.Equal(["\n"], generation.Until);
        Assert.Equal(48, generation.MaximumTokens);
    }

    [Theory]
    [InlineData("swde", "Some text..  Director:director:", "Some text. Director:")]
    [InlineData("fda", "Some text..  director:", "Some text..  . Director:")] // of this set white space stays
    [InlineData("fda", "\nSome text.\n", "Some text. Director:")]
    public void KeysAtTheEndAreTakenAway(string task, string text, string prompt)
    {
        var row = $$"""{"key": "director", "value": "Ann Lee", "text": {{System.Text.Json.JsonSerializer.Serialize(text)}}}""";
        Assert.Equal(prompt, Texts(LoadText(task, "rows.jsonl", row)[0])[0].Context);
    }

    [Fact]
    public void DocumentsMayBeGivenTwice()
    {
        const string Row = """{"key": "director", "value": "Ann Lee", "text": "A film by Ann Lee."}""";
        Assert.Equal("Information about Director. A film by Ann Lee.\nA film by Ann Lee. Director:", Texts(LoadText("fda", "fda.jsonl", Row, With("twice", "true"))[0])[0].Context);

        const string Cloze = """{"context": "Ann Lee made it.", "question": "The film was made by", "orig_question": "Who made the film?", "answers": ["Ann Lee"]}""";
        Assert.Equal("Who made the film? Ann Lee made it.\nAnn Lee made it. The film was made by", Texts(LoadText("drop", "drop.jsonl", Cloze, With("twice", "true"))[0])[0].Context);

        const string Completion = """{"context": "Ann Lee made it. Question: x", "question": "Who made it?", "text": " Ann Lee made it. It was made by", "value": "Ann Lee"}""";
        Assert.Equal("Who made it? Ann Lee made it. \nAnn Lee made it. It was made by", Texts(LoadText("squad", "squad.jsonl", Completion, With("twice", "true"))[0])[0].Context);

        const string Bare = """{"text": "It was made by", "value": "Ann Lee"}""";
        Assert.Contains("leave the setting twice out", Assert.Throws<LociException>(() => LoadText("squad", "squad.jsonl", Bare, With("twice", "true"))).Message, StringComparison.Ordinal);
        Assert.Equal("The setting twice of the task squad is '2': give true or false.", Assert.Throws<LociException>(() => LoadText("squad", "squad.jsonl", Bare, With("twice", "2"))).Message);
    }

    [Fact]
    public void SentencesToComplete()
    {
        const string Row = """{"doc_id": "1", "context": "[DOC] [TLE] Film[PAR] Ann Lee made it. The film was made by", "question": "The film was made by", "orig_question": "Who?", "answers": ["Ann Lee", "Lee"]}""";
        foreach (var task in new[] { "triviaqa", "nq", "drop" })
        {
            var example = Assert.Single(LoadText(task, "rows.jsonl", Row));
            Assert.Equal(("Film Ann Lee made it. The film was made by", " Ann Lee"), Texts(example)[1]);
            Assert.Equal(1, Score(example, " LEE, in 1990")["contains"].Value);
        }

        var squad = LoadText("squad", "squad.jsonl", """{"text": "Ann Lee made it. It was made by ", "value": "Ann Lee"}""")[0];
        Assert.Equal(("Ann Lee made it. It was made by", " Ann Lee"), Texts(squad)[1]);
    }

    [Theory]
    [InlineData("""{"data": [{"title": "t", "paragraphs": [{"context": "Ann Lee made it.", "qas": [{"id": "1", "question": "Who made it?", "answers": [{"text": "Ann Lee", "answer_start": 0}, {"text": "Lee", "answer_start": 4}]}, {"id": "2", "question": "When?", "is_impossible": true, "answers": []}]}]}], "version": "1.1"}""")]
    [InlineData("{\n  \"data\": [{\"paragraphs\": [{\"context\": \"Ann Lee made it.\", \"qas\": [{\"question\": \"Who made it?\", \"answers\": [{\"text\": \"Ann Lee\"}, {\"text\": \"Lee\"}]}]}]}]\n}")]
    [InlineData("""{"id": "1", "context": "Ann Lee made it.", "question": "Who made it?", "answers": {"text": ["Ann Lee", "Lee"], "answer_start": [0, 4]}}""")]
    [InlineData("""{"passage": "Ann Lee made it.", "question": "Who made it?", "answer": ["Ann Lee", "Lee"]}""")]
    [InlineData("""{"ctxs": [{"title": "t", "text": "Ann Lee made it."}], "question": "Who made it?", "answers": ["Ann Lee", "Lee"]}""")]
    public void QuestionsInEveryForm(string content)
    {
        var example = Assert.Single(LoadText("squad", "rows.json", content));
        const string Prompt = "Ann Lee made it.\nQuestion: Who made it?\nAnswer:";
        Assert.Equal([(Prompt, null), (Prompt, " Ann Lee")], Texts(example));
        var values = Score(example, " Lee");
        Assert.Equal((1.0, 1.0, 1.0), (values["contains"].Value, values["f1"].Value, values["exact_match"].Value)); // the best of the right answers

        // "Ann Bee" against "Ann Lee": 1 of 2 and 1 of 2; "Lee" is in neither.
        var wrong = Score(example, " Ann Bee");
        Assert.Equal((0.0, 0.5, 0.0), (wrong["contains"].Value, wrong["f1"].Value, wrong["exact_match"].Value));
    }

    [Fact]
    public void DropAsPublished()
    {
        const string Content = """
            {"p1": {"passage": "They won 3-1 in May 1990. Ann and Bo played.", "qa_pairs": [
              {"question": "How many goals?", "answer": {"number": "4", "date": {"day": "", "month": "", "year": ""}, "spans": []}, "validated_answers": [{"number": "", "spans": ["four"], "date": {}}]},
              {"question": "Who played?", "answer": {"number": "", "date": {}, "spans": ["Ann", "Bo"]}},
              {"question": "When?", "answer": {"number": "", "date": {"day": "", "month": "May", "year": "1990"}, "spans": []}}], "wiki_url": "x"}}
            """;
        var examples = LoadText("drop", "drop_dataset_dev.json", Content);
        Assert.Equal([" 4", " Ann Bo", " May 1990"], examples.Select(example => Texts(example)[1].Continuation));
        Assert.Equal(1, Score(examples[0], " Four goals")["contains"].Value);
        Assert.Equal(0, Score(examples[1], " Ann")["contains"].Value); // one of two
        Assert.Equal(1, Score(examples[1], " Bo, and Ann")["contains"].Value);
        Assert.Equal(1, Score(examples[2], " in may 1990")["contains"].Value);
    }

    [Fact]
    public void WithoutPassagesTheQuestionIsAsked()
    {
        var nq = Load("nq", PathOf("NQ-open.dev.jsonl"));
        Assert.Equal(("Q: when was the last time anyone was on the moon?\nA:", " 14 December 1972 UTC"), Texts(nq[0])[1]);
        Assert.Equal(1, Score(nq[0], " in December 1972, I think")["contains"].Value);
        var trivia = Assert.Single(Load("triviaqa", PathOf("triviaqa_sm_sub.jsonl")));
        Assert.Equal(("Question: What type of animal is a dik-dik?\nAnswer:", " Antelope"), Texts(trivia)[1]);
        Assert.Equal(1, Score(trivia, " some hybrid antelope")["contains"].Value);
        Assert.Contains(("passage", "none"), trivia.Slices);
    }

    // 100 bytes are left of 150: 50 before the answer and 50 from it on.
    [Fact]
    public void LongDocumentsAreCutAroundTheAnswer()
    {
        var document = new string('x', 600) + "Answer" + new string('y', 600);
        Assert.Equal(new string('x', 50) + "Answer" + new string('y', 44), RetrievalPrompt.Cut(Bytes, document, ["answer", "yyy"], 150));
        Assert.Equal("Answer" + new string('y', 94), RetrievalPrompt.Cut(Bytes, document[600..], ["answer"], 150));
        Assert.Equal(new string('y', 51), RetrievalPrompt.Cut(Bytes, document, ["nowhere"], 150)); // the last half and what the place is counted from
        Assert.Equal(new string('x', 100), RetrievalPrompt.Cut(Bytes, document, [], 150));
        Assert.Equal(document, RetrievalPrompt.Cut(Bytes, document, ["answer"], 5000));
    }

    [Fact]
    public void TheContextSettingCuts()
    {
        var row = $$"""{"key": "director", "value": "Ann Lee", "text": "{{new string('x', 600)}}Ann Lee{{new string('y', 600)}}"}""";
        var example = Assert.Single(LoadText("fda", "fda.jsonl", row, With("context", "150")));
        Assert.Equal(new string('x', 50) + "Ann Lee" + new string('y', 43) + ". Director:", Texts(example)[0].Context);
        Assert.Equal([("tokens", "0-512")], example.Slices);

        // An answer of one character cannot be found, and is left out as in the source, but only where documents are cut.
        const string Short = """{"key": "rank", "value": "2", "text": "Rank 2."}""";
        Assert.Empty(LoadText("fda", "fda.jsonl", Short, With("context", "150")));
        Assert.Single(LoadText("fda", "fda.jsonl", Short));
        Assert.Equal("The setting context of the task fda is '99': give a whole number of at least 100.", Assert.Throws<LociException>(() => LoadText("fda", "fda.jsonl", Short, With("context", "99"))).Message);
    }

    [Theory]
    [InlineData(1, "0-512")]
    [InlineData(512, "0-512")]
    [InlineData(513, "513-1024")]
    [InlineData(16384, "8193-16384")]
    [InlineData(16385, "16385+")]
    public void LengthsFallIntoBuckets(int tokens, string expected) => Assert.Equal(expected, RetrievalTask.Bucket(tokens));

    [Fact]
    public void XquadShips()
    {
        var examples = Load("xquad", new TaskOptions());
        Assert.Equal(1190, examples.Count);
        Assert.StartsWith("The Panthers defense gave up just 308 points", Texts(examples[0])[0].Context, StringComparison.Ordinal);
        Assert.EndsWith("\nQuestion: How many points did the Panthers defense surrender?\nAnswer:", Texts(examples[0])[0].Context, StringComparison.Ordinal);
        Assert.Equal(" 308", Texts(examples[0])[1].Continuation);

        // Every answer stands in its passage.
        Assert.All(examples, example => Assert.Contains(Texts(example)[1].Continuation![1..], Texts(example)[0].Context, StringComparison.Ordinal));

        var known = Run(Oracle(examples), "xquad", examples);
        Assert.Equal(1, known["contains"]);
        Assert.Equal(0.25, known["answer_loss"]); // 0.5 nats over 2 tokens
        Assert.Equal(0, known["exact_match"]); // "... and more"
        Assert.InRange(known["f1"], 0.3, 0.9);

        var silent = Run(Silent, "xquad", examples);
        Assert.Equal((0, 0, 0, 2), (silent["contains"], silent["f1"], silent["exact_match"], silent["answer_loss"]));
    }

    // 3 nats over 1 token and 1 nat over 3 tokens are 4 nats over 4 tokens.
    [Fact]
    public void TheLossOfAnswersIsPerToken()
    {
        var examples = LoadText("fda", "fda.jsonl", "{\"key\": \"k\", \"value\": \"vv\", \"text\": \"t\"}\n{\"key\": \"k\", \"value\": \"ww\", \"text\": \"t\"}");
        var model = new AnsweringModel((_, continuation) => continuation == " vv" ? new LogLikelihood(-3, false, 1) : new LogLikelihood(-1, false, 3), _ => "ww");
        var values = Run(model, "fda", examples);
        Assert.Equal(1, values["answer_loss"], 12);
        Assert.Equal(0.5, values["contains"]);
        Assert.Equal(["contains", "answer_loss"], EvaluationTasks.Find("fda").Metrics.Select(metric => metric.Name));
    }

    [Theory]
    [InlineData("swde", """{"key": "k", "value": "v"}""", "has no text in the field 'text'")]
    [InlineData("fda", """{"key": "", "value": "v", "text": "t"}""", "has an empty key or value")]
    [InlineData("squad", """{"context": "c", "question": "q"}""", "has no answer in the fields 'answers', 'answer' or 'value'")]
    [InlineData("nq", """{}""", "has no answer in the fields 'answers', 'answer' or 'value'")]
    public void WrongRowsAreNamed(string task, string row, string problem) =>
        Assert.Contains($"rows.jsonl, line 1, {problem}: the task {task} reads ", Assert.Throws<LociException>(() => LoadText(task, "rows.jsonl", row)).Message, StringComparison.Ordinal);

    private static IReadOnlyDictionary<string, ExampleValue> Score(EvaluationExample example, string written) =>
        example.Score([new Generation(written, []), new LogLikelihood(-1, false, 1)]);
}
