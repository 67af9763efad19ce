using Loci.Numerics.Operations;
using Xunit;
using Matrix = Loci.Reference.Matrix;

namespace Loci.Numerics.Tests;

/// <summary>The operations of RWKV blocks, which have no gradient, against plain loops in double precision.</summary>
public sealed class RwkvOperationTests
{
    private const double Tolerance = 3e-6;

    public static TheoryData<int, int, int> HeadShapes => new() { { 1, 1, 1 }, { 3, 2, 3 }, { 17, 3, 8 }, { 65, 2, 16 }, { 17, 2, 20 }, { 3, 2, 64 }, { 300, 4, 33 } };

    [Theory]
    [MemberData(nameof(HeadShapes))]
    public void TokensAreShifted(int rows, int mixtures, int columns)
    {
        // Two sequences where there are rows for them; the first goes on from a row before, or from zeros.
        var layout = new SequenceLayout();
        layout.Set(rows > 2 ? [0, rows / 3] : [0], rows);
        Input x = Input.Random(1, new Shape(rows, columns)), share = Input.Random(2, new Shape(mixtures, columns)), before = Input.Random(3, new Shape(columns));
        foreach (var continues in (bool[])[true, false])
        {
            Tensor[] Shift(Tape tape, Tensor[] inputs) => [TokenShift.Apply(tape, inputs[0], inputs[1], layout, continues ? inputs[2].Data : default)];
            var expected = new double[mixtures * rows * columns];
            for (var i = 0; i < expected.Length; i++)
            {
                int row = i / columns % rows, column = i % columns;
                var now = (double)x.Values[(row * columns) + column];
                var past = row == 0 ? continues ? before.Values[column] : 0 : layout.Starts.Contains(row) ? 0 : (double)x.Values[((row - 1) * columns) + column];
                expected[i] = now + ((past - now) * share.Values[(i / (rows * columns) * columns) + column]);
            }

            Check([x, share, before], Shift, expected);
        }
    }

    [Theory]
    [MemberData(nameof(HeadShapes))]
    public void LayersAreNormalisedPerHead(int rows, int heads, int width)
    {
        // Values far from 0, whose variance a sum of squares would not give.
        Input x = Input.Random(1, new Shape(rows, heads * width), 1, 100), gain = Input.Random(2, new Shape(heads * width)), bias = Input.Random(3, new Shape(heads * width));
        var expected = new double[rows * heads * width];
        for (var row = 0; row < rows; row++)
        {
            for (var head = 0; head < heads; head++)
            {
                var first = ((row * heads) + head) * width;
                Range columns = new(head * width, (head + 1) * width);
                var part = Reference.LayerNorm.Forward(
                    Matrix.Constants(x.Values.AsSpan(first, width), 1, width), [.. gain.Values[columns].Select(value => (Reference.Real)(double)value)],
                    [.. bias.Values[columns].Select(value => (Reference.Real)(double)value)], 1e-5f);
                Matrix.Values(part).CopyTo(expected, first);
            }
        }

        Check([x, gain, bias], (tape, inputs) => [LayerNorm.Apply(tape, inputs[0], inputs[1], inputs[2], 1e-5f, heads)], expected, 1e-4);
    }

    [Theory]
    [MemberData(nameof(HeadShapes))]
    public void ProductsAreAdded(int rows, int heads, int width)
    {
        Shape shape = new(rows, heads * width);
        Input a = Input.Random(1, shape), b = Input.Random(2, shape), c = Input.Random(3, shape);
        Check([a, b, c], (tape, x) => [MultiplyAdd.Apply(tape, x[0], x[1], x[2])], [.. a.Values.Select((value, i) => ((double)value * b.Values[i]) + c.Values[i])]);
        Check([a, b], (tape, x) => [MultiplyAdd.Apply(tape, x[0], x[1])], [.. a.Values.Select((value, i) => (double)value * b.Values[i])]);
    }

