using System.Buffers.Binary;
using System.Text;
using FsCheck;
using FsCheck.Fluent;
using Loci.Formats;
using Xunit;

namespace Loci.Tests.Formats;

public sealed class SafetensorsFileTests
{
    private static byte[] Assemble(string header, params byte[] data)
    {
        byte[] json = Encoding.UTF8.GetBytes(header);
        byte[] file = new byte[8 + json.Length + data.Length];
        BinaryPrimitives.WriteInt64LittleEndian(file, json.Length);
        json.CopyTo(file, 8);
        data.CopyTo(file, 8 + json.Length);
        return file;
    }

    private static SafetensorsFile Open(TemporaryFolder folder, byte[] content)
    {
        File.WriteAllBytes(folder.File("x.safetensors"), content);
        return SafetensorsFile.Open(folder.File("x.safetensors"));
    }

    [Fact]
    public void ReadsAFileAssembledByHand()
    {
        using TemporaryFolder folder = new();
        using SafetensorsFile file = Open(folder, Assemble(
            """{"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"s":{"shape":[],"dtype":"I64","data_offsets":[16,24]}}   """,
            0, 0, 0x80, 0x3F, 0, 0, 0, 0xC0, 0, 0, 0, 0x3F, 0, 0, 0x40, 0x40, 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF));
        Assert.Equal("pt", file.Metadata["format"]);
        Assert.Equal(["w", "s"], file.Tensors.Select(tensor => tensor.Name));
        float[] values = new float[4];
        file.ReadFloat("w", [2, 2], values);
        Assert.Equal([1f, -2f, 0.5f, 3f], values);
        long[] scalar = new long[1];
        file.ReadInt64("s", scalar);
        Assert.Equal(-2, scalar[0]);
        Assert.Empty(file.Find("s").Shape);
    }

    [Fact]
    public void WritesExactlyTheFormat()
    {
        using TemporaryFolder folder = new();
        string path = folder.File("x.safetensors");
        SafetensorsFile.Write(path, [TensorEntry.Float32("w", [2], new float[] { 1f, -2f })], new Dictionary<string, string> { ["format"] = "loci" });
        string header = """{"__metadata__":{"format":"loci"},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""";
        header = header.PadRight((header.Length + 7) / 8 * 8);
        Assert.Equal(Assemble(header, 0, 0, 0x80, 0x3F, 0, 0, 0, 0xC0), File.ReadAllBytes(path));
    }

    [Theory]
    [InlineData("F16", new byte[] { 0x00, 0x3C, 0x00, 0xC0, 0x01, 0x00 }, new[] { 1f, -2f, 5.9604645e-8f })]
    [InlineData("BF16", new byte[] { 0x80, 0x3F, 0x00, 0xC0, 0x49, 0x40 }, new[] { 1f, -2f, 3.140625f })]
    [InlineData("F64", new byte[] { 0, 0, 0, 0, 0, 0, 0xF0, 0x3F, 0, 0, 0, 0, 0, 0, 0, 0xC0 }, new[] { 1f, -2f })]
    [InlineData("I32", new byte[] { 0xFF, 0xFF, 0xFF, 0xFF, 2, 1, 0, 0 }, new[] { -1f, 258f })]
    [InlineData("I64", new byte[] { 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF }, new[] { -1f })]
    [InlineData("U8", new byte[] { 0, 200, 255 }, new[] { 0f, 200f, 255f })]
    public void ConvertsEveryTypeToFloat(string type, byte[] data, float[] expected)
    {
        using TemporaryFolder folder = new();
        using SafetensorsFile file = Open(folder, Assemble(
            $$$"""{"t":{"dtype":"{{{type}}}","shape":[{{{expected.Length}}}],"data_offsets":[0,{{{data.Length}}}]}}""", data));
        float[] values = new float[expected.Length];
        file.ReadFloat("t", values);
        Assert.Equal(expected, values);
        file.RequireFinite("t");
    }

    [Fact]
    public void ConversionCrossesBlocks()
    {
        using TemporaryFolder folder = new();
        byte[] data = new byte[2 * 100_001];
        for (int i = 0; i < 100_001; i++)
        {
            BinaryPrimitives.WriteHalfLittleEndian(data.AsSpan(2 * i), (Half)(i % 1000));
        }

        using SafetensorsFile file = Open(folder, Assemble($$$"""{"t":{"dtype":"F16","shape":[100001],"data_offsets":[0,{{{data.Length}}}]}}""", data));
        float[] values = new float[100_001];
        file.ReadFloat("t", values);
        Assert.All(values.Index(), pair => Assert.Equal(pair.Index % 1000, pair.Item));
    }

