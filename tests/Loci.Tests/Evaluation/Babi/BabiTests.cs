using System.IO.Compression;
using System.Text;
using System.Text.RegularExpressions;
using Loci.Data;
using Loci.Evaluation;
using Loci.Evaluation.Tasks.Babi;
using Loci.Evaluation.Tasks.Ruler;
using Loci.Tests.Data;
using Loci.Tests.Evaluation.Ruler;
using Xunit;

namespace Loci.Tests.Evaluation.Babi;

public sealed class BabiTests : IDisposable
{
    // In the published format: numbers begin anew with each story, tabs divide a question, its answer and the numbers of its facts.
    private const string Places =
        """
        1 Xenia went to the cellar.
        2 Yorick ran to the attic.
        3 Where is Xenia? <tab>cellar<tab>1
        4 Xenia ran to the porch.
        5 Where is Xenia? <tab>porch<tab>4
        6 Where is Yorick? <tab>attic<tab>2
        1 Yorick walked to the porch.
        2 Where is Yorick? <tab>porch<tab>1

        """;

    private const string Things =
        """
        1 Xenia took the lamp.
        2 Xenia took the coat there.
        3 What does Xenia hold?<tab>lamp,coat<tab>1 2
        4 Xenia put down the lamp.
        5 What does Xenia hold?<tab>coat<tab>2 4

        """;

    private readonly string _folder = Directory.CreateTempSubdirectory("babi").FullName;

