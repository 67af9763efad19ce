using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Layers;

/// <summary>
/// The token shift of RWKV: mixtures of each row with the one before, which for the first row of a sequence that goes on is the last one of
/// its state.
/// </summary>
internal static class RwkvShift
{
    /// <summary>The mixtures, [mixtures * rows, D].</summary>
    /// <param name="tape">The step.</param>
    /// <param name="x">Normalized input, [rows, D].</param>
    /// <param name="share">How much of the row before each mixture takes, [mixtures, D].</param>
    /// <param name="rows">The sequences of the rows.</param>
    /// <param name="half">Which of a state's two inputs is shifted: 0 for the mixer's, 1 for the feed-forward part's.</param>
    public static Tensor Forward(Tape tape, Tensor x, Tensor share, SequenceRows rows, int half)
    {
        if (!rows.HaveStates)
        {
            return TokenShift.Apply(tape, x, share, rows.Layout, default);
        }

        if (rows.Count == 1)
        {
            return Continue(tape, x, share, rows.State<CachedMixerState>(0), half);
        }

        var mixtures = share.Shape[0];
        var all = tape.NewTensor(new Shape(mixtures * x.Rows, x.Columns));
        for (var sequence = 0; sequence < rows.Count; sequence++)
        {
            var (first, count) = rows.RowsOf(sequence);
            var shifted = Continue(tape, tape.Rows(x, first, count), share, rows.State<CachedMixerState>(sequence), half);
            for (var i = 0; i < mixtures; i++)
            {
                tape.Device.Copy(tape.Rows(shifted, i * count, count).Data, tape.Rows(all, (i * x.Rows) + first, count).Data);
            }
        }

        return all;
    }

    private static Tensor Continue(Tape tape, Tensor x, Tensor share, CachedMixerState state, int half)
    {
        var previous = state.Inputs.Slice((long)half * x.Columns, x.Columns);
        state.Layout.Set(1, x.Rows);
        var shifted = TokenShift.Apply(tape, x, share, state.Layout, previous);
        tape.Device.Copy(tape.Rows(x, x.Rows - 1, 1).Data, previous);
        return shifted;
    }
}
