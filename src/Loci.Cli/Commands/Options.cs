using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Numerics;
using Loci.Cli.Terminal;
using Loci.Data;
using Loci.Numerics;
using static System.FormattableString;

namespace Loci.Cli.Commands;

/// <summary>Options whose errors are sentences that name the option, the range and what was given.</summary>
internal static class Options
{
    private const NumberStyles Floating = NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent;
    private const string TooSmall = ", which is too small to be told from 0";

    /// <summary>A whole number.</summary>
    public static Option<T?> Whole<T>(string name, string description, T least, T? most = null) where T : struct, IBinaryInteger<T>, IMinMaxValue<T> =>
        Parsed<T>(
            name, description, "N",
            text => T.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) && number >= least && number <= (most ?? T.MaxValue)
                ? number
                : null,
            most is null ? $"a whole number of at least {least}" : $"a whole number from {least} to {most}");

    /// <summary>A number, which models compute with in single precision: one that would be 0 or infinite there is refused.</summary>
    public static Option<double?> Number(string name, string description, double least, double most = float.MaxValue, bool excludesLeast = false) =>
        Parsed<double>(
            name, description, "X",
            text => double.TryParse(text, Floating, CultureInfo.InvariantCulture, out var number)
                && (excludesLeast ? number > least : number >= least) && number <= most && !Vanishes(text)
                ? number
                : null,
            Invariant($"a number {(excludesLeast ? "above" : "of at least")} {least}{(most < float.MaxValue ? $" and at most {most}" : "")}"),
            text => Vanishes(text) ? TooSmall : "");

    /// <summary>A length of time.</summary>
    public static Option<TimeSpan?> Duration(string name, string description) =>
        Parsed<TimeSpan>(name, description, "TIME", ParseDuration, "a length of time such as 90s, 30m or 2h");

    /// <summary>A number of bytes.</summary>
    public static Option<long?> Size(string name, string description) =>
        Parsed<long>(name, description, "SIZE", ParseSize, "a size such as 512M or 2G");

    /// <summary>Several values, divided by commas, each once.</summary>
    public static Option<T[]?> List<T>(string name, string description, string helpName, string expected, Func<string, T?> parse) where T : struct => new(name)
    {
        Description = description,
        HelpName = helpName,
        Arity = ArgumentArity.ExactlyOne,
        CustomParser = result =>
        {
            var text = result.Tokens is [var token] ? token.Value : "";
            var words = text.Split(',', StringSplitOptions.TrimEntries);
            T?[] values = [.. words.Select(parse)];
            if (values.Contains(null))
            {
                result.AddError($"{name} takes {expected}, not '{text}'.");
                return null;
            }

            if (Array.FindIndex(values, value => values.Count(other => Equals(other, value)) > 1) is >= 0 and var twice)
            {
                result.AddError($"{name} gives {words[twice]} twice; give it once.");
                return null;
            }

            return [.. values.Select(value => value!.Value)];
        },
    };

    /// <summary>Several numbers of tokens, each once.</summary>
    public static Option<int[]?> Lengths(string name, string description, int least, int most = int.MaxValue) => List<int>(
        name, description, "N,N,...",
        $"whole numbers of tokens {(most < int.MaxValue ? $"from {least} to {most}" : $"of at least {least}")} such as 1024,4096 or 1K,4K",
        text => ParseLength(text) is { } length && length >= least && length <= most ? length : null);

    /// <summary>Several depths in a context, each once.</summary>
    public static Option<double[]?> Depths(string description) => List<double>(
        "--depths", description, "X,X,...", "numbers from 0 to 1 such as 0,0.5,1",
        text => double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var depth) && depth is >= 0 and <= 1 ? depth : null);

    /// <summary>Something to be done or not: the option stands alone, and what is behind it is another argument.</summary>
    public static Option<bool> Flag(string name, string description) => new(name) { Description = description, Arity = ArgumentArity.Zero };

    /// <summary>One of some words.</summary>
    public static Option<T?> Choice<T>(string name, string description, params (string Word, T Value)[] choices) where T : struct
    {
        var words = string.Join(", ", choices.Select(choice => choice.Word));
        return Parsed<T>(
            name, $"{description}: {words}.", string.Join('|', choices.Select(choice => choice.Word)),
            text => choices.Where(choice => choice.Word == text).Select(choice => (T?)choice.Value).FirstOrDefault(), "one of " + words);
    }

    /// <summary>One of some words.</summary>
    public static Option<string?> Word(string name, string description, IReadOnlyCollection<string> words)
    {
        var option = new Option<string?>(name) { Description = $"{description}: {string.Join(", ", words)}.", HelpName = string.Join('|', words) };
        option.Validators.Add(result =>
        {
            if (result.Tokens is [{ Value: var word }] && !words.Contains(word))
            {
                result.AddError($"{name} takes one of {string.Join(", ", words)}, not '{word}'.");
            }
        });
        return option;
    }

    /// <summary>A text, such as a path.</summary>
    public static Option<string?> Text(string name, string description, string helpName, bool required = false)
    {
        var option = new Option<string?>(name) { Description = description, HelpName = helpName, Required = required };
        option.Validators.Add(result =>
        {
            if (result.Tokens is [{ Value: "" }])
            {
                result.AddError($"{name} must not be empty.");
            }
        });
        return option;
    }

    /// <summary>What divides text into documents.</summary>
    /// <param name="effect">What happens at each.</param>
    public static Option<DocumentSeparator?> Separator(string effect = "memory starts anew at each") => Choice(
        "--separator", $"What divides a text file into documents; {effect} (default file)", ("file", DocumentSeparator.File), ("blank-line", DocumentSeparator.BlankLine),
        ("line", DocumentSeparator.Line), ("endoftext", DocumentSeparator.EndOfText), ("wikitext", DocumentSeparator.WikiText));

    /// <summary>Processor threads.</summary>
    public static Option<int?> Threads() => Whole("--threads", "Processor threads to use (default all cores); does not change the results.", 1, 1024);

    /// <summary>How the weights of a loaded model are stored.</summary>
    public static Option<WeightFormat?> Weights() => Choice(
        "--weights", "How large matrices are stored: int8 is read faster and rounds them (default float32)", ("float32", WeightFormat.Float32), ("int8", WeightFormat.Int8));

    /// <summary>Takes what follows from options alone, so that what is wrong about it is wrong in the command line.</summary>
    /// <exception cref="UsageException">It is not possible.</exception>
    public static T Checked<T>(Func<T> take)
    {
        try
        {
            return take();
        }
        catch (LociException exception)
        {
            throw new UsageException(exception.Message, exception);
        }
    }

    /// <summary>The device that a command runs on.</summary>
    public static Device Device(int? threads) => threads is { } count ? new CpuDevice(count) : new CpuDevice();

    /// <summary>Adds options to a command.</summary>
    public static void Add(this Command command, IEnumerable<Option> options)
    {
        foreach (var option in options)
        {
            command.Add(option);
        }
    }

    /// <summary>Whether an option was given.</summary>
    public static bool IsGiven(this ParseResult result, Option option) => result.GetResult(option) is { Implicit: false };

    /// <summary>A text that was given, or standard input where it is -.</summary>
    public static string ReadText(string given) => given == "-" ? Console.In.ReadToEnd() : given;

    /// <summary>Encodes a text with a progress display.</summary>
    public static TokenizedCorpus Encode(Corpus corpus, Tokenizer tokenizer, string description)
    {
        using var display = ProgressDisplay.Start(description, corpus.SourceLength, ProgressUnit.Bytes);
        return TokenizedCorpus.Encode(corpus, tokenizer, new Reporter<CorpusProgress>(progress => display.Report(progress.BytesDone)));
    }

    /// <summary>The tokens of all documents, each behind an end-of-text token, as a model reads them.</summary>
    public static int[] TokensOf(TokenizedCorpus corpus)
    {
        var tokens = new int[checked(corpus.TokenCount + corpus.DocumentCount)];
        var place = 0;
        for (var i = 0; i < corpus.DocumentCount; i++)
        {
            tokens[place++] = corpus.EndOfTextId;
            corpus.GetDocument(i).CopyTo(tokens.AsSpan(place));
            place += corpus.GetDocument(i).Length;
        }

        return tokens;
    }

    private static Option<T?> Parsed<T>(
        string name, string description, string helpName, Func<string, T?> parse, string expected, Func<string, string>? why = null)
        where T : struct
    {
        return new Option<T?>(name) { Description = description, HelpName = helpName, CustomParser = Parse };

        T? Parse(ArgumentResult result)
        {
            var text = result.Tokens is [var token] ? token.Value : "";
            var value = parse(text);
            if (value is null)
            {
                result.AddError($"{name} takes {expected}, not '{text}'{why?.Invoke(text)}.");
            }

            return value;
        }
    }

    /// <summary>Whether a number other than 0 was typed that is 0 in single precision.</summary>
    private static bool Vanishes(string text) =>
        double.TryParse(text, Floating, CultureInfo.InvariantCulture, out var number) && (float)number == 0
        && text.Split('e', 'E')[0].AsSpan().ContainsAnyInRange('1', '9');

    private static int? ParseLength(string text)
    {
        var unit = text is [.., 'K' or 'k'] ? 1 << 10 : text is [.., 'M' or 'm'] ? 1 << 20 : 1;
        return int.TryParse(unit > 1 ? text[..^1] : text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && (long)number * unit <= int.MaxValue
            ? number * unit
            : null;
    }

    private static long? ParseSize(string text)
    {
        var digits = text.EndsWith("iB", StringComparison.Ordinal) ? text[..^2] : text.EndsWith('B') ? text[..^1] : text;
        var unit = digits.Length == 0 ? 0 : "KMGT".IndexOf(digits[^1], StringComparison.OrdinalIgnoreCase) + 1;
        return double.TryParse(unit > 0 ? digits.AsSpan(0, digits.Length - 1) : digits, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number)
            && number * Math.Pow(1024, unit) is >= 1 and < 1L << 62
            ? (long)(number * Math.Pow(1024, unit))
            : null;
    }

    private static TimeSpan? ParseDuration(string text)
    {
        if (text.Length == 0)
        {
            return null;
        }

        double seconds = text[^1] switch { 's' => 1, 'm' => 60, 'h' => 3600, _ => 0 };
        return seconds > 0 && double.TryParse(text.AsSpan(0, text.Length - 1), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number)
            && number * seconds < 1e8 && TimeSpan.FromSeconds(number * seconds) is var time && time > TimeSpan.Zero
            ? time
            : null;
    }
}

/// <summary>Progress that is told at once, on the thread that reports it.</summary>
internal sealed class Reporter<T>(Action<T> report) : IProgress<T>
{
    public void Report(T value) => report(value);
}
