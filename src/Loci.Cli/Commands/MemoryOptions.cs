using System.CommandLine;
using System.CommandLine.Parsing;
using Loci.Cli.Terminal;
using Loci.Memory.Aggregations;
using Loci.Memory.Store;
using Loci.Numerics;
using Loci.Sessions;

namespace Loci.Cli.Commands;

/// <summary>How a session keeps its memory.</summary>
internal sealed class MemoryOptions
{
    private static readonly (string Word, StateFormat Value)[] Formats = [("float32", StateFormat.Float32), ("float16", StateFormat.Float16), ("int8", StateFormat.Int8)];

    private readonly Option<StateFormat?> _checkpoints = Options.Choice("--checkpoints", "How a new memory stores cached states (default float32)", Formats);
    private readonly Option<bool> _noRewind = Options.Flag("--no-rewind", "A new memory keeps nothing for going back: it is a little smaller, and going back reads everything again.");
    private readonly Option<string?> _read = Options.Word(
        "--after-training", "Gives a model that was trained without a cache one, whose states are read so", [.. AggregationRegistry.AfterTraining.Select(read => read.Name)]);
    private readonly Option<int?> _segmentLength = Options.Whole("--segment-length", "Tokens per segment of --after-training: the length that the model was trained at (default 1024).", 1, 1 << 24);
    private readonly Option<double?> _rho = Options.Number("--rho", "What the older states weigh together in --after-training ema, below 1 (default 0.5).", 0, 0.999999, true);
    private readonly Option<double?> _onlineBias = Options.Number("--online-bias", "Gated forms: added to the live memory's score; the larger, the more the model stays as it was (default 0).", -1e6, 1e6);
    private readonly Option<double?> _temperature = Options.Number("--gate-temperature", "Gated forms: what scores are multiplied by (default 1).", -1e6, 1e6);
    private readonly Option<int?> _topK = Options.Whole("--top-k", "Past segments that --after-training ssc reads per token (default 4).", 1, 1 << 16);

    private readonly Option<int?> _readTopK = Options.Whole("--read-top-k", "A model trained with GRM or SSC reads at most so many past segments per token, those that score highest (default as trained).", 1, 1 << 16);

    /// <summary>All of the options of a new memory.</summary>
    public IReadOnlyList<Option> All => [_checkpoints, _noRewind, Budget, _read, _segmentLength, _rho, _onlineBias, _temperature, _topK];

    /// <summary>Those that change what is read.</summary>
    public IReadOnlyList<Option> Reading => [_checkpoints, _read, _segmentLength, _rho, _onlineBias, _temperature, _topK, _readTopK];

    /// <summary>Those that go with any model.</summary>
    public IReadOnlyList<Option> Storage => [_checkpoints, _noRewind, Budget];

    /// <summary>How much memory a session may take.</summary>
    public Option<long?> Budget { get; } = Options.Size(
        "--memory-budget", "Memory that the session may take, such as 512M or 2G; cached states beyond it stay in the file, where the model allows that (default no limit).");

    /// <summary>The word for how cached states are stored.</summary>
    public static string Name(StateFormat format) => Formats.First(known => known.Value == format).Word;

    /// <summary>The options of a new session.</summary>
    /// <exception cref="UsageException">Options contradict each other.</exception>
    public SessionOptions Read(ParseResult result) => new()
    {
        Checkpoints = result.GetValue(_checkpoints) ?? StateFormat.Float32,
        KeepsReturns = !result.GetValue(_noRewind),
        AfterTraining = ReadAfterTraining(result),
        MemoryBudget = result.GetValue(Budget),
        ReadTopK = result.GetValue(_readTopK),
    };

    /// <summary>Checks that what was asked for a new memory is so in one that is there.</summary>
    /// <exception cref="LociException">It is not.</exception>
    public void RequireSame(ParseResult result, Session session, string path)
    {
        var asked = Read(result);
        var problem = result.IsGiven(_checkpoints) && asked.Checkpoints != session.Options.Checkpoints ? $"stores cached states as {Name(session.Options.Checkpoints)}, not {Name(asked.Checkpoints)}"
            : result.IsGiven(_noRewind) && session.Options.KeepsReturns ? "keeps what it takes to go back, which --no-rewind leaves out"
            : result.IsGiven(_read) && asked.AfterTraining != session.Options.AfterTraining ? "was begun with another cache after training, or with none"
            : null;
        if (problem is not null)
        {
            throw new LociException($"The memory in '{path}' {problem}, and that cannot be changed any more: leave the option out, or begin a new memory.");
        }
    }

    private AfterTrainingCache? ReadAfterTraining(ParseResult result)
    {
        if (result.GetValue(_read) is not { } read)
        {
            foreach (var option in new Option[] { _segmentLength, _rho, _onlineBias, _temperature, _topK })
            {
                Require(option, false, "--after-training");
            }

            return null;
        }

        var aggregation = AggregationRegistry.FindAfterTraining(read);
        Require(_rho, read == "ema", "--after-training ema");
        Require(_onlineBias, aggregation.IsGated, "--after-training grm, soup or ssc");
        Require(_temperature, aggregation.IsGated, "--after-training grm, soup or ssc");
        Require(_topK, aggregation.IsSparse, "--after-training ssc");
        var defaults = new AfterTrainingCache();
        return new AfterTrainingCache
        {
            Read = read,
            SegmentLength = result.GetValue(_segmentLength) ?? defaults.SegmentLength,
            Rho = (float)(result.GetValue(_rho) ?? defaults.Rho),
            OnlineBias = (float)(result.GetValue(_onlineBias) ?? defaults.OnlineBias),
            Temperature = (float)(result.GetValue(_temperature) ?? defaults.Temperature),
            TopK = result.GetValue(_topK) ?? defaults.TopK,
        };

        void Require(Option option, bool isPossible, string needed)
        {
            if (!isPossible && result.IsGiven(option))
            {
                throw new UsageException($"{option.Name} needs {needed}: add it, or leave {option.Name} out.");
            }
        }
    }
}
