using Loci.Evaluation.Tasks.Files;

namespace Loci.Evaluation.Tasks.MultipleChoice;

/// <summary>WinoGrande (Sakaguchi et al., 2019, arXiv 1907.10641), with partial scoring: each option is put in the sentence, and what follows it is measured.</summary>
internal sealed class WinoGrandeTask : ChoiceTask
{
    public override string Name => "winogrande";

    public override string Title => "WinoGrande";

    public override string Description => "Which of two nouns does the gap in a sentence stand for?";

    public override string Source => $"Sakaguchi et al., 2019, arXiv 1907.10641; asked as in {Harness}, winogrande";

    public override string DataSource =>
        "dev.jsonl (sentence, option1, option2, answer) from winogrande.allenai.org, or the file of github.com/mosaicml/llm-foundry (context_options, continuation, gold)";

    protected override IReadOnlyList<string> FileNames => ["dev.jsonl", "winogrande.jsonl"];

    protected override IEnumerable<ChoiceQuestion> Questions(string path) => QuestionsWithLabels(path);

    protected override ChoiceQuestion Question(TaskRow row, string? label)
    {
        if (row.Has("context_options"))
        {
            return After(row.Texts("context_options"), row.Text("continuation"), Gold(row, row.Text("gold"), 0));
        }

        var sentence = row.Text("sentence");
        var gap = sentence.IndexOf('_', StringComparison.Ordinal);
        return gap >= 0
            ? After([sentence[..gap] + row.Text("option1"), sentence[..gap] + row.Text("option2")], sentence[(gap + 1)..].Trim(), Gold(row, row.Has("answer") ? row.Text("answer") : label, 1))
            : throw row.Wrong("has no gap '_' in its sentence");
    }

    private static ChoiceQuestion After(IReadOnlyList<string> contexts, string continuation, int gold) =>
        new([.. contexts.Select(context => new Choice(context, " " + continuation, continuation.EnumerateRunes().Count()))], gold, []);
}