    public BabiTests()
    {
        foreach (string set in (string[])["en", "en-10k"])
        {
            Directory.CreateDirectory(Path.Combine(_folder, set));
            Write($"{set}/qa1_places_test.txt", Places);
            Write($"{set}/qa2_things_test.txt", Things);
            Write($"{set}/qa12_others_test.txt", Things);
        }

        Write("en/qa1_places_train.txt", "1 Xenia left.\n2 Who left?\tXenia\t1\n");
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static string Oracle(string prompt)
    {
        string question = Regex.Match(prompt, @"Question: (.+)\nAnswer:$").Groups[1].Value;
        string story = prompt[(prompt.LastIndexOf("<context>", StringComparison.Ordinal) + 1)..];
        string name = Regex.Match(question, "Xenia|Yorick").Value;
        if (question.StartsWith("Where", StringComparison.Ordinal))
        {
            return " " + Regex.Matches(story, $@"{name} \w+ to the (\w+)\.")[^1].Groups[1].Value;
        }

        bool dropped = story.Contains("put down the lamp", StringComparison.Ordinal);
        return dropped ? " coat" : " lamp,coat";
    }

    private void Write(string name, string text) => File.WriteAllText(Path.Combine(_folder, name), text.Replace("<tab>", "\t", StringComparison.Ordinal).Replace("\r", "", StringComparison.Ordinal));

    private TaskOptions Options(params (string Name, string Value)[] settings) => new() { DataPath = _folder, Settings = settings.ToDictionary(setting => setting.Name, setting => setting.Value) };

    [Fact]
    public void QuestionsHaveTheFactsBeforeThem()
    {
        IReadOnlyList<BabiQuestion> questions = BabiFiles.Read(_folder, 1, "test", null);
        Assert.Equal(["cellar", "porch", "attic", "porch"], questions.Select(question => question.Answer));
        Assert.Equal(["Xenia went to the cellar.", "Yorick ran to the attic.", "Xenia ran to the porch."], questions[1].Facts);
        Assert.Equal("Where is Xenia?", questions[1].Question);
        Assert.Equal([2], questions[1].Supporting);
        Assert.Equal(["Yorick walked to the porch."], questions[3].Facts);
        Assert.Equal([0, 1], BabiFiles.Read(_folder, 2, "test", "en")[0].Supporting);
    }

    [Fact]
    public void FilesAreFoundInFoldersAndArchives()
    {
        string zip = Path.Combine(_folder, "tasks.zip");
        using (ZipArchive archive = ZipFile.Open(zip, ZipArchiveMode.Create))
        {
            foreach (string name in (string[])["en/qa1_places_test.txt", "en-10k/qa1_places_test.txt", "en/qa1_places_train.txt"])
            {
                archive.CreateEntryFromFile(Path.Combine(_folder, name), "tasks_1-20_v1-2/" + name);
            }
        }

        Write("en/qa1_places_test.txt", "1 Here.\n2 Where?\there\t1\n");
        Assert.Equal(4, BabiFiles.Read(zip, 1, "test", "en").Count);
        Assert.Single(BabiFiles.Read(zip, 1, "train", null));
        Assert.Equal(4, BabiFiles.Read(_folder, 1, "test", null).Count);
        Assert.Single(BabiFiles.Read(_folder, 1, "test", "en"));
        Assert.Single(BabiFiles.Read(Path.Combine(_folder, "en"), 1, "test", null));
    }

    [Theory]
    [InlineData("Xenia left.\n", "Line 1")]
    [InlineData("1 Xenia left.\n3 Who left?\tXenia\t1\n", "number 3 after 1")]
    [InlineData("1 Xenia left.\n2 Who left?\t\t1\n", "Line 2")]
    [InlineData("1 Xenia left.\n2 Who left?\tXenia\t1\tx\n", "Line 2")]
    [InlineData("1 Xenia left.\n2 Who left?\tXenia\t2\n", "no fact before it")]
    [InlineData("1 Xenia left.\n", "no questions")]
    [InlineData("", "no questions")]
    public void OddFilesAreRefused(string text, string expected) =>
        Assert.Contains(expected, Assert.Throws<LociException>(() => BabiFiles.Parse(new MemoryStream(Encoding.UTF8.GetBytes(text)), "qa1")).Message, StringComparison.Ordinal);

    [Fact]
    public void MissingFilesAreNamed()
    {
        EvaluationTask task = EvaluationTasks.Find("babi");
        PromptModel model = new(Oracle);
        Refused(() => task.Load(model, new TaskOptions()), "needs the files of bAbI");
        Refused(() => task.Load(model, new TaskOptions { DataPath = Path.Combine(_folder, "nothing") }), "no file or folder");
        Refused(() => task.Load(model, new TaskOptions { DataPath = Path.Combine(_folder, "en", "qa1_places_test.txt") }), "zip");
        Refused(() => task.Load(model, Options(("tasks", "3"))), "qa3_*_test.txt");
        Refused(() => task.Load(model, Options(("tasks", "1"), ("set", "hn"))), "hn/qa1_*_test.txt");
        Refused(() => task.Load(model, Options(("tasks", "0-2"))), "from 1 to 20");
        Refused(() => task.Load(model, Options(("tasks", "2-1"))), "from 1 to 20");
        Refused(() => task.Load(model, Options(("tasks", "one"))), "from 1 to 20");
        Refused(() => task.Load(model, Options(("tasks", "1"), ("split", "valid"))), "test or train");
        Refused(() => EvaluationTasks.Find("babilong").Load(model, Options(("tasks", "11"))), "from 1 to 10");
        Refused(() => EvaluationTasks.Find("babilong").Load(model, Options(("tasks", "1"), ("items", Path.Combine(_folder, "none.json")))), "There is no file");
        Write("items.json", "[1]");
        Refused(() => EvaluationTasks.Find("babilong").Load(model, Options(("tasks", "1"), ("items", Path.Combine(_folder, "items.json")))), "list of items");
        Write("items.json", "{\"qa1\": [4]}");
        Refused(() => EvaluationTasks.Find("babilong").Load(model, Options(("tasks", "1"), ("items", Path.Combine(_folder, "items.json")))), "items of qa1");
        Refused(() => EvaluationTasks.Find("babilong").Load(model, Options(("tasks", "1")) with { Lengths = [50] }).ToList(), "too few");

        static void Refused(Func<object> action, string expected) => Assert.Contains(expected, Assert.Throws<LociException>(action).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void StoriesAreAsked()
    {
        EvaluationTask task = EvaluationTasks.Find("babi");
        PromptModel model = new(Oracle);
        AnswerExample first = (AnswerExample)task.Load(model, Options(("tasks", "1"))).First();
        Assert.Equal("Xenia went to the cellar.\nYorick ran to the attic.\nQuestion: Where is Xenia?\nAnswer:", first.Input);
        Assert.Equal(" cellar", first.Continuation);

        (Dictionary<string, double> metrics, List<EvaluationExample> examples) = model.Measure(task, Options(("tasks", "1-2,12")));
        Assert.Equal(["qa1", "qa1", "qa1", "qa1", "qa2", "qa2", "qa12", "qa12"], examples.Select(example => example.Slices[0].Value));
        Assert.Equal((1, 1, 0, 1), (metrics["accuracy"], metrics["exact"], metrics["answer_loss"], metrics["answer_greedy"]));
        (metrics, _) = new PromptModel(_ => "").Measure(task, Options(("tasks", "1-2")));
        Assert.Equal((0, 0, 2, 0), (metrics["accuracy"], metrics["exact"], metrics["answer_loss"], metrics["answer_greedy"]));
        Assert.Equal(3, task.Load(model, Options(("tasks", "1")) with { Samples = 3 }).Count());
    }

    [Fact]
    public void AnswersAreJudgedAsInBabiLong()
    {
        BabiAnswers places = new(["kitchen", "garden", "office"]);
        Assert.True(places.IsRight(" The most recent location of Mary is Kitchen. Not the garden.", "Where is Mary?", "kitchen"));
        Assert.False(places.IsRight(" kitchen or garden.", "Where is Mary?", "kitchen"));
        Assert.True(places.IsRight(" Before the garden it was in the kitchen", "Where was it before the garden?", "kitchen"));
        Assert.False(places.IsRight(" somewhere", "Where is Mary?", "kitchen"));
        Assert.True(places.IsRight(" kitchen\nQuestion: Where is the garden?", "Where is Mary?", "kitchen"));
        Assert.True(places.IsRight(" kitchen <example> garden", "Where is Mary?", "kitchen"));

        BabiAnswers counts = new(["none", "one", "two"]);
        Assert.True(counts.IsRight(" none", "How many?", "none"));
        Assert.True(counts.IsRight(" one", "How many?", "one"));
        Assert.False(counts.IsRight(" none", "How many?", "one"));

        BabiAnswers lists = new(["nothing", "apple", "milk", "apple,milk"]);
        Assert.True(lists.IsRight(" milk and apple", "What?", "apple,milk"));
        Assert.False(lists.IsRight(" milk", "What?", "apple,milk"));
        Assert.False(lists.IsRight(" milk, apple", "What?", "milk"));

        BabiAnswers ways = new(["s,w", "w,s", "n,n"]);
        Assert.True(ways.IsRight(" s,w", "How do you go?", "s,w"));
        Assert.False(ways.IsRight(" w,s", "How do you go?", "s,w"));

        Assert.True(BabiAnswers.IsExact(" Kitchen.\nQuestion", "kitchen"));
        Assert.False(BabiAnswers.IsExact(" the kitchen", "kitchen"));
    }

    [Fact]
    public void FactsAreHiddenInABook()
    {
        EvaluationTask task = EvaluationTasks.Find("babilong");
        PromptModel model = new(Oracle);
        (Dictionary<string, double> metrics, List<EvaluationExample> examples) = model.Measure(task, Options(("tasks", "1,2")) with { Lengths = [600, 2000] });
        Assert.Equal((1, 0, 1), (metrics["accuracy"], metrics["answer_loss"], metrics["answer_greedy"]));
        Assert.Equal(12, examples.Count);
        Assert.Equal([("task", "qa1"), ("length", "600")], examples[0].Slices);
        Assert.Equal([("task", "qa2"), ("length", "2000")], examples[11].Slices);
        string[] book = [.. Sentences(HaystackText.Shipped).Where(sentence => TestFiles.Gpt2.Encode(" " + sentence).Length >= 10).OrderByDescending(sentence => sentence.Length)];
        foreach (AnswerExample example in examples.Cast<AnswerExample>())
        {
            int length = int.Parse(example.Slices[1].Value, System.Globalization.CultureInfo.InvariantCulture);
            Assert.InRange(TestFiles.Gpt2.Encode(example.Input).Length + 20, length - 10, length);
            string context = example.Input[(example.Input.LastIndexOf("<context>\n", StringComparison.Ordinal) + 10)..example.Input.LastIndexOf("\n</context>", StringComparison.Ordinal)];
            int at = 0;
            foreach (string fact in BabiFiles.Read(_folder, example.Slices[0].Value == "qa1" ? 1 : 2, "test", null).First(question => example.Input.Contains(question.Question, StringComparison.Ordinal)).Facts)
            {
                int found = context.IndexOf(fact, at, StringComparison.Ordinal);
                Assert.True(found >= 0 || !example.Input.Contains(fact, StringComparison.Ordinal));
                at = Math.Max(at, found);
            }

            // What is left is sentences of the book, the last one of them cut.
            string left = Regex.Replace(context, @"\b(Xenia|Yorick) [\w ]+\.", "");
            foreach (string sentence in book)
            {
                left = left.Replace(sentence, "", StringComparison.Ordinal);
            }

            Assert.Contains(left.Trim(), HaystackText.Shipped.Text, StringComparison.Ordinal);
        }

        Assert.Equal(
            examples.Cast<AnswerExample>().Select(example => example.Input),
            task.Load(model, Options(("tasks", "1,2")) with { Lengths = [600, 2000] }).Cast<AnswerExample>().Select(example => example.Input));
        (metrics, _) = new PromptModel(_ => "").Measure(task, Options(("tasks", "1,2")) with { Lengths = [600] });
        Assert.Equal(0, metrics["accuracy"]);
    }

    [Fact]
    public void BookPromptsAreThoseOfBabiLong()
    {
        Write("items.json", "{\"qa1\": [3, 0], \"qa2\": [1]}");
        TaskOptions options = Options(("tasks", "1"), ("items", Path.Combine(_folder, "items.json"))) with { Lengths = [400] };
        AnswerExample[] examples = [.. EvaluationTasks.Find("babilong").Load(new PromptModel(Oracle), options).Cast<AnswerExample>()];
        Assert.Equal([" porch", " cellar"], examples.Select(example => example.Continuation));
        Assert.StartsWith(
            """
            I will give you context with the facts about positions of different persons hidden in some random text and a question. You need to answer the question based only on the information from the facts. If a person was in different locations, use the latest location to answer the question.

            <example>
            Charlie went to the hallway. Judith come back to the kitchen. Charlie travelled to balcony. Where is Charlie?
            Answer: The most recent location of Charlie is balcony.
            </example>

            <example>
            Alan moved to the garage. Charlie went to the beach. Alan went to the shop. Rouse travelled to balcony. Where is Alan?
            Answer: The most recent location of Alan is shop.
            </example>

            Always return your answer in the following format: The most recent location of ’person’ is ’location’. Do not write anything else after that.

            <context>

            """.Replace("\r", "", StringComparison.Ordinal),
            examples[0].Input,
            StringComparison.Ordinal);
        Assert.EndsWith("\n</context>\n\nQuestion: Where is Yorick?\nAnswer:", examples[0].Input, StringComparison.Ordinal);
        // Stories that do not fit are left out.
        TaskOptions tight = Options(("tasks", "1"), ("template", "short"), ("answer-tokens", "1")) with { Lengths = [20] };
        Assert.Equal([" porch"], EvaluationTasks.Find("babilong").Load(new PromptModel(Oracle), tight).Cast<AnswerExample>().Select(example => example.Continuation));
        AnswerExample terse = EvaluationTasks.Find("babilong").Load(new PromptModel(Oracle), Options(("tasks", "1"), ("template", "short")) with { Lengths = [100] }).Cast<AnswerExample>().First();
        Assert.DoesNotContain("<", terse.Input, StringComparison.Ordinal);
        Assert.InRange(TestFiles.Gpt2.Encode(terse.Input).Length, 70, 80);
    }

    private static IEnumerable<string> Sentences(HaystackText text)
    {
        for (int sentence = 0; sentence < text.SentenceCount; sentence++)
        {
            int first = text.SentenceStart(sentence);
            yield return text.Words(first, (sentence + 1 < text.SentenceCount ? text.SentenceStart(sentence + 1) : text.WordCount) - first).ToString();
        }
    }
}
