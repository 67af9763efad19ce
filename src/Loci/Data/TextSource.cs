namespace Loci.Data;

/// <summary>One text of a corpus: a file, an entry of an archive, what a gzip file holds.</summary>
/// <param name="Name">The file, and the names within archives, with slashes between.</param>
/// <param name="Utf8">The text, to be read to its end before the next source is asked for.</param>
/// <param name="IsJsonLines">Whether it is documents, one a line.</param>
/// <param name="Position">How far into the file the text has been read.</param>
internal sealed record TextSource(string Name, Stream Utf8, bool IsJsonLines, Func<long> Position);
