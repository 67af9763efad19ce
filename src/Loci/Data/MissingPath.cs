using System.Buffers;

namespace Loci.Data;

/// <summary>The sentence for a path at which there is nothing.</summary>
internal static class MissingPath
{
    private static readonly SearchValues<char> SchemeCharacters =
        SearchValues.Create("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+");

    /// <summary>The failure to find a file or folder.</summary>
    /// <param name="path">The path as it was given.</param>
    /// <param name="reads">What is wanted, as the end of the sentence; empty for nothing particular.</param>
    public static LociException Of(string path, string reads) => IsAddress(path)
        ? new(ErrorKind.Usage, $"{path} is an address and not a file: download it first and give the file.")
        : new(ErrorKind.NotFound, reads.Length > 0 ? $"There is no file or folder {path}: {reads}." : $"There is no file or folder {path}; check the path.");

    /// <summary>Whether a path is an address of the web or another service, such as <c>https://example.org/text.zip</c>.</summary>
    public static bool IsAddress(string path)
    {
        var end = path.IndexOf("://", StringComparison.Ordinal);
        return end > 1 && path.AsSpan(0, end).IndexOfAnyExcept(SchemeCharacters) < 0;
    }
}
