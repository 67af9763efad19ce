using System.Formats.Tar;
using System.IO.Compression;
using System.Text;
using Loci.Data;
using Xunit;

namespace Loci.Tests.Data;

/// <summary>What people's archives hold, and that each text of them is read once, in the order of a folder.</summary>
public sealed class ArchiveTests : IDisposable
{
    private const string NoText = "holds no text files (.txt, .text, .md, .jsonl, .ndjson, these with .gz, or .zip, .tar, .tar.gz, .tgz with such files).";

    /// <summary>A few files as they lie about in folders: in an order that is not the right one.</summary>
    private static readonly (string Name, byte[] Contents)[] Files =
    [
        ("b/2.txt", Utf8("b2")),
        ("b/10.txt", Utf8("b10")),
        ("._B.txt", [0, 5, 22, 7, 0, 2, 0, 0]),
        ("B.txt", Utf8("B")),
        ("__MACOSX/._B.txt", [0, 5, 22, 7, 0, 2, 0, 0]),
        ("__MACOSX/b/._2.txt", [0, 5, 22, 7, 0, 2, 0, 0]),
        (".DS_Store", [0, 0, 0, 1]),
        (".git/notes.txt", Utf8("no")),
        ("b/.hidden.txt", Utf8("no")),
        ("image.png", [0xFF]),
        ("empty.txt", []),
        ("marked.txt", Utf8("\uFEFFmarked")),
        ("c.md.gz", TemporaryFolder.Gzip("c")),
        ("d.jsonl.gz", TemporaryFolder.Gzip("{\"text\":\"d1\"}\n{\"text\":\"d2\"}\n")),
        ("inner.zip", TemporaryFolder.Zip(("z.txt", Utf8("iz")), ("__MACOSX/._z.txt", [0]), ("a.txt", Utf8("ia")))),
        ("inner.tgz", Gzip(Tar(("y.txt", Utf8("ty")), ("x.txt", Utf8("tx"))))),
        ("pictures.zip", TemporaryFolder.Zip(("image.png", [1]))),
    ];

    private static readonly string[] Texts = ["B", "b10", "b2", "c", "d1", "d2", "tx", "ty", "ia", "iz", "marked"];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_folder_and_its_archives_give_the_same_texts()
    {
        foreach (var (name, contents) in Files)
        {
            _folder.Write("folder/" + name, contents);
        }

        Assert.Equal(Texts, Read(Path.Combine(_folder.Path, "folder")));
        Assert.Equal(Texts, Read(_folder.Write("a.zip", TemporaryFolder.Zip(Files))));
        Assert.Equal(Texts, Read(_folder.Write("a.tar", Tar(Files))));
        Assert.Equal(Texts, Read(_folder.Write("a.tar.gz", Gzip(Tar(Files)))));
        Assert.Equal(Texts, Read(_folder.Write("a.tgz", Gzip(Tar(Files)))));
    }

    [Theory]
    [InlineData(TarEntryFormat.V7)]
    [InlineData(TarEntryFormat.Ustar)]
    [InlineData(TarEntryFormat.Pax)]
    [InlineData(TarEntryFormat.Gnu)]
    public void Every_format_of_tar_is_read_and_known_by_its_content(TarEntryFormat format)
    {
        var tar = Tar(format, ("b.txt", Utf8("b")), ("a.txt", Utf8("a")));
        Assert.Equal(["a", "b"], Read(_folder.Write("a.tar", tar)));
        Assert.Equal(["a", "b"], Read(_folder.Write("archive", tar)));
        Assert.Equal(["a", "b"], Read(_folder.Write("archive.gz", Gzip(tar))));
        Assert.Equal(["a", "b"], Read(_folder.Write("unpacked-on-the-way.tar.gz", tar)));
        Assert.Equal(["a", "b"], Read(_folder.Write("not-a-text.txt", Gzip(tar))));
    }

    [Fact]
    public void Long_names_and_foreign_characters_are_names()
    {
        var name = string.Concat(Enumerable.Repeat("ein-langer-Ordner-ä/", 12)) + "日本語.txt";
        foreach (var path in new[] { _folder.Write("a.zip", TemporaryFolder.Zip((name, Utf8("text")))), _folder.Write("a.tar", Tar((name, Utf8("text")))) })
        {
            Assert.Equal($"{path}/{name}", Assert.Single(Corpus.Open(path).ReadDocuments()).Name);
        }
    }

