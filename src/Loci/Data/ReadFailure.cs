using Loci.Formats;

namespace Loci.Data;

/// <summary>Turns what goes wrong in reading files and archives into one sentence.</summary>
internal static class ReadFailure
{
    public static bool Is(Exception exception) =>
        exception is IOException or InvalidDataException or UnauthorizedAccessException or NotSupportedException;

    public static LociException Of(string name, Exception cause) =>
        new(FileFailure.KindOf(cause), $"Cannot read {name}: {cause.Message.ReplaceLineEndings(" ").TrimEnd('.')}.", cause);

    /// <summary>The items, whose failures become sentences. Around yields nothing can be caught, so each step is taken by hand.</summary>
    public static IEnumerable<T> Guard<T>(string name, IEnumerable<T> items)
    {
        using var enumerator = items.GetEnumerator();
        while (true)
        {
            try
            {
                if (!enumerator.MoveNext())
                {
                    break;
                }
            }
            catch (Exception exception) when (Is(exception))
            {
                throw Of(name, exception);
            }

            yield return enumerator.Current;
        }
    }
}
