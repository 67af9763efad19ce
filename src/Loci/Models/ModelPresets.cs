using System.Globalization;
using Loci.Memory;
using static System.FormattableString;

namespace Loci.Models;

/// <summary>The width and depth of a model: what its number of parameters follows from.</summary>
/// <param name="Dimension">D, the width of the residual stream.</param>
/// <param name="Layers">Number of blocks.</param>
/// <param name="Heads">H, which divides the dimension.</param>
public sealed record ModelSize(int Dimension, int Layers, int Heads)
{
    /// <summary>About how many parameters a model of this size has: the embedding, the blocks and, unless it is tied, the output projection.</summary>
    /// <param name="vocabularySize">Number of tokens in the vocabulary.</param>
    /// <param name="tiedEmbeddings">Whether the output projection is the embedding table.</param>
    public long EstimateParameters(int vocabularySize, bool tiedEmbeddings = false)
    {
        long hidden = ((8L * Dimension / 3) + 63) / 64 * 64;
        // Queries, keys, values, gate and output are square; the SwiGLU is three matrices.
        var block = (5L * Dimension * Dimension) + (3 * Dimension * hidden);
        return ((long)vocabularySize * Dimension * (tiedEmbeddings ? 1 : 2)) + (Layers * block);
    }
}

/// <summary>Model configurations from one size dial, a memory and an aggregation.</summary>
public static class ModelPresets
{
    private static readonly (string Name, ModelSize Size)[] Named =
    [
        ("tiny", new ModelSize(64, 2, 2)),
        ("mini", new ModelSize(128, 3, 2)),
        ("8M", new ModelSize(256, 4, 4)),
        ("small", new ModelSize(256, 4, 4)),
        ("20M", new ModelSize(384, 6, 6)),
        ("medium", new ModelSize(512, 8, 8)),
        ("large", new ModelSize(768, 12, 12)),
        ("760M", new ModelSize(1536, 24, 16)), // as in arXiv 2602.24281, as is the next
        ("1.3B", new ModelSize(2048, 18, 8)),
    ];

    private static readonly ModelSize[] Ladder =
    [
        .. from dimension in Enumerable.Range(1, 7).Select(step => 32 * step).Concat(Enumerable.Range(4, 61).Select(step => 64 * step))
           select new ModelSize(dimension, Math.Max(2, dimension / 64), dimension < 256 ? dimension / 32 : dimension / 64),
    ];

    /// <summary>The sizes that have a name, smallest first. 760M and 1.3B are those of arXiv 2602.24281, 8M (also <c>small</c>) is D 256 and 4 layers.</summary>
    public static IReadOnlyList<string> SizeNames { get; } = [.. Named.Select(entry => entry.Name)];

    /// <summary>
    /// Finds a size by its name, or by about how many parameters the model should have: a number, which may end in K, M or B. Layers grow with the width, one for 64 columns,
    /// and heads are 64 wide (32 in models narrower than 256).
    /// </summary>
    /// <param name="text">The name or number, such as <c>tiny</c>, <c>8M</c> or <c>12.5M</c>.</param>
    /// <param name="vocabularySize">Number of tokens in the vocabulary.</param>
    /// <param name="tiedEmbeddings">Whether the output projection is the embedding table.</param>
    /// <exception cref="LociException">It is neither, or no model has so few parameters.</exception>
    public static ModelSize FindSize(string text, int vocabularySize, bool tiedEmbeddings = false)
    {
        ArgumentException.ThrowIfNullOrEmpty(text);
        foreach (var (name, size) in Named)
        {
            if (string.Equals(name, text, StringComparison.OrdinalIgnoreCase))
            {
                return size;
            }
        }

        var wanted = ParseCount(text)
            ?? throw new LociException(ErrorKind.Usage, $"There is no model size '{text}': use {string.Join(", ", SizeNames)}, or a number of parameters such as 12M.");
        var best = Ladder.MinBy(Distance)!;

        // The ladder's steps are within a factor of two of each other; further off means that it does not reach.
        return Distance(best) < Math.Log(2)
            ? best
            : throw new LociException(
                ErrorKind.Usage,
                Invariant($"There is no model of about {text} parameters: with a vocabulary of {vocabularySize:#,0} tokens, embeddings included, the ")
                + (best == Ladder[0] ? $"smallest has {Count(best)}; choose that or a larger size" : $"largest has {Count(best)}; choose that or a smaller size")
                + ", or give the dimension and layers.");

        double Distance(ModelSize size) => Math.Abs(Math.Log(size.EstimateParameters(vocabularySize, tiedEmbeddings) / wanted));
        string Count(ModelSize size) => FormatCount(size.EstimateParameters(vocabularySize, tiedEmbeddings));
    }

    /// <summary>A configuration of a size whose blocks all have the same mixer, with an output projection of its own.</summary>
    /// <param name="size">Width and depth.</param>
    /// <param name="vocabularySize">Number of tokens in the vocabulary.</param>
    /// <param name="mixer">The memory and its cache, or attention.</param>
    /// <exception cref="LociException">The numbers do not fit together.</exception>
    public static ModelConfiguration Create(ModelSize size, int vocabularySize, MixerConfiguration mixer)
    {
        ArgumentNullException.ThrowIfNull(size);
        ArgumentNullException.ThrowIfNull(mixer);
        return new ModelConfiguration
        {
            VocabularySize = vocabularySize,
            Dimension = size.Dimension,
            Layers = size.Layers,
            Heads = size.Heads,
            TiedEmbeddings = false,
            Mixers = [mixer],
        }.Validate();
    }

    private static string FormatCount(long count) => count switch
    {
        >= 1_000_000_000 => Invariant($"{count / 1e9:0.#}B"),
        >= 1_000_000 => Invariant($"{count / 1e6:0.#}M"),
        _ => Invariant($"{count / 1e3:0.#}K"),
    };

    private static double? ParseCount(string text)
    {
        var scale = char.ToUpperInvariant(text[^1]) switch { 'K' => 1e3, 'M' => 1e6, 'B' => 1e9, _ => 1 };
        var digits = scale == 1 ? text : text[..^1];
        return double.TryParse(digits, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number) && number > 0 && double.IsFinite(number)
            ? number * scale
            : null;
    }
}
