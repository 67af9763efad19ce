using Loci.Numerics.Operations;
using Xunit;
using Matrix = Loci.Reference.Matrix;
using Real = Loci.Reference.Real;

namespace Loci.Numerics.Tests;

/// <summary>Row-wise operations against their twins.</summary>
public sealed class LayerOperationTests
{
    public static TheoryData<int, int> Shapes => new() { { 1, 1 }, { 3, 5 }, { 17, 8 }, { 65, 20 }, { 3, 64 }, { 130, 33 } };

    public static TheoryData<int, int, int> HeadShapes =>
        new() { { 1, 1, 1 }, { 3, 2, 3 }, { 17, 3, 8 }, { 65, 2, 16 }, { 17, 2, 20 }, { 3, 2, 64 } };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Linear(int rows, int columns) => OperationCheck.Run(
        [Input.Random(1, new Shape(rows, columns)), Input.Random(2, new Shape(7, columns)), Input.Random(3, new Shape(rows, 7))],
        (tape, x) => [Operations.Linear.Apply(tape, x[0], x[1], x[2])],
        x => [Matrix.Add(Reference.Linear.Forward(x[0], x[1]), x[2])]);

    [Theory]
    [MemberData(nameof(Shapes))]
    public void ScaleByAFactor(int rows, int columns) => OperationCheck.Run(
        [Input.Random(1, new Shape(rows, columns))],
        (tape, x) => [Scale.Apply(tape, x[0], -0.3f)],
        x => [Matrix.Map(x[0], value => value * (double)-0.3f)]);

    [Theory]
    [MemberData(nameof(HeadShapes))]
    public void RmsNormPerHead(int rows, int heads, int width) => OperationCheck.Run(
        [Input.Random(1, new Shape(rows, heads * width)), Input.Random(2, new Shape(heads * width), 0.5, 1)],
        (tape, x) => [RmsNorm.Apply(tape, x[0], x[1], heads, 1e-3f)],
        x => [Reference.RmsNorm.PerHead(x[0], Matrix.Flatten(x[1]), heads, 1e-3f)],
        1e-5);

    [Theory]
    [MemberData(nameof(HeadShapes))]
    public void RmsNormWithoutGain(int rows, int heads, int width) => OperationCheck.Run(
        [Input.Random(1, new Shape(rows, heads * width))],
        (tape, x) => [RmsNorm.Apply(tape, x[0], null, heads, 1e-3f)],
        x => [Reference.RmsNorm.PerHead(x[0], null, heads, 1e-3f)],
        1e-5);

    [Theory]
    [MemberData(nameof(HeadShapes))]
    public void GatedRmsNormOfAllInputs(int rows, int heads, int width) => OperationCheck.Run(
        [Input.Random(1, new Shape(rows, heads * width)), Input.Random(2, new Shape(heads * width), 0.5, 1), Input.Random(3, new Shape(rows, heads * width), 2)],
        (tape, x) => [GatedRmsNorm.Apply(tape, x[0], x[1], x[2], heads, 1e-3f)],
        x => [Matrix.Multiply(Reference.RmsNorm.PerHead(x[0], Matrix.Flatten(x[1]), heads, 1e-3f), Reference.Activation.Silu(x[2]))],
        1e-5);

    [Theory]
    [MemberData(nameof(HeadShapes))]
    public void L2NormalisePerHead(int rows, int heads, int width) => OperationCheck.Run(
        [Input.Random(1, new Shape(rows, heads * width))],
        (tape, x) => [L2Normalise.Apply(tape, x[0], heads, 1e-3f)],
        x => [Reference.L2Norm.Forward(x[0], heads, 1e-3f)],
        1e-5);

    [Fact]
    public void NormsOfZerosAndHugeValuesAreFinite()
    {
        var output = OperationCheck.Forward(
            [new Input(new Shape(3, 4), [0, 0, 0, 0, 1e18f, -1e18f, 1e18f, 1e18f, 1e-20f, 0, 0, 0])],
            (tape, x) => [RmsNorm.Apply(tape, x[0], null), L2Normalise.Apply(tape, x[0], 1)]);
        Assert.All(output[0].Concat(output[1]), value => Assert.True(float.IsFinite(value)));
        Assert.Equal(1, output[0][4], 1e-5);
        Assert.Equal(0.5, output[1][4], 1e-5);
    }

    [Theory]
    [InlineData(ActivationKind.Silu)]
    [InlineData(ActivationKind.Gelu)]
    [InlineData(ActivationKind.Sigmoid)]
    [InlineData(ActivationKind.Softplus)]
    [InlineData(ActivationKind.LogSigmoid)]
    [InlineData(ActivationKind.Tanh)]
    [InlineData(ActivationKind.SquaredRelu)]
    public void Activations(ActivationKind kind)
    {
        foreach (var row in Shapes)
        {
            var (rows, columns) = row.Data;
            OperationCheck.Run(
                [Input.Random(1, new Shape(rows, columns), 3)],
                (tape, x) => [Activation.Apply(tape, kind, x[0])],
                x => [Matrix.Map(x[0], Twin(kind))]);
            OperationCheck.Run(
                [Input.Random(1, new Shape(rows, columns), 3), Input.Random(2, new Shape(columns), 2)],
                (tape, x) => [Activation.Apply(tape, kind, x[0], x[1])],
                x => [Matrix.Map(AddToRows(x[0], x[1]), Twin(kind))]);
        }
    }

