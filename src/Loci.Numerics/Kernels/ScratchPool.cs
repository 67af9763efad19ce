using System.Runtime.InteropServices;

namespace Loci.Numerics.Kernels;

/// <summary>Working memory of kernels, kept between calls. Safe for use by several threads.</summary>
internal sealed unsafe class ScratchPool : IDisposable
{
    private readonly Lock _lock = new();
    private readonly List<DeviceSpan<float>> _free = [];

    /// <summary>Memory for at least <paramref name="count"/> floats, aligned to 64 bytes, with undefined contents.</summary>
    public DeviceSpan<float> Rent(long count)
    {
        DeviceSpan<float> span = default;
        lock (_lock)
        {
            var best = -1;
            for (var i = 0; i < _free.Count; i++)
            {
                if (_free[i].Length >= count && (best < 0 || _free[i].Length < _free[best].Length))
                {
                    best = i;
                }
            }

            if (best < 0 && _free.Count > 0)
            {
                // Too small for what is asked now, so likely for the next round too: replace it rather than collect sizes.
                NativeMemory.AlignedFree((void*)_free[^1].Address);
                _free.RemoveAt(_free.Count - 1);
            }
            else if (best >= 0)
            {
                span = _free[best];
                _free.RemoveAt(best);
            }
        }

        if (span.IsEmpty)
        {
            var length = Math.Max(1 << 14, (count + 15) / 16 * 16);
            span = new DeviceSpan<float>((nint)NativeMemory.AlignedAlloc(checked((nuint)(length * sizeof(float))), 64), length);
        }

        FillWithNaN(span, count);
        return span;
    }

    public void Return(DeviceSpan<float> span)
    {
        lock (_lock)
        {
            _free.Add(span);
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            foreach (var span in _free)
            {
                NativeMemory.AlignedFree((void*)span.Address);
            }

            _free.Clear();
        }
    }

    [System.Diagnostics.Conditional("DEBUG")]
    private static void FillWithNaN(DeviceSpan<float> span, long count) => new Span<float>((void*)span.Address, (int)Math.Min(count, int.MaxValue)).Fill(float.NaN);
}
