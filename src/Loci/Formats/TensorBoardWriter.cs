using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace Loci.Formats;

/// <summary>Writes scalars to an event file that TensorBoard shows.</summary>
/// <remarks>
/// An event file is a sequence of TFRecord frames (length, its masked CRC-32C, data, its masked CRC-32C), each holding one protocol-buffers message
/// <c>tensorflow.Event</c>; the few fields needed are encoded here. Not safe for several threads at once.
/// </remarks>
internal sealed class TensorBoardWriter : IDisposable
{
    private const int FrameHead = sizeof(ulong) + sizeof(uint);
    private const int FrameTail = sizeof(uint);

    // Protocol-buffers keys: field number << 3 | wire type (0 varint, 1 eight bytes, 2 length-delimited, 5 four bytes).
    private const byte EventWallTime = (1 << 3) | 1;
    private const byte EventStep = (2 << 3) | 0;
    private const byte EventFileVersion = (3 << 3) | 2;
    private const byte EventSummary = (5 << 3) | 2;
    private const byte EventSessionLog = (7 << 3) | 2;
    private const byte SummaryValue = (1 << 3) | 2;
    private const byte ValueTag = (1 << 3) | 2;
    private const byte ValueSimple = (2 << 3) | 5;
    private const byte SessionLogStatus = (1 << 3) | 0;
    private const byte SessionLogStart = 1;

    private static int _files;

    private readonly FileStream _stream;
    private byte[] _frame = new byte[256];

    private TensorBoardWriter(string path, FileStream stream)
    {
        Path = path;
        _stream = stream;
    }

    /// <summary>The event file.</summary>
    public string Path { get; }

    /// <summary>Starts a new event file in a folder, as TensorBoard expects one per process.</summary>
    /// <param name="folder">The run's folder; created when missing.</param>
    /// <param name="resumedStep">
    /// The step a resumed run continues after: TensorBoard then ignores later steps in the folder's earlier files. Null for a new run.
    /// </param>
    /// <exception cref="LociException">The folder or file cannot be written.</exception>
    public static TensorBoardWriter Create(string folder, long? resumedStep = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        DateTimeOffset now = DateTimeOffset.UtcNow;
        string name = string.Create(CultureInfo.InvariantCulture,
            $"events.out.tfevents.{now.ToUnixTimeSeconds():D10}.{HostName()}.{Environment.ProcessId}.{Interlocked.Increment(ref _files) - 1}");
        string path = System.IO.Path.Combine(folder, name);
        try
        {
            Directory.CreateDirectory(folder);
            TensorBoardWriter writer = new(path, new FileStream(path, FileMode.CreateNew, FileAccess.Write, FileShare.Read | FileShare.Delete));
            writer.WriteStart(now, resumedStep);
            return writer;
        }
        catch (Exception exception) when (FileFailure.Is(exception))
        {
            throw FileFailure.Writing(path, exception);
        }
    }

    /// <summary>Adds one point of a curve.</summary>
    /// <param name="tag">The curve's name; a part before <c>/</c> groups curves, as in <c>train/loss</c>.</param>
    /// <param name="step">The step, from 0.</param>
    /// <param name="value">The value; NaN and infinities are shown as such.</param>
    /// <exception cref="LociException">The disk is full or failing.</exception>
    public void AddScalar(string tag, long step, float value) => AddScalar(tag, step, value, DateTimeOffset.UtcNow);

    /// <summary>Adds one point of a curve with a given time.</summary>
    /// <param name="tag">The curve's name; a part before <c>/</c> groups curves, as in <c>train/loss</c>.</param>
    /// <param name="step">The step, from 0.</param>
    /// <param name="value">The value; NaN and infinities are shown as such.</param>
    /// <param name="time">When it was measured.</param>
    /// <exception cref="LociException">The disk is full or failing.</exception>
    public void AddScalar(string tag, long step, float value, DateTimeOffset time)
    {
        ArgumentException.ThrowIfNullOrEmpty(tag);
        ArgumentOutOfRangeException.ThrowIfNegative(step);
        int tagBytes = Encoding.UTF8.GetByteCount(tag);
        int valueBytes = 1 + VarintBytes(tagBytes) + tagBytes + 1 + sizeof(float);
        int summaryBytes = 1 + VarintBytes(valueBytes) + valueBytes;
        Message message = Begin(64 + summaryBytes, time, step);
        message.Byte(EventSummary);
        message.Varint((ulong)summaryBytes);
        message.Byte(SummaryValue);
        message.Varint((ulong)valueBytes);
        message.Byte(ValueTag);
        message.Text(tag, tagBytes);
        message.Byte(ValueSimple);
        message.Fixed32(BitConverter.SingleToUInt32Bits(value));
        Write(message.Length);
    }

