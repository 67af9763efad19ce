using Loci.Numerics.Operations;
using Loci.Numerics.Optimization;
using Xunit;

namespace Loci.Numerics.Tests;

public sealed class AllocationTests
{
    [Fact]
    public void ARepeatedTrainingStepAllocatesNoManagedMemory()
    {
        const int Vocabulary = 37, Width = 24, Heads = 2;
        using var device = new CpuDevice(2);
        var seed = 0;
        Parameter Make(string name, Shape shape)
        {
            var parameter = new Parameter(device, name, shape, shape.Rank > 1);
            parameter.Load(Input.Random(seed++, shape, 0.2, shape.Rank > 1 ? 0 : 1).Values);
            return parameter;
        }

        Parameter table = Make("table", new Shape(Vocabulary, Width)), gain = Make("gain", new Shape(Width)), memoryGain = Make("memoryGain", new Shape(Width)),
            projection = Make("projection", new Shape(3 * Width, Width)), taps = Make("taps", new Shape(3 * Width, 4)),
            gate = Make("gate", new Shape(Width, Width)), gateBias = Make("gateBias", new Shape(Width)), output = Make("output", new Shape(Width, Width)),
            up = Make("up", new Shape(2 * Width, Width)), down = Make("down", new Shape(Width, Width));
        Parameter[] parameters = [table, gain, memoryGain, projection, taps, gate, gateBias, output, up, down];
        using var optimizer = new AdamW(parameters, new AdamWOptions());
        using var angles = new RotaryTable(device, Width / Heads);
        using var tape = new Tape(device) { IsTraining = true };
        var layout = new SequenceLayout(2, 70);
        var ids = device.Allocate<int>(layout.Rows);
        device.CopyFromHost<int>(Enumerable.Range(0, layout.Rows).Select(row => row % Vocabulary).ToArray(), ids);
        var targets = device.Allocate<int>(layout.Rows);
        device.CopyFromHost<int>(Enumerable.Range(0, layout.Rows).Select(row => (row + 1) % Vocabulary).ToArray(), targets);
        var losses = new List<float>(8);
        var loss = new float[1];
        ConvolutionPart key = new(Width, Width / Heads), value = new(Width);

        for (var step = 0; step < 5; step++)
        {
            Step((ulong)step);
        }

        var before = GC.GetAllocatedBytesForCurrentThread();
        Step(5);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.True(losses[^1] < losses[0] - 0.1, $"{losses[0]} to {losses[^1]}");
        device.Free(ids);
        device.Free(targets);
        foreach (var parameter in parameters)
        {
            parameter.Dispose();
        }

        void Step(ulong number)
        {
            tape.Reset();
            tape.DropoutSeed = number;
            optimizer.ResetGradients();
            var x = Embedding.Apply(tape, ids, table);
            var normalised = RmsNorm.Apply(tape, x, gain);
            var (q, k, v) = ShortConvolution.Apply(tape, Linear.Apply(tape, normalised, projection), taps, layout, key, key, value);
            var y = SoftmaxAttention.Apply(tape, Rotary.Apply(tape, q, layout, angles), Rotary.Apply(tape, k, layout, angles), v, layout, Heads);
            y = GatedRmsNorm.Apply(tape, y, memoryGain, Linear.Apply(tape, normalised, gate), Heads);
            y = Dropout.Apply(tape, y, 0.1f);
            x = Linear.Apply(tape, y, output, x);
            y = SwiGlu.Apply(tape, Linear.Apply(tape, x, up));
            x = Dropout.Add(tape, x, Activation.Softplus(tape, Linear.Apply(tape, y, down), gateBias), 0.1f);
            x = L2Normalise.Apply(tape, x, Heads);
            var result = LinearCrossEntropy.Apply(tape, x, table, targets);
            tape.Backward(result.Loss);
            optimizer.Step(0.02f);
            device.CopyToHost(result.Loss.Data, loss);
            losses.Add(loss[0]);
        }
    }
}
