using Loci.Memory.Rules.Rwkv5;
using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Memory.Rules.Rwkv5;

/// <summary>
/// The matrix memory of RWKV-5.2 (Peng et al., arXiv 2404.05892): M_t = M_{t-1} diag(a) + v_t k_t^T with one decay per key dimension, the same for all tokens, and the online
/// read (M_{t-1} + v_t k_t^T diag(u)) q_t: a token reads its own write through a learned gain u. A cached state is read plainly, as M q.
/// </summary>
/// <param name="device">Where it lives.</param>
/// <param name="segmentation">The sequence's segments.</param>
/// <param name="heads">H.</param>
/// <param name="width">d.</param>
/// <param name="logDecay">log a, at most 0, [H*d].</param>
/// <param name="ownGain">u, [H*d].</param>
internal sealed class RecurrentRwkv5Memory(Device device, Segmentation segmentation, int heads, int width, Tensor logDecay, Tensor ownGain)
    : RecurrentMemory(device, segmentation, (long)heads * width * width, (long)heads * width * width, true)
{
    /// <summary>Nothing here depends on the token.</summary>
    protected override void ComputeGates(Tape tape, Tensor x)
    {
    }

    public override RecurrentMemory CreateEmpty() => new RecurrentRwkv5Memory(Device, Segmentation, heads, width, logDecay, ownGain);

    protected override void Advance(Tape tape, DeviceSpan<float> state, int row, int rows, DeviceSpan<float> online) =>
        Device.Launch<Rwkv5Step, Rwkv5StepArguments>(new()
        {
            Rows = rows,
            Heads = heads,
            Width = width,
            Queries = Queries(tape, row, rows),
            Keys = Keys(tape, row, rows),
            Values = Values(tape, row, rows),
            LogDecay = logDecay.Data,
            OwnGain = ownGain.Data,
            State = state,
            Output = online,
        });
}
