namespace Loci.Evaluation.Tasks.Babi;

/// <summary>A question of bAbI with what is told before it.</summary>
/// <param name="Facts">The sentences told before it, without the questions among them.</param>
/// <param name="Question">The question.</param>
/// <param name="Answer">The answer; several words are separated by commas.</param>
/// <param name="Supporting">The facts that the answer follows from: places among <paramref name="Facts"/>.</param>
internal sealed record BabiQuestion(IReadOnlyList<string> Facts, string Question, string Answer, IReadOnlyList<int> Supporting);