    [Fact]
    public void Names_are_shown_and_never_written_to()
    {
        (string, byte[])[] entries = [("../../up.txt", Utf8("up")), ("/etc/absolute.txt", Utf8("absolute")), ("./here.txt", Utf8("here")), ("a\\b.txt", Utf8("b"))];
        foreach (var path in new[] { _folder.Write("in/a.zip", TemporaryFolder.Zip(entries)), _folder.Write("in/a.tar", Tar(entries)) })
        {
            Assert.Equal(
                [$"{path}/../../up.txt", $"{path}/a/b.txt", $"{path}/etc/absolute.txt", $"{path}/here.txt"],
                Corpus.Open(path).ReadDocuments().Select(document => document.Name));
        }

        Assert.Equal(["in"], Directory.EnumerateFileSystemEntries(_folder.Path).Select(Path.GetFileName));
    }

    [Fact]
    public void Of_two_entries_with_one_name_the_later_is_read()
    {
        (string, byte[])[] entries = [("a.txt", Utf8("old")), ("b.txt", Utf8("b")), ("./a.txt", Utf8("new"))];
        Assert.Equal(["new", "b"], Read(_folder.Write("a.zip", TemporaryFolder.Zip(entries))));
        Assert.Equal(["new", "b"], Read(_folder.Write("a.tar", Tar(entries))));
    }

    [Fact]
    public void What_is_no_file_in_an_archive_is_left_out()
    {
        using MemoryStream tar = new();
        using (TarWriter writer = new(tar, TarEntryFormat.Pax, leaveOpen: true))
        {
            writer.WriteEntry(new PaxTarEntry(TarEntryType.Directory, "folder.txt/"));
            writer.WriteEntry(new PaxTarEntry(TarEntryType.RegularFile, "folder.txt/a.txt") { DataStream = new MemoryStream(Utf8("a")) });
            writer.WriteEntry(new PaxTarEntry(TarEntryType.SymbolicLink, "link.txt") { LinkName = "folder.txt/a.txt" });
            writer.WriteEntry(new PaxTarEntry(TarEntryType.HardLink, "hard.txt") { LinkName = "folder.txt/a.txt" });
            writer.WriteEntry(new PaxTarEntry(TarEntryType.Fifo, "pipe.txt"));
            writer.WriteEntry(new PaxTarEntry(TarEntryType.CharacterDevice, "device.txt"));
        }

        Assert.Equal(["a"], Read(_folder.Write("a.tar", tar.ToArray())));

        using MemoryStream zip = new();
        using (ZipArchive archive = new(zip, ZipArchiveMode.Create, leaveOpen: true))
        {
            archive.CreateEntry("folder.txt/");
            var link = archive.CreateEntry("link.txt");
            link.ExternalAttributes = unchecked((int)0xA1FF0000);
            using (var target = link.Open())
            {
                target.Write("folder.txt/a.txt"u8);
            }

            using var file = archive.CreateEntry("folder.txt/a.txt").Open();
            file.Write("a"u8);
        }

        Assert.Equal(["a"], Read(_folder.Write("a.zip", zip.ToArray())));
    }

    [Fact]
    public void Links_of_a_folder_give_their_text_once()
    {
        if (OperatingSystem.IsWindows())
        {
            return; // Links need rights there.
        }

        _folder.Write("outside/far.txt", "far");
        _folder.Write("outside/more/deep.txt", "deep");
        _folder.Write("folder/a/near.txt", "near");
        _folder.Write("folder/.blobs/0123", "blob");
        Link("folder/a/round", "folder");
        Link("folder/again", "folder/a");
        Link("folder/again.txt", "folder/a/near.txt");
        Link("folder/blob.txt", "folder/.blobs/0123");
        Link("folder/b.txt", "outside/far.txt");
        Link("folder/c.txt", "outside/far.txt");
        Link("folder/d", "outside/more");
        Link("outside/more/back", "folder");
        Assert.Equal(["near", "far", "blob", "deep"], Read(Path.Combine(_folder.Path, "folder")));

        Link("folder/nothing.txt", "nothing");
        Assert.StartsWith($"Cannot read {_folder.Path}/folder/nothing.txt: ", Fail(Path.Combine(_folder.Path, "folder")), StringComparison.Ordinal);

        void Link(string name, string target) => File.CreateSymbolicLink(Path.Combine(_folder.Path, name), Path.Combine(_folder.Path, target));
    }

