using Loci.Numerics.Operations;
using Xunit;

namespace Loci.Numerics.Tests;

/// <summary>Operations along sequences against their twins.</summary>
public sealed class SequenceOperationTests
{
    /// <summary>Rows, and where sequences start.</summary>
    public static TheoryData<int, int[]> Layouts => new()
    {
        { 1, [0] }, { 3, [0] }, { 3, [0, 1, 2] }, { 17, [0, 5, 7] }, { 65, [0] }, { 65, [0, 1, 40] }, { 130, [0, 64, 67] },
    };

    [Theory]
    [MemberData(nameof(Layouts))]
    public void ShortConvolutionOfEveryWidth(int rows, int[] starts)
    {
        var layout = Layout(rows, starts);
        foreach (var (columns, width) in (ReadOnlySpan<(int, int)>)[(1, 1), (5, 2), (3, 3), (8, 4), (20, 4), (9, 8)])
        {
            OperationCheck.Run(
                [Input.Random(1, new Shape(rows, columns)), Input.Random(2, new Shape(columns, width))],
                (tape, x) => [ShortConvolution.Apply(tape, x[0], x[1], layout)],
                x => [Reference.Activation.Silu(Reference.CausalConvolution.Forward(x[0], x[1], starts))],
                1e-5);
        }
    }

    [Theory]
    [MemberData(nameof(Layouts))]
    public void ShortConvolutionInParts(int rows, int[] starts)
    {
        var layout = Layout(rows, starts);
        foreach (var head in (int[])[3, 8, 16])
        {
            ConvolutionPart q = new(2 * head, head), k = new(head, head), v = new(5);
            var columns = (3 * head) + 5;
            OperationCheck.Run(
                [Input.Random(1, new Shape(rows, columns)), Input.Random(2, new Shape(columns, 4))],
                (tape, x) =>
                {
                    var (first, second, third) = ShortConvolution.Apply(tape, x[0], x[1], layout, q, k, v, 1e-2f);
                    return [first, second, third];
                },
                x =>
                {
                    var y = Reference.Activation.Silu(Reference.CausalConvolution.Forward(x[0], x[1], starts));
                    return
                    [
                        Reference.L2Norm.Forward(LayerOperationTests.Columns(y, 0, 2 * head), 2, 1e-2f),
                        Reference.L2Norm.Forward(LayerOperationTests.Columns(y, 2 * head, head), 1, 1e-2f),
                        LayerOperationTests.Columns(y, 3 * head, 5),
                    ];
                },
                1e-5);
        }
    }

