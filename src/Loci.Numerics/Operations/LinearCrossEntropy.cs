namespace Loci.Numerics.Operations;

/// <summary>What <see cref="LinearCrossEntropy"/> gives.</summary>
/// <param name="Loss">[1]: the sum of the rows' losses over the normaliser, in nats. Readable until the tape is reset.</param>
/// <param name="RowLosses">[rows]: -log probability of every target, in nats; 0 where it is ignored. Without a gradient.</param>
/// <param name="Counted">Number of targets that are not ignored.</param>
public readonly record struct CrossEntropyLoss(Tensor Loss, Tensor RowLosses, long Counted);

/// <summary>
/// The output layer and its loss as one operation: cross-entropy of softmax(hidden W^T). It runs in blocks of rows, so that the logits [rows, vocabulary] never exist as
/// a whole; when recording, the gradients are computed block by block in the forward pass, while the logits are there.
/// </summary>
public static class LinearCrossEntropy
{
    /// <summary>A target that does not count.</summary>
    public const int Ignored = -1;

    // Logits of a block, 16 MiB: few enough passes over the weight's gradient, little enough memory.
    private const int BlockElements = 1 << 22;

    /// <summary>Computes the loss.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="hidden">[rows, columns].</param>
    /// <param name="weight">[vocabulary, columns].</param>
    /// <param name="targets">[rows] in the device's memory: token ids, or -1 for rows that do not count.</param>
    /// <param name="normaliser">
    /// What the sum of the losses is divided by; none = the number of targets that count here. With gradient accumulation, give the number in all micro-batches.
    /// </param>
    /// <exception cref="ArgumentException">The shapes do not fit together, or a target is neither -1 nor in the vocabulary.</exception>
    /// <exception cref="InvalidOperationException">The operation is recorded with a weight rounded to int8.</exception>
    public static CrossEntropyLoss Apply(Tape tape, Tensor hidden, Tensor weight, DeviceSpan<int> targets, double? normaliser = null)
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(hidden);
        ArgumentNullException.ThrowIfNull(weight);
        int rows = hidden.Rows, columns = hidden.Columns;
        if (weight.Shape.Rank != 2 || weight.Columns != columns || targets.Length != rows || rows == 0)
        {
            throw new ArgumentException($"Rows {hidden.Shape}, a weight {weight.Shape} and {targets.Length} targets do not fit together.", nameof(weight));
        }

        if (normaliser is not null && !(normaliser > 0 && double.IsFinite(normaliser.Value)))
        {
            throw new ArgumentOutOfRangeException(nameof(normaliser), $"The loss is divided by a number above 0, not by {normaliser}.");
        }

        var vocabulary = weight.Shape[0];
        tape.Device.Inspect(targets, out var minimum, out var maximum, out var counted);
        if (minimum < Ignored || maximum >= vocabulary)
        {
            throw new ArgumentException(
                $"Target {(minimum < Ignored ? minimum : maximum)} is not in a vocabulary of {vocabulary}: targets go from 0 to {vocabulary - 1}, or are -1 to be ignored.", nameof(targets));
        }

        var scale = 1 / (normaliser ?? Math.Max(1, counted));
        var record = tape.IsRecording && (hidden.RequiresGradient || weight.RequiresGradient);
        if (record)
        {
            Linear.RequireTrainable(weight);
        }

        var loss = tape.NewOutput(new Shape(1), record);
        loss.IsKept = true;
        var rowLosses = tape.NewOutput(new Shape(rows), false);
        var dHidden = record && hidden.RequiresGradient ? tape.Allocate((long)rows * columns) : default; // [rows, columns]
        var dWeight = record && weight.RequiresGradient ? tape.Allocate((long)vocabulary * columns) : default; // [vocabulary, columns]

        var block = Math.Clamp(BlockElements / vocabulary / 16 * 16, 64, 1024);
        var logits = tape.Allocate((long)Math.Min(block, rows) * vocabulary); // [block, vocabulary]
        for (var first = 0; first < rows; first += block)
        {
            var count = Math.Min(block, rows - first);
            var x = hidden.Data.Slice((long)first * columns, (long)count * columns);
            Linear.Multiply(tape.Device, count, x, weight, logits, false);
            tape.Device.CrossEntropy(logits, targets.Slice(first, count), vocabulary, (float)scale, record, rowLosses.Data.Slice(first, count));
            if (!dWeight.IsEmpty)
            {
                tape.Device.MatrixMultiply(true, false, vocabulary, columns, count, logits, vocabulary, x, columns, dWeight, columns, first > 0);
            }

            if (!dHidden.IsEmpty)
            {
                var dx = dHidden.Slice((long)first * columns, (long)count * columns);
                tape.Device.MatrixMultiply(false, false, count, columns, vocabulary, logits, vocabulary, weight.Data, columns, dx, columns, false);
            }
        }

        tape.Return(logits);
        tape.Device.Sum(rowLosses.Data, scale, loss.Data);
        if (record)
        {
            var node = tape.Record<Node>();
            node.Hidden = hidden;
            node.Weight = weight;
            node.DHidden = dHidden;
            node.DWeight = dWeight;
            node.Output = loss;
        }

        return new CrossEntropyLoss(loss, rowLosses, counted);
    }

    private sealed class Node : TapeNode
    {
        public Tensor Hidden { get; set; } = null!;

        public Tensor Weight { get; set; } = null!;

        public DeviceSpan<float> DHidden { get; set; }

        public DeviceSpan<float> DWeight { get; set; }

        public override void Backward(Tape tape)
        {
            Span<float> upstream = stackalloc float[1];
            tape.Device.CopyToHost(Output.Gradient, upstream);
            if (upstream[0] == 1 && !DHidden.IsEmpty && !Hidden.HasGradient && Hidden.Gradient.IsEmpty && Hidden is not Parameter)
            {
                Hidden.Gradient = DHidden;
                Hidden.HasGradient = true;
                DHidden = default;
            }

            Pass(tape, DHidden, Hidden, upstream[0]);
            Pass(tape, DWeight, Weight, upstream[0]);
        }

        public override void ReleaseOutputs(Tape tape)
        {
            base.ReleaseOutputs(tape);
            tape.Return(DHidden);
            tape.Return(DWeight);
            DHidden = default;
            DWeight = default;
        }

        private static void Pass(Tape tape, DeviceSpan<float> computed, Tensor tensor, float upstream)
        {
            if (computed.IsEmpty)
            {
                return;
            }

            var gradient = tape.GradientOf(tensor, out var accumulate);
            if (!accumulate && upstream == 1)
            {
                tape.Device.Copy(computed, gradient);
                return;
            }

            if (!accumulate)
            {
                tape.Device.Clear(gradient);
            }

            tape.Device.AddScaled(computed, upstream, gradient);
        }
    }
}
