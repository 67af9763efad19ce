using System.Globalization;
using System.Runtime.InteropServices;
using Loci.Memory.Aggregations;
using Loci.Memory.Segments;
using Loci.Memory.Store;
using Loci.Models;
using Loci.Numerics;
using Loci.Numerics.Optimization;
using Loci.Sessions;

namespace Loci.Benchmarks;

/// <summary>
/// Digests of training steps and sessions for every memory x aggregation x segmentation x start, to compare the bits of two versions on one
/// machine: bits [filter]. A change that should change
/// nothing leaves every line as it was.
/// </summary>
internal static class BitsBenchmark
{
    private const int Vocabulary = 53;
    private const int Steps = 3;
    private const int Length = 45;

    private static readonly string[] s_memories = ["linear", "gated-linear", "swla", "mamba2", "gla", "delta-net", "gated-delta-net", "dla", "titans"];
    private static readonly string[] s_aggregations = ["none", "residual", "grm", "soup", "ssc"];

    public static void Run(string[] arguments)
    {
        var filter = arguments.Length > 0 ? arguments[0] : "";
        foreach (var (name, mixer) in Mixers().Where(mixer => mixer.Name.Contains(filter, StringComparison.Ordinal)))
        {
            var json = $$"""{"vocabularySize":{{Vocabulary}},"dimension":24,"layers":2,"heads":3,"feedForward":40,"mixers":[{{mixer}}]}""";
            Print(name, json, trains: true, new SessionOptions());
            Print(name + " float16", json, trains: false, new SessionOptions { Checkpoints = StateFormat.Float16 });
            Print(name + " int8", json, trains: false, new SessionOptions { Checkpoints = StateFormat.Int8 });
        }

        foreach (var memory in s_memories)
        {
            var json = $$$"""{"vocabularySize":{{{Vocabulary}}},"dimension":24,"layers":2,"heads":3,"feedForward":40,"mixers":[{"memory":"{{{memory}}}","chunkLength":4}]}""";
            foreach (var cache in AfterTraining().Where(cache => $"{memory} after {cache.Name}".Contains(filter, StringComparison.Ordinal)))
            {
                Print($"{memory} after {cache.Name}", json, trains: false, new SessionOptions { AfterTraining = cache.Cache });
            }
        }

        foreach (var (architecture, ranks) in new[] { ("rwkv-5.1", ""), ("rwkv-5.2", ""), ("rwkv-7", "\"ranks\":{\"decay\":8,\"rate\":8,\"firstValue\":8,\"gate\":8},") })
        {
            if (architecture.Contains(filter, StringComparison.Ordinal))
            {
                var json = $$"""{"vocabularySize":{{Vocabulary}},"architecture":"{{architecture}}",{{ranks}}"dimension":24,"layers":2,"heads":3,"feedForward":40,"tiedEmbeddings":false}""";
                Print(architecture, json, trains: false, new SessionOptions());
                Print(architecture + " after grm", json, trains: false, new SessionOptions { AfterTraining = AfterTraining().First(cache => cache.Name == "grm").Cache });
            }
        }
    }

    private static IEnumerable<(string Name, string Json)> Mixers()
    {
        foreach (var memory in s_memories)
        {
            foreach (var aggregation in s_aggregations)
            {
                foreach (var segments in (string[])["constant", "logarithmic"])
                {
                    foreach (var start in (string[])["checkpoint", "independent"])
                    {
                        yield return Mixer(memory, aggregation, segments, start, "");
                    }
                }
            }
        }

        foreach (var memory in (string[])["linear", "gated-linear", "mamba2"])
        {
            yield return Mixer(memory, "log-linear", "logarithmic", "independent", "");
        }

        foreach (var router in (string[])
            ["\"sharedGates\":true", "\"query\":\"query\"", "\"keys\":\"projected\"", "\"keys\":\"position\"", "\"onlineBias\":1.5", "\"key\":\"sum\"", "\"sharedGates\":true,\"onlineBias\":0.5"])
        {
            foreach (var memory in (string[])["gated-linear", "titans"])
            {
                foreach (var aggregation in (string[])["grm", "ssc", "soup"])
                {
                    yield return Mixer(memory, aggregation, "constant", "checkpoint", router);
                }
            }
        }

        yield return ("attention", "{\"memory\":\"attention\"}");
        yield return ("titans depth 1", "{\"memory\":\"titans\",\"chunkLength\":4,\"deep\":{\"depth\":1},\"cache\":{\"aggregation\":\"grm\",\"segmentLength\":8}}");
        yield return ("titans depth 3 no norm", "{\"memory\":\"titans\",\"chunkLength\":4,\"deep\":{\"depth\":3,\"norm\":false},\"cache\":{\"aggregation\":\"soup\",\"segmentLength\":8}}");
        yield return ("two mixers", "{\"memory\":\"gated-delta-net\",\"chunkLength\":4,\"cache\":{\"aggregation\":\"ssc\",\"segmentLength\":8}},{\"memory\":\"attention\"}");
    }

