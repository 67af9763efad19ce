using Loci.Numerics.Optimization;
using Xunit;

namespace Loci.Numerics.Tests;

public sealed class AdamWTests
{
    [Theory]
    [InlineData(float.PositiveInfinity)]
    [InlineData(1f)]
    public void StepsAreThoseOfTheReference(float limit)
    {
        using var device = new CpuDevice(2);
        using var matrix = Make(device, "matrix", new Shape(7, 5), true, 1);
        using var gain = Make(device, "gain", new Shape(3), false, 2);
        using var optimizer = new AdamW([matrix, gain], new AdamWOptions { WeightDecay = 0.2f, MaximumGradientNorm = limit });
        var twin = new Reference.AdamW(0.9f, 0.95f, 1e-8f);
        double[][] expected = [Values(matrix), Values(gain)];
        for (var step = 0; step < 20; step++)
        {
            var rate = 0.01f * (1 + (step % 3));
            double[][] gradients = [SetGradient(matrix, 10 + step), SetGradient(gain, 50 + step)];
            var norm = Reference.AdamW.ClipGlobalNorm(gradients, limit);
            twin.Step(expected, gradients, rate, [0.2f, 0]);
            var result = optimizer.Step(rate);
            Assert.True(result.IsApplied);
            Assert.Equal(norm, result.GradientNorm, 1e-6);
            OperationCheck.Close(expected[0], Floats(matrix), 2e-6, $"matrix after step {step}");
            OperationCheck.Close(expected[1], Floats(gain), 2e-6, $"gain after step {step}");
        }

        Assert.Equal(20, optimizer.StepCount);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void ANonFiniteGradientSkipsTheStep(float bad)
    {
        using var device = new CpuDevice(1);
        using var parameter = Make(device, "matrix", new Shape(4), true, 1);
        using var optimizer = new AdamW([parameter], new AdamWOptions());
        SetGradient(parameter, 3);
        optimizer.Step(0.1f);
        var before = Floats(parameter);
        var moment = Moment(device, optimizer.SecondMoment(0));
        device.CopyFromHost<float>([1, bad, 1, 1], parameter.Gradient);
        var result = optimizer.Step(0.1f);
        Assert.False(result.IsApplied);
        Assert.False(double.IsFinite(result.GradientNorm));
        Assert.Equal(before, Floats(parameter));
        Assert.Equal(moment, Moment(device, optimizer.SecondMoment(0)));
        Assert.Equal(1, optimizer.StepCount);
    }

    [Fact]
    public void GoingOnFromSavedMomentsHasTheSameBits()
    {
        using var device = new CpuDevice(1);
        using var one = Make(device, "one", new Shape(19), true, 1);
        using var other = Make(device, "other", new Shape(19), true, 1);
        using var optimizer = new AdamW([one], new AdamWOptions());
        for (var step = 0; step < 3; step++)
        {
            SetGradient(one, step);
            optimizer.Step(0.01f);
        }

        using var resumed = new AdamW([other], new AdamWOptions()) { StepCount = optimizer.StepCount };
        other.Load(Floats(one));
        device.CopyFromHost<float>(Moment(device, optimizer.FirstMoment(0)), resumed.FirstMoment(0));
        device.CopyFromHost<float>(Moment(device, optimizer.SecondMoment(0)), resumed.SecondMoment(0));
        for (var step = 3; step < 6; step++)
        {
            SetGradient(one, step);
            SetGradient(other, step);
            optimizer.Step(0.01f);
            resumed.Step(0.01f);
        }

        Assert.Equal(Floats(one), Floats(other));
    }

    [Fact]
    public void AParameterWithoutAGradientIsLeftAlone()
    {
        using var device = new CpuDevice(1);
        using var used = Make(device, "used", new Shape(2), true, 1);
        using var unused = Make(device, "unused", new Shape(2), true, 2);
        using var optimizer = new AdamW([used, unused], new AdamWOptions());
        SetGradient(used, 1);
        var before = Floats(unused);
        optimizer.Step(0.1f);
        Assert.Equal(before, Floats(unused));
        optimizer.ResetGradients();
        Assert.False(used.HasGradient);
    }

    [Fact]
    public void BadSettingsAreRefused()
    {
        using var device = new CpuDevice(1);
        using var parameter = Make(device, "matrix", new Shape(4), true, 1);
        Assert.Throws<ArgumentOutOfRangeException>(() => new AdamW([parameter], new AdamWOptions { Beta1 = 1 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => new AdamW([parameter], new AdamWOptions { Epsilon = 0 }));
        Assert.Throws<ArgumentException>(() => new AdamW([parameter, parameter], new AdamWOptions()));
        using var optimizer = new AdamW([parameter], new AdamWOptions());
        Assert.Throws<ArgumentOutOfRangeException>(() => optimizer.Step(float.NaN));
    }

    private static Parameter Make(Device device, string name, Shape shape, bool decays, int seed)
    {
        var parameter = new Parameter(device, name, shape, decays);
        parameter.Load(Input.Random(seed, shape).Values);
        return parameter;
    }

    private static double[] SetGradient(Parameter parameter, int seed)
    {
        parameter.EnsureGradient();
        var values = Input.Random(100 + seed, parameter.Shape).Values;
        parameter.Device.CopyFromHost<float>(values, parameter.Gradient);
        parameter.HasGradient = true;
        return Array.ConvertAll(values, value => (double)value);
    }

    private static float[] Floats(Parameter parameter)
    {
        var values = new float[parameter.Shape.Count];
        parameter.Save(values);
        return values;
    }

    private static double[] Values(Parameter parameter) => Array.ConvertAll(Floats(parameter), value => (double)value);

    private static float[] Moment(Device device, DeviceSpan<float> moment)
    {
        var values = new float[moment.Length];
        device.CopyToHost(moment, values);
        return values;
    }
}
