using System.Runtime.InteropServices;

namespace Loci.Data;

/// <summary>
/// A corpus as tokens: those of all documents in one array, without separators, and what is needed to report bits per byte and word perplexity.
/// </summary>
public sealed class TokenizedCorpus
{
    private const int PartLength = 1 << 20;

    private readonly int[] _tokens;
    private readonly int[] _starts; // [documents + 1]

    private TokenizedCorpus(string name, int[] tokens, int[] starts, int vocabularySize, int endOfTextId, long bytes, long words, long lines)
    {
        Name = name;
        _tokens = tokens;
        _starts = starts;
        VocabularySize = vocabularySize;
        EndOfTextId = endOfTextId;
        ByteCount = bytes;
        WordCount = words;
        LineCount = lines;
    }

    /// <summary>What the corpus is called in messages.</summary>
    public string Name { get; }

    /// <summary>The tokens of all documents, in order, without separators.</summary>
    public ReadOnlySpan<int> Tokens => _tokens;

    /// <summary>The number of tokens.</summary>
    public int TokenCount => _tokens.Length;

    /// <summary>The number of documents, at least one.</summary>
    public int DocumentCount => _starts.Length - 1;

    /// <summary>The number of ids of the tokenizer.</summary>
    public int VocabularySize { get; }

    /// <summary>The id that separates documents.</summary>
    public int EndOfTextId { get; }

    /// <summary>The bytes of UTF-8 of all documents: what bits per byte divides by. 0 if the documents were not text.</summary>
    public long ByteCount { get; }

    /// <summary>The words of all documents: maximal runs of characters that are not white space. 0 if the documents were not text.</summary>
    public long WordCount { get; }

    /// <summary>The lines of all documents. Word perplexity as reported for WikiText counts one end of line per line: it divides by words plus lines.</summary>
    public long LineCount { get; }

    /// <summary>The place of a document in <see cref="Tokens"/>.</summary>
    /// <param name="document">The document, from 0.</param>
    public Range GetRange(int document) => _starts[document].._starts[document + 1];

    /// <summary>The tokens of a document.</summary>
    /// <param name="document">The document, from 0.</param>
    public ReadOnlySpan<int> GetDocument(int document) => _tokens.AsSpan(GetRange(document));

    /// <summary>A hash of tokens and document boundaries, to tell whether a stopped run continues on the data it began with.</summary>
    public ulong ComputeFingerprint()
    {
        ulong hash = RandomGenerator.Hash((ulong)VocabularySize, (ulong)EndOfTextId);
        foreach (int start in _starts)
        {
            hash = RandomGenerator.Hash(hash, (ulong)start);
        }

        foreach (int token in _tokens)
        {
            hash = RandomGenerator.Hash(hash, (ulong)token);
        }

        return hash;
    }

    /// <summary>Encodes a corpus on all cores. The result does not depend on their number.</summary>
    /// <param name="corpus">The documents.</param>
    /// <param name="tokenizer">The tokenizer.</param>
    /// <param name="progress">Told after about every megabyte of text.</param>
    /// <param name="cancellationToken">Stops the work.</param>
    /// <exception cref="LociException">The corpus cannot be read, or has more tokens than one array can hold (about 2 billion).</exception>
    public static TokenizedCorpus Encode(Corpus corpus, Tokenizer tokenizer, IProgress<CorpusProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(corpus);
        ArgumentNullException.ThrowIfNull(tokenizer);
        int[] tokens = new int[1024];
        int count = 0;
        List<int> starts = [0];
        long bytes = 0;
        long words = 0;
        long lines = 0;

        TextPart.ProcessAll(
            corpus,
            tokenizer.CanCutBeforeWhiteSpace ? PartLength : int.MaxValue,
            part =>
            {
                List<int> ids = new(part.Utf8.Length / 3);
                if (part.IsStart)
                {
                    tokenizer.EncodeUtf8(part.Utf8.Span, ids);
                }
                else
                {
                    tokenizer.EncodeContinuation(part.Utf8.Span, ids);
                }

                return (Ids: ids, Words: TextScan.CountWords(part.Utf8.Span), Lines: (long)part.Utf8.Span.Count((byte)'\n'));
            },
            (part, encoded) =>
            {
                int needed = count + encoded.Ids.Count;
                if ((uint)needed > (uint)Array.MaxLength)
                {
                    throw new LociException($"{corpus.Name} has more than {Array.MaxLength} tokens; use a part of it.");
                }

                if (needed > tokens.Length)
                {
                    Array.Resize(ref tokens, (int)Math.Min(Array.MaxLength, Math.Max(needed, tokens.Length * 2L)));
                }

                CollectionsMarshal.AsSpan(encoded.Ids).CopyTo(tokens.AsSpan(count));
                count = needed;
                bytes += part.Utf8.Length;
                words += encoded.Words;
                lines += encoded.Lines;
                if (part.IsEnd)
                {
                    lines += part.Utf8.Span[^1] != (byte)'\n' ? 1 : 0;
                    starts.Add(count);
                }

                progress?.Report(new CorpusProgress(part.SourcePosition, corpus.SourceLength));
            },
            cancellationToken);

        progress?.Report(new CorpusProgress(corpus.SourceLength, corpus.SourceLength));
        Array.Resize(ref tokens, count);
        return new TokenizedCorpus(corpus.Name, tokens, [.. starts], tokenizer.VocabularySize, tokenizer.EndOfTextId, bytes, words, lines);
    }

    /// <summary>Makes a corpus of documents that are tokens already, as synthetic tasks have.</summary>
    /// <param name="name">What to call the corpus in messages.</param>
    /// <param name="documents">The tokens of each document, without separators; at least one document.</param>
    /// <param name="vocabularySize">The number of ids.</param>
    /// <param name="endOfTextId">The id that separates documents.</param>
    /// <exception cref="ArgumentException">There is no document.</exception>
    /// <exception cref="ArgumentOutOfRangeException">An id is not in the vocabulary.</exception>
    public static TokenizedCorpus FromDocuments(string name, IReadOnlyList<int[]> documents, int vocabularySize, int endOfTextId)
    {
        ArgumentNullException.ThrowIfNull(documents);
        if (documents.Count == 0)
        {
            throw new ArgumentException("A corpus needs at least one document.", nameof(documents));
        }

        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)endOfTextId, (uint)vocabularySize, nameof(endOfTextId));
        int[] starts = new int[documents.Count + 1];
        for (int i = 0; i < documents.Count; i++)
        {
            starts[i + 1] = checked(starts[i] + documents[i].Length);
        }

        int[] tokens = new int[starts[^1]];
        for (int i = 0; i < documents.Count; i++)
        {
            documents[i].CopyTo(tokens, starts[i]);
        }

        foreach (int token in tokens)
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)token, (uint)vocabularySize, nameof(documents));
        }

        return new TokenizedCorpus(name, tokens, starts, vocabularySize, endOfTextId, 0, 0, 0);
    }
}
