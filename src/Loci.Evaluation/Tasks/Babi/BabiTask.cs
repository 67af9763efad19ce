using System.Globalization;
using Loci.Evaluation.Tasks.Ruler;

namespace Loci.Evaluation.Tasks.Babi;

/// <summary>The twenty tasks of bAbI, for a model to go on from.</summary>
internal sealed class BabiTask : EvaluationTask
{
    public const string Accuracy = "accuracy";
    public const string Exact = "exact";

    private const int DefaultSamples = 100;
    private const int AnswerTokens = 20;

    public override string Name => "babi";

    public override string Title => "bAbI";

    public override string Description => "Questions about very short stories, of twenty kinds.";

    public override string Source => "Weston et al., 2015, arXiv 1502.05698";

    public override string? DataSource => BabiFiles.Source;

    public override IReadOnlyList<string> SettingNames => ["tasks", "set", "split", "answer-tokens", "measure"];

    public override IReadOnlyList<TaskMetric> Metrics { get; } = [new(Accuracy, "Right answers"), new(Exact, "Answers to the letter"), .. AnswerExample.LikelihoodMetrics];

    public override IEnumerable<EvaluationExample> Load(IEvaluationModel model, TaskOptions options)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(options);
        RulerTask.TokenizerOf(model, Name);
        string path = BabiSettings.PathOf(options, Name);
        string split = BabiSettings.SplitOf(options);
        int samples = RulerTask.SamplesOf(options, DefaultSamples);
        int answerTokens = RulerSettings.Integer(options, "answer-tokens", AnswerTokens, 1, 1 << 16);
        AnswerMeasure measure = RulerSettings.Choice(options, "measure", AnswerMeasure.Both);
        List<EvaluationExample> examples = [];
        foreach (int task in BabiSettings.TasksOf(options, "1-20", BabiFiles.Tasks))
        {
            IReadOnlyList<BabiQuestion> questions = BabiFiles.Read(path, task, split, BabiSettings.SetOf(options));
            BabiAnswers answers = new(questions.Select(question => question.Answer));
            foreach (BabiQuestion question in questions.Take(samples))
            {
                examples.Add(new AnswerExample(
                    $"{string.Join('\n', question.Facts)}\nQuestion: {question.Question}\nAnswer:",
                    " " + question.Answer,
                    answerTokens,
                    ["\n"],
                    measure,
                    [("task", "qa" + task.ToString(CultureInfo.InvariantCulture))],
                    written => [(Accuracy, answers.IsRight(written, question.Question, question.Answer) ? 1 : 0), (Exact, BabiAnswers.IsExact(written, question.Answer) ? 1 : 0)]));
            }
        }

        return examples;
    }
}
