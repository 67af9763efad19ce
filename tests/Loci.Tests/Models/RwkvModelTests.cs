using Loci.Models;
using Loci.Numerics;
using Xunit;

namespace Loci.Tests.Models;

/// <summary>RWKV models that were trained elsewhere.</summary>
public sealed class RwkvModelTests(ITestOutputHelper output)
{
    public static TheoryData<string> Names => [.. RwkvModels.All];

    [Theory]
    [MemberData(nameof(Names))]
    public void LogitsAreThoseOfTheOriginalProgram(string name)
    {
        using var device = new CpuDevice(1);
        using var model = RwkvModels.Load(name, device);
        var expected = RwkvModels.ExpectedLogits(name);
        for (var split = 0; split < 4; split++)
        {
            // By token, at both splits, and as a whole.
            using var stream = model.CreateStream();
            var prompt = RwkvModels.Prompt;
            foreach (var part in (int[][])(split == 0 ? [[prompt[0]], [prompt[1]], [prompt[2]]] : [prompt[..split], prompt[split..]]))
            {
                stream.Read(part);
            }

            Close(expected, stream.Logits.ToArray());
        }

        Close(expected, Parallel(model, RwkvModels.Prompt)[^256..]);

        void Close(float[] expected, float[] actual)
        {
            var difference = expected.Zip(actual, (a, b) => Math.Abs(a - b)).Max();
            output.WriteLine($"{name}: largest difference {difference:g3}, largest logit {expected.Max(Math.Abs):g3}");
            Assert.True(difference < 1e-4f, $"{difference}");
        }
    }

    private static float[] Parallel(LanguageModel model, int[] tokens, SequenceLayout? layout = null)
    {
        using var tape = new Tape(model.Device) { IsRecording = false };
        var ids = model.Device.Allocate<int>(tokens.Length);
        model.Device.CopyFromHost<int>(tokens, ids);
        var logits = tape.ToHost(model.Logits(tape, ids, layout ?? new SequenceLayout(1, tokens.Length)));
        model.Device.Free(ids);
        return logits;
    }
}
