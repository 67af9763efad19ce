using System.Numerics;

namespace Loci.Data;

/// <summary>The whole state of a <see cref="RandomGenerator"/>: four words, not all zero.</summary>
/// <param name="S0">First word.</param>
/// <param name="S1">Second word.</param>
/// <param name="S2">Third word.</param>
/// <param name="S3">Fourth word.</param>
internal readonly record struct RandomState(ulong S0, ulong S1, ulong S2, ulong S3);

/// <summary>
/// xoshiro256** (Blackman and Vigna, 2018), seeded by SplitMix64: the same numbers on every machine and .NET version,
/// with a state that can be saved and restored.
/// </summary>
internal sealed class RandomGenerator
{
    private ulong _s0;
    private ulong _s1;
    private ulong _s2;
    private ulong _s3;

    /// <summary>Creates the generator at the start of one of the independent streams of a seed.</summary>
    /// <param name="seed">The seed.</param>
    /// <param name="stream">Which stream of the seed: an epoch, a worker, a purpose.</param>
    public RandomGenerator(ulong seed, ulong stream = 0) => Reset(seed, stream);

    /// <summary>Creates the generator in a saved state.</summary>
    /// <param name="state">The state.</param>
    /// <exception cref="ArgumentException">All four words are zero, which is no state of this generator.</exception>
    public RandomGenerator(RandomState state) => State = state;

    /// <summary>The state: read it to save, set it to continue exactly from there.</summary>
    /// <exception cref="ArgumentException">All four words are zero, which is no state of this generator.</exception>
    public RandomState State
    {
        get => new(_s0, _s1, _s2, _s3);
        set
        {
            if ((value.S0 | value.S1 | value.S2 | value.S3) == 0)
            {
                throw new ArgumentException("A random state of four zero words is not valid.", nameof(value));
            }

            (_s0, _s1, _s2, _s3) = (value.S0, value.S1, value.S2, value.S3);
        }
    }

    /// <summary>Returns to the start of a stream of a seed.</summary>
    /// <param name="seed">The seed.</param>
    /// <param name="stream">Which stream of the seed.</param>
    public void Reset(ulong seed, ulong stream = 0)
    {
        ulong counter = Hash(seed, stream);
        _s0 = Mix(counter += Golden);
        _s1 = Mix(counter += Golden);
        _s2 = Mix(counter += Golden);
        _s3 = Mix(counter + Golden);
    }

    /// <summary>Returns 64 random bits.</summary>
    public ulong NextUInt64()
    {
        ulong result = BitOperations.RotateLeft(_s1 * 5, 7) * 9;
        ulong shifted = _s1 << 17;
        _s2 ^= _s0;
        _s3 ^= _s1;
        _s1 ^= _s2;
        _s0 ^= _s3;
        _s2 ^= shifted;
        _s3 = BitOperations.RotateLeft(_s3, 45);
        return result;
    }

    /// <summary>Returns an unbiased integer in [0, <paramref name="exclusiveBound"/>) (Lemire, 2019).</summary>
    /// <param name="exclusiveBound">The bound, at least 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">The bound is not positive.</exception>
    public int NextInt32(int exclusiveBound)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(exclusiveBound);
        uint bound = (uint)exclusiveBound;
        ulong product = (NextUInt64() >> 32) * bound;
        if ((uint)product < bound)
        {
            uint threshold = (0u - bound) % bound;
            while ((uint)product < threshold)
            {
                product = (NextUInt64() >> 32) * bound;
            }
        }

        return (int)(product >> 32);
    }

    /// <summary>Returns a number in [0, 1), a multiple of 2^-24.</summary>
    public float NextSingle() => (NextUInt64() >> 40) * (1f / (1 << 24));

    /// <summary>Returns a number in [0, 1), a multiple of 2^-53.</summary>
    public double NextDouble() => (NextUInt64() >> 11) * (1.0 / (1L << 53));

    /// <summary>Puts the values in a uniformly random order (Fisher and Yates).</summary>
    /// <param name="values">The values.</param>
    public void Shuffle(Span<int> values)
    {
        for (int i = values.Length - 1; i > 0; i--)
        {
            int j = NextInt32(i + 1);
            (values[i], values[j]) = (values[j], values[i]);
        }
    }

    /// <summary>A well-mixed 64-bit hash of a seed and a value.</summary>
    internal static ulong Hash(ulong seed, ulong value) => Mix(Mix(seed + Golden) + (value * Golden));

    private const ulong Golden = 0x9E3779B97F4A7C15;

    // SplitMix64's finaliser (Stafford's variant 13).
    private static ulong Mix(ulong value)
    {
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
        return value ^ (value >> 31);
    }
}