    private static (string Name, string Json) Mixer(string memory, string aggregation, string segments, string start, string router)
    {
        var startJson = aggregation == "log-linear" ? "" : $"\"start\":\"{start}\",";
        return ($"{memory} {aggregation} {segments} {start} {router}".Trim(),
            $$"""{"memory":"{{memory}}","chunkLength":4,"cache":{"aggregation":"{{aggregation}}","segments":"{{segments}}",{{startJson}}"segmentLength":8,"topK":2,"router":{ {{router}} } } }""");
    }

    private static IEnumerable<(string Name, AfterTrainingCache Cache)> AfterTraining()
    {
        var plain = new AfterTrainingCache { SegmentLength = 8, OnlineBias = 0.5f, Temperature = 2, TopK = 2 };
        yield return ("mean", plain with { Read = "mean" });
        yield return ("ema", plain with { Read = "ema", Rho = 0.7f });
        yield return ("output-mean", plain with { Read = "output-mean" });
        yield return ("residual", plain with { Read = "residual" });
        yield return ("grm", plain with { Read = "grm" });
        yield return ("soup", plain with { Read = "soup" });
        yield return ("ssc", plain with { Read = "ssc", Start = SegmentStart.Independent });
    }

    private static void Print(string name, string json, bool trains, SessionOptions options)
    {
        using var device = new CpuDevice(2);
        using var model = new LanguageModel(ModelConfiguration.FromJson(json), device, 7);
        var training = trains ? Train(device, model) : "-";
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{name,-64} {training} {Read(model, options)}"));
    }

    /// <summary>Losses and weights of some steps with a high learning rate, so that gates and routers move.</summary>
    private static string Train(Device device, LanguageModel model)
    {
        using var optimizer = new AdamW(model.Parameters, new AdamWOptions());
        using var tape = new Tape(device) { IsTraining = true };
        var layout = new SequenceLayout(2, Length);
        var ids = Tokens((2 * Length) + 1, 1);
        var (inputs, targets) = (device.Allocate<int>(2 * Length), device.Allocate<int>(2 * Length));
        device.CopyFromHost<int>(ids.AsSpan(0, 2 * Length), inputs);
        device.CopyFromHost<int>(ids.AsSpan(1, 2 * Length), targets);
        var digest = new Digest();
        for (var step = 0; step < Steps; step++)
        {
            tape.Reset();
            var loss = model.Loss(tape, inputs, targets, layout);
            var values = new float[1];
            device.CopyToHost(loss.Loss.Data, values);
            digest.Add(values);
            tape.Backward(loss.Loss);
            optimizer.Step(0.05f);
            optimizer.ResetGradients();
        }

        foreach (var parameter in model.Parameters)
        {
            var values = new float[parameter.Shape.Count];
            parameter.Save(values);
            digest.Add(values);
        }

        device.Free(inputs);
        device.Free(targets);
        return digest.ToString();
    }

    /// <summary>Logits and losses of a session that reads pieces, forks, goes back and reads on.</summary>
    private static string Read(LanguageModel model, SessionOptions options)
    {
        var tokens = Tokens(90, 2);
        var digest = new Digest();
        using var session = model.CreateSession(options);
        var losses = new float[41];
        session.Read(tokens.AsSpan(0, 41), losses);
        digest.Add(losses.AsSpan(1));
        digest.Add(session.Logits);
        using var fork = session.Fork();
        foreach (var token in tokens.AsSpan(41, 30))
        {
            session.Read(token);
            digest.Add(session.Logits);
        }

        fork.Read(tokens.AsSpan(60, 25));
        digest.Add(fork.Logits);
        session.Rewind(50);
        digest.Add(session.Logits);
        session.Read(tokens.AsSpan(71));
        digest.Add(session.Logits);
        return digest.ToString();
    }

    private static int[] Tokens(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => random.Next(Vocabulary))];
    }

    /// <summary>FNV-1a over the bits of numbers.</summary>
    private sealed class Digest
    {
        private ulong _hash = 14695981039346656037UL;

        public void Add(ReadOnlySpan<float> values)
        {
            foreach (var part in MemoryMarshal.AsBytes(values))
            {
                _hash = (_hash ^ part) * 1099511628211UL;
            }
        }

        public override string ToString() => _hash.ToString("x16", CultureInfo.InvariantCulture);
    }
}
