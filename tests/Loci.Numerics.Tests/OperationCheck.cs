using Xunit;
using Matrix = Loci.Reference.Matrix;
using Real = Loci.Reference.Real;
using RealTape = Loci.Reference.RealTape;

namespace Loci.Numerics.Tests;

/// <summary>One input of an operation under test.</summary>
internal sealed record Input(Shape Shape, float[] Values)
{
    public static Input Random(int seed, Shape shape, double scale = 1, double shift = 0)
    {
        var random = new Random(seed);
        var values = new float[shape.Count];
        for (var i = 0; i < values.Length; i++)
        {
            values[i] = (float)(shift + (scale * Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble())));
        }

        return new Input(shape, values);
    }
}

/// <summary>Runs an operation and its double-precision twin and compares outputs and all gradients, and the operation with itself under other circumstances.</summary>
internal static class OperationCheck
{
    public delegate Tensor[] Operation(Tape tape, Tensor[] inputs);

    public delegate Real[][,] Twin(Real[][,] inputs);

    public static void Run(Input[] inputs, Operation operation, Twin twin, double tolerance = 3e-6)
    {
        var seeds = Seeds(inputs, operation);
        var expected = Expected(inputs, twin, seeds);
        var all = Enumerable.Repeat(true, inputs.Length).ToArray();
        var actual = Evaluate(inputs, operation, seeds, 1, all, null);
        for (var i = 0; i < expected.Outputs.Length; i++)
        {
            Close(expected.Outputs[i], actual.Outputs[i], tolerance, $"output {i}");
        }

        for (var i = 0; i < inputs.Length; i++)
        {
            Close(expected.Gradients[i], actual.Gradients[i], tolerance, $"gradient of input {i}");
        }

        foreach (var threads in (int[])[2, 3])
        {
            SameBits(actual, Evaluate(inputs, operation, seeds, threads, all, null), $"with {threads} threads");
        }

        // Each gradient alone, which leaves the others' spans empty.
        for (var i = 0; i < inputs.Length; i++)
        {
            var only = new bool[inputs.Length];
            only[i] = true;
            var alone = Evaluate(inputs, operation, seeds, 1, only, null);
            Assert.Equal(actual.Gradients[i], alone.Gradients[i]);
        }

        // Gradients that are there already are added to.
        var present = inputs.Select((input, i) => Input.Random(900 + i, input.Shape).Values).ToArray();
        var added = Evaluate(inputs, operation, seeds, 2, all, present);
        for (var i = 0; i < inputs.Length; i++)
        {
            var sum = expected.Gradients[i].Zip(present[i], (gradient, before) => gradient + before).ToArray();
            Close(sum, added.Gradients[i], tolerance, $"accumulated gradient of input {i}");
        }
    }

    public static float[][] Forward(Input[] inputs, Operation operation, int threads = 1)
    {
        using var device = new CpuDevice(threads);
        using var tape = new Tape(device) { IsRecording = false };
        var outputs = operation(tape, [.. inputs.Select(input => tape.FromHost(input.Shape, input.Values))]);
        return [.. outputs.Select(tape.ToHost)];
    }

    /// <summary>Asserts that values lie within a tolerance of the largest expected one, or of 0.1 where all are smaller.</summary>
    public static void Close(IReadOnlyList<double> expected, IReadOnlyList<float> actual, double tolerance, string what)
    {
        Assert.Equal(expected.Count, actual.Count);
        var scale = expected.Count == 0 ? 0 : expected.Max(Math.Abs);
        for (var i = 0; i < expected.Count; i++)
        {
            Assert.True(
                Math.Abs(expected[i] - actual[i]) <= tolerance * Math.Max(scale, 0.1),
                $"{what}, element {i}: expected {expected[i]:R}, got {actual[i]:R} (largest {scale:R})");
        }
    }

    private static float[][] Seeds(Input[] inputs, Operation operation) =>
        [.. Forward(inputs, operation).Select((output, i) => Input.Random(500 + i, new Shape(output.Length)).Values)];

    private static Expectation Expected(Input[] inputs, Twin twin, float[][] seeds)
    {
        var tape = new RealTape();
        var variables = inputs.Select(input => tape.Variables(input.Values, input.Shape.Rows, input.Shape.Columns)).ToArray();
        var outputs = twin(variables);
        var gradient = tape.Gradient(
            [.. outputs.SelectMany(Matrix.Flatten)], [.. seeds.SelectMany(seed => seed).Select(value => (double)value)]);
        return new Expectation([.. outputs.Select(Matrix.Values)], [.. variables.Select(gradient.Of)]);
    }

    private static Result Evaluate(Input[] inputs, Operation operation, float[][] seeds, int threads, bool[] wanted, float[][]? present)
    {
        using var device = new CpuDevice(threads);
        using var tape = new Tape(device);
        var tensors = inputs.Select((input, i) => tape.FromHost(input.Shape, input.Values, wanted[i])).ToArray();
        if (present is not null)
        {
            for (var i = 0; i < inputs.Length; i++)
            {
                device.CopyFromHost(present[i], tape.GradientOf(tensors[i], out _));
            }
        }

        var outputs = operation(tape, tensors);
        foreach (var output in outputs)
        {
            Tape.Keep(output);
        }

        for (var i = 1; i < outputs.Length; i++)
        {
            device.CopyFromHost(seeds[i], tape.GradientOf(outputs[i], out _));
        }

        tape.Backward(outputs[0], seeds[0]);
        var gradients = new float[inputs.Length][];
        for (var i = 0; i < inputs.Length; i++)
        {
            gradients[i] = new float[wanted[i] ? inputs[i].Values.Length : 0];
            device.CopyToHost(tensors[i].Gradient, gradients[i]);
        }

        return new Result([.. outputs.Select(tape.ToHost)], gradients);
    }

    private static void SameBits(Result expected, Result actual, string what)
    {
        foreach (var (one, other) in expected.Outputs.Concat(expected.Gradients).Zip(actual.Outputs.Concat(actual.Gradients)))
        {
            Assert.True(one.AsSpan().SequenceEqual(other), $"other bits {what}");
        }
    }

    private sealed record Expectation(double[][] Outputs, double[][] Gradients);

    private sealed record Result(float[][] Outputs, float[][] Gradients);
}
