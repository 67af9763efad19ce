namespace Loci.Numerics.Operations;

/// <summary>Mixtures of every row with the row before it: y_i[t] = x[t] + (x[t - 1] - x[t]) share_i (the token shift of RWKV). For inference.</summary>
internal static class TokenShift
{
    /// <summary>Mixes.</summary>
    /// <param name="tape">The step; it must not be recording.</param>
    /// <param name="x">[rows, columns].</param>
    /// <param name="share">How much of the row before a mixture takes, [mixtures, columns].</param>
    /// <param name="layout">The sequences.</param>
    /// <param name="previous">The row before the first sequence's first, [columns]; empty = zeros, as before every other sequence.</param>
    /// <returns>[mixtures * rows, columns]: all rows of the first mixture, then those of the next.</returns>
    /// <exception cref="ArgumentException">The shapes do not fit together.</exception>
    public static Tensor Apply(Tape tape, Tensor x, Tensor share, SequenceLayout layout, DeviceSpan<float> previous = default)
    {
        InferenceOnly.Require(tape);
        int rows = x.Rows, columns = x.Columns;
        if (share.Shape.Rank != 2 || share.Columns != columns || layout.Rows != rows || (!previous.IsEmpty && previous.Length != columns))
        {
            throw new ArgumentException($"Rows {x.Shape}, shares {share.Shape}, a layout of {layout.Rows} rows and a row before of {previous.Length} values do not fit together.", nameof(share));
        }

        var y = tape.NewTensor(new Shape(share.Shape[0] * rows, columns));
        tape.Device.ShiftTokens(x.Data, previous, share.Data, layout, columns, share.Shape[0], y.Data);
        return y;
    }
}
