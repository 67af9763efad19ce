using System.Buffers.Binary;
using Loci.Formats;

namespace Loci.Sessions.Storage;

/// <summary>
/// The bytes of a session file, described in <c>docs/session-format.md</c>: a header, two pages with one commit slot each, and a log of records.
/// All numbers are little-endian; every structure ends with the CRC-32C of what comes before in it.
/// </summary>
internal static class SessionFormat
{
    /// <summary>The version written, and the only one read.</summary>
    public const int FormatVersion = 1;

    /// <summary>What every record and its payload are aligned to.</summary>
    public const int Alignment = 64;

    /// <summary>What the header is padded to, and the size of a slot's page: no write to one page tears another.</summary>
    public const int PageBytes = 4096;

    /// <summary>The second copy of a slot within its page, so that a flipped bit costs no commit.</summary>
    public const int SlotCopy = PageBytes / 2;

    /// <summary>The size of the header's fixed part, of a slot, and of a record's header.</summary>
    public const int BlockBytes = 64;

    /// <summary>The longest metadata.</summary>
    public const int MaximumMetadata = 1 << 24;

    /// <summary>The most streams.</summary>
    public const int MaximumStreams = 1 << 16;

    private const int ChecksumOffset = BlockBytes - sizeof(uint);
    private const uint SlotMark = 0x544D4D43; // "CMMT"

    /// <summary>The first bytes: not text, and changed by a transfer that translates line ends.</summary>
    public static ReadOnlySpan<byte> Magic => [0x89, (byte)'L', (byte)'o', (byte)'c', (byte)'i', (byte)'S', (byte)'\r', (byte)'\n'];

    /// <summary>The next multiple of <paramref name="unit"/>, a power of two.</summary>
    public static long Align(long value, int unit) => (value + unit - 1) & -unit;

    /// <summary>Where the pages of the slots begin.</summary>
    public static long SlotsStart(int streams, int metadataBytes) => Align(BlockBytes + ((long)streams * sizeof(long)) + metadataBytes, PageBytes);

