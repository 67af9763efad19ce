using System.Text.Json;
using System.Text.RegularExpressions;
using Loci.Data;
using Loci.Evaluation.Tasks.Files;
using Loci.Evaluation.Tasks.Metrics;

namespace Loci.Evaluation.Tasks.LongBench;

/// <summary>What LongBench measures an answer by.</summary>
internal enum LongBenchScore
{
    /// <summary>Words that answer and right answer share.</summary>
    F1,

    /// <summary>The longest common subsequence with the right summary.</summary>
    RougeL,

    /// <summary>Whether the right class is named.</summary>
    Class,

    /// <summary>How near a line of code is to the right one.</summary>
    Code,
}

/// <summary>
/// One data set of LongBench (Bai et al., 2023, arXiv 2308.14508) with its published prompt, length of answer and measure; the prompt is given as it is, as to a model that is not for chats.
/// </summary>
internal sealed partial class LongBenchTask : EvaluationTask
{
    private const string Prefix = "longbench-";
    private const string ContextSetting = "context";
    private const int MinimumContext = 2;

    private static readonly TaskMetric[] ScoreMetrics =
    [
        new("f1", "F1"),
        new("rouge_l", "ROUGE-L"),
        new("accuracy", "Accuracy"),
        new("similarity", "Similarity of the line"),
    ];

    private static readonly Lazy<IReadOnlyDictionary<string, string>> Prompts = new(() => Resource("dataset2prompt.json", value => value.GetString()!));
    private static readonly Lazy<IReadOnlyDictionary<string, int>> AnswerLengths = new(() => Resource("dataset2maxlen.json", value => value.GetInt32()));

    private readonly string _dataSet;
    private readonly LongBenchScore _score;
    private readonly bool _firstLine;
    private readonly bool _oneLine;

    /// <summary>Makes the task.</summary>
    /// <param name="dataSet">LongBench's name of the data set.</param>
    /// <param name="title">What people call it.</param>
    /// <param name="description">What it asks, in a sentence.</param>
    /// <param name="score">What it is measured by.</param>
    /// <param name="firstLine">Whether only the first line of the answer counts.</param>
    /// <param name="oneLine">Whether the end of a line ends the answer.</param>
    public LongBenchTask(string dataSet, string title, string description, LongBenchScore score, bool firstLine = false, bool oneLine = false)
    {
        (_dataSet, Title, Description, _score, _firstLine, _oneLine) = (dataSet, title, description, score, firstLine, oneLine);
        Name = Prefix + dataSet.Replace('_', '-');
    }

    /// <summary>The data sets in English and code that papers on recurrent models report, in the paper's order.</summary>
    public static IReadOnlyList<EvaluationTask> All { get; } =
    [
        new LongBenchTask("narrativeqa", "LongBench NarrativeQA", "Questions about a whole story or script.", LongBenchScore.F1),
        new LongBenchTask("qasper", "LongBench Qasper", "Questions about a scientific paper.", LongBenchScore.F1),
        new LongBenchTask("multifieldqa_en", "LongBench MultiFieldQA", "Questions about long articles of many fields.", LongBenchScore.F1),
        new LongBenchTask("hotpotqa", "LongBench HotpotQA", "Questions that take two passages of several to answer.", LongBenchScore.F1),
        new LongBenchTask("2wikimqa", "LongBench 2WikiMultihopQA", "Questions that take up to five passages of several to answer.", LongBenchScore.F1),
        new LongBenchTask("musique", "LongBench MuSiQue", "Questions that take up to four passages of several to answer.", LongBenchScore.F1),
        new LongBenchTask("gov_report", "LongBench GovReport", "A summary of a report by a government agency.", LongBenchScore.RougeL),
        new LongBenchTask("qmsum", "LongBench QMSum", "A summary of what a meeting said about something.", LongBenchScore.RougeL),
        new LongBenchTask("multi_news", "LongBench MultiNews", "A summary of several news articles.", LongBenchScore.RougeL),
        new LongBenchTask("trec", "LongBench TREC", "The kind of a question, after many examples.", LongBenchScore.Class, firstLine: true),
        new LongBenchTask("triviaqa", "LongBench TriviaQA", "Questions about a passage, after several examples.", LongBenchScore.F1, firstLine: true),
        new LongBenchTask("samsum", "LongBench SAMSum", "A summary of a dialogue, after many examples.", LongBenchScore.RougeL, firstLine: true, oneLine: true),
        new LongBenchTask("lcc", "LongBench LCC", "The next line of a long code file.", LongBenchScore.Code),
        new LongBenchTask("repobench-p", "LongBench RepoBench-P", "The next line of a code file, after other files of the repository.", LongBenchScore.Code),
    ];