    [Fact]
    public void RoundTripsToTheSameBits() => Prop.ForAll<float[], long[], byte[]>((floats, longs, bytes) =>
    {
        using TemporaryFolder folder = new();
        string path = folder.File("x.safetensors");
        SafetensorsFile.Write(path,
        [
            TensorEntry.UInt8("b \"quoted\" é", [bytes.Length], bytes),
            TensorEntry.Float32("f", [1, floats.Length], sink =>
            {
                // In two parts, as a tensor that is not one span would be.
                sink.Write(floats.AsSpan(0, floats.Length / 2));
                sink.Write(floats.AsSpan(floats.Length / 2));
            }),
            TensorEntry.Int64("i", [longs.Length, 1, 1], longs),
            TensorEntry.Float32("empty", [3, 0], ReadOnlyMemory<float>.Empty),
        ]);
        using SafetensorsFile file = SafetensorsFile.Open(path);
        float[] floatsBack = new float[floats.Length];
        long[] longsBack = new long[longs.Length];
        byte[] bytesBack = new byte[bytes.Length];
        file.ReadFloat("f", [1, floats.Length], floatsBack);
        file.ReadInt64("i", longsBack);
        file.ReadBytes("b \"quoted\" é", bytesBack);
        file.ReadFloat("empty", [3, 0], []);
        return file.Tensors.All(tensor => tensor.Position % 8 == 0 || tensor.Type != TensorElementType.Int64)
            && floats.Select(BitConverter.SingleToInt32Bits).SequenceEqual(floatsBack.Select(BitConverter.SingleToInt32Bits))
            && longs.SequenceEqual(longsBack) && bytes.SequenceEqual(bytesBack);
    }).Check(Config.QuickThrowOnFailure.WithMaxTest(40));

