using System.Text.Json;

namespace Loci.Data;

/// <summary>The documents of text files, JSON lines, gzip files, zip and tar archives and folders of these.</summary>
internal sealed class FileCorpus : Corpus
{
    private readonly DocumentSeparator _separator;
    private readonly List<(string Path, long Length)> _files;

    public FileCorpus(string path, DocumentSeparator separator)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        Name = path;
        _separator = separator;
        try
        {
            _files = Directory.Exists(path) ? Folder(path)
                : File.Exists(path) ? [(path, new FileInfo(path).Length)]
                : throw MissingPath.Of(path, "");
        }
        catch (Exception exception) when (ReadFailure.Is(exception))
        {
            throw ReadFailure.Of(path, exception);
        }

        SourceLength = _files.Sum(file => file.Length);
    }

    public override string Name { get; }

    public override long SourceLength { get; }

    public override IEnumerable<Document> ReadDocuments()
    {
        var (any, anyText) = (false, false);
        foreach (var source in ReadSources())
        {
            anyText = true;
            foreach (var document in ReadFailure.Guard(source.Name, ReadSource(source)))
            {
                any = true;
                yield return document;
            }
        }

        if (!any)
        {
            throw new LociException(anyText ? $"{Name} contains no text." : $"{Name} holds no text files ({SourceNames.Kinds}).");
        }
    }

    private static List<(string Path, long Length)> Folder(string folder)
    {
        var files = TextSources.Select(FolderFiles.Of(folder), file => file.Name);
        return files.Count > 0
            ? [.. files.Select(file => (file.Path, file.Length))]
            : throw new LociException($"The folder {folder} holds no text files ({SourceNames.Kinds}).");
    }

    private IEnumerable<TextSource> ReadSources()
    {
        var before = 0L;
        foreach (var (path, length) in _files)
        {
            var begin = before;
            foreach (var source in TextSources.Read(path, length, fraction => begin + (long)(fraction * length)))
            {
                yield return source;
            }

            before += length;
        }
    }

    private IEnumerable<Document> ReadSource(TextSource source)
    {
        var separator = source.IsJsonLines ? DocumentSeparator.Line : _separator;
        var number = 0;
        foreach (var utf8 in DocumentSplitter.Split(source.Utf8, separator))
        {
            number++;
            var text = source.IsJsonLines ? ReadTextField(utf8, number) : utf8;
            if (text.Length > 0)
            {
                var name = separator == DocumentSeparator.File ? source.Name : $"{source.Name}, document {number}";
                yield return new Document(name, text, source.Position());
            }
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
}
