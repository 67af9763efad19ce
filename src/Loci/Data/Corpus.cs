namespace Loci.Data;

/// <summary>
/// A sequence of documents that can be read again and again, in the same order each time. Files are read as a stream: only the document at hand is in memory.
/// </summary>
public abstract class Corpus
{
    /// <summary>What the corpus is called in messages: usually its path.</summary>
    public abstract string Name { get; }

    /// <summary>The bytes of the source (compressed, if it is): what <see cref="Document.SourcePosition"/> ends at.</summary>
    public abstract long SourceLength { get; }

    /// <summary>Reads the documents in order. At least one comes, and none is empty.</summary>
    /// <exception cref="LociException">While reading: a file is missing, damaged, cut short or not UTF-8, or there is no text at all.</exception>
    public abstract IEnumerable<Document> ReadDocuments();

    /// <summary>
    /// Opens a corpus of files: a text file, a <c>.jsonl</c> or <c>.ndjson</c> file (one document per line, in the field <c>text</c>; the
    /// separator is
    /// not applied), either compressed with gzip, an archive of such files (zip, tar, or tar compressed with gzip), or a folder of all
    /// these. Folders
    /// and archives are read alike: with what lies within them, in ordinal order of the relative paths; text files in them end in
    /// <c>.txt</c>,
    /// <c>.text</c> or <c>.md</c>; what is hidden (begins with a dot) is left out, and so is macOS' <c>__MACOSX</c>. Of a file that is
    /// given itself
    /// the content says what it is.
    /// </summary>
    /// <param name="path">The file or folder.</param>
    /// <param name="separator">What divides a text file into documents.</param>
    /// <exception cref="LociException">There is no such file or folder, or the folder or archive holds no text files.</exception>
    public static Corpus Open(string path, DocumentSeparator separator = DocumentSeparator.File) => new FileCorpus(path, separator);

    /// <summary>The full path of a file or folder that is to be opened later.</summary>
    /// <param name="path">The path as it was given.</param>
    /// <param name="folder">Where a relative path starts; null for the working directory.</param>
    /// <exception cref="LociException">It is an address of the web.</exception>
    public static string GetFullPath(string path, string? folder = null) =>
        MissingPath.IsAddress(path) ? throw MissingPath.Of(path, "") : Path.GetFullPath(path, Path.GetFullPath(folder ?? "."));

    /// <summary>Makes a corpus of texts in memory; white space alone makes no document.</summary>
    /// <param name="name">What to call the corpus in messages.</param>
    /// <param name="texts">The documents.</param>
    public static Corpus FromTexts(string name, IEnumerable<string> texts) => new MemoryCorpus(name, texts);

    /// <summary>
    /// Divides the corpus by document: validation gets the nearest whole number of documents to the fraction, at least one, and leaves at least one for training.
    /// Which ones is decided by a hash of the seed and the document's place in the corpus.
    /// </summary>
    /// <param name="validationFraction">The fraction of the documents to hold out, above 0 and below 1.</param>
    /// <param name="seed">The seed.</param>
    /// <exception cref="ArgumentOutOfRangeException">The fraction is out of range.</exception>
    /// <exception cref="LociException">The corpus has a single document, or cannot be read.</exception>
    public (Corpus Training, Corpus Validation) Split(double validationFraction, ulong seed)
    {
        if (!(validationFraction > 0 && validationFraction < 1))
        {
            throw new ArgumentOutOfRangeException(nameof(validationFraction), validationFraction, "The validation fraction must be above 0 and below 1.");
        }

        int count = ReadDocuments().Count();
        if (count < 2)
        {
            throw new LociException($"{Name} is a single document and cannot be split by document; choose a separator that divides it, or give a validation file.");
        }

        int held = Math.Clamp((int)Math.Round(count * validationFraction), 1, count - 1);
        ulong[] hashes = new ulong[count];
        int[] order = new int[count];
        for (int i = 0; i < count; i++)
        {
            hashes[i] = RandomGenerator.Hash(seed, (ulong)i);
            order[i] = i;
        }

        Array.Sort(hashes, order);
        bool[] validation = new bool[count];
        foreach (int document in order.AsSpan(0, held))
        {
            validation[document] = true;
        }

        return (new SubsetCorpus(this, validation, false), new SubsetCorpus(this, validation, true));
    }

    private sealed class SubsetCorpus(Corpus whole, bool[] selection, bool selected) : Corpus
    {
        public override string Name => whole.Name;

        public override long SourceLength => whole.SourceLength;

        public override IEnumerable<Document> ReadDocuments()
        {
            int index = 0;
            foreach (Document document in whole.ReadDocuments())
            {
                if (index == selection.Length)
                {
                    throw new LociException($"{Name} has more documents than when it was split; it must not change while it is used.");
                }

                if (selection[index++] == selected)
                {
                    yield return document;
                }
            }

            if (index != selection.Length)
            {
                throw new LociException($"{Name} has fewer documents than when it was split; it must not change while it is used.");
            }
        }
    }

    private sealed class MemoryCorpus : Corpus
    {
        private readonly List<Document> _documents = [];

        public MemoryCorpus(string name, IEnumerable<string> texts)
        {
            ArgumentNullException.ThrowIfNull(texts);
            Name = name;
            foreach (string text in texts)
            {
                if (!string.IsNullOrWhiteSpace(text))
                {
                    byte[] buffer = new byte[checked(text.Length * Wtf8.MaximumBytesPerChar)];
                    ReadOnlyMemory<byte> utf8 = buffer.AsMemory(0, Wtf8.Encode(text, buffer));
                    SourceLength += utf8.Length;
                    _documents.Add(new Document($"{name}, document {_documents.Count + 1}", utf8.ToArray(), SourceLength));
                }
            }
        }

        public override string Name { get; }

        public override long SourceLength { get; }

        public override IEnumerable<Document> ReadDocuments() =>
            _documents.Count > 0 ? _documents : throw new LociException($"{Name} contains no text.");
    }
}
