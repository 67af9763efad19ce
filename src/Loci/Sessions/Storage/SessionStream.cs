using System.Runtime.InteropServices;

namespace Loci.Sessions.Storage;

/// <summary>Where the rows of one stream lie in the file: as of the last commit, and as of the commit that is being made.</summary>
internal sealed class SessionStream
{
    private readonly List<Extent> _extents = [];
    private readonly List<Extent> _added = [];
    private long _kept;

    /// <summary>Creates a stream without rows.</summary>
    /// <param name="rowBytes">The size of a row.</param>
    public SessionStream(long rowBytes) => RowBytes = rowBytes;

    /// <summary>The size of a row.</summary>
    public long RowBytes { get; }

    /// <summary>The rows of the last commit.</summary>
    public long Count { get; private set; }

    /// <summary>The rows the commit under way will have.</summary>
    public long NextCount { get; private set; }

    /// <summary>Whether the commit under way cut rows off and no record says so yet.</summary>
    public bool CutUnrecorded { get; private set; }

    /// <summary>The records that hold the rows of the last commit, in the order of the rows.</summary>
    public ReadOnlySpan<Extent> Extents => CollectionsMarshal.AsSpan(_extents);

    /// <summary>Forgets the commit under way.</summary>
    public void Reset()
    {
        _added.Clear();
        _kept = NextCount = Count;
        CutUnrecorded = false;
    }

    /// <summary>Cuts the stream back in the commit under way.</summary>
    public void Keep(long rows)
    {
        if (rows == NextCount)
        {
            return;
        }

        _kept = Math.Min(_kept, rows);
        Trim(_added, rows);
        NextCount = rows;
        CutUnrecorded = true;
    }

    /// <summary>Adds the rows of a record to the commit under way.</summary>
    public void Add(long rows, long position, uint checksum)
    {
        if (rows > 0)
        {
            _added.Add(new Extent { First = NextCount, Rows = rows, Position = position, RecordRows = rows, Checksum = checksum });
        }

        NextCount += rows;
        CutUnrecorded = false;
    }

    /// <summary>The commit under way is now the last one.</summary>
    public void Apply()
    {
        Trim(_extents, _kept);
        _extents.AddRange(CollectionsMarshal.AsSpan(_added));
        Count = NextCount;
        Reset();
    }

    /// <summary>The record that holds a row of the last commit.</summary>
    public ref readonly Extent Find(long row)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(row);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(row, Count);
        ReadOnlySpan<Extent> extents = Extents;
        int low = 0;
        for (int high = extents.Length - 1; low < high;)
        {
            int middle = (low + high + 1) / 2;
            if (extents[middle].First <= row)
            {
                low = middle;
            }
            else
            {
                high = middle - 1;
            }
        }

        return ref extents[low];
    }

    /// <summary>Notes where the records from a position of the file on lie in memory.</summary>
    /// <param name="start">The position.</param>
    /// <param name="address">Its address.</param>
    public void SetAddresses(long start, nint address)
    {
        Span<Extent> extents = CollectionsMarshal.AsSpan(_extents);
        for (int i = extents.Length - 1; i >= 0 && extents[i].Position >= start; i--)
        {
            extents[i].Address = address + (nint)(extents[i].Position - start);
        }
    }

    private static void Trim(List<Extent> extents, long rows)
    {
        while (extents.Count > 0 && extents[^1].First >= rows)
        {
            extents.RemoveAt(extents.Count - 1);
        }

        if (extents.Count > 0)
        {
            ref Extent last = ref CollectionsMarshal.AsSpan(extents)[^1];
            last.Rows = Math.Min(last.Rows, rows - last.First);
        }
    }

    /// <summary>Rows that lie one behind the other in one record.</summary>
    internal struct Extent
    {
        /// <summary>The number of the first of them in the stream.</summary>
        public long First;

        /// <summary>How many of the record's rows still count; later commits may have cut the others off.</summary>
        public long Rows;

        /// <summary>How many rows the record has.</summary>
        public long RecordRows;

        /// <summary>Where in the file the first row begins.</summary>
        public long Position;

        /// <summary>Where in memory the first row begins; 0 where the record is not mapped.</summary>
        public nint Address;

        /// <summary>The checksum of all rows of the record.</summary>
        public uint Checksum;
    }
}
