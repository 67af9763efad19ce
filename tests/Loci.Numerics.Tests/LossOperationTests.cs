using Loci.Numerics.Operations;
using Xunit;
using Real = Loci.Reference.Real;

namespace Loci.Numerics.Tests;

/// <summary>Dropout, the loss and reductions.</summary>
public sealed class LossOperationTests
{
    [Theory]
    [InlineData(1, 1, 2)]
    [InlineData(3, 5, 17)]
    [InlineData(17, 8, 64)]
    [InlineData(65, 20, 33)]
    public void LinearCrossEntropyOfBothInputs(int rows, int columns, int vocabulary)
    {
        var random = new Random(3);
        var targets = Enumerable.Range(0, rows).Select(row => row % 4 == 1 ? -1 : random.Next(vocabulary)).ToArray();
        OperationCheck.Run(
            [Input.Random(1, new Shape(rows, columns)), Input.Random(2, new Shape(vocabulary, columns))],
            (tape, x) => [LinearCrossEntropy.Apply(tape, x[0], x[1], LayerOperationTests.DeviceIds(tape, targets)).Loss],
            x => [One(Reference.CrossEntropy.Forward(Reference.Linear.Forward(x[0], x[1]), targets))],
            1e-5);
    }

    [Fact]
    public void SeveralBlocksOfRowsAreTheSameAsTheirRowsAlone()
    {
        // More rows than a block holds, so that the weight's gradient is summed over blocks.
        const int Rows = 2100, Columns = 3, Vocabulary = 5;
        var x = Input.Random(1, new Shape(Rows, Columns));
        var weight = Input.Random(2, new Shape(Vocabulary, Columns));
        var targets = Enumerable.Range(0, Rows).Select(row => (row % 6) - 1).ToArray();
        OperationCheck.Run(
            [x, weight],
            (tape, inputs) => [LinearCrossEntropy.Apply(tape, inputs[0], inputs[1], LayerOperationTests.DeviceIds(tape, targets)).Loss],
            inputs => [One(Reference.CrossEntropy.Forward(Reference.Linear.Forward(inputs[0], inputs[1]), targets))],
            1e-5);
        OperationCheck.Operation rowLosses = (tape, inputs) =>
            [LinearCrossEntropy.Apply(tape, inputs[0], inputs[1], LayerOperationTests.DeviceIds(tape, targets[..inputs[0].Rows])).RowLosses];
        var all = OperationCheck.Forward([x, weight], rowLosses)[0];
        var some = OperationCheck.Forward([new Input(new Shape(77, Columns), x.Values[..(77 * Columns)]), weight], rowLosses)[0];
        Assert.Equal(all[..77], some);
        Assert.Equal(0, all[0]);
        Assert.True(all[1] > 0);
    }

    [Fact]
    public void MicroBatchesWithACommonNormaliserAddUpToTheWholeBatch()
    {
        const int Rows = 40, Columns = 6, Vocabulary = 11;
        var x = Input.Random(1, new Shape(Rows, Columns));
        var weight = Input.Random(2, new Shape(Vocabulary, Columns));
        var targets = Enumerable.Range(0, Rows).Select(row => row % 3 == 0 ? -1 : row % Vocabulary).ToArray();
        var counted = targets.Count(target => target >= 0);

        using var device = new CpuDevice(1);
        using var parameter = new Parameter(device, "weight", weight.Shape, true);
        parameter.Load(weight.Values);
        var (whole, wholeGradient) = Train([(0, Rows)]);
        var (parts, partsGradient) = Train([(0, 7), (7, 30), (37, 3)]);
        Assert.Equal(whole, parts, 1e-5);
        OperationCheck.Close([.. wholeGradient.Select(value => (double)value)], partsGradient, 3e-6, "gradient");

        (double Loss, float[] Gradient) Train((int First, int Count)[] batches)
        {
            parameter.ResetGradient();
            double sum = 0;
            using var tape = new Tape(device);
            foreach (var (first, count) in batches)
            {
                tape.Reset();
                var hidden = tape.FromHost(new Shape(count, Columns), x.Values.AsSpan(first * Columns, count * Columns));
                var result = LinearCrossEntropy.Apply(tape, hidden, parameter, LayerOperationTests.DeviceIds(tape, targets[first..(first + count)]), counted);
                tape.Backward(result.Loss);
                sum += tape.ToHost(result.Loss)[0];
            }

            var gradient = new float[weight.Values.Length];
            device.CopyToHost(parameter.Gradient, gradient);
            return (sum, gradient);
        }
    }

