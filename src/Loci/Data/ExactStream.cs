namespace Loci.Data;

/// <summary>A stream that must be as long as it is said to be, and is not read further.</summary>
internal sealed class ExactStream(Stream source, long length) : ForwardStream
{
    private long _left = length;

    /// <exception cref="InvalidDataException">It is shorter or longer.</exception>
    public override int Read(Span<byte> buffer)
    {
        var count = source.Read(buffer);
        _left -= count;
        return _left < 0 || (count == 0 && buffer.Length > 0 && _left > 0)
            ? throw new InvalidDataException("it is damaged or cut short")
            : count;
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
