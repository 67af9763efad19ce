using System.Text;

namespace Loci.Evaluation.Tasks.Metrics;

/// <summary>
/// How near a line of code is to the right one, as LongBench measures it: the ratio of the Python package fuzzywuzzy, which without further packages is that of Python's difflib
/// (Ratcliff and Metzener, 1988), in whole percent.
/// </summary>
internal static class CodeSimilarity
{
    private const int PopularFrom = 200;

    /// <summary>The similarity of the first line that is not a comment or a fence to the right line, 0 to 1.</summary>
    public static double Score(string written, string answer) => Ratio(FirstLine(written), answer) / 100.0;

    /// <summary>The first line without a backtick, <c>#</c> or <c>//</c>, blank lines before the first one left out; empty if there is none.</summary>
    public static string FirstLine(string written) =>
        written.TrimStart('\n').Split('\n').FirstOrDefault(line => !line.Contains('`') && !line.Contains('#') && !line.Contains("//", StringComparison.Ordinal)) ?? "";

    /// <summary>fuzzywuzzy's ratio: whole percent.</summary>
    public static int Ratio(string a, string b)
    {
        if (a == b)
        {
            return 100;
        }

        return a.Length == 0 || b.Length == 0 ? 0 : (int)Math.Round(100 * Gestalt(a, b), MidpointRounding.ToEven);
    }

    /// <summary>Twice the characters in matching blocks, divided by all characters: the longest block that both have, and the same again on either side of it.</summary>
    private static double Gestalt(string first, string second)
    {
        int[] a = [.. first.EnumerateRunes().Select(rune => rune.Value)];
        int[] b = [.. second.EnumerateRunes().Select(rune => rune.Value)];
        var places = new Dictionary<int, List<int>>();
        for (var j = 0; j < b.Length; j++)
        {
            if (!places.TryGetValue(b[j], out var list))
            {
                places[b[j]] = list = [];
            }

            list.Add(j);
        }

        // In longer texts characters that make up more than a hundredth do not begin a block.
        if (b.Length >= PopularFrom)
        {
            foreach (var popular in places.Where(pair => pair.Value.Count > (b.Length / 100) + 1).Select(pair => pair.Key).ToList())
            {
                places.Remove(popular);
            }
        }

        var matches = 0;
        var parts = new Stack<(int AFrom, int ATo, int BFrom, int BTo)>();
        parts.Push((0, a.Length, 0, b.Length));
        while (parts.TryPop(out var part))
        {
            var (i, j, size) = LongestBlock(a, b, places, part.AFrom, part.ATo, part.BFrom, part.BTo);
            if (size > 0)
            {
                matches += size;
                parts.Push((part.AFrom, i, part.BFrom, j));
                parts.Push((i + size, part.ATo, j + size, part.BTo));
            }
        }

        return 2.0 * matches / (a.Length + b.Length);
    }

    /// <summary>The longest block; of several the first one in a, and of these the first one in b.</summary>
    private static (int I, int J, int Size) LongestBlock(int[] a, int[] b, Dictionary<int, List<int>> places, int aFrom, int aTo, int bFrom, int bTo)
    {
        var (bestI, bestJ, bestSize) = (aFrom, bFrom, 0);
        var lengths = new int[b.Length + 1]; // lengths[j + 1]: of the block that ends at i and j
        var next = new int[b.Length + 1];
        for (var i = aFrom; i < aTo; i++)
        {
            Array.Clear(next);
            foreach (var j in places.GetValueOrDefault(a[i]) ?? [])
            {
                if (j < bFrom)
                {
                    continue;
                }

                if (j >= bTo)
                {
                    break;
                }

                var size = next[j + 1] = lengths[j] + 1;
                if (size > bestSize)
                {
                    (bestI, bestJ, bestSize) = (i - size + 1, j - size + 1, size);
                }
            }

            (lengths, next) = (next, lengths);
        }

        // A block goes on over characters that could not begin one.
        while (bestI > aFrom && bestJ > bFrom && a[bestI - 1] == b[bestJ - 1])
        {
            (bestI, bestJ, bestSize) = (bestI - 1, bestJ - 1, bestSize + 1);
        }

        while (bestI + bestSize < aTo && bestJ + bestSize < bTo && a[bestI + bestSize] == b[bestJ + bestSize])
        {
            bestSize++;
        }

        return (bestI, bestJ, bestSize);
    }
}
