using Loci.Memory.Rules.Rwkv7;
using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Memory.Rules.Rwkv7;

/// <summary>The gates of some rows of an RWKV-7 memory, [rows, H*d] each.</summary>
/// <param name="LogDecay">log a, at most 0.</param>
/// <param name="RemovalKeys">c, of unit length per head.</param>
/// <param name="RemovalRates">e, in [0, 1].</param>
internal readonly record struct Rwkv7Gates(Tensor LogDecay, Tensor RemovalKeys, Tensor RemovalRates);

/// <summary>
/// The matrix memory of RWKV-7 (Peng et al., arXiv 2503.14456): M_t = M_{t-1} (diag(a_t) - c_t (e_t o c_t)^T) + v_t k_t^T, read as M_t q_t. What lies under the removal key c is
/// taken away at rates e of its own, and the value is written under another key k.
/// </summary>
/// <param name="device">Where it lives.</param>
/// <param name="segmentation">The sequence's segments.</param>
/// <param name="heads">H.</param>
/// <param name="width">d.</param>
internal sealed class RecurrentRwkv7Memory(Device device, Segmentation segmentation, int heads, int width)
    : RecurrentMemory(device, segmentation, (long)heads * width * width, (long)heads * width * width, true)
{
    /// <summary>The gates of the rows that the next <see cref="RecurrentMemory.Begin"/> takes: they come from mixtures of tokens that only the mixer knows.</summary>
    public Rwkv7Gates Gates { get; set; }

    /// <summary>The mixer has computed them.</summary>
    protected override void ComputeGates(Tape tape, Tensor x)
    {
    }

    public override RecurrentMemory CreateEmpty() => new RecurrentRwkv7Memory(Device, Segmentation, heads, width);

    protected override void Advance(Tape tape, DeviceSpan<float> state, int row, int rows, DeviceSpan<float> online) =>
        Device.Launch<Rwkv7Step, Rwkv7StepArguments>(new()
        {
            Rows = rows,
            Heads = heads,
            Width = width,
            Queries = Queries(tape, row, rows),
            Keys = Keys(tape, row, rows),
            Values = Values(tape, row, rows),
            LogDecay = RowsOf(tape, Gates.LogDecay, row, rows),
            RemovalKeys = RowsOf(tape, Gates.RemovalKeys, row, rows),
            RemovalRates = RowsOf(tape, Gates.RemovalRates, row, rows),
            State = state,
            Output = online,
        });
}
