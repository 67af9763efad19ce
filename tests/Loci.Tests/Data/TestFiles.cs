using System.IO.Compression;
using System.Text;
using FsCheck;
using FsCheck.Fluent;
using Loci.Data;
using Loci.Formats;

namespace Loci.Tests.Data;

/// <summary>The files in TestData, and generators of texts.</summary>
internal static class TestFiles
{
    private static readonly string Root = FindRoot();
    private static readonly Lazy<BpeTokenizer> LazyGpt2 = new(() =>
        TokenizerFile.ReadGpt2(Read("gpt2/encoder.json.gz"), "encoder.json", Read("gpt2/vocab.bpe.gz"), "vocab.bpe"));

    public static BpeTokenizer Gpt2 => LazyGpt2.Value;

    /// <summary>Novels, plays, and this repository's own sources: a few hundred kilobytes.</summary>
    public static string RealText { get; } =
        Encoding.UTF8.GetString(Read("text/novels.txt.gz"))
        + Encoding.UTF8.GetString(Read("text/shakespeare.txt.gz"))
        + string.Concat(Directory.EnumerateFiles(Path.Combine(Root, "src", "Loci", "Data"), "*.cs").Order(StringComparer.Ordinal).Select(File.ReadAllText));

    public static string PathOf(string name) => Path.Combine(Root, "tests", "Loci.Tests", "TestData", name);

    public static byte[] Read(string name)
    {
        using FileStream file = File.OpenRead(PathOf(name));
        using GZipStream gzip = new(file, CompressionMode.Decompress);
        using MemoryStream contents = new();
        gzip.CopyTo(contents);
        return contents.ToArray();
    }

    /// <summary>Strings of pieces at whose borders tokenizers go wrong; all well-formed, and without characters beyond U+FFFF unless asked for.</summary>
    public static Arbitrary<string> Texts(bool beyondBasicPlane = true, bool loneSurrogates = false)
    {
        List<string> pieces =
        [
            " ", "  ", "\n", "\r\n", "\t", "\u00A0", "\u3000", "\u2028", "\u0085", "\u001C", "\u200B", "\uFEFF",
            "'", "'s", "'t", "'re", "'ve", "'ll", "'m", "'d", "'S", "’s", "'r",
            "a", "the", "Hello", "é", "e\u0301", "ß", "Ω", "日本語", "한국어", "हिन्दी", "ǅ", "ª",
            "0", "42", "½", "Ⅷ", "²", "٣", ".", "!?", "--", "<|endoftext|>", "€", "_", "\0", "\uFFFD",
        ];
        if (beyondBasicPlane)
        {
            pieces.AddRange(["\U0001F600", "\U0001D49C", "\U0001D7D8", "\U00020000", "\U0001F468\u200D\U0001F469"]);
        }

        if (loneSurrogates)
        {
            pieces.AddRange(["\uD800", "\uDBFF", "\uDC00", "\uDFFF", "\uD83D"]);
        }

        return Gen.Elements<string>([.. pieces]).ListOf().Select(string.Concat).ToArbitrary();
    }

    private static string FindRoot()
    {
        string? folder = AppContext.BaseDirectory;
        while (folder is not null && !File.Exists(Path.Combine(folder, "Loci.slnx")))
        {
            folder = Path.GetDirectoryName(folder);
        }

        return folder ?? throw new InvalidOperationException($"No Loci.slnx above {AppContext.BaseDirectory}.");
    }
}

/// <summary>A folder that is deleted after the test.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("loci-tests-").FullName;

    public string Write(string name, string text) => Write(name, Encoding.UTF8.GetBytes(text));

    public string Write(string name, byte[] contents)
    {
        string path = System.IO.Path.Combine(Path, name);
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(path)!);
        File.WriteAllBytes(path, contents);
        return path;
    }

    public static byte[] Gzip(string text)
    {
        using MemoryStream compressed = new();
        using (GZipStream gzip = new(compressed, CompressionLevel.Fastest))
        {
            gzip.Write(Encoding.UTF8.GetBytes(text));
        }

        return compressed.ToArray();
    }

    public static byte[] Zip(params (string Name, byte[] Contents)[] entries)
    {
        using MemoryStream compressed = new();
        using (ZipArchive archive = new(compressed, ZipArchiveMode.Create))
        {
            foreach ((string name, byte[] contents) in entries)
            {
                using Stream entry = archive.CreateEntry(name).Open();
                entry.Write(contents);
            }
        }

        return compressed.ToArray();
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
