namespace Loci.Evaluation.Tasks.MultipleChoice;

/// <summary>One choice: what is measured, after what, and its length.</summary>
/// <param name="Context">What comes before.</param>
/// <param name="Continuation">What is measured.</param>
/// <param name="Length">Characters (code points) of the choice, by which its log-probability is divided for the normalised accuracy.</param>
internal readonly record struct Choice(string Context, string Continuation, int Length);

/// <summary>A question with several answers, one of them right.</summary>
/// <param name="Choices">The choices.</param>
/// <param name="Gold">The index of the right one.</param>
/// <param name="Slices">What results are taken apart by.</param>
internal sealed record ChoiceQuestion(IReadOnlyList<Choice> Choices, int Gold, IReadOnlyList<(string Slice, string Value)> Slices)
{
    /// <summary>Choices that follow one context, each after a space.</summary>
    public static ChoiceQuestion After(string context, IReadOnlyList<string> choices, int gold, params IReadOnlyList<(string Slice, string Value)> slices) =>
        new([.. choices.Select(choice => new Choice(context, " " + choice, choice.EnumerateRunes().Count()))], gold, slices);
}
