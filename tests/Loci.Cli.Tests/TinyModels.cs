using Loci.Data;
using Loci.Formats;
using Loci.Memory;
using Loci.Memory.Aggregations;
using Loci.Models;
using Loci.Numerics;

namespace Loci.Cli.Tests;

/// <summary>Untrained models that read memories in several ways, with segments of 16 bytes, saved by the library.</summary>
public sealed class TinyModels : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public TinyModels()
    {
        Gated = Save("gated", "grm");
        Sparse = Save("sparse", "ssc");
        Residual = Save("residual", "residual");
        Plain = Save("plain", "none");
        TextPath = _folder.In("text.txt");
        File.WriteAllText(TextPath, Text);
    }

    public static string Text { get; } = string.Concat(Enumerable.Range(0, 30).Select(i => $"Line {i} says <{i * i}>.\n"));

    public string Gated { get; }

    public string Sparse { get; }

    public string Residual { get; }

    public string Plain { get; }

    public string TextPath { get; }

    public void Dispose() => _folder.Dispose();

    private string Save(string name, string aggregation)
    {
        using var device = new CpuDevice(1);
        var mixer = new MixerConfiguration { ChunkLength = 16, Cache = new() { Aggregation = aggregation, SegmentLength = 16, TopK = 2 } };
        using var model = new LanguageModel(new ModelConfiguration { VocabularySize = 257, Dimension = 32, Layers = 2, Heads = 2, Mixers = [mixer] }, device, 5);
        model.Save(_folder.In(name));
        TokenizerFile.Save(Path.Combine(_folder.In(name), "tokenizer.json"), new ByteTokenizer());
        return _folder.In(name);
    }
}
