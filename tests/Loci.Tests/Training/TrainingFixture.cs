using Loci.Data;
using Loci.Memory;
using Loci.Memory.Aggregations;
using Loci.Models;
using Loci.Numerics;
using Loci.Training;

namespace Loci.Tests.Training;

/// <summary>A tiny model, text and options that train in milliseconds and use all that a state consists of: cache, dropout, accumulation, several epochs.</summary>
internal static class TrainingFixture
{
    public static readonly string[] Texts =
    [
        "the quick brown fox jumps over the lazy dog and runs away", "a stitch in time saves nine", "all that glitters is not gold, said the old man by the river",
        "to be or not to be, that is the question", "the rain in spain stays mainly in the plain", "early to bed and early to rise makes a man healthy",
        "the quick brown fox sleeps", "no man is an island, entire of itself; every man is a piece of the continent",
    ];

    public static Tokenizer Bytes { get; } = new ByteTokenizer();

    public static TokenizedCorpus Text { get; } = Encode(Texts);

    public static TokenizedCorpus Validation { get; } = Encode("the brown dog sleeps by the river", "to rise or not to rise");

    public static TrainingOptions Options { get; } = new()
    {
        Steps = 12,
        Context = 24,
        BatchRows = 2,
        Accumulation = 2,
        LearningRate = new LearningRateSchedule { Peak = 5e-3, WarmupSteps = 2 },
        EvaluateEvery = 3,
        SaveEvery = 4,
        Seed = 5,
    };

    public static ModelConfiguration Configuration { get; } = new()
    {
        VocabularySize = 257,
        Dimension = 16,
        Layers = 2,
        Heads = 2,
        FeedForward = 32,
        Dropout = 0.1f,
        TiedEmbeddings = false,
        Mixers =
        [
            new MixerConfiguration { ChunkLength = 4, Cache = new CacheConfiguration { Aggregation = "grm", SegmentLength = 8 } },
            new MixerConfiguration { Memory = "swla", ChunkLength = 8 },
        ],
    };

    public static TokenizedCorpus Encode(params string[] texts) => TokenizedCorpus.Encode(Corpus.FromTexts("the test text", texts), Bytes);

    public static LanguageModel Model(Device device, ModelConfiguration? configuration = null) => new(configuration ?? Configuration, device, Options.Seed);

    /// <summary>A folder that goes away with the test.</summary>
    public sealed class Folder : IDisposable
    {
        public string Path { get; } = Directory.CreateTempSubdirectory("loci-test-").FullName;

        public string In(string name) => System.IO.Path.Combine(Path, name);

        public void Dispose() => Directory.Delete(Path, recursive: true);
    }

    /// <summary>A clock that moves when it is told to.</summary>
    public sealed class Clock : TimeProvider
    {
        public TimeSpan Now { get; set; }

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => Now.Ticks;
    }
}
