namespace Loci.Evaluation.Tasks.Ruler;

/// <summary>A prompt in which values are hidden, and what it asks for.</summary>
/// <param name="Input">The whole prompt, with the beginning of the answer that the model is to go on from.</param>
/// <param name="Continuation">What comes after it: a space and the answers, as a sentence lists them.</param>
/// <param name="Answers">The values asked for: query by query, those of a key in the order in which they stand in the text.</param>
/// <param name="Needles">Where in the input (in characters) the needle of each answer stands.</param>
/// <param name="Depth">Where the first of the needles asked for stands, from 0 (before the haystack) to 1 (after it), as a part of the haystack's sentences or lines.</param>
/// <param name="InputTokens">The tokens of the input.</param>
internal sealed record NeedleExample(string Input, string Continuation, IReadOnlyList<string> Answers, IReadOnlyList<Range> Needles, double Depth, int InputTokens);
