namespace Loci.Data;

/// <summary>What the name of a file in a folder, or of an entry in an archive, says about it: the same for both.</summary>
internal static class SourceNames
{
    /// <summary>The names that are read, for messages.</summary>
    public const string Kinds = ".txt, .text, .md, .jsonl, .ndjson, these with .gz, or .zip, .tar, .tar.gz, .tgz with such files";

    private static readonly string[] TextExtensions = [".txt", ".text", ".md"];
    private static readonly string[] JsonLinesExtensions = [".jsonl", ".ndjson"];
    private static readonly string[] ArchiveExtensions = [".zip", ".tar", ".tgz"];

    /// <summary>A name with single slashes. It is for order and messages alone: nothing is written under it.</summary>
    public static string Normalize(string name) =>
        string.Join('/', name.Replace('\\', '/').Split('/').Where(part => part is not ("" or ".")));

    /// <summary>Whether it is text or an archive, and not hidden.</summary>
    public static bool IsRead(string name) =>
        !IsHidden(name) && HasAny(WithoutGzip(name), [.. TextExtensions, .. JsonLinesExtensions, .. ArchiveExtensions]);

    /// <summary>Whether it, or a folder it is in, begins with a dot or is what macOS puts in archives beside the files.</summary>
    public static bool IsHidden(string name) => name.Split('/').Any(part => part == "__MACOSX" || (part.StartsWith('.') && part != ".."));

    public static bool IsJsonLines(string name) => HasAny(name, JsonLinesExtensions);

    public static bool IsZip(string name) => HasAny(name, [".zip"]);

    public static bool IsTar(string name) => HasAny(name, [".tar"]);

    public static bool IsGzip(string name) => HasAny(name, [".gz", ".tgz"]);

    /// <summary>The name of what a gzip file holds.</summary>
    public static string WithoutGzip(string name) =>
        HasAny(name, [".tgz"]) ? name[..^4] + ".tar" : HasAny(name, [".gz"]) ? name[..^3] : name;

    private static bool HasAny(string name, IEnumerable<string> extensions) =>
        extensions.Any(extension => name.EndsWith(extension, StringComparison.OrdinalIgnoreCase));
}
