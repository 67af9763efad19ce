using Loci.Numerics.Operations;
using Xunit;

namespace Loci.Numerics.Tests;

/// <summary>Weights rounded to int8: the rounding against its twin, and products with any number of rows and threads against the rounded weights in float32, bit for bit.</summary>
public sealed class Int8Tests
{
    public static TheoryData<int, int> Shapes => new()
    {
        { 1, 1 }, { 3, 31 }, { 64, 32 }, { 65, 33 }, { 63, 64 }, { 130, 100 }, { 50, 257 }, { 200, 300 }, { 257, 1100 },
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void RoundingIsThatOfTheTwin(int outputs, int inputs)
    {
        using var device = new CpuDevice(2);
        var values = Weights(outputs, inputs);
        var weight = new double[outputs, inputs];
        for (var i = 0; i < values.Length; i++)
        {
            weight[i / inputs, i % inputs] = values[i];
        }

        using var rounded = Rounded(device, outputs, inputs, values);
        var expected = Reference.Int8Weights.Round(weight);
        var actual = Unpacked(device, rounded);
        var largest = values.Max(Math.Abs);
        for (var i = 0; i < values.Length; i++)
        {
            Assert.Equal(expected[i / inputs, i % inputs], actual[i]);
            Assert.True(Math.Abs(actual[i] - values[i]) <= 1.01f / 254 * largest);
        }

        Assert.Equal(WeightFormat.Int8, rounded.Format);
        Assert.True(rounded.Bytes >= values.Length);
        if (outputs % 64 == 0 && inputs % 32 == 0)
        {
            Assert.Equal(values.Length * 34 / 32, rounded.Bytes);
        }
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void ProductsHaveTheBitsOfTheRoundedWeights(int outputs, int inputs)
    {
        using var one = new CpuDevice(1);
        var values = Weights(outputs, inputs);
        using var rounded = Rounded(one, outputs, inputs, values);
        using var exact = new Parameter(one, "exact", new Shape(outputs, inputs), true);
        exact.Load(Unpacked(one, rounded));
        using CpuDevice two = new(2), three = new(3);
        using Parameter onTwo = Rounded(two, outputs, inputs, values), onThree = Rounded(three, outputs, inputs, values);
        foreach (var rows in (ReadOnlySpan<int>)[1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 31, 33, 260])
        {
            var x = Input.Random(rows, new Shape(rows, inputs));
            var residual = Input.Random(rows + 1, new Shape(rows, outputs));
            foreach (var added in (Input?[])[null, residual])
            {
                var expected = Product(one, exact, x, added);
                Assert.Equal(expected, Product(one, rounded, x, added));
                Assert.Equal(expected, Product(two, onTwo, x, added));
                Assert.Equal(expected, Product(three, onThree, x, added));

                // A row alone has the bits that it has among others.
                var row = rows / 2;
                var alone = Product(
                    one, rounded, new Input(new Shape(1, inputs), x.Values[(row * inputs)..((row + 1) * inputs)]),
                    added is null ? null : new Input(new Shape(1, outputs), added.Values[(row * outputs)..((row + 1) * outputs)]));
                Assert.Equal(expected[(row * outputs)..((row + 1) * outputs)], alone);
            }
        }
    }

    [Fact]
    public void ProductsAreThoseOfDoublePrecision()
    {
        const int Outputs = 130, Inputs = 300;
        using var device = new CpuDevice(2);
        var values = Weights(Outputs, Inputs);
        var weight = new double[Outputs, Inputs];
        for (var i = 0; i < values.Length; i++)
        {
            weight[i / Inputs, i % Inputs] = values[i];
        }

        var expected = Reference.Int8Weights.Round(weight);
        using var rounded = Rounded(device, Outputs, Inputs, values);
        var x = Input.Random(3, new Shape(5, Inputs));
        var actual = Product(device, rounded, x, null);
        for (var row = 0; row < 5; row++)
        {
            for (var output = 0; output < Outputs; output++)
            {
                double sum = 0, size = 0;
                for (var i = 0; i < Inputs; i++)
                {
                    sum += x.Values[(row * Inputs) + i] * expected[output, i];
                    size += Math.Abs(x.Values[(row * Inputs) + i] * expected[output, i]);
                }

                Assert.True(Math.Abs(sum - actual[(row * Outputs) + output]) <= 1e-6 * (size + 1e-3));
            }
        }
    }

    [Fact]
    public void RoundedWeightsAreForInferenceAlone()
    {
        using var device = new CpuDevice(1);
        using var rounded = Rounded(device, 40, 33, Weights(40, 33));
        rounded.RoundToInt8();
        Assert.Throws<InvalidOperationException>(() => rounded.Save(new float[40 * 33]));
        Assert.Throws<InvalidOperationException>(() => rounded.Load(new float[40 * 33]));
        using var tape = new Tape(device);
        var x = Input.Random(1, new Shape(2, 33));
        Assert.Throws<InvalidOperationException>(() => Linear.Apply(tape, tape.FromHost(x.Shape, x.Values, requiresGradient: true), rounded));
        _ = Linear.Apply(tape, tape.FromHost(x.Shape, x.Values), rounded);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void ValuesThatAreNotFiniteAreRefused(float value)
    {
        using var device = new CpuDevice(1);
        var values = Weights(3, 40);
        values[50] = value;
        Assert.Throws<InvalidOperationException>(() => Rounded(device, 3, 40, values));
        using var vector = new Parameter(device, "gain", new Shape(5), false);
        Assert.Throws<InvalidOperationException>(vector.RoundToInt8);
    }

    private static float[] Weights(int outputs, int inputs)
    {
        var values = Input.Random(outputs + inputs, new Shape(outputs, inputs), 0.02).Values;
        for (var i = 0; i < values.Length; i++)
        {
            // A block of zeros, zeros in between, and blocks that are much larger and much smaller than others.
            var block = i % inputs / 32;
            values[i] *= (block + (i / inputs)) % 7 == 3 ? 0 : i % 11 == 5 ? 0 : MathF.ScaleB(1, (block + (3 * (i / inputs))) % 5 * -6);
        }

        return values;
    }

    private static Parameter Rounded(Device device, int outputs, int inputs, float[] values)
    {
        var parameter = new Parameter(device, "weight", new Shape(outputs, inputs), true);
        parameter.Load(values);
        parameter.RoundToInt8();
        return parameter;
    }

    private static float[] Unpacked(Device device, Parameter rounded)
    {
        using var tape = new Tape(device) { IsRecording = false };
        int[] all = [.. Enumerable.Range(0, rounded.Shape[0])];
        var ids = device.Allocate<int>(all.Length);
        device.CopyFromHost(all, ids);
        var values = tape.ToHost(Embedding.Apply(tape, ids, rounded));
        device.Free(ids);
        return values;
    }

    private static float[] Product(Device device, Parameter weight, Input x, Input? residual)
    {
        using var tape = new Tape(device) { IsRecording = false };
        return tape.ToHost(Linear.Apply(
            tape, tape.FromHost(x.Shape, x.Values), weight, residual is null ? null : tape.FromHost(residual.Shape, residual.Values)));
    }
}
