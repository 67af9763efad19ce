using System.IO.Compression;
using System.Reflection;
using System.Text;
using Loci.Data;

namespace Loci.Evaluation.Tasks.Ruler;

/// <summary>Prose in which generated tasks hide what is asked for: words with a single space between them, divided into sentences. Instances may be used from many threads at once.</summary>
public sealed class HaystackText
{
    // Enough for the longest contexts; more would only cost time and memory.
    private const int MaximumCharacters = 1 << 24;

    private const string Opening = "\"'([{“‘_*";
    private const string Closing = "\"')]}”’_*";

    private static readonly Lazy<HaystackText> LazyShipped = new(() => new HaystackText("the text that ships with Loci", [ReadResource("haystack.txt.gz")]));

    private static readonly string[] Abbreviations =
        ["Mr.", "Mrs.", "Ms.", "Dr.", "St.", "Rev.", "Hon.", "Capt.", "Col.", "Gen.", "Lt.", "Sgt.", "Messrs.", "Mme.", "Prof.", "Jr.", "Sr.", "Esq.", "No.", "vol.", "vs.", "etc.", "e.g.", "i.e.", "cf."];

    private readonly List<int> _wordStarts = [];
    private readonly List<int> _sentences = [];

    private HaystackText(string name, IEnumerable<string> documents)
    {
        StringBuilder text = new();
        foreach (string document in documents)
        {
            foreach (string line in document.Split('\n'))
            {
                AddParagraph(text, line);
            }

            if (text.Length >= MaximumCharacters)
            {
                break;
            }
        }

        Text = text.ToString();
        if (_wordStarts.Count == 0)
        {
            throw new LociException($"There are no words in {name}; give a text to hide needles in.");
        }
    }

    /// <summary>The text that ships with Loci: about 260,000 characters of two novels of the nineteenth century.</summary>
    public static HaystackText Shipped => LazyShipped.Value;

    /// <summary>The text, all of it, with a single space between its words.</summary>
    public string Text { get; }

    /// <summary>The number of words.</summary>
    internal int WordCount => _wordStarts.Count;

    /// <summary>The number of sentences.</summary>
    internal int SentenceCount => _sentences.Count;

    /// <summary>Reads a text, the first 16 million characters of it.</summary>
    /// <param name="path">A file or folder, as <see cref="Corpus.Open"/> takes it; null for the text that ships with Loci.</param>
    /// <exception cref="LociException">It cannot be read, or has no words.</exception>
    public static HaystackText Open(string? path) =>
        path is null ? Shipped : new HaystackText(path, Corpus.Open(path).ReadDocuments().Select(document => Encoding.UTF8.GetString(document.Utf8.Span)));

    /// <summary>Takes a text from memory.</summary>
    /// <param name="text">The text.</param>
    /// <exception cref="LociException">It has no words.</exception>
    public static HaystackText FromText(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return new HaystackText("the text", [text]);
    }

    /// <summary>The text up to its last fifth, to train on, and the last fifth, to measure on; twice the whole text where it has no sentences to divide.</summary>
    public (HaystackText Training, HaystackText Held) Divide()
    {
        int at = Text.IndexOf(". ", Text.Length / 5 * 4, StringComparison.Ordinal) + 2;
        return at < 2 ? (this, this) : (FromText(Text[..at]), FromText(Text[at..]));
    }

    /// <summary>A text file that is embedded in the library; gzip if its name ends so.</summary>
    internal static string ReadResource(string name)
    {
        Stream stream = Assembly.GetExecutingAssembly().GetManifestResourceStream(name) ?? throw new InvalidOperationException($"There is no resource {name}.");
        using StreamReader reader = new(name.EndsWith(".gz", StringComparison.Ordinal) ? new GZipStream(stream, CompressionMode.Decompress) : stream, Encoding.UTF8);
        return reader.ReadToEnd();
    }

    /// <summary>The first word of a sentence.</summary>
    internal int SentenceStart(int sentence) => _sentences[sentence];

    /// <summary>The sentence that a word is in.</summary>
    internal int SentenceOf(int word)
    {
        int found = _sentences.BinarySearch(word);
        return found >= 0 ? found : ~found - 1;
    }

    /// <summary>Words as they stand in the text, without the spaces around them.</summary>
    internal ReadOnlySpan<char> Words(int first, int count)
    {
        int start = _wordStarts[first];
        int end = first + count == _wordStarts.Count ? Text.Length : _wordStarts[first + count] - 1;
        return Text.AsSpan(start, end - start);
    }

    // A sentence ends at the end of a paragraph (a line), and at a word that ends in . ! or ?, and perhaps quotes or brackets, where the next word does not begin with a small letter.
    private void AddParagraph(StringBuilder text, string paragraph)
    {
        bool begins = true;
        string previous = "";
        foreach (string word in paragraph.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries))
        {
            if (text.Length > 0)
            {
                text.Append(' ');
            }

            if (begins || (EndsSentence(previous) && !BeginsSmall(word)))
            {
                _sentences.Add(_wordStarts.Count);
                begins = false;
            }

            _wordStarts.Add(text.Length);
            text.Append(word);
            previous = word;
        }
    }

    private static bool BeginsSmall(string word)
    {
        ReadOnlySpan<char> start = word.AsSpan().TrimStart(Opening);
        return start.Length > 0 && char.IsLower(start[0]);
    }

    private static bool EndsSentence(string word)
    {
        ReadOnlySpan<char> core = word.AsSpan().TrimEnd(Closing);
        if (core.Length == 0 || core[^1] is not ('.' or '!' or '?'))
        {
            return false;
        }

        // Neither a title nor an initial ends one.
        ReadOnlySpan<char> start = core.TrimStart(Opening);
        if (core[^1] == '.' && start.Length == 2 && char.IsUpper(start[0]) && start[0] != 'I')
        {
            return false;
        }

        foreach (string abbreviation in Abbreviations)
        {
            if (start.SequenceEqual(abbreviation))
            {
                return false;
            }
        }

        return true;
    }
}
