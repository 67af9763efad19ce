using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Loci.Numerics.Buffers;

/// <summary>A growable, 64-byte aligned block of unmanaged floats, freed when it is disposed or collected.</summary>
/// <remarks>Not thread-safe. The contents are undefined after construction and after growth.</remarks>
internal sealed unsafe class NativeMemoryBlock : IDisposable
{
    /// <summary>Alignment in bytes of every block: one cache line, one Vector512.</summary>
    public const int Alignment = 64;

    private float* _pointer;
    private nuint _capacity;

    ~NativeMemoryBlock() => Free();

    /// <summary>Number of floats the block can hold without growing.</summary>
    public nuint Capacity => _capacity;

    /// <summary>Returns a pointer to at least <paramref name="count"/> floats; earlier pointers are invalid if the block grew.</summary>
    /// <exception cref="OutOfMemoryException">The memory cannot be allocated.</exception>
    public float* Reserve(nuint count) => count <= _capacity ? _pointer : Grow(count);

    /// <summary>Returns the memory; the block may be used again and will allocate afresh.</summary>
    public void Dispose()
    {
        Free();
        GC.SuppressFinalize(this);
    }

    private float* Grow(nuint count)
    {
        // An eighth of headroom, so that slowly growing requests do not reallocate each time.
        nuint capacity = checked(count + (count / 8) + 15) & ~(nuint)15;
        Free();
        nuint bytes = checked(capacity * sizeof(float));
        _pointer = (float*)NativeMemory.AlignedAlloc(bytes, HugePages.AlignmentOf(bytes));
        HugePages.Advise(_pointer, bytes);
        _capacity = capacity;
        FillWithNaN();
        GC.ReRegisterForFinalize(this);
        return _pointer;
    }

    [Conditional("DEBUG")]
    private void FillWithNaN()
    {
        for (nuint i = 0; i < _capacity; i++)
        {
            _pointer[i] = float.NaN;
        }
    }

    private void Free()
    {
        NativeMemory.AlignedFree(_pointer);
        _pointer = null;
        _capacity = 0;
    }
}
