using Loci.Memory.Aggregations;
using Loci.Memory.Rules.ScalarGated;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Operations;
using Loci.Reference;
using Xunit;
using Segmentation = Loci.Memory.Segments.Segmentation;
using SegmentStart = Loci.Memory.Segments.SegmentStart;
using Shape = Loci.Numerics.Shape;

namespace Loci.Tests.Caching;

/// <summary>Log-linear attention against its sum over all tokens in double precision, forward and every gradient.</summary>
public sealed class LogLinearTests
{
    [Theory]
    [InlineData(1, 6, false, false, null)]
    [InlineData(4, 6, true, true, null)]
    [InlineData(8, 7, true, false, null)]
    [InlineData(4, 3, false, true, null)]
    [InlineData(4, 6, true, true, -20f)]
    [InlineData(4, 6, true, true, 0f)]
    [InlineData(64, 7, true, true, null)]
    public void AgreesWithTheReference(int block, int levels, bool decays, bool writes, float? fixedDecay)
    {
        const int Heads = 2, Width = 5, Columns = Heads * Width;
        int[] lengths = [27, 1, 16, 3], starts = [0, 27, 28, 44];
        var rows = lengths.Sum();
        var random = new Random(3);
        float[] Values(int count) => [.. Enumerable.Range(0, count).Select(_ => (float)((2 * random.NextDouble()) - 1))];
        float[] q = Values(rows * Columns), k = Values(rows * Columns), v = Values(rows * Columns), lambda = Values(rows * Heads * levels), seeds = Values(rows * Columns);
        float[] decay = [.. Enumerable.Range(0, rows * Heads).Select(_ => fixedDecay ?? (float)-Math.Pow(random.NextDouble(), 3))], write = Values(rows * Heads);

        using var device = new CpuDevice(2);
        using var tape = new Tape(device);
        using var plan = new MemoryPlan(device);
        var layout = new SequenceLayout();
        layout.Set(starts, rows);
        new Segmentation(SegmentKind.Logarithmic, block, SegmentStart.Independent).Plan(plan, layout, block);
        Tensor Input(float[] values, int columns) => tape.FromHost(new Shape(rows, columns), values, true);
        Tensor tq = Input(q, Columns), tk = Input(k, Columns), tv = Input(v, Columns), tLambda = Input(lambda, Heads * levels);
        Tensor? tDecay = decays ? Input(decay, Heads) : null, tWrite = writes ? Input(write, Heads) : null;
        var scan = ScalarGatedScan.Apply(tape, plan, tq, tk, tv, Heads, tDecay, null, tWrite);
        var y = LogLinearRead.Apply(tape, plan, scan.States, tq, tk, tv, tLambda, Heads, tDecay, tWrite);
        Tape.Keep(y);
        var actual = tape.ToHost(y);
        tape.Backward(y, seeds);

        var real = new RealTape();
        Real[,] rq = real.Variables(q, rows, Columns), rk = real.Variables(k, rows, Columns), rv = real.Variables(v, rows, Columns), rLambda = real.Variables(lambda, rows, Heads * levels);
        Real[,]? rDecay = decays ? real.Variables(decay, rows, Heads) : null, rWrite = writes ? real.Variables(write, rows, Heads) : null;
        var expected = new Real[rows, Columns];
        for (var sequence = 0; sequence < starts.Length; sequence++)
        {
            int start = starts[sequence], end = start + lengths[sequence];
            for (var head = 0; head < Heads; head++)
            {
                var part = Loci.Reference.LogLinearAttention.Forward(
                    Sequences.Head(rq, Heads, head, start, end), Sequences.Head(rk, Heads, head, start, end), Sequences.Head(rv, Heads, head, start, end),
                    Sequences.Head(rLambda, Heads, head, start, end), Sequences.Gate(rDecay, head, start, end), Sequences.Gate(rWrite, head, start, end));
                for (var t = start; t < end; t++)
                {
                    for (var i = 0; i < Width; i++)
                    {
                        expected[t, (head * Width) + i] = part[t - start][i];
                    }
                }
            }
        }

        var gradient = real.Gradient(expected, seeds);
        Compare("output", Matrix.Values(expected), actual);
        Compare("q", gradient.Of(rq), ReferenceCheck.Gradient(tape, tq));
        Compare("k", gradient.Of(rk), ReferenceCheck.Gradient(tape, tk));
        Compare("v", gradient.Of(rv), ReferenceCheck.Gradient(tape, tv));
        Compare("lambda", gradient.Of(rLambda), ReferenceCheck.Gradient(tape, tLambda));
        if (rDecay is not null)
        {
            Compare("log decay", gradient.Of(rDecay), ReferenceCheck.Gradient(tape, tDecay!));
        }

        if (rWrite is not null)
        {
            Compare("write gate", gradient.Of(rWrite), ReferenceCheck.Gradient(tape, tWrite!));
        }
    }

    [Fact]
    public void WithEqualLevelsItIsTheRecurrence()
    {
        // lambda = 1: the plain decaying recurrence without segments.
        const int Rows = 45, Width = 4;
        var random = new Random(8);
        float[] Values(int count) => [.. Enumerable.Range(0, count).Select(_ => (float)((2 * random.NextDouble()) - 1))];
        float[] decay = [.. Enumerable.Range(0, Rows).Select(_ => (float)-random.NextDouble() / 4)], ones = [.. Enumerable.Repeat(1f, Rows * 8)];
        using var device = new CpuDevice(1);
        using var tape = new Tape(device) { IsRecording = false };
        using MemoryPlan plan = new(device), whole = new(device);
        var layout = new SequenceLayout(1, Rows);
        new Segmentation(SegmentKind.Logarithmic, 4, SegmentStart.Independent).Plan(plan, layout, 4);
        Segmentation.None.Plan(whole, layout, 4);
        Tensor Input(float[] values) => tape.FromHost(new Shape(Rows, values.Length / Rows), values);
        Tensor q = Input(Values(Rows * Width)), k = Input(Values(Rows * Width)), v = Input(Values(Rows * Width)), a = Input(decay), lambda = Input(ones);
        var expected = tape.ToHost(ScalarGatedScan.Apply(tape, whole, q, k, v, 1, a).Output);
        var actual = tape.ToHost(LogLinearRead.Apply(tape, plan, ScalarGatedScan.Apply(tape, plan, q, k, v, 1, a).States, q, k, v, lambda, 1, a));
        Compare("output", [.. expected.Select(x => (double)x)], actual);
    }

    private static void Compare(string name, double[] expected, float[] actual) => ReferenceCheck.Compare(name, expected, actual, 2e-5);
}
