using System.Text;
using System.Text.Json;

namespace Loci.Cli.Terminal;

/// <summary>
/// What is behind <see cref="Console"/>. Standard output is what people asked for: a write that fails ends the command. Standard error is
/// the display: the first write that fails makes it silent, and nothing else. A stream that was closed when the process began is never
/// written to or read, because by now another file may have its place.
/// </summary>
internal static class StandardStreams
{
    private static readonly List<IDisposable> s_placeholders = [];
    private static DescriptorStream? s_output;
    private static DescriptorStream? s_error;

    /// <summary>Whether something that should have been shown on standard error was not.</summary>
    public static bool IsDisplayLost => s_error is { Failure: not null };

    /// <summary>Puts them behind the console; first of all, before any file is opened.</summary>
    public static void Install()
    {
        bool[] isGiven = [Descriptor.IsInherited(0), Descriptor.IsInherited(1), Descriptor.IsInherited(2)];
        KeepFilesAway();
        if (isGiven[0])
        {
            StandardInput.Install();
        }
        else
        {
            Console.SetIn(new ClosedInput());
        }

        s_output = new DescriptorStream(1, isGiven[1], failure => throw failure);
        s_error = new DescriptorStream(2, isGiven[2], _ => { });
        Console.SetOut(WriterOf(s_output));
        Console.SetError(WriterOf(s_error));
    }

    /// <summary>Makes sure that everything has been written to standard output.</summary>
    /// <exception cref="OutputException">It has not.</exception>
    public static void Complete()
    {
        Console.Out.Flush();
        s_output?.Complete();
    }

    /// <summary>Writes JSON to standard output, with a line end behind it.</summary>
    public static void WriteJson(Action<Utf8JsonWriter> write) => WriteJson(true, write);

    /// <summary>Writes JSON to standard output, with a line end behind it.</summary>
    public static void WriteJson(bool isIndented, Action<Utf8JsonWriter> write)
    {
        using MemoryStream text = new();
        using (Utf8JsonWriter json = new(text, new JsonWriterOptions { Indented = isIndented }))
        {
            write(json);
        }

        Console.Out.Write(Encoding.UTF8.GetString(text.GetBuffer(), 0, (int)text.Length) + "\n");
    }

    /// <summary>Takes the places of closed streams, so that no file of ours gets what others write to standard error.</summary>
    private static void KeepFilesAway()
    {
        while (!(Descriptor.IsOpen(0) && Descriptor.IsOpen(1) && Descriptor.IsOpen(2)))
        {
            s_placeholders.Add(File.OpenHandle("/dev/null", FileMode.Open, FileAccess.ReadWrite));
        }
    }

    private static StreamWriter WriterOf(Stream stream)
    {
        var encoding = Console.OutputEncoding;
        return new StreamWriter(stream, encoding is UTF8Encoding ? new UTF8Encoding(false) : encoding, 256) { AutoFlush = true };
    }

    /// <summary>Standard input of a process that was started without: at its end for lines, missing for who needs a text.</summary>
    private sealed class ClosedInput : TextReader
    {
        public override string ReadToEnd() =>
            throw new LociException("Standard input is closed: send the text through a pipe, or give it in the command.");
    }
}
