using Loci.Numerics;
using Xunit;

namespace Loci.Tests.Caching;

/// <summary>What the comparisons of memories with their reference have in common.</summary>
internal static class ReferenceCheck
{
    /// <summary>Numbers from -1 to 1.</summary>
    public static float[] Values(Random random, int count) => [.. Enumerable.Range(0, count).Select(_ => (float)((2 * random.NextDouble()) - 1))];

    /// <summary>First row of every sequence.</summary>
    public static int[] Starts(int[] lengths) => [.. lengths.Select((_, i) => lengths[..i].Sum())];

    public static float[] Gradient(Tape tape, Tensor tensor)
    {
        Assert.True(tensor.HasGradient);
        var values = new float[tensor.Shape.Count];
        tape.Device.CopyToHost(tensor.Gradient, values);
        return values;
    }

    /// <summary>Compares with a tolerance relative to the largest value and the value itself.</summary>
    public static void Compare(string name, double[] expected, float[] actual, double tolerance, double leastScale = 1e-3)
    {
        Assert.Equal(expected.Length, actual.Length);
        var scale = expected.Select(Math.Abs).Append(leastScale).Max();
        for (var i = 0; i < expected.Length; i++)
        {
            Assert.True(
                Math.Abs(expected[i] - actual[i]) <= tolerance * (scale + Math.Abs(expected[i])),
                $"{name}[{i}]: the reference says {expected[i]:R}, the kernel {actual[i]:R} (largest {scale:G4}).");
        }
    }
}
