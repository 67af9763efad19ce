using System.Buffers.Binary;
using System.Text;
using Loci.Formats;
using Xunit;

namespace Loci.Tests.Formats;

public sealed class TensorBoardWriterTests
{
    private sealed record Decoded(double WallTime, long Step, string? Version, string? Tag, float? Value, bool Restart);

    [Fact]
    public void ChecksumMatchesThePublishedVectors()
    {
        Assert.Equal(0xE3069283u, Crc32C.Compute("123456789"u8));
        Assert.Equal(0x8A9136AAu, Crc32C.Compute(new byte[32])); // RFC 3720, B.4
        Assert.Equal(0x62A8AB43u, Crc32C.Compute(Enumerable.Repeat((byte)0xFF, 32).ToArray()));
        Assert.Equal(0u, Crc32C.Compute([]));
    }

    [Fact]
    public void AnIndependentDecoderReadsWhatWasWritten()
    {
        using TemporaryFolder folder = new();
        DateTimeOffset time = new(2026, 3, 1, 12, 0, 0, 250, TimeSpan.Zero);
        string path;
        using (TensorBoardWriter writer = TensorBoardWriter.Create(folder.File("run/tensorboard")))
        {
            path = writer.Path;
            writer.AddScalar("train/loss", 0, 5.25f, time);
            writer.AddScalar("train/loss", 300, float.NaN, time);
            writer.AddScalar(new string('é', 300), long.MaxValue, -1f, time);
        }

        Assert.Matches(@"^events\.out\.tfevents\.\d{10}\.[\w.-]+\.\d+\.\d+$", Path.GetFileName(path));
        List<Decoded> events = Decode(File.ReadAllBytes(path));
        Assert.Equal(4, events.Count);
        Assert.Equal("brain.Event:2", events[0].Version);
        Assert.InRange(events[0].WallTime, 1.7e9, 1e10);
        Assert.Equal(new Decoded(time.ToUnixTimeMilliseconds() / 1000.0, 0, null, "train/loss", 5.25f, false), events[1]);
        Assert.Equal((300, float.NaN), (events[2].Step, events[2].Value!.Value));
        Assert.Equal((long.MaxValue, new string('é', 300), -1f), (events[3].Step, events[3].Tag, events[3].Value!.Value));
    }

    [Fact]
    public void AResumedRunTellsWhereItBegins()
    {
        using TemporaryFolder folder = new();
        string path;
        using (TensorBoardWriter writer = TensorBoardWriter.Create(folder.Path, resumedStep: 100))
        {
            path = writer.Path;
        }

        List<Decoded> events = Decode(File.ReadAllBytes(path));
        Assert.Equal((101, true), (events[1].Step, events[1].Restart));
    }

