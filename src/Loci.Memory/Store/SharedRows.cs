using System.Numerics;
using Loci.Numerics;

namespace Loci.Memory.Store;

/// <summary>
/// Rows of device memory that grow at the end without being moved, in pages that forks share: a page that another one also holds is copied before it is written.
/// Rows of different forks may be used by different threads.
/// </summary>
internal sealed class SharedRows : IDisposable
{
    private const long PageFloats = 1 << 14; // 64 KiB, or one row

    private readonly Device _device;
    private readonly int _shift;
    private Page?[] _pages = [];   // behind those in use, some to be used next: they are made where the array grows
    private long[] _addresses = [];
    private DeviceSpan<long> _table;
    private int _tableCount;   // addresses in the table that are right
    private int _pageCount;

    /// <param name="device">Where they live.</param>
    /// <param name="rowLength">Floats of a row.</param>
    /// <param name="isAlone">Whether every row has a page of its own, so that it can be left in a file.</param>
    public SharedRows(Device device, long rowLength, bool isAlone = false)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(rowLength);
        _device = device;
        RowLength = rowLength;
        _shift = isAlone || rowLength >= PageFloats ? 0 : BitOperations.Log2((ulong)(PageFloats / rowLength));
    }

    /// <summary>Floats of a row.</summary>
    public long RowLength { get; }

    /// <summary>Rows in use.</summary>
    public int Count { get; private set; }

    /// <summary>Rows at the start that have been there since it was last set, and as they were.</summary>
    public int Unchanged { get; set; }

    /// <summary>Rows that lie in memory of their own or of a fork's, not in a file; the file's come first.</summary>
    public int ResidentCount => Count - Math.Min(Count, MappedCount);

    /// <summary>Rows at the start that lie in a mapped file.</summary>
    public int MappedCount { get; private set; }

    /// <summary>Bytes of the rows that lie in memory, shared ones too.</summary>
    public long Bytes => ResidentCount * RowLength * sizeof(float);

    /// <summary>The rows as kernels read them.</summary>
    public PagedRows Pages
    {
        get
        {
            if (_tableCount < _pageCount)
            {
                if (_table.Length < _pageCount)
                {
                    _device.Free(_table);
                    _table = _device.Allocate<long>(_addresses.Length);
                    _tableCount = 0;
                }

                _device.CopyFromHost<long>(_addresses.AsSpan(_tableCount, _pageCount - _tableCount), _table.Slice(_tableCount));
                _tableCount = _pageCount;
            }

            return new PagedRows(_table, _shift, RowLength);
        }
    }

    /// <summary>A row, to be read.</summary>
    public DeviceSpan<float> this[int row]
    {
        get
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)row, (uint)Count, nameof(row));
            return RowOf(row);
        }
    }

    /// <summary>A row, to be written.</summary>
    public DeviceSpan<float> Writable(int row)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)row, (uint)Count, nameof(row));
        Own(row >> _shift);
        Unchanged = Math.Min(Unchanged, row);
        return RowOf(row);
    }

    /// <summary>Adds a row with undefined contents, to be written.</summary>
    public DeviceSpan<float> Append()
    {
        var page = Count >> _shift;
        if (page == _pageCount)
        {
            AddPage(_device.Allocate<float>(RowLength << _shift), null);
        }
        else
        {
            Own(page);
        }

        Count++;
        return RowOf(Count - 1);
    }

    /// <summary>Adds rows.</summary>
    public void Append(DeviceSpan<float> rows, int count)
    {
        for (var i = 0; i < count; i++)
        {
            _device.Copy(rows.Slice(i * RowLength, RowLength), Append());
        }
    }

    /// <summary>Drops all rows but the first <paramref name="count"/>.</summary>
    public void Truncate(int count)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)count, (uint)Count, nameof(count));
        Count = count;
        Unchanged = Math.Min(Unchanged, count);
        MappedCount = Math.Min(MappedCount, count);
        var pages = (count + (1 << _shift) - 1) >> _shift;
        while (_pageCount > pages)
        {
            Release(--_pageCount);
        }

        _tableCount = Math.Min(_tableCount, _pageCount);
    }

    /// <summary>Adds a row that lies in a mapped file; only where a page is a row.</summary>
    /// <param name="address">Where it lies.</param>
    /// <param name="mapping">Told when no one uses the row any longer.</param>
    public void AppendMapped(nint address, SharedMapping mapping)
    {
        AddPage(new DeviceSpan<float>(address, RowLength), mapping);
        Count++;
        MappedCount = Count;
    }

    /// <summary>Whether rows can lie in a mapped file: those that are a page each.</summary>
    public bool CanMap => _shift == 0;

    /// <summary>Replaces a row by the same one in a mapped file.</summary>
    public void Map(int row, nint address, SharedMapping mapping)
    {
        Replace(row, new DeviceSpan<float>(address, RowLength), mapping);
        MappedCount = row + 1;
    }

    /// <summary>The same rows; what is written to either later is not seen by the other.</summary>
    public SharedRows Fork()
    {
        SharedRows fork = new(_device, RowLength, _shift == 0);
        CopyTo(fork);
        return fork;
    }

    /// <summary>Makes other rows of the same length the same as these, sharing their memory.</summary>
    public void CopyTo(SharedRows destination)
    {
        destination.Truncate(0);
        destination.Reserve(_pageCount);
        for (var i = 0; i < _pageCount; i++)
        {
            _pages[i]!.Share();
            destination._pages[i] = _pages[i];
            destination._addresses[i] = _addresses[i];
        }

        destination._pageCount = _pageCount;
        destination.Count = Count;
        destination.Unchanged = Unchanged;
        destination.MappedCount = MappedCount;
    }

    /// <summary>Rows at the start that this and another have in common, told by their memory.</summary>
    public int CommonWith(SharedRows other)
    {
        var pages = 0;
        while (pages < Math.Min(_pageCount, other._pageCount) && ReferenceEquals(_pages[pages], other._pages[pages]))
        {
            pages++;
        }

        return Math.Min(pages << _shift, Math.Min(Count, other.Count));
    }

    public void Dispose()
    {
        Truncate(0);
        _device.Free(_table);
        _table = default;
    }

    private DeviceSpan<float> RowOf(int row) => _pages[row >> _shift]!.Memory.Slice((row & ((1 << _shift) - 1)) * RowLength, RowLength);

    private void AddPage(DeviceSpan<float> memory, SharedMapping? mapping)
    {
        if (_pageCount == _pages.Length)
        {
            Reserve(Math.Max(4, 2 * _pageCount));
        }

        _pages[_pageCount] ??= new Page();
        _pages[_pageCount]!.Begin(memory, mapping);
        _addresses[_pageCount++] = memory.Address;
    }

    private void Reserve(int pages)
    {
        var before = _pages.Length;
        if (pages > before)
        {
            Array.Resize(ref _pages, pages);
            Array.Resize(ref _addresses, pages);
            for (var i = before; i < pages; i++)
            {
                _pages[i] = new Page();
            }
        }
    }

    private void Replace(int index, DeviceSpan<float> memory, SharedMapping? mapping)
    {
        Release(index);
        _pages[index] ??= new Page();
        _pages[index]!.Begin(memory, mapping);
        _addresses[index] = memory.Address;
        _tableCount = Math.Min(_tableCount, index);
    }

    private void Release(int index)
    {
        if (!_pages[index]!.Release(_device))
        {
            _pages[index] = null; // others still use it
        }
    }

    private void Own(int index)
    {
        var page = _pages[index]!;
        if (page.IsShared)
        {
            var copy = _device.Allocate<float>(page.Memory.Length);
            _device.Copy(page.Memory, copy);
            Replace(index, copy, null);
            if (index < MappedCount)
            {
                MappedCount = index; // a page is a row here
            }
        }
    }

    private sealed class Page
    {
        private SharedMapping? _mapping;
        private int _holders;

        public DeviceSpan<float> Memory { get; private set; }

        /// <summary>Whether it must not be written.</summary>
        public bool IsShared => _mapping is not null || Volatile.Read(ref _holders) > 1;

        public void Begin(DeviceSpan<float> memory, SharedMapping? mapping)
        {
            Memory = memory;
            _mapping = mapping;
            _holders = 1;
            mapping?.Share();
        }

        public void Share() => Interlocked.Increment(ref _holders);

        /// <summary>Frees the memory and returns true if no one else uses the page.</summary>
        public bool Release(Device device)
        {
            if (Interlocked.Decrement(ref _holders) > 0)
            {
                return false;
            }

            if (_mapping is null)
            {
                device.Free(Memory);
            }
            else
            {
                _mapping.Release();
            }

            Memory = default;
            _mapping = null;
            return true;
        }
    }
}
