using System.Formats.Tar;
using System.IO.Compression;

namespace Loci.Data;

/// <summary>
/// Finds the texts in a file: the file itself, or what it holds if it is gzip, zip or tar, also within one another. Its content decides
/// what it is; which entries of an archive are read, and in which order, is decided as for the files of a folder.
/// </summary>
internal static class TextSources
{
    private const int MostLayers = 6;

    private enum Kind
    {
        Text,
        Gzip,
        Zip,
        Tar,
    }

    /// <summary>Reads a file's texts, one after the other.</summary>
    /// <param name="path">The file.</param>
    /// <param name="length">Its length.</param>
    /// <param name="place">Where in the corpus a fraction of the file is.</param>
    public static IEnumerable<TextSource> Read(string path, long length, Func<double, long> place) =>
        ReadFailure.Guard(path, Read(new Layer(path, path, place, 0), () => File.OpenRead(path), source => Fraction(source.Count, length)));

    /// <summary>
    /// The files of an archive or folder that are read, in order; of two with one name the later, as unpacking leaves it.
    /// </summary>
    public static List<T> Select<T>(IEnumerable<T> files, Func<T, string> name) =>
        [
            .. files.Where(file => SourceNames.IsRead(name(file)))
                .GroupBy(name)
                .Select(same => same.Last())
                .OrderBy(name, StringComparer.Ordinal),
        ];

    private static IEnumerable<TextSource> Read(Layer layer, Func<Stream> open, Func<SourceStream, double> fraction)
    {
        if (layer.Depth > MostLayers)
        {
            throw new InvalidDataException(
                $"it lies in more than {MostLayers} archives, one within another; unpack them and give the folder");
        }

        using SourceStream source = new(open());
        TextSource Text() => new(
            layer.Name, new Utf8Stream(source, layer.Name), SourceNames.IsJsonLines(layer.KindName), () => layer.Place(fraction(source)));
        var texts = KindOf(source.Head, layer.KindName) switch
        {
            Kind.Gzip => Read(layer.WithinGzip(), () => new GzipReader(source), _ => fraction(source)),
            Kind.Zip => ReadZip(layer, source),
            Kind.Tar => ReadTar(layer, source),
            _ => [Text()],
        };
        foreach (var text in texts)
        {
            yield return text;
        }
    }

    private static IEnumerable<TextSource> ReadZip(Layer layer, SourceStream source)
    {
        using var stream = source.Seekable() ?? Unpack(layer, source);
        using var archive = ArchiveEntry.OpenZip(stream);
        foreach (var text in ReadEntries(layer, ArchiveEntry.Of(archive)))
        {
            yield return text;
        }
    }

    private static IEnumerable<TextSource> ReadTar(Layer layer, SourceStream source)
    {
        using var stream = source.Seekable() ?? Unpack(layer, source);
        using TarReader archive = new(stream, leaveOpen: true);
        foreach (var text in ReadEntries(layer, ArchiveEntry.Of(archive)))
        {
            yield return text;
        }
    }

    private static IEnumerable<TextSource> ReadEntries(Layer layer, IEnumerable<ArchiveEntry> entries)
    {
        var read = Select(entries, entry => entry.Name);
        var total = read.Sum(entry => (double)entry.Length);
        var before = 0.0;
        foreach (var entry in read)
        {
            var (begin, end) = (Fraction(before, total), Fraction(before + entry.Length, total));
            var name = $"{layer.Name}/{entry.Name}";
            Layer inner = new(name, entry.Name, fraction => layer.Place(begin + (fraction * (end - begin))), layer.Depth + 1);
            var texts = Read(inner, () => new ExactStream(entry.Open(), entry.Length), source => Fraction(source.Count, entry.Length));
            foreach (var text in ReadFailure.Guard(name, texts))
            {
                yield return text;
            }

            before += entry.Length;
        }
    }

    private static double Fraction(double done, double total) => total > 0 ? Math.Min(1, done / total) : 1;

    private static Kind KindOf(ReadOnlySpan<byte> head, string name)
    {
        var kind = head.StartsWith(GzipReader.Start) ? Kind.Gzip
            : head.StartsWith("PK\x03\x04"u8) || head.StartsWith("PK\x05\x06"u8) || SourceNames.IsZip(name) ? Kind.Zip
            : IsTarHeader(head) || (SourceNames.IsTar(name) && !head.ContainsAnyExcept((byte)0)) ? Kind.Tar
            : Kind.Text;
        return kind == Kind.Text && (SourceNames.IsGzip(name) || SourceNames.IsTar(name))
            ? throw new InvalidDataException(
                $"it is not {(SourceNames.IsTar(name) ? "a tar archive" : "gzip")}, as its name says; if it is text, rename it")
            : kind;
    }

    /// <summary>Whether the sum of all bytes, those of the sum taken as spaces, is what tar headers of any format have there.</summary>
    private static bool IsTarHeader(ReadOnlySpan<byte> head)
    {
        const int Length = 512, SumStart = 148, SumEnd = 156;
        if (head.Length < Length || head[0] == 0)
        {
            return false;
        }

        var (sum, given) = (0, 0);
        for (var i = 0; i < Length; i++)
        {
            sum += i is >= SumStart and < SumEnd ? ' ' : head[i];
        }

        foreach (var digit in head[SumStart..SumEnd].Trim(" \0"u8))
        {
            if (digit is < (byte)'0' or > (byte)'7')
            {
                return false;
            }

            given = (given * 8) + digit - '0';
        }

        return sum == given;
    }

    /// <summary>A copy that can be read in any order, in a file that is gone when it is closed.</summary>
    private static FileStream Unpack(Layer layer, Stream source)
    {
        var path = Path.Combine(Path.GetTempPath(), $"loci-{Guid.NewGuid():N}.tmp");
        FileStream copy;
        try
        {
            copy = new(path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.Delete);
            File.Delete(path);
        }
        catch (Exception exception) when (ReadFailure.Is(exception))
        {
            throw NoRoom(exception);
        }

        try
        {
            var buffer = new byte[1 << 16];
            for (int count; (count = source.Read(buffer)) > 0;)
            {
                Write(buffer.AsSpan(0, count));
            }

            copy.Position = 0;
            return copy;
        }
        catch
        {
            copy.Dispose();
            throw;
        }

        void Write(ReadOnlySpan<byte> bytes)
        {
            try
            {
                copy.Write(bytes);
            }
            catch (IOException exception)
            {
                throw NoRoom(exception);
            }
        }

        LociException NoRoom(Exception cause) => new(
            $"Cannot unpack {layer.Name} into {Path.GetTempPath()}: {cause.Message.TrimEnd('.')}; "
            + "unpack it yourself and give the folder, or set TMPDIR to one with room.",
            cause);
    }

    /// <summary>A file, or what an archive or gzip file holds.</summary>
    /// <param name="Name">What it is called in messages.</param>
    /// <param name="KindName">The name that its ending is taken from.</param>
    /// <param name="Place">Where in the corpus a fraction of it is.</param>
    /// <param name="Depth">In how many archives and gzip files it lies.</param>
    private sealed record Layer(string Name, string KindName, Func<double, long> Place, int Depth)
    {
        public Layer WithinGzip() => this with { KindName = SourceNames.WithoutGzip(KindName), Depth = Depth + 1 };
    }
}