    [Fact]
    public void Archives_in_archives_are_read_to_a_depth()
    {
        var archive = TemporaryFolder.Zip(("a.txt.gz", TemporaryFolder.Gzip("deep")));
        archive = Gzip(Tar(("b.zip", archive)));
        Assert.Equal(["deep"], Read(_folder.Write("a.zip", TemporaryFolder.Zip(("c.tar.gz", archive)))));

        archive = TemporaryFolder.Zip(("a.txt", Utf8("too deep")));
        for (var depth = 0; depth < 8; depth++)
        {
            archive = TemporaryFolder.Zip(("z.zip", archive));
        }

        var path = _folder.Write("deep.zip", archive);
        Assert.Equal(
            $"Cannot read {path}/z.zip/z.zip/z.zip/z.zip/z.zip/z.zip/z.zip: it lies in more than 6 archives, one within another; unpack them and give the folder.",
            Fail(path));
    }

    [Fact]
    public void Gzip_may_have_members_and_padding_and_nothing_else()
    {
        byte[] first = TemporaryFolder.Gzip("first, "), second = TemporaryFolder.Gzip("second");
        Assert.Equal(["first, second"], Read(_folder.Write("a.gz", [.. first, .. second])));
        foreach (var zeros in new[] { 1, 5, 512, 200_000 })
        {
            Assert.Equal(["first, second"], Read(_folder.Write("a.gz", [.. first, .. second, .. new byte[zeros]])));
            AssertFollowed([.. first, .. new byte[zeros], 1]);
            AssertFollowed([.. first, .. new byte[zeros], .. second]);
        }

        AssertFollowed([.. first, .. "text"u8]);

        void AssertFollowed(byte[] contents)
        {
            var path = _folder.Write("followed.gz", contents);
            Assert.Equal($"Cannot read {path}: something that is not gzip follows the gzip data; it is damaged, or two files in one.", Fail(path));
        }
    }

    [Fact]
    public void Gzip_of_any_length_with_padding_is_read()
    {
        // The last bytes of gzip are the length, which ends in zeros that are not padding.
        RandomGenerator random = new(7);
        for (var round = 0; round < 60; round++)
        {
            var text = string.Concat(Enumerable.Range(0, random.NextInt32(40_000)).Select(_ => (char)('a' + random.NextInt32(26)))) + "x";
            Assert.Equal([text], Read(_folder.Write("a.gz", [.. TemporaryFolder.Gzip(text), .. new byte[random.NextInt32(3) * random.NextInt32(70_000)]])));
        }
    }