    [Fact]
    public void ShortConvolutionWithAnUnusedPartGivesItZeroGradients()
    {
        using var device = new CpuDevice(2);
        using var tape = new Tape(device);
        var x = tape.FromHost(new Shape(5, 9), Input.Random(1, new Shape(45)).Values, true);
        var weight = tape.FromHost(new Shape(9, 4), Input.Random(2, new Shape(36)).Values, true);
        var (_, second, _) = ShortConvolution.Apply(
            tape, x, weight, new SequenceLayout(1, 5), new ConvolutionPart(3), new ConvolutionPart(3, 3), new ConvolutionPart(3));
        tape.Backward(second, Input.Random(3, new Shape(15)).Values);
        var dx = new float[45];
        var dWeight = new float[36];
        device.CopyToHost(x.Gradient, dx);
        device.CopyToHost(weight.Gradient, dWeight);
        for (var i = 0; i < dx.Length; i++)
        {
            Assert.Equal(i % 9 is >= 3 and < 6, dx[i] != 0);
        }

        Assert.All(dWeight[..12].Concat(dWeight[24..]), value => Assert.Equal(0, value));
        Assert.All(dWeight[12..24], value => Assert.NotEqual(0, value));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    [InlineData(8)]
    public void ShortConvolutionByStepsHasTheSameBits(int width)
    {
        const int Batch = 3, Length = 11, Columns = 26;
        var input = Input.Random(1, new Shape(Batch * Length, Columns));
        var weight = Input.Random(2, new Shape(Columns, width));
        ConvolutionPart q = new(10, 5), k = new(10, 10), v = new(6);
        var layout = new SequenceLayout(Batch, Length);
        var whole = OperationCheck.Forward([input, weight], (tape, x) =>
        {
            var (first, second, third) = ShortConvolution.Apply(tape, x[0], x[1], layout, q, k, v);
            return [first, second, third];
        });

        using var device = new CpuDevice(1);
        using var tape = new Tape(device) { IsRecording = false };
        var state = device.Allocate<float>(Batch * (width - 1) * Columns);
        device.Clear(state);
        for (var t = 0; t < Length; t++)
        {
            var rows = new float[Batch * Columns];
            for (var sequence = 0; sequence < Batch; sequence++)
            {
                input.Values.AsSpan(((sequence * Length) + t) * Columns, Columns).CopyTo(rows.AsSpan(sequence * Columns));
            }

            var x = tape.FromHost(new Shape(Batch, Columns), rows);
            var (first, second, third) = ShortConvolution.Step(tape, x, tape.FromHost(weight.Shape, weight.Values), state, q, k, v);
            foreach (var (expected, actual, columns) in (ReadOnlySpan<(float[], Tensor, int)>)[(whole[0], first, 10), (whole[1], second, 10), (whole[2], third, 6)])
            {
                var values = tape.ToHost(actual);
                for (var sequence = 0; sequence < Batch; sequence++)
                {
                    Assert.Equal(
                        expected.AsSpan(((sequence * Length) + t) * columns, columns).ToArray(), values.AsSpan(sequence * columns, columns).ToArray());
                }
            }

            tape.Reset();
        }

        device.Free(state);
    }

    [Theory]
    [MemberData(nameof(Layouts))]
    public void RotaryHalfSplit(int rows, int[] starts)
    {
        var layout = Layout(rows, starts);
        foreach (var (heads, width) in (ReadOnlySpan<(int, int)>)[(1, 2), (3, 8), (2, 20), (1, 64)])
        {
            OperationCheck.Run(
                [Input.Random(1, new Shape(rows, heads * width))],
                (tape, x) => [Rotary.Apply(tape, x[0], layout, new RotaryTable(tape.Device, width, 500), 7)],
                x => [Reference.Rotary.Forward(x[0], heads, starts, 500, Reference.RotaryLayout.HalfSplit, 7)]);
        }
    }

    [Fact]
    public void RotaryTakesAPositionPerSequence()
    {
        var input = Input.Random(1, new Shape(3, 8));
        using var device = new CpuDevice(1);
        using var tape = new Tape(device) { IsRecording = false };
        using var table = new RotaryTable(device, 8);
        var layout = new SequenceLayout(3, 1);
        var y = tape.ToHost(Rotary.Apply(tape, tape.FromHost(input.Shape, input.Values), layout, table, [5, 0, 1000]));
        foreach (var (sequence, position) in (ReadOnlySpan<(int, int)>)[(0, 5), (1, 0), (2, 1000)])
        {
            var all = tape.ToHost(Rotary.Apply(tape, tape.FromHost(input.Shape, input.Values), layout, table, position));
            Assert.Equal(all.AsSpan(sequence * 8, 8).ToArray(), y.AsSpan(sequence * 8, 8).ToArray());
        }
    }

    [Theory]
    [MemberData(nameof(Layouts))]
    public void SoftmaxAttentionOfSeveralHeads(int rows, int[] starts)
    {
        var layout = Layout(rows, starts);
        foreach (var (heads, width) in (ReadOnlySpan<(int, int)>)[(1, 1), (2, 3), (2, 20)])
        {
            var shape = new Shape(rows, heads * width);
            OperationCheck.Run(
                [Input.Random(1, shape), Input.Random(2, shape), Input.Random(3, shape)],
                (tape, x) => [SoftmaxAttention.Apply(tape, x[0], x[1], x[2], layout, heads)],
                x => [Reference.CausalAttention.Forward(x[0], x[1], x[2], heads, starts)],
                1e-5);
        }
    }

    [Fact]
    public void SoftmaxAttentionWithHugeScoresIsFinite()
    {
        var shape = new Shape(130, 8);
        Input q = Input.Random(1, shape, 100), k = Input.Random(2, shape, 100), v = Input.Random(3, shape);
        var layout = new SequenceLayout(1, 130);
        OperationCheck.Run(
            [q, k, v],
            (tape, x) => [SoftmaxAttention.Apply(tape, x[0], x[1], x[2], layout, 2)],
            x => [Reference.CausalAttention.Forward(x[0], x[1], x[2], 2, [0])],
            3e-2);
    }

    [Fact]
    public void SoftmaxAttentionByStepsIsTheSame()
    {
        const int Length = 600, Columns = 12;
        var shape = new Shape(2 * Length, Columns);
        Input q = Input.Random(1, shape), k = Input.Random(2, shape), v = Input.Random(3, shape);
        var layout = new SequenceLayout(2, Length);
        var whole = OperationCheck.Forward([q, k, v], (tape, x) => [SoftmaxAttention.Apply(tape, x[0], x[1], x[2], layout, 2)])[0];

        using var device = new CpuDevice(2);
        using var tape = new Tape(device) { IsRecording = false };
        var together = new float[2][];
        foreach (var (sequence, first, rows) in ((int, int, int)[])
            [(0, 0, 600), (1, 0, 600), (0, 0, 1), (1, 1, 2), (0, 63, 1), (1, 64, 1), (0, 255, 1), (0, 256, 1), (1, 250, 8), (1, 240, 70), (0, 510, 4), (0, 599, 1)])
        {
            float[] Rows(float[] values, int row, int count) => values.AsSpan(((sequence * Length) + row) * Columns, count * Columns).ToArray();
            using Pages keys = new(device, Rows(k.Values, 0, first + rows)), values = new(device, Rows(v.Values, 0, first + rows));
            var query = tape.FromHost(new Shape(rows, Columns), Rows(q.Values, first, rows));
            var y = tape.ToHost(SoftmaxAttention.Step(tape, query, keys.Rows, values.Rows, first, 2));
            OperationCheck.Close([.. Rows(whole, first, rows).Select(value => (double)value)], y, 2e-6, $"row {first}");

            // Rows by themselves, few and many get the same bits.
            together[sequence] ??= y;
            Assert.Equal(together[sequence].AsSpan(first * Columns, rows * Columns).ToArray(), y);
        }
    }

    /// <summary>Rows of twelve columns in pages of four.</summary>
    private sealed class Pages : IDisposable
    {
        private const int PageRows = 4, Columns = 12;
        private readonly CpuDevice _device;
        private readonly DeviceSpan<float>[] _pages;
        private readonly DeviceSpan<long> _table;

        public Pages(CpuDevice device, float[] values)
        {
            _device = device;
            _pages = [.. values.Chunk(PageRows * Columns).Select(chunk =>
            {
                var page = device.Allocate<float>(PageRows * Columns);
                device.CopyFromHost<float>(chunk, page);
                return page;
            })];
            _table = device.Allocate<long>(_pages.Length);
            device.CopyFromHost<long>([.. _pages.Select(page => (long)page.Address)], _table);
        }

        public PagedRows Rows => new(_table, 2, Columns);

        public void Dispose()
        {
            foreach (var page in _pages)
            {
                _device.Free(page);
            }

            _device.Free(_table);
        }
    }

    /// <summary>Identities 8 and 9 of the method: neither what follows a row nor other sequences change its bits.</summary>
    [Theory]
    [InlineData(150, 1)]
    [InlineData(150, 64)]
    [InlineData(150, 65)]
    [InlineData(150, 149)]
    public void ARowsBitsDependOnEarlierRowsOfItsSequenceOnly(int rows, int prefix)
    {
        const int Columns = 24;
        var whole = Evaluate(0, rows, [0]);
        var cut = Evaluate(0, prefix, [0]);
        for (var i = 0; i < whole.Length; i++)
        {
            Assert.Equal(whole[i].AsSpan(0, prefix * Columns).ToArray(), cut[i]);
        }

        // The same rows after another sequence.
        var tail = Evaluate(rows - prefix, prefix, [0]);
        var packed = Evaluate(0, rows, prefix == rows ? [0] : [0, rows - prefix]);
        for (var i = 0; i < whole.Length; i++)
        {
            Assert.Equal(packed[i].AsSpan((rows - prefix) * Columns).ToArray(), tail[i]);
        }

        float[][] Evaluate(int first, int count, int[] starts)
        {
            Input Part(int seed) => new(
                new Shape(count, Columns), Input.Random(seed, new Shape(rows, Columns)).Values.AsSpan(first * Columns, count * Columns).ToArray());
            var layout = Layout(count, starts);
            return OperationCheck.Forward([Part(1), Part(2), Part(3), Input.Random(4, new Shape(Columns, 4))], (tape, x) =>
            [
                ShortConvolution.Apply(tape, x[0], x[3], layout, 12), Rotary.Apply(tape, x[0], layout, new RotaryTable(tape.Device, 12)),
                SoftmaxAttention.Apply(tape, x[0], x[1], x[2], layout, 2),
            ]);
        }
    }

    private static SequenceLayout Layout(int rows, int[] starts)
    {
        var layout = new SequenceLayout();
        layout.Set(starts, rows);
        return layout;
    }
}
