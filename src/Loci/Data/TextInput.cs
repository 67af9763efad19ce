using System.Text;
using Loci.Formats;

namespace Loci.Data;

/// <summary>
/// Text that people give: UTF-8, whose byte order mark is dropped. Anything else is refused with a sentence that says how to convert it.
/// </summary>
internal static class TextInput
{
    /// <summary>Reads a text file.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="LociException">It is missing, cannot be read or is not text in UTF-8.</exception>
    public static string ReadFile(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        try
        {
            using var reader = OpenReader(File.OpenRead(path), path);
            return reader.ReadToEnd();
        }
        catch (Exception exception) when (FileFailure.Is(exception))
        {
            throw FileFailure.Reading(path, exception);
        }
    }

    /// <summary>Reads bytes as text.</summary>
    /// <param name="utf8">The bytes.</param>
    /// <param name="name">What they are called in messages.</param>
    /// <exception cref="LociException">They are not text in UTF-8.</exception>
    public static string Decode(ReadOnlyMemory<byte> utf8, string name)
    {
        using var reader = OpenReader(new MemoryStream(utf8.ToArray(), writable: false), name);
        return reader.ReadToEnd();
    }

    /// <summary>Reads a stream, such as standard input, as text. No more is read than what is asked for needs.</summary>
    /// <param name="stream">The bytes; disposed with the reader.</param>
    /// <param name="name">What they are called in messages.</param>
    /// <returns>A reader that throws <see cref="LociException"/> where the stream cannot be read or is not text in UTF-8.</returns>
    public static TextReader OpenReader(Stream stream, string name)
    {
        ArgumentNullException.ThrowIfNull(stream);
        ArgumentException.ThrowIfNullOrEmpty(name);
        return new StreamReader(new Utf8Stream(stream, name), new UTF8Encoding(false), detectEncodingFromByteOrderMarks: false);
    }
}