    [Fact]
    public void What_an_archive_cannot_give_is_one_sentence()
    {
        var zip = TemporaryFolder.Zip(("good.txt", Utf8("good")), ("in/a.txt", Utf8(new string('a', 5000))));
        AssertRefused("a.zip", Patch(zip, 6, 8, 1), "/good.txt: it is encrypted; unpack the archive and give the folder.");
        AssertRefused("a.zip", Patch(zip, 8, 10, 14), "/good.txt: The archive entry was compressed using LZMA and is not supported; unpack the archive and give the folder.");
        AssertRefused("a.zip", zip[..^30], ": it is not a zip archive, or damaged or cut short; copy or make it again.");
        AssertRefused("a.zip", TemporaryFolder.Zip(("image.png", [1])), null);
        AssertRefused("a.tar", Tar(("image.png", [1])), null);
        AssertRefused("a.tar", new byte[10240], null);
        AssertRefused("book.epub", TemporaryFolder.Zip(("chapter.xhtml", Utf8("<p>"))), null);
        AssertRefused("a.tar", Tar(("a.txt", new byte[4]), ("b.txt", Utf8("b"))), "/a.txt: it has a NUL at byte 0, which text has not; if it is text, take them out: tr -d '\\000' < OLD > NEW.");
        AssertRefused("a.tar", Tar(("a.txt", Utf8(new string('a', 5000))))[..3000], ": it is damaged or cut short.");
        AssertRefused("a.tar.gz", TemporaryFolder.Gzip("no tar"), ": it is not a tar archive, as its name says; if it is text, rename it.");
        AssertRefused("a.tgz", TemporaryFolder.Gzip("no tar"), ": it is not a tar archive, as its name says; if it is text, rename it.");
        AssertRefused("a.txt.gz", Utf8("no gzip"), ": it is not gzip, as its name says; if it is text, rename it.");
        AssertRefused("a.txt.gz", [], ": it is not gzip, as its name says; if it is text, rename it.");
        AssertRefused("a.zip", TemporaryFolder.Zip(("a.txt.gz", TemporaryFolder.Gzip("text")[..^1])), "/a.txt.gz: the gzip data are damaged or cut short.");
        AssertRefused("a.zip", TemporaryFolder.Zip(("b.zip", Patch(zip, 6, 8, 1))), "/b.zip/good.txt: it is encrypted; unpack the archive and give the folder.");
        AssertRefused("a.zip", TemporaryFolder.Zip(("a.jsonl", Utf8("{}"))), "/a.jsonl: record 1 has no string field \"text\".");
        AssertRefused("a.zip", TemporaryFolder.Zip(("a.txt", Utf8(" "))), " contains no text.");
    }

    [Fact]
    public void An_entry_longer_than_it_says_is_not_read_on()
    {
        var zip = TemporaryFolder.Zip(("a.txt", Utf8(new string('a', 10_000_000))));
        Assert.Equal(1000, Assert.Single(Read(_folder.Write("bomb.zip", PatchLength(zip, 1000)))).Length);
        AssertRefused("short.zip", PatchLength(zip, 10_000_001), "/a.txt: it is damaged or cut short.");
    }

    [Fact]
    public void Sparse_files_of_tar_are_refused()
    {
        var gnu = Tar(TarEntryFormat.Gnu, ("a.txt", Utf8("a")));
        gnu[156] = (byte)'S';
        var sum = gnu[..512].Select((value, i) => i is >= 148 and < 156 ? (int)' ' : value).Sum();
        Encoding.ASCII.GetBytes(Convert.ToString(sum, 8).PadLeft(6, '0') + "\0 ").CopyTo(gnu, 148);
        AssertRefused("a.tar", gnu, ": Entry type 'SparseFile' not supported; unpack the archive and give the folder.");

        using MemoryStream pax = new();
        using (TarWriter writer = new(pax, TarEntryFormat.Pax, leaveOpen: true))
        {
            Dictionary<string, string> attributes = new() { ["GNU.sparse.major"] = "1", ["GNU.sparse.minor"] = "0", ["GNU.sparse.name"] = "a.txt", ["GNU.sparse.realsize"] = "9" };
            writer.WriteEntry(new PaxTarEntry(TarEntryType.RegularFile, "GNUSparseFile.1/a.txt", attributes) { DataStream = new MemoryStream(Utf8("1\n0\n3\nabc")) });
        }

        AssertRefused("a.tar", pax.ToArray(), "/a.txt: it is stored as a sparse file; unpack the archive and give the folder.");
    }

    [Fact]
    public void A_damaged_tar_is_refused_or_read()
    {
        var tar = Tar(("a.txt", Encoding.UTF8.GetBytes(TestFiles.RealText[..5000])), ("b.txt", Utf8("b")));
        RandomGenerator random = new(5);
        for (var round = 0; round < 400; round++)
        {
            byte[] damaged = [.. tar];
            damaged[round % 2 == 0 ? random.NextInt32(1024) : random.NextInt32(damaged.Length)] ^= (byte)(1 << random.NextInt32(8));
            damaged = round % 3 == 0 ? damaged[..random.NextInt32(damaged.Length)] : damaged;
            try
            {
                Read(_folder.Write("a.tar", damaged));
            }
            catch (LociException)
            {
                // Refused. Anything else fails the test.
            }
        }
    }

