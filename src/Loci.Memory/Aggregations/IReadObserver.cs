using Loci.Numerics;

namespace Loci.Memory.Aggregations;

/// <summary>Is told what the tokens of one layer read.</summary>
internal interface IReadObserver
{
    /// <summary>Called after every read.</summary>
    /// <param name="device">Where the gates are.</param>
    /// <param name="gates">[H, rows, visible + 1], the online memory last; empty where states are read without gates.</param>
    /// <param name="rows">Tokens.</param>
    /// <param name="heads">H.</param>
    /// <param name="lengths">Tokens of the cached segments, oldest first.</param>
    /// <param name="visible">Which of these were read.</param>
    /// <param name="onlineLength">Tokens of the online segment before the first of these.</param>
    void Observe(Device device, DeviceSpan<float> gates, int rows, int heads, IReadOnlyList<int> lengths, ReadOnlySpan<int> visible, int onlineLength);
}