    [Theory]
    [InlineData("", "too few for a header")]
    [InlineData("[]", "does not begin with '{'")]
    [InlineData("{", "not valid JSON")]
    [InlineData("{}{}", "not valid JSON")]
    [InlineData("""{"t":1}""", "is not a JSON object")]
    [InlineData("""{"t":{"dtype":"F32","shape":[1]}}""", "lacks its data_offsets")]
    [InlineData("""{"t":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}""", "unknown dtype 'F33'")]
    [InlineData("""{"t":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}""", "whole numbers from 0")]
    [InlineData("""{"t":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}""", "whole numbers from 0")]
    [InlineData("""{"t":{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}}""", "whole numbers from 0")]
    [InlineData("""{"t":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}""", "is too large")]
    [InlineData("""{"t":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}""", "takes 4 bytes where its shape [2] of F32 needs 8")]
    [InlineData("""{"t":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}""", "not a beginning and an end")]
    [InlineData("""{"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}""", "not a beginning and an end")]
    [InlineData("""{"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", "is cut short")]
    [InlineData("""{"t":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}""", "2 bytes at its end belong to no tensor")]
    [InlineData("""{"t":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}""", "2 bytes before the data of tensor 't' belong to no tensor")]
    [InlineData("""{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}""", "overlaps")]
    [InlineData("""{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"a":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}""", "names 'a' twice")]
    [InlineData("""{"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"shape":[1]}}""", "two fields 'shape'")]
    [InlineData("""{"__metadata__":{"a":1},"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", "'a' is not a string")]
    [InlineData("""{"t":{"dtype":"U8","shape":[4],"data_offsets":[9223372036854775800,9223372036854775804]}}""", "past the end")]
    [InlineData("""{"\ud800":1}""", "not valid JSON")]
    public void RefusesWithASentence(string header, string reason)
    {
        using TemporaryFolder folder = new();
        byte[] content = header.Length == 0 ? [1, 2, 3] : Assemble(header, 0, 0, 0, 0);
        LociException failure = Assert.Throws<LociException>(() => Open(folder, content));
        Assert.Contains(reason, failure.Message, StringComparison.Ordinal);
        Assert.Contains("x.safetensors", failure.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', failure.Message);
    }

    [Fact]
    public void AnAbsurdHeaderLengthAllocatesNothing()
    {
        using TemporaryFolder folder = new();
        byte[] content = new byte[64];
        BinaryPrimitives.WriteInt64LittleEndian(content, 99_999_999);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Contains("cut short", Assert.Throws<LociException>(() => Open(folder, content)).Message, StringComparison.Ordinal);
        BinaryPrimitives.WriteInt64LittleEndian(content, -1);
        Assert.Contains("the format allows", Assert.Throws<LociException>(() => Open(folder, content)).Message, StringComparison.Ordinal);
        Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 1_000_000);
    }

    [Fact]
    public void MissingThingsAreNamed()
    {
        using TemporaryFolder folder = new();
        Assert.Contains("There is no file", Assert.Throws<LociException>(() => SafetensorsFile.Open(folder.File("no"))).Message, StringComparison.Ordinal);
        Assert.Contains("is a folder", Assert.Throws<LociException>(() => SafetensorsFile.Open(folder.Path)).Message, StringComparison.Ordinal);
        using SafetensorsFile file = Open(folder, Assemble(
            """{"f":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"e":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[4,5]}}""", 0, 0, 0xC0, 0x7F, 0));
        Assert.Contains("no tensor 'w'", Fails(() => file.Find("w")), StringComparison.Ordinal);
        Assert.Contains("shape [1] where [1, 1] is needed", Fails(() => file.ReadFloat("f", [1, 1], new float[1])), StringComparison.Ordinal);
        Assert.Contains("1 elements, where 2 are needed", Fails(() => file.ReadFloat("f", new float[2])), StringComparison.Ordinal);
        Assert.Contains("is F8_E4M3 where", Fails(() => file.ReadFloat("e", new float[1])), StringComparison.Ordinal);
        Assert.Contains("is F32 where I64", Fails(() => file.ReadInt64("f", new long[1])), StringComparison.Ordinal);
        Assert.Contains("is F32 where U8", Fails(() => file.ReadBytes("f", new byte[1])), StringComparison.Ordinal);
        Assert.Contains("holds NaN at [0]", Fails(() => file.RequireFinite("f")), StringComparison.Ordinal);

        static string Fails(Action action) => Assert.Throws<LociException>(action).Message;
    }

    [Fact]
    public void TheFirstNonFiniteElementIsLocated()
    {
        using TemporaryFolder folder = new();
        float[] values = new float[40_000];
        values[200 * 123 + 45] = float.NegativeInfinity;
        SafetensorsFile.Write(folder.File("x"), [TensorEntry.Float32("w", [200, 200], values)]);
        using SafetensorsFile file = SafetensorsFile.Open(folder.File("x"));
        Assert.Contains("at [123, 45]", Assert.Throws<LociException>(() => file.RequireFinite("w")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void MisuseOfTheWriterIsTold()
    {
        using TemporaryFolder folder = new();
        string path = folder.File("x");
        Assert.Throws<ArgumentException>(() => TensorEntry.Float32("w", [3], new float[2]));
        Assert.Throws<ArgumentException>(() => TensorEntry.Float32("__metadata__", [2], new float[2]));
        Assert.Throws<ArgumentOutOfRangeException>(() => TensorEntry.Float32("w", [-1], new float[1]));
        TensorEntry one = TensorEntry.Float32("w", [1], new float[1]);
        Assert.Throws<ArgumentException>(() => SafetensorsFile.Write(path, [one, one]));
        Assert.Throws<InvalidOperationException>(() => SafetensorsFile.Write(path, [TensorEntry.Float32("w", [2], sink => sink.Write(new float[1]))]));
        Assert.Throws<InvalidOperationException>(() => SafetensorsFile.Write(path, [TensorEntry.Float32("w", [2], sink => sink.Write(new float[3]))]));
        Assert.Throws<InvalidOperationException>(() => SafetensorsFile.Write(path, [TensorEntry.Float32("w", [2], sink => sink.Write(new long[1]))]));
        Assert.Empty(Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void AFileDamagedAnywhereEitherReadsOrIsRefused()
    {
        using TemporaryFolder folder = new();
        string path = folder.File("x.safetensors");
        SafetensorsFile.Write(path,
        [
            TensorEntry.Float32("layers.0.weight", [3, 4], new float[12]),
            TensorEntry.Int64("step", [], new long[] { 7 }),
            TensorEntry.UInt8("state", [5], new byte[5]),
        ], new Dictionary<string, string> { ["format"] = "loci", ["name"] = "é" });
        byte[] good = File.ReadAllBytes(path);
        Random random = new(7);
        int refused = 0;
        float[] values = new float[12];
        long before = GC.GetAllocatedBytesForCurrentThread();
        const int Rounds = 2500;
        for (int round = 0; round < Rounds; round++)
        {
            byte[] bad = random.Next(4) == 0 ? good[..random.Next(good.Length)] : [.. good];
            for (int change = random.Next(1, 5); change > 0 && bad.Length > 0; change--)
            {
                // Mostly characters that mean something in the header.
                bad[random.Next(bad.Length)] = random.Next(3) == 0 ? (byte)random.Next(256) : "{}[]\",:0123456789-.eFIU\\ "u8[random.Next(25)];
            }

            File.WriteAllBytes(path, bad);
            try
            {
                using SafetensorsFile file = SafetensorsFile.Open(path);
                foreach (TensorInfo tensor in file.Tensors)
                {
                    Assert.InRange(tensor.ElementCount, 0, good.Length);
                    file.ReadFloat(tensor.Name, values.AsSpan(0, (int)tensor.ElementCount));
                    file.RequireFinite(tensor.Name);
                }
            }
            catch (LociException)
            {
                refused++;
            }
        }

        Assert.InRange(refused, Rounds / 2, Rounds - 1);
        Assert.True((GC.GetAllocatedBytesForCurrentThread() - before) / Rounds < 100_000);
    }
}
