using Loci.Caching;
using Loci.Numerics;

namespace Loci.Layers;

/// <summary>What a block of RWKV remembers of one sequence: its memory with the cache, and the last normalised inputs of its two halves, which the token shift mixes in.</summary>
/// <param name="device">Where it lives.</param>
/// <param name="cache">The memory with its cache, owned from now on.</param>
/// <param name="dimension">D.</param>
/// <param name="keepsReturns">Whether the ends of segments can be returned to.</param>
internal sealed class RwkvState(Device device, RecurrentCache cache, int dimension, bool keepsReturns) : CachedState(device, cache, 2L * dimension, keepsReturns)
{
    /// <summary>The last normalised input of the mixer, [D]; zeros at the start.</summary>
    public DeviceSpan<float> MixerInput => Inputs.Slice(0, dimension);

    /// <summary>The last normalised input of the feed-forward part, [D]; zeros at the start.</summary>
    public DeviceSpan<float> FeedForwardInput => Inputs.Slice(dimension);

    /// <summary>The rows at hand as one sequence.</summary>
    public SequenceLayout Layout { get; } = new(1, 1);

    /// <summary>Keeps the last row of an input for the token shift of the rows to come.</summary>
    public void Keep(Tape tape, Tensor input, DeviceSpan<float> destination) => Device.Copy(tape.Rows(input, input.Rows - 1, 1).Data, destination);

    protected override CachedState CreateFork(RecurrentCache cache) => new RwkvState(Device, cache, dimension, KeepsReturns);
}
