namespace Loci.Numerics;

/// <summary>Rows of one length in pages of 2^<see cref="PageShift"/> rows, so that they can grow and be shared without being moved. Empty: the rows are given otherwise.</summary>
internal readonly struct PagedRows(DeviceSpan<long> pages, int pageShift, long rowLength)
{
    /// <summary>Address of every page, in device memory.</summary>
    public DeviceSpan<long> Pages { get; } = pages;

    public int PageShift { get; } = pageShift;

    /// <summary>Floats of a row.</summary>
    public long RowLength { get; } = rowLength;
}
