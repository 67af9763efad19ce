using Loci.Data;
using Loci.Formats;
using Loci.Models;
using Loci.Numerics;
using Loci.Tests.Data;

namespace Loci.Tests.Models;

/// <summary>The published checkpoints in TestData, and what rwkv.cpp's tests expect of them.</summary>
internal static class RwkvModels
{
    /// <summary>Names of the checkpoints.</summary>
    public static string[] All => ["5v1-730K", "5v2-730K", "7v0-834K"];

    /// <summary>The prompt after which the expected logits stand, as bytes: "in</summary>
    public static int[] Prompt => ['"', 'i', 'n'];

    public static string PathOf(string name) => TestFiles.PathOf($"rwkv/tiny-rwkv-{name}-FP32.bin");

    public static LanguageModel Load(string name, Device device) => RwkvFile.Load(PathOf(name), device);

    /// <summary>256 logits.</summary>
    public static float[] ExpectedLogits(string name)
    {
        var bytes = File.ReadAllBytes(TestFiles.PathOf($"rwkv/expected-logits-{name}.bin"));
        var values = new float[bytes.Length / sizeof(float)];
        Buffer.BlockCopy(bytes, 0, values, 0, bytes.Length);
        return values;
    }

    /// <summary>Some English text as tokens.</summary>
    public static int[] Text(int length) => new ByteTokenizer().Encode(TestFiles.RealText.AsSpan(2000, length))[..length];
}
