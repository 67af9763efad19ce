namespace Loci.Cli.Terminal;

/// <summary>Command lines that are shown, to be typed or copied into a shell.</summary>
internal static class Shell
{
    private const string Plain = "-_./:=~+,@%";

    /// <summary>A command with its arguments.</summary>
    public static string Command(params IEnumerable<string> words) => string.Join(' ', words.Select(Quote));

    /// <summary>A word so that a shell takes it for that word alone.</summary>
    public static string Quote(string word)
    {
        if (word.Length > 0 && word[0] != '~' && word.All(character => char.IsLetterOrDigit(character) || Plain.Contains(character, StringComparison.Ordinal)))
        {
            return word;
        }

        // Double quotes are read alike by all shells, and single ones take everything else literally.
        return word.AsSpan().ContainsAny("\"$`\\!") ? $"'{word.Replace("'", "'\\''", StringComparison.Ordinal)}'" : $"\"{word}\"";
    }
}