    public override string Group => "longbench";

    public override string Name { get; }

    public override string Title { get; }

    public override string Description { get; }

    public override string Source => $"Bai et al., 2023, arXiv 2308.14508, github.com/THUDM/LongBench, {_dataSet}";

    public override string DataSource =>
        $"LongBench's data: {_dataSet}.jsonl (input, context, answers, length, all_classes), a folder with it or with data.zip, or data.zip from huggingface.co/datasets/THUDM/LongBench";

    public override IReadOnlyList<string> SettingNames => [ContextSetting];

    public override IReadOnlyList<TaskMetric> Metrics => [Metric];

    private TaskMetric Metric => ScoreMetrics[(int)_score];

    public override IEnumerable<EvaluationExample> Load(IEvaluationModel model, TaskOptions options)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(options);
        var tokenizer = TaskFiles.Tokenizer(this, model);
        var context = TaskFiles.Setting(this, options, ContextSetting, MinimumContext);
        var file = _dataSet + ".jsonl";
        var path = TaskFiles.Find(this, options, [file, "data/" + file, "data.zip"]);
        return TaskFiles.Limit(Rows(path, file), options).Select(row => Read(row, tokenizer, context));
    }

    /// <summary>The part of a prompt that fits: its beginning and its end, half of the tokens each.</summary>
    internal static string Cut(Tokenizer tokenizer, string prompt, int context)
    {
        var tokens = tokenizer.Encode(prompt);
        return tokens.Length > context ? tokenizer.Decode(tokens.AsSpan(0, context / 2)) + tokenizer.Decode(tokens.AsSpan(tokens.Length - (context / 2))) : prompt;
    }

    /// <summary>The lengths, in words, that LongBench-E tells apart.</summary>
    internal static string Bucket(int words) => words < 4000 ? "0-4k" : words < 8000 ? "4-8k" : "8k+";

    private IEnumerable<TaskRow> Rows(string path, string file)
    {
        if (!path.EndsWith(".zip", StringComparison.OrdinalIgnoreCase))
        {
            return TaskFiles.Rows(this, path);
        }

        var reader = TaskFiles.OpenEntry(this, path, [file]);
        return TaskFiles.Rows(this, reader, $"{file} in {path}");
    }

    private Example Read(TaskRow row, Tokenizer tokenizer, int? context)
    {
        var prompt = Fields().Replace(Prompts.Value[_dataSet], match => row.Text(match.Groups[1].Value));
        var answers = row.Texts("answers");
        if (answers.Count == 0)
        {
            throw row.Wrong("has no answer");
        }

        IReadOnlyList<string> classes = _score == LongBenchScore.Class ? row.Texts("all_classes") : [];
        return new Example(this, context is { } length ? Cut(tokenizer, prompt, length) : prompt, answers, classes, row.Integer("length"));
    }

    /// <summary>The best of what is measured against each right answer.</summary>
    private double Score(string written, IReadOnlyList<string> answers, IReadOnlyList<string> classes)
    {
        written = _firstLine ? written.TrimStart('\n').Split('\n')[0] : written;
        return answers.Max(answer => _score switch
        {
            LongBenchScore.F1 => AnswerMetrics.F1(written, answer),
            LongBenchScore.RougeL => RougeL.Score(written, answer),
            LongBenchScore.Class => ClassMetrics.Score(written, answer, classes),
            _ => CodeSimilarity.Score(written, answer),
        });
    }

    private static Dictionary<string, T> Resource<T>(string name, Func<JsonElement, T> read)
    {
        using var reader = TaskFiles.OpenResource("longbench." + name);
        using var document = JsonDocument.Parse(reader.ReadToEnd());
        return document.RootElement.EnumerateObject().ToDictionary(field => field.Name, field => read(field.Value));
    }

    [GeneratedRegex(@"\{(context|input)\}")]
    private static partial Regex Fields();

    private sealed class Example(LongBenchTask task, string prompt, IReadOnlyList<string> answers, IReadOnlyList<string> classes, int words) : EvaluationExample
    {
        public override IReadOnlyList<EvaluationRequest> Requests { get; } = [new GenerationRequest(prompt, task._oneLine ? ["\n"] : [], AnswerLengths.Value[task._dataSet])];

        public override IReadOnlyList<(string Slice, string Value)> Slices { get; } = [("words", Bucket(words))];

        public override IReadOnlyDictionary<string, ExampleValue> Score(IReadOnlyList<EvaluationResponse> responses) =>
            new Dictionary<string, ExampleValue> { [task.Metric.Name] = new(task.Score(((Generation)responses[0]).Text, answers, classes)) };
    }
}
