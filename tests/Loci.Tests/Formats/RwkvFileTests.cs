using System.Runtime.InteropServices;
using System.Text;
using Loci.Formats;
using Loci.Models;
using Loci.Numerics;
using Loci.Sessions;
using Loci.Tests.Models;
using Xunit;

namespace Loci.Tests.Formats;

/// <summary>Model files of rwkv.cpp: what is read, and what is said about files that are not as they should be.</summary>
public sealed class RwkvFileTests : IDisposable
{
    private const int HeaderLength = 24;

    private readonly TemporaryFolder _folder = new();
    private readonly CpuDevice _device = new(1);

    public void Dispose()
    {
        _device.Dispose();
        _folder.Dispose();
    }

    [Theory]
    [InlineData("5v1-730K", ModelArchitecture.Rwkv51, 8, 680_000)]
    [InlineData("5v2-730K", ModelArchitecture.Rwkv52, 8, 730_000)]
    [InlineData("7v0-834K", ModelArchitecture.Rwkv7, 1, 830_000)]
    public void ConfigurationIsThatOfTheCheckpoint(string name, ModelArchitecture architecture, int heads, int parameters)
    {
        var configuration = RwkvFile.ReadConfiguration(RwkvModels.PathOf(name));
        Assert.Equal((architecture, 256, 64, 12), (configuration.Architecture, configuration.VocabularySize, configuration.Dimension, configuration.Layers));
        Assert.Equal((heads, 256, architecture == ModelArchitecture.Rwkv7), (configuration.Heads, configuration.FeedForward, configuration.Ranks is not null));
        using var model = RwkvModels.Load(name, _device);
        Assert.InRange(model.ParameterCount, parameters - 5000, parameters + 5000);
    }

    [Theory]
    [InlineData("5v1-730K", 0.01)]
    [InlineData("5v2-730K", 0.01)]
    [InlineData("7v0-834K", 0.01)]
    public void HalfPrecisionIsRead(string name, double tolerance)
    {
        // As the converter writes it: matrices in FP16, all else in FP32.
        var file = Parts.Read(RwkvModels.PathOf(name));
        for (var i = 0; i < file.Tensors.Count; i++)
        {
            if (file.Tensors[i] is { Extents: [> 1, > 1] } tensor)
            {
                var halves = MemoryMarshal.Cast<byte, float>(tensor.Data).ToArray().Select(value => (Half)value).ToArray();
                file.Tensors[i] = tensor with { Type = 1, Data = MemoryMarshal.AsBytes(halves.AsSpan()).ToArray() };
            }
        }

        file.Header[5] = 1;
        using var model = RwkvFile.Load(Write(file), _device);
        using var stream = model.CreateSession();
        stream.Read(RwkvModels.Prompt);
        var expected = RwkvModels.ExpectedLogits(name);
        var difference = expected.Zip(stream.Logits.ToArray(), (a, b) => Math.Abs(a - b)).Max();
        Assert.InRange(difference, 1e-7, tolerance * expected.Max(Math.Abs));
    }

    [Fact]
    public void FilesThatWereCutShortAreRefused()
    {
        var whole = File.ReadAllBytes(RwkvModels.PathOf("5v2-730K"));
        foreach (var length in (int[])[0, 3, HeaderLength - 1])
        {
            Refused(whole[..length], "does not begin like one");
        }

        // In the first tensor's header, extents, name and data, in a later header and before the last byte.
        foreach (var length in (int[])[HeaderLength + 2, HeaderLength + 14, HeaderLength + 25, HeaderLength + 1000, HeaderLength + 30 + (64 * 256 * 4) + 4, whole.Length - 1])
        {
            Refused(whole[..length], "cut short");
        }

        // Between tensors nothing shows where a file ends, but something is missing.
        Refused(whole[..HeaderLength], "holds no model");
        var file = Parts.Read(RwkvModels.PathOf("5v2-730K"));
        file.Tensors.RemoveAt(file.Tensors.Count - 1);
        Refused(file, "has no tensor 'head.weight'");
    }

    [Theory]
    [InlineData(0, 0x67676d6c, "does not begin like one")]
    [InlineData(1, 99, "version 99; 100 and 101 are supported")]
    [InlineData(2, 1, "asks for 1 tokens")]
    [InlineData(3, -64, "a width of -64")]
    [InlineData(4, 0, "0 layers")]
    [InlineData(5, 8, "is quantised (type 8)")]
    [InlineData(3, 128, "'emb.weight' has the shape [256, 64]")]
    [InlineData(2, int.MaxValue, "'emb.weight' has the shape [256, 64]")]
    [InlineData(4, int.MaxValue, "has no tensor 'blocks.2147483646.ln1.weight'")]
    [InlineData(4, 13, "has no tensor 'blocks.12.ln1.weight'")]
    [InlineData(4, 11, "has the tensor 'blocks.11.")]
    public void HeadersAreChecked(int field, int value, string expected)
    {
        var file = Parts.Read(RwkvModels.PathOf("5v2-730K"));
        file.Header[field] = value;
        Refused(file, expected);
    }

