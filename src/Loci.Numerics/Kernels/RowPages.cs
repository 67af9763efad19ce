using System.Runtime.CompilerServices;

namespace Loci.Numerics.Kernels;

/// <summary><see cref="PagedRows"/> as kernels follow them.</summary>
internal readonly unsafe struct RowPages(PagedRows rows)
{
    private readonly nint* _pages = (nint*)rows.Pages.Address;
    private readonly int _shift = rows.PageShift;
    private readonly long _length = rows.RowLength;

    public bool IsEmpty => _pages == null;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public float* At(int row) => (float*)_pages[row >> _shift] + ((row & ((1 << _shift) - 1)) * _length);

    /// <summary>Rows from <paramref name="row"/> on that lie one behind the other, at most <paramref name="count"/>.</summary>
    public int Run(int row, int count) => Math.Min(count, (1 << _shift) - (row & ((1 << _shift) - 1)));
}
