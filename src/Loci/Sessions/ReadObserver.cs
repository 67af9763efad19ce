using Loci.Memory.Aggregations;
using Loci.Numerics;

namespace Loci.Sessions;

/// <summary>Hands what one block reads on to a session's handler.</summary>
internal sealed class ReadObserver(int layer, SegmentReadHandler handler) : IReadObserver
{
    private float[] _gates = [];
    private float[] _all = [];

    public void Observe(Device device, DeviceSpan<float> gates, int rows, int heads, IReadOnlyList<int> lengths, ReadOnlySpan<int> visible, int onlineLength)
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

        if (visible.Length < lengths.Count && !copied.IsEmpty)
        {
            copied = WithHidden(copied, rows * heads, lengths.Count, visible);
        }

        handler(new SegmentRead { Layer = layer, Position = position, Tokens = rows, Heads = heads, Segments = lengths, Gates = copied });
    }

    /// <summary>The gates with a 0 for every segment that was hidden.</summary>
    private Span<float> WithHidden(ReadOnlySpan<float> gates, int reads, int segments, ReadOnlySpan<int> visible)
    {
        if (_all.Length < reads * (segments + 1))
        {
            _all = new float[reads * (segments + 1)];
        }

        var all = _all.AsSpan(0, reads * (segments + 1));
        all.Clear();
        for (var read = 0; read < reads; read++)
        {
            var from = gates.Slice(read * (visible.Length + 1), visible.Length + 1);
            var to = all.Slice(read * (segments + 1), segments + 1);
            for (var i = 0; i < visible.Length; i++)
            {
                to[visible[i]] = from[i];
            }

            to[^1] = from[^1];
        }

        return all;
    }
}
