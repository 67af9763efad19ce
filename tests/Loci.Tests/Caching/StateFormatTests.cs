using Loci.Memory.Store;
using Loci.Numerics;
using Xunit;

namespace Loci.Tests.Caching;

/// <summary>States in fewer bits.</summary>
public sealed class StateFormatTests
{
    public static TheoryData<StateFormat, int, int> Shapes()
    {
        var data = new TheoryData<StateFormat, int, int>();
        foreach (var format in (ReadOnlySpan<StateFormat>)[StateFormat.Float16, StateFormat.Int8])
        {
            foreach (var width in (ReadOnlySpan<int>)[1, 3, 8, 16, 17, 33, 64])
            {
                data.Add(format, width, 5);
            }
        }

        return data;
    }

    /// <summary>Half precision is exact rounding; whole numbers are within half a step of the group's largest value / 127.</summary>
    [Theory]
    [MemberData(nameof(Shapes))]
    public void ValuesComeBackWithinTheFormatsRounding(StateFormat format, int width, int groups)
    {
        var random = new Random(width);
        float[] scales = [1, 1e-6f, 1000, 1e6f, 1e30f];
        var values = new float[groups * width];
        for (var i = 0; i < values.Length; i++)
        {
            values[i] = (float)(((2 * random.NextDouble()) - 1) * scales[i / width]);
        }

        values[0] = 0;
        var back = Decode(format, values, width, 0, values.Length);
        for (var i = 0; i < values.Length; i++)
        {
            var largest = values.AsSpan(i / width * width, width).ToArray().Max(Math.Abs);
            if (format == StateFormat.Int8)
            {
                Assert.True(Math.Abs(back[i] - values[i]) <= 0.5000001 * largest / 127, $"{values[i]} became {back[i]} beside {largest}.");
            }
            else if (largest <= 65504)
            {
                Assert.Equal((float)(Half)values[i], back[i]);
            }
            else
            {
                Assert.True(Math.Abs(back[i] - values[i]) <= Math.Abs(values[i]) / 2048 + (largest * 1e-9), $"{values[i]} became {back[i]} beside {largest}.");
            }
        }

        // A part of it is the same as that part of the whole.
        for (var first = 0; first < groups; first++)
        {
            Assert.Equal(back[(first * width)..], Decode(format, values, width, first * width, values.Length - (first * width)));
        }
    }

    [Theory]
    [InlineData(StateFormat.Float16)]
    [InlineData(StateFormat.Int8)]
    public void NothingStaysNothingAndNonsenseShows(StateFormat format)
    {
        Assert.All(Decode(format, new float[32], 16, 0, 32), value => Assert.Equal(0, value));
        Assert.All(Decode(format, [.. Enumerable.Repeat(1e-42f, 16)], 16, 0, 16), value => Assert.InRange(value, 0, 1e-6f));
        foreach (var nonsense in (ReadOnlySpan<float>)[float.NaN, float.PositiveInfinity, float.NegativeInfinity])
        {
            var values = new float[32];
            values[3] = nonsense;
            var back = Decode(format, values, 16, 0, 32);
            Assert.Contains(back[..16], value => !float.IsFinite(value));
            Assert.All(back[16..], value => Assert.Equal(0, value));
        }
    }

    [Fact]
    public void FewerBitsTakeLessRoom()
    {
        Assert.Equal(12 * 64 * 64, StateFormat.Float32.StoredLength(12 * 64 * 64, 64));
        Assert.Equal(((12 * 64 * 4) + (12 * 64 * 64 * 2)) / 4, StateFormat.Float16.StoredLength(12 * 64 * 64, 64));
        Assert.Equal(((12 * 64 * 4) + (12 * 64 * 64)) / 4, StateFormat.Int8.StoredLength(12 * 64 * 64, 64));
    }

    private static float[] Decode(StateFormat format, float[] values, int width, int first, int count)
    {
        using var device = new CpuDevice(1);
        var state = device.Allocate<float>(values.Length);
        var stored = device.Allocate<float>(format.StoredLength(values.Length, width));
        var back = device.Allocate<float>(values.Length);
        device.CopyFromHost<float>(values, state);
        device.EncodeState(state, format, width, stored);
        device.DecodeState(stored, format, width, back);
        var whole = new float[values.Length];
        device.CopyToHost(back, whole);
        Kernel(format, stored, values.Length, width, first, count, back);
        var part = new float[values.Length];
        device.CopyToHost(back, part);
        Assert.Equal(whole[first..(first + count)], part[..count]);
        device.Free(state);
        device.Free(stored);
        device.Free(back);
        return part[..count];
    }

    private static unsafe void Kernel(StateFormat format, DeviceSpan<float> stored, long total, int width, long first, long count, DeviceSpan<float> state) =>
        StateCodec.Decode(format, (float*)stored.Address, total, width, first, count, (float*)state.Address);
}