    [Theory]
    [MemberData(nameof(HeadShapes))]
    public void KeysAreDivided(int rows, int heads, int width)
    {
        Shape shape = new(rows, heads * width), vector = new(heads * width);
        Input k = Input.Random(1, shape), rate = Input.Random(2, shape, 0.2, 0.5), removal = Input.Random(3, vector), replacement = Input.Random(4, vector);
        k.Values.AsSpan(0, width).Clear(); // a key of zeros
        double[] removed = [.. k.Values.Select((value, i) => (double)value * removal.Values[i % removal.Values.Length])];
        for (var first = 0; first < removed.Length; first += width)
        {
            var norm = Math.Sqrt(removed[first..(first + width)].Sum(value => value * value));
            for (var i = first; i < first + width; i++)
            {
                removed[i] = norm == 0 ? 0 : removed[i] / norm;
            }
        }

        Check([k, rate, removal, replacement], (tape, x) => [RwkvKeys.Divide(tape, x[0], x[1], x[2], x[3], heads).Removed], removed);
        Check(
            [k, rate, removal, replacement], (tape, x) => [RwkvKeys.Divide(tape, x[0], x[1], x[2], x[3], heads).Written],
            [.. k.Values.Select((value, i) => value * (1 + ((rate.Values[i] - 1.0) * replacement.Values[i % replacement.Values.Length])))]);
    }

    [Theory]
    [MemberData(nameof(HeadShapes))]
    public void OwnValuesAreAdded(int rows, int heads, int width)
    {
        Shape shape = new(rows, heads * width);
        Input q = Input.Random(1, shape), k = Input.Random(2, shape), gain = Input.Random(3, new Shape(heads * width)), v = Input.Random(4, shape), y = Input.Random(5, shape);
        double[] expected = [.. y.Values.Select(value => (double)value)];
        for (var i = 0; i < expected.Length; i++)
        {
            for (var j = i / width * width; j < (i / width * width) + width; j++)
            {
                expected[i] += (double)q.Values[j] * k.Values[j] * gain.Values[j % gain.Values.Length] * v.Values[i];
            }
        }

        Check([q, k, gain, v, y], Add, expected);

        Tensor[] Add(Tape tape, Tensor[] x)
        {
            RwkvKeys.AddOwnValue(tape, x[0], x[1], x[2], x[3], heads, x[4]);
            return [x[4]];
        }
    }

    [Fact]
    public void ShapesAreChecked()
    {
        using var device = new CpuDevice(1);
        using var tape = new Tape(device) { IsRecording = false };
        Tensor x = tape.NewTensor(new Shape(4, 6)), other = tape.NewTensor(new Shape(4, 5)), vector = tape.NewTensor(new Shape(6)), wrong = tape.NewTensor(new Shape(5));
        var layout = new SequenceLayout(1, 4);
        Assert.Throws<ArgumentException>(() => TokenShift.Apply(tape, x, other, layout));
        Assert.Throws<ArgumentException>(() => TokenShift.Apply(tape, x, vector, layout));
        Assert.Throws<ArgumentException>(() => TokenShift.Apply(tape, x, x, new SequenceLayout(1, 3)));
        Assert.Throws<ArgumentException>(() => TokenShift.Apply(tape, x, x, layout, wrong.Data));
        Assert.Throws<ArgumentException>(() => LayerNorm.Apply(tape, x, wrong, vector, 1e-5f));
        Assert.Throws<ArgumentException>(() => LayerNorm.Apply(tape, x, vector, wrong, 1e-5f));
        Assert.Throws<ArgumentException>(() => LayerNorm.Apply(tape, x, vector, vector, 1e-5f, 4));
        Assert.Throws<ArgumentException>(() => MultiplyAdd.Apply(tape, x, other));
        Assert.Throws<ArgumentException>(() => MultiplyAdd.Apply(tape, x, x, other));
        Assert.Throws<ArgumentException>(() => RwkvKeys.Divide(tape, x, other, vector, vector, 2));
        Assert.Throws<ArgumentException>(() => RwkvKeys.Divide(tape, x, x, wrong, vector, 2));
        Assert.Throws<ArgumentException>(() => RwkvKeys.Divide(tape, x, x, vector, vector, 4));
        Assert.Throws<ArgumentException>(() => RwkvKeys.AddOwnValue(tape, x, x, wrong, x, 2, x));
        Assert.Throws<ArgumentException>(() => RwkvKeys.AddOwnValue(tape, x, x, vector, other, 2, x));
        tape.IsRecording = true;
        Assert.Throws<InvalidOperationException>(() => MultiplyAdd.Apply(tape, x, x));
    }

    private static void Check(Input[] inputs, OperationCheck.Operation operation, double[] expected, double tolerance = Tolerance)
    {
        var actual = OperationCheck.Forward(inputs, operation)[0];
        OperationCheck.Close(expected, actual, tolerance, "output");
        Assert.Equal(actual, OperationCheck.Forward(inputs, operation, 3)[0]);
    }
}