    [Fact]
    public void FlushedEventsAreInTheFileWhileItIsOpen()
    {
        using TemporaryFolder folder = new();
        using TensorBoardWriter writer = TensorBoardWriter.Create(folder.Path);
        using TensorBoardWriter second = TensorBoardWriter.Create(folder.Path);
        Assert.NotEqual(writer.Path, second.Path);
        writer.AddScalar("loss", 1, 2f);
        writer.Flush();
        using FileStream stream = new(writer.Path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        byte[] content = new byte[stream.Length];
        stream.ReadExactly(content);
        Assert.Equal(2f, Decode(content)[1].Value);
    }

    [Fact]
    public void AddingAllocatesNothing()
    {
        using TemporaryFolder folder = new();
        using TensorBoardWriter writer = TensorBoardWriter.Create(folder.Path);
        writer.AddScalar("train/loss", 0, 1f);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 1000; i++)
        {
            writer.AddScalar("train/loss", i, 1f);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Fact]
    public void AFolderThatCannotBeMadeIsASentence()
    {
        using TemporaryFolder folder = new();
        File.WriteAllText(folder.File("plain"), "");
        Assert.Throws<LociException>(() => TensorBoardWriter.Create(folder.File("plain/run")));
    }

    private static List<Decoded> Decode(byte[] file)
    {
        List<Decoded> events = [];
        for (int position = 0; position < file.Length;)
        {
            int length = checked((int)BitConverter.ToUInt64(file, position));
            Assert.Equal(BitConverter.ToUInt32(file, position + 8), Mask(Slow(file.AsSpan(position, 8))));
            ReadOnlySpan<byte> data = file.AsSpan(position + 12, length);
            Assert.Equal(BitConverter.ToUInt32(file, position + 12 + length), Mask(Slow(data)));
            events.Add(DecodeEvent(data));
            position += 16 + length;
        }

        return events;
    }

    private static uint Mask(uint crc) => unchecked(((crc >> 15) | (crc << 17)) + 0xA282EAD8u);

    // Bit by bit from the polynomial, sharing nothing with the code under test.
    private static uint Slow(ReadOnlySpan<byte> data)
    {
        uint crc = ~0u;
        foreach (byte value in data)
        {
            crc ^= value;
            for (int bit = 0; bit < 8; bit++)
            {
                crc = (crc & 1) != 0 ? (crc >> 1) ^ 0x82F63B78u : crc >> 1;
            }
        }

        return ~crc;
    }

    private static Decoded DecodeEvent(ReadOnlySpan<byte> data)
    {
        double wallTime = 0;
        long step = 0;
        string? version = null, tag = null;
        float? simple = null;
        bool restart = false;
        while (!data.IsEmpty)
        {
            (int field, ReadOnlySpan<byte> content, ulong number) = Field(ref data);
            switch (field)
            {
                case 1:
                    wallTime = BitConverter.UInt64BitsToDouble(number);
                    break;
                case 2:
                    step = (long)number;
                    break;
                case 3:
                    version = Encoding.UTF8.GetString(content);
                    break;
                case 5:
                    (int summaryField, ReadOnlySpan<byte> value, _) = Field(ref content);
                    Assert.Equal(1, summaryField);
                    Assert.True(content.IsEmpty);
                    while (!value.IsEmpty)
                    {
                        (int valueField, ReadOnlySpan<byte> text, ulong bits) = Field(ref value);
                        (tag, simple) = valueField == 1 ? (Encoding.UTF8.GetString(text), simple) : (tag, BitConverter.UInt32BitsToSingle((uint)bits));
                    }

                    break;
                case 7:
                    (int logField, _, ulong status) = Field(ref content);
                    restart = (logField, status) == (1, 1UL);
                    break;
                default:
                    Assert.Fail($"field {field}");
                    break;
            }
        }

        return new Decoded(wallTime, step, version, tag, simple, restart);
    }

    private readonly ref struct FieldValue(int number, ReadOnlySpan<byte> content, ulong bits)
    {
        private readonly ReadOnlySpan<byte> _content = content;

        public void Deconstruct(out int field, out ReadOnlySpan<byte> bytes, out ulong value)
        {
            field = number;
            bytes = _content;
            value = bits;
        }
    }

    private static FieldValue Field(ref ReadOnlySpan<byte> data)
    {
        ulong key = Varint(ref data);
        int field = (int)(key >> 3);
        switch (key & 7)
        {
            case 0:
                return new FieldValue(field, [], Varint(ref data));
            case 1:
                ulong eight = BinaryPrimitives.ReadUInt64LittleEndian(data);
                data = data[8..];
                return new FieldValue(field, [], eight);
            case 2:
                int length = (int)Varint(ref data);
                ReadOnlySpan<byte> content = data[..length];
                data = data[length..];
                return new FieldValue(field, content, 0);
            default:
                uint four = BinaryPrimitives.ReadUInt32LittleEndian(data);
                data = data[4..];
                return new FieldValue(field, [], four);
        }
    }

    private static ulong Varint(ref ReadOnlySpan<byte> data)
    {
        ulong value = 0;
        for (int shift = 0; ; shift += 7)
        {
            byte next = data[0];
            data = data[1..];
            value |= (ulong)(next & 0x7F) << shift;
            if (next < 0x80)
            {
                return value;
            }
        }
    }
}