    [Fact]
    public void LossOfHugeLogitsIsFiniteAndOfNaNIsNaN()
    {
        float Loss(float[] hidden) => OperationCheck.Forward(
            [new Input(new Shape(1, 1), hidden), new Input(new Shape(3, 1), [1, -1, 0.5f])],
            (tape, x) => [LinearCrossEntropy.Apply(tape, x[0], x[1], LayerOperationTests.DeviceIds(tape, [1])).Loss])[0][0];
        Assert.Equal(2e30f, Loss([1e30f]), 1e25f);
        Assert.Equal(0, Loss([-1e30f]));
        Assert.True(float.IsNaN(Loss([float.NaN])));
    }

    [Fact]
    public void ABatchWithoutTargetsHasLossZeroAndNoGradient()
    {
        using var device = new CpuDevice(1);
        using var tape = new Tape(device);
        var x = tape.FromHost(new Shape(2, 2), [1, 2, 3, 4], true);
        var weight = tape.FromHost(new Shape(3, 2), [1, 2, 3, 4, 5, 6], true);
        var result = LinearCrossEntropy.Apply(tape, x, weight, LayerOperationTests.DeviceIds(tape, [-1, -1]));
        tape.Backward(result.Loss);
        Assert.Equal(0, result.Counted);
        Assert.Equal([0f], tape.ToHost(result.Loss));
        var gradient = new float[4];
        device.CopyToHost(x.Gradient, gradient);
        Assert.Equal(new float[4], gradient);
    }

    [Theory]
    [InlineData(-2)]
    [InlineData(3)]
    public void TargetsOutsideTheVocabularyAreRefused(int target)
    {
        using var device = new CpuDevice(1);
        using var tape = new Tape(device);
        var x = tape.FromHost(new Shape(1, 1), [1]);
        var weight = tape.FromHost(new Shape(3, 1), [1, 2, 3]);
        Assert.Throws<ArgumentException>(() => LinearCrossEntropy.Apply(tape, x, weight, LayerOperationTests.DeviceIds(tape, [target])));
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(17, 5)]
    [InlineData(3000, 33)]
    public void DropoutIsItsMask(int rows, int columns)
    {
        var shape = new Shape(rows, columns);
        var x = Input.Random(1, shape);
        var output = OperationCheck.Forward([x], (tape, inputs) => [Apply(tape, inputs[0])])[0];
        var kept = new bool[rows, columns];
        for (var i = 0; i < output.Length; i++)
        {
            kept[i / columns, i % columns] = output[i] != 0;
        }

        if (rows * columns < 1000)
        {
            OperationCheck.Run([x], (tape, inputs) => [Apply(tape, inputs[0])], inputs => [Reference.Dropout.Forward(inputs[0], kept, 0.3f)]);
            OperationCheck.Run(
                [x, Input.Random(2, shape)],
                (tape, inputs) =>
                {
                    tape.IsTraining = true;
                    tape.DropoutSeed = 11;
                    return [Dropout.Add(tape, inputs[1], inputs[0], 0.3f)];
                },
                inputs => [Reference.Matrix.Add(Reference.Dropout.Forward(inputs[0], kept, 0.3f), inputs[1])]);
        }
        else
        {
            // 99000 draws: five standard deviations of the share are 0.0073; of neighbours dropped together 0.0046.
            var dropped = output.Count(value => value == 0) / (double)output.Length;
            Assert.InRange(dropped, 0.3 - 0.0073, 0.3 + 0.0073);
            foreach (var distance in (int[])[1, 2, 8, 33, 4096])
            {
                var pairs = Enumerable.Range(0, output.Length - distance).Count(i => output[i] == 0 && output[i + distance] == 0);
                Assert.InRange(pairs / (double)(output.Length - distance), 0.09 - 0.006, 0.09 + 0.006);
            }
        }

        static Tensor Apply(Tape tape, Tensor x)
        {
            tape.IsTraining = true;
            tape.DropoutSeed = 11;
            return Dropout.Apply(tape, x, 0.3f);
        }
    }

