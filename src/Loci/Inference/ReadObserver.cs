using Loci.Caching;
using Loci.Numerics;

namespace Loci.Inference;

/// <summary>Hands what one block reads on to a session's handler.</summary>
internal sealed class ReadObserver(int layer, SegmentReadHandler handler) : IReadObserver
{
    private float[] _gates = [];

    public void Observe(Device device, DeviceSpan<float> gates, int rows, int heads, IReadOnlyList<int> lengths, int onlineLength)
    {
        if (_gates.Length < gates.Length)
        {
            _gates = new float[gates.Length];
        }

        var copied = _gates.AsSpan(0, (int)gates.Length);
        device.CopyToHost(gates, copied);
        var position = onlineLength;
        for (var i = 0; i < lengths.Count; i++)
        {
            position += lengths[i];
        }

        handler(new SegmentRead { Layer = layer, Position = position, Tokens = rows, Heads = heads, Segments = lengths, Gates = copied });
    }
}