    /// <summary>The header, padded to whole pages.</summary>
    public static byte[] BuildHeader(ReadOnlySpan<byte> metadata, ReadOnlySpan<long> rowBytes)
    {
        byte[] header = new byte[SlotsStart(rowBytes.Length, metadata.Length)];
        Magic.CopyTo(header);
        BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(8), FormatVersion);
        BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(12), rowBytes.Length);
        BinaryPrimitives.WriteInt32LittleEndian(header.AsSpan(16), metadata.Length);
        for (int i = 0; i < rowBytes.Length; i++)
        {
            BinaryPrimitives.WriteInt64LittleEndian(header.AsSpan(BlockBytes + (i * sizeof(long))), rowBytes[i]);
        }

        metadata.CopyTo(header.AsSpan(BlockBytes + (rowBytes.Length * sizeof(long))));
        BinaryPrimitives.WriteUInt32LittleEndian(header.AsSpan(ChecksumOffset), HeaderChecksum(header));
        return header;
    }

    /// <summary>Reads the sizes out of the header's fixed part; false where they are impossible.</summary>
    public static bool TryReadSizes(ReadOnlySpan<byte> block, out int streams, out int metadataBytes)
    {
        streams = BinaryPrimitives.ReadInt32LittleEndian(block[12..]);
        metadataBytes = BinaryPrimitives.ReadInt32LittleEndian(block[16..]);
        return streams is >= 0 and <= MaximumStreams && metadataBytes is >= 0 and <= MaximumMetadata;
    }

    /// <summary>Reads a whole header, whose sizes are known; false where its checksum or a row's size is wrong.</summary>
    public static bool TryReadHeader(ReadOnlySpan<byte> header, int streams, int metadataBytes, out long[] rowBytes, out byte[] metadata)
    {
        rowBytes = new long[streams];
        metadata = header.Slice(BlockBytes + (streams * sizeof(long)), metadataBytes).ToArray();
        if (BinaryPrimitives.ReadUInt32LittleEndian(header[ChecksumOffset..]) != HeaderChecksum(header))
        {
            return false;
        }

        for (int i = 0; i < streams; i++)
        {
            rowBytes[i] = BinaryPrimitives.ReadInt64LittleEndian(header[(BlockBytes + (i * sizeof(long)))..]);
            if (rowBytes[i] is < 1 or > int.MaxValue)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Writes the checksum of a block over its end.</summary>
    private static void Seal(Span<byte> block) => BinaryPrimitives.WriteUInt32LittleEndian(block[ChecksumOffset..], Crc32C.Compute(block[..ChecksumOffset]));

    private static bool IsSealed(ReadOnlySpan<byte> block) =>
        BinaryPrimitives.ReadUInt32LittleEndian(block[ChecksumOffset..]) == Crc32C.Compute(block[..ChecksumOffset]);

    private static uint HeaderChecksum(ReadOnlySpan<byte> header) => Crc32C.Append(Crc32C.Compute(header[..ChecksumOffset]), header[BlockBytes..]);

    /// <summary>What makes a commit one: how far the log reaches and where the online blob lies.</summary>
    /// <param name="Commit">Its number.</param>
    /// <param name="LogEnd">The first byte behind its last record.</param>
    /// <param name="LogChecksum">The checksum of all record headers before that.</param>
    /// <param name="BlobPosition">Where the online blob begins; 0 where no blob ever needed room.</param>
    /// <param name="BlobLength">Its bytes.</param>
    /// <param name="BlobChecksum">Its checksum.</param>
    internal readonly record struct Slot(long Commit, long LogEnd, uint LogChecksum, long BlobPosition, long BlobLength, uint BlobChecksum)
    {
        /// <summary>Fills a slot's page with both copies.</summary>
        public void Write(Span<byte> page)
        {
            page.Clear();
            BinaryPrimitives.WriteUInt32LittleEndian(page, SlotMark);
            BinaryPrimitives.WriteInt64LittleEndian(page[8..], Commit);
            BinaryPrimitives.WriteInt64LittleEndian(page[16..], LogEnd);
            BinaryPrimitives.WriteInt64LittleEndian(page[24..], BlobPosition);
            BinaryPrimitives.WriteInt64LittleEndian(page[32..], BlobLength);
            BinaryPrimitives.WriteUInt32LittleEndian(page[40..], BlobChecksum);
            BinaryPrimitives.WriteUInt32LittleEndian(page[44..], LogChecksum);
            Seal(page);
            page[..BlockBytes].CopyTo(page[SlotCopy..]);
        }

        /// <summary>Reads one copy.</summary>
        public static bool TryRead(ReadOnlySpan<byte> block, out Slot slot)
        {
            slot = new Slot(
                BinaryPrimitives.ReadInt64LittleEndian(block[8..]),
                BinaryPrimitives.ReadInt64LittleEndian(block[16..]),
                BinaryPrimitives.ReadUInt32LittleEndian(block[44..]),
                BinaryPrimitives.ReadInt64LittleEndian(block[24..]),
                BinaryPrimitives.ReadInt64LittleEndian(block[32..]),
                BinaryPrimitives.ReadUInt32LittleEndian(block[40..]));
            return BinaryPrimitives.ReadUInt32LittleEndian(block) == SlotMark && IsSealed(block);
        }
    }

    /// <summary>What a record holds.</summary>
    internal enum RecordKind
    {
        /// <summary>Rows of one stream.</summary>
        Rows = 0x53574F52, // "ROWS"

        /// <summary>Room for the online blob, written in place; no checksum of its own.</summary>
        Area = 0x41455241, // "AREA"
    }

    /// <summary>What stands before the payload of a record.</summary>
    /// <param name="Kind">What the payload is.</param>
    /// <param name="Commit">The commit that wrote it.</param>
    /// <param name="PayloadBytes">The payload's length without padding.</param>
    /// <param name="Stream">Rows: the stream.</param>
    /// <param name="Keep">Rows: how many rows of the stream stay before these.</param>
    /// <param name="Rows">Rows: how many they are.</param>
    /// <param name="DataChecksum">Rows: the payload's checksum.</param>
    internal readonly record struct Record(RecordKind Kind, long Commit, long PayloadBytes, int Stream, long Keep, long Rows, uint DataChecksum)
    {
        /// <summary>Fills a record's header.</summary>
        public void Write(Span<byte> block)
        {
            block.Clear();
            BinaryPrimitives.WriteInt32LittleEndian(block, (int)Kind);
            BinaryPrimitives.WriteInt32LittleEndian(block[4..], Stream);
            BinaryPrimitives.WriteInt64LittleEndian(block[8..], Commit);
            BinaryPrimitives.WriteInt64LittleEndian(block[16..], PayloadBytes);
            BinaryPrimitives.WriteInt64LittleEndian(block[24..], Keep);
            BinaryPrimitives.WriteInt64LittleEndian(block[32..], Rows);
            BinaryPrimitives.WriteUInt32LittleEndian(block[40..], DataChecksum);
            Seal(block);
        }

        /// <summary>Reads a record's header; false where it is none.</summary>
        public static bool TryRead(ReadOnlySpan<byte> block, out Record record)
        {
            record = new Record(
                (RecordKind)BinaryPrimitives.ReadInt32LittleEndian(block),
                BinaryPrimitives.ReadInt64LittleEndian(block[8..]),
                BinaryPrimitives.ReadInt64LittleEndian(block[16..]),
                BinaryPrimitives.ReadInt32LittleEndian(block[4..]),
                BinaryPrimitives.ReadInt64LittleEndian(block[24..]),
                BinaryPrimitives.ReadInt64LittleEndian(block[32..]),
                BinaryPrimitives.ReadUInt32LittleEndian(block[40..]));
            return record.Kind is RecordKind.Rows or RecordKind.Area && record.PayloadBytes >= 0 && IsSealed(block);
        }
    }
}