    [Fact]
    public void TensorsAreChecked()
    {
        Change("blocks.3.att.key.weight", tensor => tensor with { Type = 2 }, "blocks.3.att.key.weight' of ", "is quantised (type 2)");
        Change("blocks.3.att.key.weight", tensor => tensor with { Extents = [64, 32, 2] }, "has the shape [2, 32, 64] where the model needs [64, 64]");
        Change("blocks.3.att.key.weight", tensor => tensor with { Extents = [] }, "has 0 axes");
        Change("blocks.3.att.key.weight", tensor => tensor with { Extents = [64, 0] }, "has the shape [0, 64]");
        Change("blocks.3.att.key.weight", tensor => tensor with { Extents = [1 << 16, 1 << 16, 1 << 16] }, "has the shape");
        Change("blocks.3.att.key.weight", tensor => tensor with { Extents = [1 << 14, 1 << 14] }, "cut short");
        Change("blocks.3.att.key.weight", tensor => tensor with { Name = new string('x', 300) }, "a name of 300 bytes");
        Change("blocks.3.att.key.weight", tensor => tensor with { Name = "blocks.3.att.value.weight" }, "'blocks.3.att.value.weight' twice");
        Change("blocks.3.att.key.weight", tensor => tensor with { Name = "blocks.3.att.keys" }, "has no tensor 'blocks.3.att.key.weight'");
        Change("blocks.3.att.time_mix_k", tensor => With(tensor, 17, float.NaN), "element 17 of the tensor 'blocks.3.att.time_mix_k' is not a finite number");
        Change("head.weight", tensor => With(tensor, 64 * 255, float.PositiveInfinity), "element 16320 of the tensor 'head.weight'");
        Change("blocks.3.att.time_decay", tensor => With(tensor, 5, 1.5f), "decays lie between 0 and 1");
        Change("blocks.3.att.time_decay", tensor => With(tensor, 5, -0.1f), "decays lie between 0 and 1");

        static Part With(Part tensor, int index, float value)
        {
            var data = tensor.Data.ToArray();
            BitConverter.TryWriteBytes(data.AsSpan(index * sizeof(float)), value);
            return tensor with { Data = data };
        }

        void Change(string name, Func<Part, Part> change, params string[] expected)
        {
            var file = Parts.Read(RwkvModels.PathOf("5v2-730K"));
            var index = file.Tensors.FindIndex(tensor => tensor.Name == name);
            file.Tensors[index] = change(file.Tensors[index]);
            Refused(file, expected);
        }
    }

    [Fact]
    public void ADecayOfZeroForgetsEverything()
    {
        var file = Parts.Read(RwkvModels.PathOf("5v2-730K"));
        foreach (var tensor in file.Tensors.Where(tensor => tensor.Name.EndsWith("time_decay", StringComparison.Ordinal)))
        {
            tensor.Data.AsSpan().Clear();
        }

        using var model = RwkvFile.Load(Write(file), _device);
        using var stream = model.CreateSession();
        stream.Read(RwkvModels.Text(20));
        Assert.All(stream.Logits.ToArray(), logit => Assert.True(float.IsFinite(logit)));
    }

    [Theory]
    [InlineData("att.time_decay att.time_first", "RWKV-4")]
    [InlineData("att.time_decay att.time_maa_x att.gate.weight att.ln_x.weight", "RWKV-6")]
    [InlineData("attn.q.weight", "no RWKV model")]
    public void OtherArchitecturesAreNamed(string tensors, string expected)
    {
        Parts file = new([0x67676d66, 100, 256, 64, 4, 0], [.. tensors.Split(' ').Select(name => new Part("blocks.0." + name, 0, [1], new byte[4]))]);
        Refused(file, $"holds {expected}; RWKV-5.1, 5.2 and 7 are supported");
    }

    [Fact]
    public void FilesThatAreNotThereAreNamed()
    {
        Assert.Contains("There is no file", Assert.Throws<LociException>(() => RwkvFile.Load(_folder.File("none.bin"), _device)).Message, StringComparison.Ordinal);
        Assert.Throws<LociException>(() => RwkvFile.Load(_folder.Path, _device));
    }

    private void Refused(Parts file, params string[] expected) => Refused(file.ToBytes(), expected);

    private void Refused(byte[] contents, params string[] expected)
    {
        var path = _folder.File("broken.bin");
        File.WriteAllBytes(path, contents);
        var failure = Assert.Throws<LociException>(() => RwkvFile.Load(path, _device));
        Assert.All(expected, part => Assert.Contains(part, failure.Message, StringComparison.Ordinal));
        Assert.Contains(path, failure.Message, StringComparison.Ordinal);
        Assert.DoesNotContain('\n', failure.Message);
    }

    private string Write(Parts file)
    {
        var path = _folder.File("changed.bin");
        File.WriteAllBytes(path, file.ToBytes());
        return path;
    }

    private sealed record Part(string Name, int Type, int[] Extents, byte[] Data);

    /// <summary>A file taken apart, to be put together again with something wrong.</summary>
    private sealed record Parts(int[] Header, List<Part> Tensors)
    {
        public static Parts Read(string path)
        {
            using BinaryReader reader = new(File.OpenRead(path));
            Parts parts = new([.. Enumerable.Range(0, 6).Select(_ => reader.ReadInt32())], []);
            while (reader.BaseStream.Position < reader.BaseStream.Length)
            {
                int axes = reader.ReadInt32(), name = reader.ReadInt32(), type = reader.ReadInt32();
                int[] extents = [.. Enumerable.Range(0, axes).Select(_ => reader.ReadInt32())];
                parts.Tensors.Add(new Part(Encoding.UTF8.GetString(reader.ReadBytes(name)), type, extents, reader.ReadBytes(extents.Aggregate((a, b) => a * b) * sizeof(float))));
            }

            return parts;
        }

        public byte[] ToBytes()
        {
            using MemoryStream stream = new();
            using BinaryWriter writer = new(stream);
            Write(Header);
            foreach (var tensor in Tensors)
            {
                Write([tensor.Extents.Length, Encoding.UTF8.GetByteCount(tensor.Name), tensor.Type]);
                Write(tensor.Extents);
                writer.Write(Encoding.UTF8.GetBytes(tensor.Name));
                writer.Write(tensor.Data);
            }

            return stream.ToArray();

            void Write(int[] numbers)
            {
                foreach (var number in numbers)
                {
                    writer.Write(number);
                }
            }
        }
    }
}
