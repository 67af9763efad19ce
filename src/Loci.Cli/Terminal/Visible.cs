using System.Text;

namespace Loci.Cli.Terminal;

/// <summary>
/// Texts of files, models and people as a terminal may show them: characters that would move the cursor, change its colors or the order of
/// letters
/// appear as escapes, as in JSON; what can be seen stays as it is.
/// </summary>
internal static class Visible
{
    private static TextWriter? s_output;
    private static TextWriter? s_error;

    /// <summary>Standard error for a display that moves the cursor itself.</summary>
    public static TextWriter Error => s_error ?? Console.Error;

    /// <summary>
    /// From now on, what is written to a terminal, and all that is said on standard error, is made visible. Other output stays as it is,
    /// byte for byte.
    /// </summary>
    public static void Install()
    {
        (s_output, s_error) = (Console.Out, Console.Error);
        Console.SetError(new VisibleWriter(s_error));
        if (!Console.IsOutputRedirected)
        {
            Console.SetOut(new VisibleWriter(s_output));
        }
    }

    /// <summary>From now on, output to a terminal stays as it is too.</summary>
    public static void ShowRaw() => Console.SetOut(s_output ?? Console.Out);

    /// <summary>A text on one line: its ends of lines are escaped too.</summary>
    public static string Line(string text)
    {
        if (!text.Any(IsHidden))
        {
            return text;
        }

        StringBuilder line = new();
        foreach (var letter in text)
        {
            _ = IsHidden(letter) ? line.Append(Escape(letter)) : line.Append(letter);
        }

        return line.ToString();
    }

    /// <summary>
    /// Whether a character acts on a terminal instead of being seen: controls (C0, DEL, C1), directions of writing, other ends of lines.
    /// </summary>
    public static bool IsHidden(char letter) => char.IsControl(letter)
        || letter is '\u061C' or '\u200E' or '\u200F' or (>= '\u2028' and <= '\u202E') or (>= '\u2066' and <= '\u2069') or '\uFEFF';

    /// <summary>What stands for such a character.</summary>
    public static string Escape(char letter) => letter switch { '\n' => "\\n", '\r' => "\\r", '\t' => "\\t", _ => $"\\u{(int)letter:X4}" };
}

/// <summary>Makes visible what it passes on; ends of lines and tabs are text.</summary>
internal sealed class VisibleWriter(TextWriter behind) : TextWriter
{
    private bool _isReturn; // whether a carriage return was held back: before a line feed it is the end of a line

    public override Encoding Encoding => behind.Encoding;

    public override void Write(char value) => Write([value]);

    public override void Write(string? value) => Write(value.AsSpan());

    public override void Write(char[] buffer, int index, int count) => Write(buffer.AsSpan(index, count));

    public override void Write(ReadOnlySpan<char> buffer)
    {
        StringBuilder text = new(buffer.Length);
        foreach (var letter in buffer)
        {
            if (_isReturn)
            {
                text.Append(letter == '\n' ? "\r" : Visible.Escape('\r'));
            }

            _isReturn = letter == '\r';
            _ = _isReturn ? text : letter is '\n' or '\t' || !Visible.IsHidden(letter) ? text.Append(letter) : text.Append(Visible.Escape(letter));
        }

        behind.Write(text.ToString());
    }

    public override void WriteLine() => Write(CoreNewLine);

    public override void WriteLine(string? value) => Write(value + NewLine);

    public override void Flush() => behind.Flush();
}
