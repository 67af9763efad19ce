using System.IO.Compression;

namespace Loci.Data;

/// <summary>
/// Decompresses gzip and fails if the data stop short or something else than zeros follows them. <see cref="GZipStream"/> takes a truncated
/// file for a
/// shorter one, so a small member with known content is put after the data: only if the data were complete does that content come out at
/// the end.
/// </summary>
internal sealed class GzipReader : ForwardStream
{
    /// <summary>What gzip data begin with.</summary>
    public static ReadOnlySpan<byte> Start => [0x1F, 0x8B];

    private static readonly byte[] Sentinel = [0x4C, 0x6F, 0x63, 0x69, 0x00, 0xFF, 0x9E, 0x37, 0x79, 0xB9, 0x7F, 0x4A, 0x7C, 0x15, 0x0A, 0xE5];

    private readonly SourceThenSentinel _source;
    private readonly GZipStream _gzip;
    private readonly byte[] _pending = new byte[1 << 16];
    private int _begin;
    private int _end;
    private int _held = Sentinel.Length; // bytes at the end that are not to be given out: they may be the sentinel
    private bool _ended;

    /// <summary>Creates the reader; disposing it disposes <paramref name="source"/>.</summary>
    public GzipReader(Stream source)
    {
        _source = new SourceThenSentinel(source);
        _gzip = new GZipStream(_source, CompressionMode.Decompress);
    }

    /// <exception cref="InvalidDataException">The data are not gzip, or damaged, or cut short, or followed by something else.</exception>
    public override int Read(Span<byte> buffer)
    {
        while (!_ended && _end - _begin <= _held)
        {
            _pending.AsSpan(_begin, _end - _begin).CopyTo(_pending);
            _end -= _begin;
            _begin = 0;
            var count = Decompress(_pending.AsSpan(_end));
            _end += count;
            if (count == 0)
            {
                _ended = true;
                RequireComplete();
            }
        }

        var available = Math.Min(buffer.Length, _end - _begin - _held);
        _pending.AsSpan(_begin, available).CopyTo(buffer);
        _begin += available;
        return available;
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _gzip.Dispose();
        }

        base.Dispose(disposing);
    }

    private int Decompress(Span<byte> buffer)
    {
        try
        {
            return _gzip.Read(buffer);
        }
        catch (InvalidDataException exception)
        {
            throw new InvalidDataException("the gzip data are damaged or cut short", exception);
        }
    }

    private void RequireComplete()
    {
        if (!_source.SourceEnded)
        {
            if (!_source.RestIsPadding())
            {
                throw new InvalidDataException("something that is not gzip follows the gzip data; it is damaged, or two files in one");
            }

            _held = 0;
        }
        else if (!_pending.AsSpan(_begin, _end - _begin).EndsWith(Sentinel))
        {
            throw new InvalidDataException("the gzip data are cut short");
        }
    }

    /// <summary>
    /// Hands out zeros at the end of what it has read one at a time: where the decompressor stops at one, that one is not of the data.
    /// </summary>
    private sealed class SourceThenSentinel(Stream source) : ForwardStream
    {
        private static readonly byte[] Member = CreateMember();
        private readonly byte[] _buffer = new byte[1 << 16];
        private int _begin;
        private int _end;
        private int _memberPosition;
        private bool _lastWasZero;

        public bool SourceEnded { get; private set; }

        /// <summary>Whether the decompressor stopped at a zero, and only zeros follow.</summary>
        public bool RestIsPadding()
        {
            while (_lastWasZero && !SourceEnded)
            {
                _lastWasZero = !_buffer.AsSpan(_begin, _end - _begin).ContainsAnyExcept((byte)0);
                Fill();
            }

            return _lastWasZero;
        }

        public override int Read(Span<byte> buffer)
        {
            if (_begin == _end && !SourceEnded)
            {
                Fill();
            }

            return SourceEnded ? ReadMember(buffer) : ReadSource(buffer);
        }

        protected override void Dispose(bool disposing)
        {
            if (disposing)
            {
                source.Dispose();
            }

            base.Dispose(disposing);
        }

        private static byte[] CreateMember()
        {
            using MemoryStream member = new();
            using (GZipStream gzip = new(member, CompressionMode.Compress))
            {
                gzip.Write(Sentinel);
            }

            return member.ToArray();
        }

        private void Fill()
        {
            _begin = 0;
            _end = source.Read(_buffer);
            SourceEnded = _end == 0;
        }

        private int ReadSource(Span<byte> buffer)
        {
            var left = _buffer.AsSpan(_begin, _end - _begin);
            var solid = left.LastIndexOfAnyExcept((byte)0) + 1;
            _lastWasZero = solid == 0;
            var count = Math.Min(buffer.Length, Math.Max(1, solid));
            left[..count].CopyTo(buffer);
            _begin += count;
            return count;
        }

        private int ReadMember(Span<byte> buffer)
        {
            var count = Math.Min(buffer.Length, Member.Length - _memberPosition);
            Member.AsSpan(_memberPosition, count).CopyTo(buffer);
            _memberPosition += count;
            return count;
        }
    }
}
