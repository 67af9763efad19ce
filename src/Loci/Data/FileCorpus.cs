using System.Buffers;
using System.IO.Compression;
using System.Text.Json;
using System.Text.Unicode;

namespace Loci.Data;

/// <summary>The documents of text files, JSON lines, gzip files, zip archives and folders of these.</summary>
internal sealed class FileCorpus : Corpus
{
    private static readonly string[] TextExtensions = [".txt", ".text", ".md"];
    private static readonly string[] JsonLinesExtensions = [".jsonl", ".ndjson"];

    private readonly DocumentSeparator _separator;
    private readonly List<SourceFile> _files = [];

    public FileCorpus(string path, DocumentSeparator separator)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        Name = path;
        _separator = separator;
        try
        {
            if (Directory.Exists(path))
            {
                AddFolder(path);
            }
            else if (File.Exists(path))
            {
                AddFile(path, path);
            }
            else
            {
                throw new LociException($"There is no file or folder {path}; check the path.");
            }
        }
        catch (Exception exception) when (IsReadFailure(exception))
        {
            throw Unreadable(path, exception);
        }

        foreach (SourceFile file in _files)
        {
            SourceLength += file.Length;
        }
    }

    public override string Name { get; }

    public override long SourceLength { get; }

    public override IEnumerable<Document> ReadDocuments()
    {
        bool any = false;
        long before = 0;
        foreach (SourceFile file in _files)
        {
            // An iterator cannot catch around its yields, so each step of the inner one is taken by hand.
            using IEnumerator<Document> documents = ReadFile(file, before).GetEnumerator();
            while (true)
            {
                try
                {
                    if (!documents.MoveNext())
                    {
                        break;
                    }
                }
                catch (Exception exception) when (IsReadFailure(exception))
                {
                    throw Unreadable(file.Name, exception);
                }

                any = true;
                yield return documents.Current;
            }

            before += file.Length;
        }

        if (!any)
        {
            throw new LociException($"{Name} contains no text.");
        }
    }

    private void AddFolder(string folder)
    {
        EnumerationOptions options = new() { RecurseSubdirectories = true, IgnoreInaccessible = false };
        List<(string Relative, string Path)> paths = [];
        foreach (string path in Directory.EnumerateFiles(folder, "*", options))
        {
            string relative = Path.GetRelativePath(folder, path).Replace('\\', '/');
            bool hidden = relative.Split('/').Any(part => part.StartsWith('.'));
            if (!hidden && (HasTextExtension(relative) || HasExtension(relative, ".zip")))
            {
                paths.Add((relative, path));
            }
        }

        if (paths.Count == 0)
        {
            throw new LociException($"The folder {folder} holds no text files (.txt, .text, .md, .jsonl, .ndjson, these with .gz, or .zip).");
        }

        paths.Sort((left, right) => string.CompareOrdinal(left.Relative, right.Relative));
        foreach ((_, string path) in paths)
        {
            AddFile(path, path);
        }
    }

    private void AddFile(string path, string name)
    {
        if (!HasExtension(path, ".zip"))
        {
            _files.Add(new SourceFile(name, path, null, new FileInfo(path).Length));
            return;
        }

        using ZipArchive archive = ZipFile.OpenRead(path);
        List<ZipArchiveEntry> entries = [.. archive.Entries.Where(entry => HasTextExtension(entry.FullName))];
        if (entries.Count == 0)
        {
            throw new LociException($"The archive {path} holds no text files (.txt, .text, .md, .jsonl, .ndjson, or these with .gz).");
        }

        entries.Sort((left, right) => string.CompareOrdinal(left.FullName, right.FullName));
        foreach (ZipArchiveEntry entry in entries)
        {
            _files.Add(new SourceFile($"{name}/{entry.FullName}", path, entry.FullName, entry.CompressedLength));
        }
    }

    private IEnumerable<Document> ReadFile(SourceFile file, long before)
    {
        using ZipArchive? archive = file.Entry is null ? null : ZipFile.OpenRead(file.Path);
        ZipArchiveEntry? entry = archive?.GetEntry(file.Entry!);
        if (archive is not null && entry is null)
        {
            throw new InvalidDataException("it is no longer in the archive");
        }

        // Positions are counted in what is read from the file, and scaled for an entry, whose stream gives its uncompressed bytes.
        using CountingStream counted = new(entry is null ? File.OpenRead(file.Path) : entry.Open());
        double scale = entry is { Length: > 0 } ? (double)file.Length / entry.Length : 1;
        long Position() => before + Math.Min(file.Length, (long)(counted.Count * scale));

        string name = entry?.FullName ?? file.Path;
        bool gzip = HasExtension(name, ".gz");
        using Stream text = gzip ? new GzipReader(counted) : counted;
        bool jsonLines = HasJsonLinesExtension(gzip ? name[..^3] : name);
        int number = 0;
        foreach ((byte[] utf8, long offset) in DocumentSplitter.Split(text, jsonLines ? DocumentSeparator.Line : _separator))
        {
            number++;
            int invalid = IndexOfInvalid(utf8);
            if (invalid >= 0)
            {
                throw new InvalidDataException($"the text is not valid UTF-8 at byte {offset + invalid}; convert it to UTF-8");
            }

            byte[] content = jsonLines ? ReadTextField(utf8, number) : utf8;
            if (content.Length > 0)
            {
                string documentName = _separator == DocumentSeparator.File && !jsonLines ? file.Name : $"{file.Name}, document {number}";
                yield return new Document(documentName, content, Position());
            }
        }

        if (entry is not null && counted.Count != entry.Length)
        {
            throw new InvalidDataException("it is damaged or cut short");
        }
    }

    private static byte[] ReadTextField(ReadOnlySpan<byte> line, int number)
    {
        string problem;
        try
        {
            Utf8JsonReader reader = new(line);
            problem = "is not a JSON object";
            byte[]? text = null;
            if (reader.Read() && reader.TokenType == JsonTokenType.StartObject)
            {
                problem = "has no string field \"text\"";
                while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
                {
                    bool isText = reader.ValueTextEquals("text"u8);
                    reader.Read();
                    if (isText && reader.TokenType == JsonTokenType.String)
                    {
                        byte[] buffer = new byte[reader.ValueSpan.Length];
                        text = buffer[..reader.CopyString(buffer)];
                    }
                    else
                    {
                        reader.Skip();
                    }
                }

                // Anything after the object is an error of its own.
                while (reader.Read())
                {
                }
            }

            if (text is not null)
            {
                return text;
            }
        }
        catch (JsonException)
        {
            problem = "is not valid JSON";
        }
        catch (InvalidOperationException)
        {
            problem = "has a text with half of a surrogate pair";
        }

        throw new InvalidDataException($"record {number} {problem}");
    }

    private static int IndexOfInvalid(ReadOnlySpan<byte> utf8)
    {
        if (Utf8.IsValid(utf8))
        {
            return -1;
        }

        int index = 0;
        while (System.Text.Rune.DecodeFromUtf8(utf8[index..], out _, out int length) == OperationStatus.Done)
        {
            index += length;
        }

        return index;
    }

    private static bool HasTextExtension(string name)
    {
        string plain = HasExtension(name, ".gz") ? name[..^3] : name;
        return TextExtensions.Any(extension => HasExtension(plain, extension)) || HasJsonLinesExtension(plain);
    }

    private static bool HasJsonLinesExtension(string name) => JsonLinesExtensions.Any(extension => HasExtension(name, extension));

    private static bool HasExtension(string name, string extension) => name.EndsWith(extension, StringComparison.OrdinalIgnoreCase);

    private static bool IsReadFailure(Exception exception) => exception is IOException or InvalidDataException or UnauthorizedAccessException or NotSupportedException;

    private static LociException Unreadable(string name, Exception exception) =>
        new($"Cannot read {name}: {exception.Message.TrimEnd('.')}.", exception);

    private sealed record SourceFile(string Name, string Path, string? Entry, long Length);

    private sealed class CountingStream(Stream source) : Stream
    {
        public long Count { get; private set; }

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

        public override int Read(Span<byte> buffer)
        {
            int read = source.Read(buffer);
            Count += read;
            return read;
        }

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            if (disposing)
            {
                source.Dispose();
            }

            base.Dispose(disposing);
        }
    }
}
