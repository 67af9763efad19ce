namespace Loci.Data;

/// <summary>One document of a corpus.</summary>
/// <param name="Name">Where the text came from: a file, an archive entry, a line of a file.</param>
/// <param name="Utf8">The text: well-formed UTF-8 from files, WTF-8 from strings.</param>
/// <param name="SourcePosition">The bytes of the source (compressed, if it is) that had been read when this document was complete; for progress.</param>
public sealed record Document(string Name, ReadOnlyMemory<byte> Utf8, long SourcePosition);

/// <summary>Progress through a source of data.</summary>
/// <param name="BytesDone">Bytes of the source (compressed, if it is) that are done.</param>
/// <param name="BytesTotal">Bytes of the source in all.</param>
public readonly record struct CorpusProgress(long BytesDone, long BytesTotal);