    /// <summary>Hands what was added to the operating system, so that TensorBoard sees it and a killed process loses nothing of it.</summary>
    /// <exception cref="LociException">The disk is full or failing.</exception>
    public void Flush()
    {
        try
        {
            _stream.Flush();
        }
        catch (IOException exception)
        {
            throw FileFailure.Writing(Path, exception);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        try
        {
            _stream.Dispose();
        }
        catch (IOException exception)
        {
            throw FileFailure.Writing(Path, exception);
        }
    }

    private static string HostName()
    {
        string host = Environment.MachineName;
        return host.Length > 0 && host.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.') ? host : "localhost";
    }

    private void WriteStart(DateTimeOffset now, long? resumedStep)
    {
        const string Version = "brain.Event:2";
        Message message = Begin(64, now, 0);
        message.Byte(EventFileVersion);
        message.Text(Version, Version.Length);
        Write(message.Length);
        if (resumedStep is { } step)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(step, nameof(resumedStep));
            message = Begin(64, now, step + 1);
            message.Byte(EventSessionLog);
            message.Varint(2);
            message.Byte(SessionLogStatus);
            message.Byte(SessionLogStart);
            Write(message.Length);
        }

        _stream.Flush();
    }

    private Message Begin(int capacity, DateTimeOffset time, long step)
    {
        int needed = FrameHead + capacity + FrameTail;
        if (_frame.Length < needed)
        {
            _frame = new byte[Math.Max(needed, _frame.Length * 2)];
        }

        Message message = new(_frame.AsSpan(FrameHead));
        message.Byte(EventWallTime);
        message.Fixed64(BitConverter.DoubleToUInt64Bits((time - DateTimeOffset.UnixEpoch).TotalSeconds));
        if (step != 0)
        {
            message.Byte(EventStep);
            message.Varint((ulong)step);
        }

        return message;
    }

    private void Write(int length)
    {
        Span<byte> frame = _frame.AsSpan(0, FrameHead + length + FrameTail);
        BinaryPrimitives.WriteUInt64LittleEndian(frame, (ulong)length);
        BinaryPrimitives.WriteUInt32LittleEndian(frame[sizeof(ulong)..], Crc32C.Masked(frame[..sizeof(ulong)]));
        BinaryPrimitives.WriteUInt32LittleEndian(frame[(FrameHead + length)..], Crc32C.Masked(frame.Slice(FrameHead, length)));
        try
        {
            _stream.Write(frame);
        }
        catch (IOException exception)
        {
            throw FileFailure.Writing(Path, exception);
        }
    }

    private static int VarintBytes(int value) => 1 + (31 - int.LeadingZeroCount(value | 1)) / 7;

    /// <summary>Encodes protocol-buffers primitives into a span that is known to be long enough.</summary>
    private ref struct Message(Span<byte> buffer)
    {
        private readonly Span<byte> _buffer = buffer;

        public int Length { get; private set; }

        public void Byte(byte value) => _buffer[Length++] = value;

        public void Varint(ulong value)
        {
            for (; value >= 0x80; value >>= 7)
            {
                Byte((byte)(value | 0x80));
            }

            Byte((byte)value);
        }

        public void Fixed32(uint value)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(_buffer[Length..], value);
            Length += sizeof(uint);
        }

        public void Fixed64(ulong value)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(_buffer[Length..], value);
            Length += sizeof(ulong);
        }

        public void Text(string text, int bytes)
        {
            Varint((ulong)bytes);
            Length += Encoding.UTF8.GetBytes(text, _buffer[Length..]);
        }
    }
}