    [Fact]
    public void DropoutMasksDifferWithinAStepAndBetweenSeeds()
    {
        var ones = new Input(new Shape(1000), Enumerable.Repeat(1f, 1000).ToArray());
        var masks = OperationCheck.Forward([ones], (tape, x) =>
        {
            tape.IsTraining = true;
            tape.DropoutSeed = 1;
            var (first, second) = (Dropout.Apply(tape, x[0], 0.5f), Dropout.Apply(tape, x[0], 0.5f));
            tape.DropoutSeed = 2;
            return [first, second, Dropout.Apply(tape, x[0], 0.5f)];
        });
        foreach (var (one, other) in (ReadOnlySpan<(int, int)>)[(0, 1), (0, 2), (1, 2)])
        {
            Assert.InRange(masks[one].Zip(masks[other], (a, b) => a == b ? 1 : 0).Sum(), 400, 600);
        }
    }

    [Fact]
    public void DropoutIsTheIdentityOutsideTraining()
    {
        using var device = new CpuDevice(1);
        using var tape = new Tape(device);
        var x = tape.FromHost(new Shape(2), [1, 2], true);
        Assert.Same(x, Dropout.Apply(tape, x, 0.5f));
        Assert.Equal([2f, 4f], tape.ToHost(Dropout.Add(tape, x, x, 0.5f)));
        tape.IsTraining = true;
        Assert.Same(x, Dropout.Apply(tape, x, 0));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(200_001)]
    public void SumsAreThoseOfDoubles(int count)
    {
        var values = Input.Random(1, new Shape(count)).Values;
        using var device = new CpuDevice(3);
        using var single = new CpuDevice(1);
        var span = device.Allocate<float>(count);
        device.CopyFromHost<float>(values, span);
        var expected = values.Sum(value => (double)value * value);
        Assert.Equal(expected, device.SumOfSquares(span), 1e-12 * expected);
        Assert.Equal(single.SumOfSquares(span), device.SumOfSquares(span));
        Assert.True(device.IsFinite(span));
        var sum = device.Allocate<float>(1);
        device.Sum(span, 0.5, sum);
        var result = new float[1];
        device.CopyToHost(sum, result);
        Assert.Equal(values.Sum(value => (double)value) / 2, result[0], 1e-4);

        foreach (var bad in (float[])[float.NaN, float.PositiveInfinity, float.NegativeInfinity])
        {
            values[count / 2] = bad;
            device.CopyFromHost<float>(values, span);
            Assert.False(device.IsFinite(span));
        }

        device.Free(span);
        device.Free(sum);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(13)]
    [InlineData(140_003)]
    public void FillCopyAndAddScaled(int count)
    {
        var values = Input.Random(1, new Shape(count)).Values;
        using var device = new CpuDevice(2);
        var source = device.Allocate<float>(count);
        var destination = device.Allocate<float>(count);
        device.CopyFromHost<float>(values, source);
        var result = new float[count];
        device.Fill(destination, 3);
        device.AddScaled(source, -2, destination);
        device.CopyToHost(destination, result);
        Assert.Equal(values.Select(value => MathF.FusedMultiplyAdd(value, -2, 3)), result);
        device.Copy(source, destination);
        device.CopyToHost(destination, result);
        Assert.Equal(values, result);
        Assert.Throws<ArgumentException>(() => device.Copy(source, destination.Slice(0, count - 1)));
        device.Free(source);
        device.Free(destination);
    }

    private static Real[,] One(Real value) => new[,] { { value } };
}
