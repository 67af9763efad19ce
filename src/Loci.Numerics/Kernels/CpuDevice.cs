using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Loci.Numerics.Buffers;
using Loci.Numerics.Kernels;

namespace Loci.Numerics;

/// <summary>The processor: kernels in C# over native memory, vectorised for the widest registers there are and split over threads in fixed blocks.</summary>
public sealed unsafe partial class CpuDevice : Device
{
    // Elements per work item of an elementwise kernel: 256 KiB, a quarter of a core's second-level cache.
    internal const int ElementBlock = 1 << 16;

    private readonly Workers _workers;
    private readonly bool _ownsWorkers;
    private readonly ScratchPool _scratch = new();

    /// <summary>Makes a device that uses all cores.</summary>
    public CpuDevice()
    {
        _workers = Workers.Shared;
    }

    /// <summary>Makes a device that uses a given number of threads.</summary>
    /// <param name="threads">At least 1. Results do not depend on it, bit for bit.</param>
    public CpuDevice(int threads)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(threads);
        _workers = new Workers(threads);
        _ownsWorkers = true;
    }

    /// <summary>Number of threads that kernels use.</summary>
    public int Threads => _workers.ThreadCount;

    /// <summary>The threads that kernels run on.</summary>
    internal Workers Workers => _workers;

    /// <inheritdoc/>
    public override string Description
    {
        get
        {
            var bits = Vector512.IsHardwareAccelerated ? 512 : Vector256.IsHardwareAccelerated ? 256 : Vector128.IsHardwareAccelerated ? 128 : 32;
            return $"cpu ({Threads} {(Threads == 1 ? "thread" : "threads")}, {bits}-bit)";
        }
    }

    /// <inheritdoc/>
    public override DeviceSpan<T> Allocate<T>(long count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        if (count == 0)
        {
            return default;
        }

        try
        {
            var bytes = checked((nuint)(count * sizeof(T)));
            var memory = NativeMemory.AlignedAlloc(bytes, HugePages.AlignmentOf(bytes));
            HugePages.Advise(memory, bytes);
            return new DeviceSpan<T>((nint)memory, count);
        }
        catch (OutOfMemoryException)
        {
            throw new InsufficientMemoryException($"The machine could not give {ByteSize.Format((long)count * sizeof(T))}: use a smaller batch, context or model.");
        }
    }

    /// <inheritdoc/>
    public override void Free<T>(DeviceSpan<T> span)
    {
        if (span.Address != 0)
        {
            NativeMemory.AlignedFree((void*)span.Address);
        }
    }

    /// <inheritdoc/>
    public override void CopyFromHost<T>(ReadOnlySpan<T> source, DeviceSpan<T> destination)
    {
        if (source.Length > destination.Length)
        {
            throw new ArgumentException($"{source.Length} values do not fit a device range of {destination.Length}.", nameof(source));
        }

        source.CopyTo(new Span<T>((void*)destination.Address, source.Length));
    }

    /// <inheritdoc/>
    public override void CopyToHost<T>(DeviceSpan<T> source, Span<T> destination)
    {
        if (destination.Length < source.Length)
        {
            throw new ArgumentException($"A device range of {source.Length} does not fit {destination.Length} values.", nameof(destination));
        }

        // A span holds at most int.MaxValue elements, which the check above has bounded.
        new ReadOnlySpan<T>((void*)source.Address, (int)source.Length).CopyTo(destination);
    }

    internal override void Launch<TKernel, TArguments>(in TArguments arguments) => TKernel.Run(this, arguments);

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _scratch.Dispose();
            if (_ownsWorkers)
            {
                _workers.Dispose();
            }
        }

        base.Dispose(disposing);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static float* Pointer(DeviceSpan<float> span) => (float*)span.Address;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static int* Pointer(DeviceSpan<int> span) => (int*)span.Address;
}
