using System.IO.Compression;

namespace Loci.Data;

/// <summary>
/// Decompresses gzip and fails if the data stop short. <see cref="GZipStream"/> takes a truncated file for a shorter one, so a small member
/// with known content is put after the data: only if the data were complete does that content come out at the end.
/// </summary>
internal sealed class GzipReader : Stream
{
    private static readonly byte[] Sentinel = [0x4C, 0x6F, 0x63, 0x69, 0x00, 0xFF, 0x9E, 0x37, 0x79, 0xB9, 0x7F, 0x4A, 0x7C, 0x15, 0x0A, 0xE5];

    private readonly GZipStream _gzip;
    private readonly byte[] _pending = new byte[1 << 16];
    private int _begin;
    private int _end;
    private bool _ended;

    /// <summary>Creates the reader; disposing it disposes <paramref name="source"/>.</summary>
    public GzipReader(Stream source) => _gzip = new GZipStream(new SourceThenSentinel(source), CompressionMode.Decompress);

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    /// <exception cref="InvalidDataException">The data are not gzip, or damaged, or cut short.</exception>
    public override int Read(Span<byte> buffer)
    {
        while (!_ended && _end - _begin <= Sentinel.Length)
        {
            _pending.AsSpan(_begin, _end - _begin).CopyTo(_pending);
            _end -= _begin;
            _begin = 0;
            int count = _gzip.Read(_pending, _end, _pending.Length - _end);
            _end += count;
            if (count == 0)
            {
                _ended = true;
                if (!_pending.AsSpan(_begin, _end - _begin).EndsWith(Sentinel))
                {
                    throw new InvalidDataException("The gzip data are cut short.");
                }
            }
        }

        int available = Math.Min(buffer.Length, _end - _begin - Sentinel.Length);
        _pending.AsSpan(_begin, available).CopyTo(buffer);
        _begin += available;
        return available;
    }

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _gzip.Dispose();
        }

        base.Dispose(disposing);
    }

    private sealed class SourceThenSentinel(Stream source) : Stream
    {
        private static readonly byte[] Member = CreateMember();
        private int _memberPosition;
        private bool _sourceEnded;

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

        public override int Read(Span<byte> buffer)
        {
            if (!_sourceEnded)
            {
                int read = source.Read(buffer);
                _sourceEnded = read == 0 && buffer.Length > 0;
                if (!_sourceEnded)
                {
                    return read;
                }
            }

            int count = Math.Min(buffer.Length, Member.Length - _memberPosition);
            Member.AsSpan(_memberPosition, count).CopyTo(buffer);
            _memberPosition += count;
            return count;
        }

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

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
            using (GZipStream gzip = new(member, CompressionLevel.NoCompression, leaveOpen: true))
            {
                gzip.Write(Sentinel);
            }

            return member.ToArray();
        }
    }
}
