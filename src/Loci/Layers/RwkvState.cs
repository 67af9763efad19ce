using Loci.Caching;
using Loci.Memories;
using Loci.Numerics;

namespace Loci.Layers;

/// <summary>What a block of RWKV remembers of one sequence: its memory with the cache, and the last normalised inputs of its two halves, which the token shift mixes in.</summary>
internal sealed class RwkvState : MixerState
{
    private readonly Device _device;

    /// <param name="device">Where it lives.</param>
    /// <param name="memory">The memory at the start of the sequence; disposed with the state.</param>
    /// <param name="reader">Reads cached states beside the online memory.</param>
    /// <param name="segmentation">The segments whose states are cached; that of the memory.</param>
    /// <param name="heads">H.</param>
    /// <param name="width">d.</param>
    public RwkvState(Device device, RecurrentMemory memory, CacheReader reader, Segmentation segmentation, int heads, int width)
    {
        _device = device;
        Memory = memory;
        Cache = new RecurrentCache(device, memory, reader, segmentation, heads, width);
        MixerInput = device.Allocate<float>((long)heads * width);
        FeedForwardInput = device.Allocate<float>((long)heads * width);
        device.Clear(MixerInput);
        device.Clear(FeedForwardInput);
    }

    public RecurrentMemory Memory { get; }

    public RecurrentCache Cache { get; }

    /// <summary>The last normalised input of the mixer, [D]; zeros at the start.</summary>
    public DeviceSpan<float> MixerInput { get; }

    /// <summary>The last normalised input of the feed-forward part, [D]; zeros at the start.</summary>
    public DeviceSpan<float> FeedForwardInput { get; }

    /// <summary>The rows at hand as one sequence.</summary>
    public SequenceLayout Layout { get; } = new(1, 1);

    public override int CachedStates => Cache.CachedStates;

    public override long Bytes => Cache.Bytes + (sizeof(float) * (MixerInput.Length + FeedForwardInput.Length));

    /// <summary>Keeps the last row of an input for the token shift of the rows to come.</summary>
    public void Keep(Tape tape, Tensor input, DeviceSpan<float> destination) => _device.Copy(tape.Rows(input, input.Rows - 1, 1).Data, destination);

    protected override void Dispose(bool disposing)
    {
        _device.Free(MixerInput);
        _device.Free(FeedForwardInput);
        Cache.Dispose();
    }
}
