using System.IO.Compression;
using System.Text;

namespace Loci.Cli.Demo;

/// <summary>
/// The text that ships with the program: tiny Shakespeare, a megabyte from the plays (public domain), whose last tenth is held out.
/// </summary>
internal static class DemoText
{
    /// <summary>The text to learn from.</summary>
    public static string Training => Read("shakespeare.train.txt.gz");

    /// <summary>The text to measure on.</summary>
    public static string Validation => Read("shakespeare.validation.txt.gz");

    private static string Read(string name)
    {
        using var resource = typeof(DemoText).Assembly.GetManifestResourceStream(name)
            ?? throw new InvalidOperationException($"The program was built without its text {name}.");
        using var reader = new StreamReader(new GZipStream(resource, CompressionMode.Decompress), Encoding.UTF8);
        return reader.ReadToEnd();
    }
}