    [Fact]
    public void ActivationsOfExtremesAreFinite()
    {
        foreach (var kind in Enum.GetValues<ActivationKind>())
        {
            // 1e30 has no square in float32.
            float[] extremes = [0, -0f, 1e-30f, 88, -88, 104, -104, 1e5f, -1e5f, kind == ActivationKind.SquaredRelu ? 1e19f : 1e30f, -1e30f];
            using var device = new CpuDevice(1);
            using var tape = new Tape(device);
            var x = tape.FromHost(new Shape(extremes.Length), extremes, true);
            var y = Activation.Apply(tape, kind, x);
            Tape.Keep(y);
            tape.Backward(y);
            var gradient = new float[extremes.Length];
            device.CopyToHost(x.Gradient, gradient);
            Assert.All(tape.ToHost(y).Concat(gradient), value => Assert.True(float.IsFinite(value), $"{kind}"));
        }
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void SwiGluOfBothHalves(int rows, int columns) => OperationCheck.Run(
        [Input.Random(1, new Shape(rows, 2 * columns), 2)],
        (tape, x) => [SwiGlu.Apply(tape, x[0])],
        x => [Reference.SwiGlu.Gate(Columns(x[0], 0, columns), Columns(x[0], columns, columns))]);

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Embedding(int rows, int columns)
    {
        const int Vocabulary = 41;
        var random = new Random(rows);
        // Few ids, so that rows of the gradient collect several tokens.
        var ids = Enumerable.Range(0, rows).Select(_ => random.Next(2) == 0 ? 40 : random.Next(Vocabulary)).ToArray();
        OperationCheck.Run(
            [Input.Random(1, new Shape(Vocabulary, columns))],
            (tape, x) => [Operations.Embedding.Apply(tape, DeviceIds(tape, ids), x[0])],
            x => [Reference.Embedding.Forward(x[0], ids)]);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(5)]
    public void EmbeddingRefusesIdsOutsideTheVocabulary(int id)
    {
        using var device = new CpuDevice(1);
        using var tape = new Tape(device);
        var table = tape.FromHost(new Shape(5, 2), new float[10]);
        var failure = Assert.Throws<ArgumentException>(() => Operations.Embedding.Apply(tape, DeviceIds(tape, [0, id, 4]), table));
        Assert.Contains($"{id}", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ARowsBitsDoNotDependOnOtherRows()
    {
        foreach (var columns in (int[])[3, 8, 20, 100])
        {
            var batch = Input.Random(1, new Shape(200, columns), 2);
            var gain = Input.Random(2, new Shape(columns));
            OperationCheck.Operation operation = (tape, x) =>
            [
                RmsNorm.Apply(tape, x[0], x[1]), GatedRmsNorm.Apply(tape, x[0], x[1], Activation.Gelu(tape, x[0]), 1), L2Normalise.Apply(tape, x[0], 1),
                Activation.Silu(tape, x[0]), Activation.Gelu(tape, x[0]), Activation.Sigmoid(tape, x[0], x[1]), Activation.Softplus(tape, x[0]),
            ];
            var whole = OperationCheck.Forward([batch, gain], operation);
            foreach (var row in (int[])[0, 1, 63, 131, 199])
            {
                var single = OperationCheck.Forward([new Input(new Shape(1, columns), batch.Values.AsSpan(row * columns, columns).ToArray()), gain], operation);
                for (var i = 0; i < whole.Length; i++)
                {
                    Assert.Equal(whole[i].AsSpan(row * columns, columns).ToArray(), single[i]);
                }
            }
        }
    }

    internal static DeviceSpan<int> DeviceIds(Tape tape, int[] ids)
    {
        // Tests may leak a little memory rather than carry its owner around.
        var span = tape.Device.Allocate<int>(ids.Length);
        tape.Device.CopyFromHost<int>(ids, span);
        return span;
    }

    internal static Real[,] Columns(Real[,] x, int first, int count)
    {
        var part = new Real[x.GetLength(0), count];
        for (var row = 0; row < x.GetLength(0); row++)
        {
            for (var column = 0; column < count; column++)
            {
                part[row, column] = x[row, first + column];
            }
        }

        return part;
    }

    private static Func<Real, Real> Twin(ActivationKind kind) => kind switch
    {
        ActivationKind.Silu => Real.Silu,
        ActivationKind.Gelu => Real.Gelu,
        ActivationKind.Sigmoid => Real.Sigmoid,
        ActivationKind.Softplus => Real.Softplus,
        ActivationKind.Tanh => Real.Tanh,
        ActivationKind.SquaredRelu => x => Real.Max(x, 0) * Real.Max(x, 0),
        _ => x => -Real.Softplus(-x),
    };

    private static Real[,] AddToRows(Real[,] x, Real[,] bias)
    {
        var sum = new Real[x.GetLength(0), x.GetLength(1)];
        for (var row = 0; row < x.GetLength(0); row++)
        {
            for (var column = 0; column < x.GetLength(1); column++)
            {
                sum[row, column] = x[row, column] + bias[0, column];
            }
        }

        return sum;
    }
}
