using Loci.Data;

namespace Loci.Evaluation.Tasks.Ruler;

/// <summary>The words, numbers and identifiers that RULER's tasks are made of.</summary>
internal static class RulerWords
{
    private static readonly Lazy<string[]> LazyAdjectives = new(() => Read("adjectives.txt"));
    private static readonly Lazy<string[]> LazyNouns = new(() => Read("nouns.txt"));

    /// <summary>The adjectives, none twice.</summary>
    public static string[] Adjectives => LazyAdjectives.Value;

    /// <summary>The nouns, none twice.</summary>
    public static string[] Nouns => LazyNouns.Value;

    /// <summary>A random key or value.</summary>
    public static string Next(RandomGenerator random, NeedleKind kind, int digits) => kind switch
    {
        NeedleKind.Words => $"{Adjectives[random.NextInt32(Adjectives.Length)]}-{Nouns[random.NextInt32(Nouns.Length)]}",
        NeedleKind.Numbers => NextNumber(random, digits),
        _ => NextUuid(random),
    };

    private static string NextNumber(RandomGenerator random, int digits) => string.Create(digits, random, static (text, random) =>
    {
        for (int i = 0; i < text.Length; i++)
        {
            text[i] = (char)('0' + (i == 0 ? 1 + random.NextInt32(9) : random.NextInt32(10)));
        }
    });

    private static string NextUuid(RandomGenerator random)
    {
        ulong high = (random.NextUInt64() & ~0xF000UL) | 0x4000UL;
        ulong low = (random.NextUInt64() & ~(3UL << 62)) | (2UL << 62);
        return $"{high >> 32:x8}-{(high >> 16) & 0xFFFF:x4}-{high & 0xFFFF:x4}-{low >> 48:x4}-{low & 0xFFFF_FFFF_FFFF:x12}";
    }

    private static string[] Read(string name) => [.. HaystackText.ReadResource(name).Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Distinct(StringComparer.Ordinal)];
}