    [Fact]
    public void Source_positions_rise_to_the_source_length()
    {
        var text = Encoding.UTF8.GetBytes(TestFiles.RealText);
        (string, byte[])[] entries = [("a.txt", text), ("image.png", text), ("b.txt.gz", TemporaryFolder.Gzip(TestFiles.RealText)), ("c.zip", TemporaryFolder.Zip(("a.txt", text)))];
        foreach (var path in new[] { _folder.Write("a.tar", Tar(entries)), _folder.Write("a.tar.gz", Gzip(Tar(entries))), _folder.Write("a.zip", TemporaryFolder.Zip(entries)) })
        {
            var corpus = Corpus.Open(path, DocumentSeparator.BlankLine);
            long[] positions = [.. corpus.ReadDocuments().Select(document => document.SourcePosition)];
            Assert.Equal(positions.Order(), positions);
            Assert.InRange(positions[0], 0, corpus.SourceLength * 0.2);
            Assert.InRange(positions[^1], corpus.SourceLength * 0.99, corpus.SourceLength);
        }
    }

    [Fact]
    public void Nothing_is_left_of_what_was_unpacked()
    {
        var before = Directory.GetFiles(Path.GetTempPath(), "loci-*.tmp");
        Read(_folder.Write("a.tar.gz", Gzip(Tar(("a.txt", Utf8("a"))))));
        Fail(_folder.Write("a.tar.gz", Gzip(Tar(("a.txt", Utf8("a"))))[..^20]));
        Assert.Equal([], Directory.GetFiles(Path.GetTempPath(), "loci-*.tmp").Except(before));
    }

    private static byte[] Utf8(string text) => Encoding.UTF8.GetBytes(text);

    private static byte[] Gzip(byte[] contents)
    {
        using MemoryStream compressed = new();
        using (GZipStream gzip = new(compressed, CompressionLevel.Fastest))
        {
            gzip.Write(contents);
        }

        return compressed.ToArray();
    }

    private static byte[] Tar(params (string Name, byte[] Contents)[] entries) => Tar(TarEntryFormat.Pax, entries);

    private static byte[] Tar(TarEntryFormat format, params (string Name, byte[] Contents)[] entries)
    {
        using MemoryStream tar = new();
        using (TarWriter writer = new(tar, format, leaveOpen: true))
        {
            foreach (var (name, contents) in entries)
            {
                TarEntry entry = format switch
                {
                    TarEntryFormat.V7 => new V7TarEntry(TarEntryType.V7RegularFile, name),
                    TarEntryFormat.Ustar => new UstarTarEntry(TarEntryType.RegularFile, name),
                    TarEntryFormat.Gnu => new GnuTarEntry(TarEntryType.RegularFile, name),
                    _ => new PaxTarEntry(TarEntryType.RegularFile, name),
                };
                entry.DataStream = new MemoryStream(contents);
                writer.WriteEntry(entry);
            }
        }

        return tar.ToArray();
    }

    /// <summary>Sets bits in the first entry of a zip archive: in its own header, and in the directory at the end.</summary>
    private static byte[] Patch(byte[] zip, int local, int central, byte bits)
    {
        byte[] patched = [.. zip];
        patched[local] |= bits;
        patched[patched.AsSpan().IndexOf("PK\x01\x02"u8) + central] |= bits;
        return patched;
    }

    private static byte[] PatchLength(byte[] zip, int length)
    {
        byte[] patched = [.. zip];
        BitConverter.TryWriteBytes(patched.AsSpan(patched.AsSpan().IndexOf("PK\x01\x02"u8) + 24), length);
        return patched;
    }

    private static string[] Read(string path) => [.. Corpus.Open(path).ReadDocuments().Select(document => Encoding.UTF8.GetString(document.Utf8.Span))];

    private static string Fail(string path) => Assert.Throws<LociException>(() => Read(path)).Message;

    private void AssertRefused(string name, byte[] contents, string? problem)
    {
        var path = _folder.Write(name, contents);
        Assert.Equal(problem is null ? $"{path} {NoText}" : problem[0] == ' ' ? path + problem : $"Cannot read {path}{problem}", Fail(path));
    }
}
