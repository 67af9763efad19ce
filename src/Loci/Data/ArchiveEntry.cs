using System.Formats.Tar;
using System.IO.Compression;

namespace Loci.Data;

/// <summary>A file in an archive.</summary>
/// <param name="Name">Its name, as <see cref="SourceNames.Normalize"/> writes it.</param>
/// <param name="Length">Its length.</param>
/// <param name="Open">Opens it.</param>
internal sealed record ArchiveEntry(string Name, long Length, Func<Stream> Open)
{
    private const int FileTypeMask = 0xF000; // of Unix, in the upper half of a zip entry's attributes
    private const int RegularFile = 0x8000;
    private const string SparsePrefix = "GNU.sparse.";

    /// <summary>The files of a zip archive.</summary>
    public static IEnumerable<ArchiveEntry> Of(ZipArchive archive) =>
        from entry in archive.Entries
        where !entry.FullName.EndsWith('/') && !entry.FullName.EndsWith('\\') && IsFile(entry)
        select new ArchiveEntry(SourceNames.Normalize(entry.FullName), entry.Length, () => OpenFile(entry));

    /// <summary>The files of a tar archive on a stream that can seek.</summary>
    public static IEnumerable<ArchiveEntry> Of(TarReader archive)
    {
        while (Next(archive) is { } entry)
        {
            if (entry.EntryType is TarEntryType.RegularFile or TarEntryType.V7RegularFile or TarEntryType.ContiguousFile)
            {
                var sparse = SparseName(entry);
                yield return new ArchiveEntry(
                    SourceNames.Normalize(sparse ?? entry.Name),
                    entry.Length,
                    () => sparse is null ? entry.DataStream ?? Stream.Null : throw NotSupported("it is stored as a sparse file"));
            }
        }
    }

    /// <summary>Opens a zip archive; disposing it disposes the stream.</summary>
    /// <exception cref="InvalidDataException">It is none.</exception>
    public static ZipArchive OpenZip(Stream stream)
    {
        try
        {
            return new ZipArchive(stream, ZipArchiveMode.Read);
        }
        catch (InvalidDataException exception)
        {
            stream.Dispose();
            throw new InvalidDataException("it is not a zip archive, or damaged or cut short; copy or make it again", exception);
        }
    }

    /// <summary>Opens an entry of a zip archive.</summary>
    /// <exception cref="InvalidDataException">It is encrypted, or compressed in a way that is not supported.</exception>
    public static Stream OpenFile(ZipArchiveEntry entry)
    {
        if (entry.IsEncrypted)
        {
            throw NotSupported("it is encrypted");
        }

        try
        {
            return entry.Open();
        }
        catch (Exception exception) when (exception is InvalidDataException or NotSupportedException)
        {
            throw NotSupported(exception.Message.TrimEnd('.'));
        }
    }

    // Links and devices have no text of their own.
    private static bool IsFile(ZipArchiveEntry entry) => ((entry.ExternalAttributes >> 16) & FileTypeMask) is 0 or RegularFile;

    private static TarEntry? Next(TarReader archive)
    {
        try
        {
            return archive.GetNextEntry();
        }
        catch (NotSupportedException exception)
        {
            throw NotSupported(exception.Message.TrimEnd('.'));
        }
        catch (EndOfStreamException exception)
        {
            throw new InvalidDataException("it is damaged or cut short", exception);
        }
        catch (Exception exception) when (exception is FormatException or ArgumentException or OverflowException)
        {
            throw new InvalidDataException($"it is damaged ({exception.Message.TrimEnd('.')})", exception);
        }
    }

    private static string? SparseName(TarEntry entry) =>
        entry is PaxTarEntry { ExtendedAttributes: var attributes }
        && attributes.Keys.Any(key => key.StartsWith(SparsePrefix, StringComparison.Ordinal))
            ? attributes.GetValueOrDefault(SparsePrefix + "name", entry.Name)
            : null;

    private static InvalidDataException NotSupported(string what) => new($"{what}; unpack the archive and give the folder");
}
