namespace Loci.Numerics;

/// <summary>
/// The machine that tensors live on: it owns their memory and runs kernels, the basic ones by a method each, those of other projects by
/// their type. Operations speak only to it. Kernels take shapes as plain numbers; they are checked by the operations that call them.
/// </summary>
public abstract partial class Device : IDisposable
{
    private protected Device()
    {
    }

    /// <summary>A short name for logs and reports, such as <c>cpu (2 threads, 512-bit)</c>.</summary>
    public abstract string Description { get; }

    /// <summary>Allocates memory with undefined contents, aligned to 64 bytes.</summary>
    /// <exception cref="InsufficientMemoryException">The memory is not to be had.</exception>
    public abstract DeviceSpan<T> Allocate<T>(long count) where T : unmanaged;

    /// <summary>Frees memory from <see cref="Allocate"/>; an empty span is ignored.</summary>
    public abstract void Free<T>(DeviceSpan<T> span) where T : unmanaged;

    /// <summary>Copies host values to the start of a device range.</summary>
    public abstract void CopyFromHost<T>(ReadOnlySpan<T> source, DeviceSpan<T> destination) where T : unmanaged;

    /// <summary>Copies a device range to the host.</summary>
    public abstract void CopyToHost<T>(DeviceSpan<T> source, Span<T> destination) where T : unmanaged;

    /// <summary>Sets every element to zero.</summary>
    public void Clear(DeviceSpan<float> destination) => Fill(destination, 0);

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Frees what the device holds.</summary>
    protected virtual void Dispose(bool disposing)
    {
    }

    /// <summary>Runs a kernel.</summary>
    internal abstract void Launch<TKernel, TArguments>(in TArguments arguments) where TKernel : IKernel<TArguments>;

    /// <summary>Sets every element to <paramref name="value"/>.</summary>
    internal abstract void Fill(DeviceSpan<float> destination, float value);

    /// <summary>Copies one range to another of the same length.</summary>
    internal abstract void Copy(DeviceSpan<float> source, DeviceSpan<float> destination);

    /// <summary>destination += scale * source.</summary>
    internal abstract void AddScaled(DeviceSpan<float> source, float scale, DeviceSpan<float> destination);

    /// <summary>
    /// C = op(A) op(B), or C += op(A) op(B): op(A) is [m, k], op(B) is [k, n], C is [m, n], each row-major with the given distance between
    /// rows.
    /// </summary>
    internal abstract void MatrixMultiply(
        bool transposeA, bool transposeB, int m, int n, int k,
        DeviceSpan<float> a, int strideA, DeviceSpan<float> b, int strideB, DeviceSpan<float> c, int strideC, bool accumulate);

    /// <summary>Bytes of a matrix [outputs, inputs] in the device's own layout of <see cref="WeightFormat.Int8"/>.</summary>
    internal abstract long Int8Bytes(int outputs, int inputs);

    /// <summary>Rounds finite weights [outputs, inputs] to <see cref="WeightFormat.Int8"/>.</summary>
    internal abstract void RoundToInt8(DeviceSpan<float> weights, int outputs, int inputs, DeviceSpan<byte> blocks);

    /// <summary>C = A W^T, or C += A W^T: A is [m, k], W [n, k] is in blocks from <see cref="RoundToInt8"/>, C is [m, n].</summary>
    internal abstract void MatrixMultiplyInt8(
        int m, int n, int k, DeviceSpan<float> a, int strideA, DeviceSpan<byte> blocks, DeviceSpan<float> c, int strideC, bool accumulate);

    /// <summary><see cref="Embed"/> from a table in blocks.</summary>
    internal abstract void EmbedInt8(DeviceSpan<int> ids, DeviceSpan<byte> blocks, int columns, DeviceSpan<float> y);
}
