namespace Loci.Data;

/// <summary>One merge of byte-pair encoding: two neighbouring tokens become one.</summary>
/// <param name="Left">The first token.</param>
/// <param name="Right">The second token.</param>
/// <param name="Result">What they become: the token of both their bytes.</param>
internal readonly record struct BpeMerge(int Left, int Right, int Result);

/// <summary>A token that stands beside the vocabulary of a <see cref="BpeTokenizer"/>.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Content">Its text.</param>
/// <param name="IsSpecial">
/// Whether it stands for no text and its content is ordinary text where it occurs (the document separator is such a one); otherwise its
/// content, wherever it occurs, is this one token.
/// </param>
internal sealed record AddedToken(int Id, string Content, bool IsSpecial = true);
