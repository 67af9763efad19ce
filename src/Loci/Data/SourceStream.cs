namespace Loci.Data;

/// <summary>A stream whose beginning can be looked at before it is read, and which knows how much of it has been read.</summary>
internal sealed class SourceStream(Stream source) : ForwardStream
{
    private const int HeadLength = 512; // the header of a tar archive

    private readonly byte[] _head = new byte[HeadLength];
    private int _headLength = -1;

    /// <summary>The first bytes.</summary>
    public ReadOnlySpan<byte> Head
    {
        get
        {
            if (_headLength < 0)
            {
                _headLength = source.ReadAtLeast(_head, HeadLength, throwOnEndOfStream: false);
            }

            return _head.AsSpan(0, _headLength);
        }
    }

    public long Count { get; private set; }

    /// <summary>The source from its beginning, if it can be gone back to.</summary>
    public Stream? Seekable()
    {
        if (!source.CanSeek)
        {
            return null;
        }

        source.Position = 0;
        return source;
    }

    public override int Read(Span<byte> buffer)
    {
        var left = Head.Length - (int)Math.Min(Count, Head.Length);
        var read = Math.Min(left, buffer.Length);
        if (left > 0)
        {
            Head.Slice((int)Count, read).CopyTo(buffer);
        }
        else
        {
            read = source.Read(buffer);
        }

        Count += read;
        return read;
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            source.Dispose();
        }

        base.Dispose(disposing);
    }
}
