using System.Text.Json;

namespace Loci.Formats;

/// <summary>What is wrong with JSON, in words for the person who wrote it rather than for the one who wrote the reader.</summary>
internal static class JsonProblem
{
    /// <summary>The part of a sentence that says what is wrong and where.</summary>
    public static string Of(Exception exception)
    {
        var message = exception.Message.ReplaceLineEndings(" ");
        var end = message.IndexOf(" Path: $", StringComparison.Ordinal);
        message = (end < 0 ? message : message[..end]).Trim().TrimEnd('.');
        return exception is JsonException { Path.Length: > 2 } json
            ? message.StartsWith("The JSON value could not be converted", StringComparison.Ordinal)
                ? $"the value of '{SafetensorsHeader.Shown(json.Path[2..])}' is not one that this setting can have"
                : $"at '{SafetensorsHeader.Shown(json.Path[2..])}': {message}"
            : message;
    }
}
