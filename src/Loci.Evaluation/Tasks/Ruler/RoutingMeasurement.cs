using Loci.Data;
using Loci.Memory;
using Loci.Memory.Aggregations;
using Loci.Memory.Routing;
using Loci.Memory.Segments;
using Loci.Models;
using Loci.Sessions;

namespace Loci.Evaluation.Tasks.Ruler;

/// <summary>
/// Where the routers of a model look for a needle, at the tokens at which the answer is predicted, and what it answers if they find it always or never. The answer is read as it should be, whatever the
/// model would write.
/// </summary>
public static class RoutingMeasurement
{
    private const int PieceLength = 2048;

    /// <summary>Measures.</summary>
    /// <param name="model">A model that reads cached segments through gates in at least one block.</param>
    /// <param name="tokenizer">Its tokenizer.</param>
    /// <param name="options">The examples.</param>
    /// <param name="haystack">Prose to hide needles in; null for what ships with Loci, all of it.</param>
    /// <param name="progress">Is told how many examples are done.</param>
    /// <param name="cancellationToken">Stops the measurement.</param>
    /// <exception cref="LociException">The model has no such block, or the options are out of range.</exception>
    public static RoutingResult Measure(
        LanguageModel model, Tokenizer tokenizer, RoutingOptions options, HaystackText? haystack = null, IProgress<long>? progress = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(tokenizer);
        ArgumentNullException.ThrowIfNull(options);
        RequireRouter(model);
        options.Validate();
        NeedleGenerator generator = new(options.Task, tokenizer, haystack);
        List<Example> examples = [];
        foreach (var length in options.Lengths)
        {
            foreach (var depth in options.Depths)
            {
                var random = NeedleTokens.RandomFor(options.Seed, NeedleTokens.TestStream, length, depth);
                for (var i = 0; i < options.Samples; i++)
                {
                    var tokens = NeedleTokens.Encode(tokenizer, generator.Next(random, length - 1, depth));
                    examples.Add(Measure(model, tokens, length, depth, cancellationToken));
                    progress?.Report(examples.Count);
                }
            }
        }

        RoutingSlice Of(int? length, double? depth) => Slice(
            model, length, depth, [.. examples.Where(example => (length is null || example.Length == length) && (depth is null || example.Depth == depth))]);
        return new RoutingResult(
            Of(null, null), [.. options.Lengths.Distinct().Select(length => Of(length, null))], [.. options.Depths.Distinct().Select(depth => Of(null, depth))],
            [.. options.Lengths.Distinct().SelectMany(length => options.Depths.Distinct().Select(depth => Of(length, depth)))]);
    }

    /// <summary>Checks that a model has a block that reads cached segments through gates.</summary>
    /// <param name="model">The model.</param>
    /// <exception cref="LociException">It has none.</exception>
    public static void RequireRouter(LanguageModel model)
    {
        ArgumentNullException.ThrowIfNull(model);
        if (!Enumerable.Range(0, model.Configuration.Layers).Any(layer => AggregationOf(model, layer) is { IsGated: true }))
        {
            throw new LociException("No block of this model reads cached segments through gates, so it has no routing to measure: use a model with the aggregation grm, soup or ssc.");
        }
    }

    private static TrainedAggregation? AggregationOf(LanguageModel model, int layer) =>
        MixerOf(model, layer) is { IsAttention: false } mixer ? AggregationRegistry.Find(mixer.Cache.Aggregation) : null;

    private static MixerConfiguration? MixerOf(LanguageModel model, int layer) =>
        model.Configuration.IsRwkv ? null : model.Configuration.Mixers[layer % model.Configuration.Mixers.Count];

    private static Example Measure(LanguageModel model, NeedleTokens tokens, int length, double depth, CancellationToken cancellationToken)
    {
        using var session = model.CreateSession(new SessionOptions { KeepsReturns = false });
        session.Read(tokens.Tokens.AsSpan(0, tokens.Answer - 1), cancellationToken);

        Example example = new(length, depth);
        using Session oracle = session.Fork(), online = session.Fork();
        session.ReadHandler = read => example.Add(model, read, tokens);
        example.Router = Answer(session, tokens, cancellationToken);
        if (!example.IsInOnlineSegment)
        {
            oracle.VisibleSegments = tokens.Needles;
            example.Oracle = Answer(oracle, tokens, cancellationToken);
            online.VisibleSegments = [];
            example.Online = Answer(online, tokens, cancellationToken);
        }

        return example;
    }

    /// <summary>Reads the last token of the prompt and the answer up to its last token but one.</summary>
    private static (bool IsRight, double Loss) Answer(Session session, NeedleTokens tokens, CancellationToken cancellationToken)
    {
        var (isRight, nats) = (true, 0.0);
        for (var position = tokens.Answer; position < tokens.Tokens.Length; position++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            session.Read(tokens.Tokens[position - 1]);
            var (loss, isGreatest) = NextToken.Judge(session.Logits, tokens.Tokens[position]);
            nats += loss;
            isRight &= isGreatest;
        }

        return (isRight, nats / (tokens.Tokens.Length - tokens.Answer));
    }

    private static RoutingSlice Slice(LanguageModel model, int? length, double? depth, IReadOnlyList<Example> examples)
    {
        Example[] counted = [.. examples.Where(example => !example.IsInOnlineSegment)];
        List<RoutingUse> heads = [];
        for (var layer = 0; layer < model.Configuration.Layers; layer++)
        {
            if (counted.Any(example => example.Of(layer, null).Reads > 0))
            {
                heads.Add(Use(counted, layer, null));
                heads.AddRange(Enumerable.Range(0, model.Configuration.Heads).Select(head => Use(counted, layer, head)));
            }
        }

        return new RoutingSlice(
            length, depth, counted.Length, examples.Count - counted.Length, Use(counted, null, null), heads,
            Answers(counted, example => example.Router), Answers(counted, example => example.Oracle), Answers(counted, example => example.Online));
    }

    private static RoutingUse Use(Example[] examples, int? layer, int? head)
    {
        Sums[] sums = [.. examples.Select(example => example.Of(layer, head)).Where(sum => sum.Reads > 0)];
        Sums[] chosen = [.. sums.Where(sum => sum.Choices > 0)];
        return new RoutingUse(
            layer, head,
            chosen.Length == 0 ? null : RoutingMean.Of(chosen.Select(sum => sum.Hits / sum.Choices)),
            chosen.Length == 0 ? null : chosen.Average(sum => sum.Chance / sum.Choices),
            RoutingMean.Of(sums.Select(sum => sum.Gates / sum.Reads)),
            RoutingMean.Of(sums.Select(sum => sum.Gates / sum.Uniform)));
    }

    private static RoutingAnswers Answers(Example[] examples, Func<Example, (bool IsRight, double Loss)> answer) =>
        new(RoutingMean.Of(examples.Select(example => answer(example).IsRight ? 1.0 : 0)), RoutingMean.Of(examples.Select(example => answer(example).Loss)));

    /// <summary>What some reads add up to; a read is that of one token and head for one needle.</summary>
    private readonly record struct Sums(double Reads, double Gates, double Uniform, double Choices, double Hits, double Chance)
    {
        public static Sums operator +(Sums left, Sums right) => new(
            left.Reads + right.Reads, left.Gates + right.Gates, left.Uniform + right.Uniform, left.Choices + right.Choices, left.Hits + right.Hits, left.Chance + right.Chance);
    }

    private sealed class Example(int length, double depth)
    {
        private readonly Dictionary<(int Layer, int Head), Sums> _sums = [];

        public int Length => length;

        public double Depth => depth;

        /// <summary>Whether, at the last token of the prompt, no block had cached a segment with part of a needle.</summary>
        public bool IsInOnlineSegment { get; private set; } = true;

        public (bool IsRight, double Loss) Router { get; set; }

        public (bool IsRight, double Loss) Oracle { get; set; }

        public (bool IsRight, double Loss) Online { get; set; }

        public Sums Of(int? layer, int? head) =>
            _sums.Where(one => (layer is null || one.Key.Layer == layer) && (head is null || one.Key.Head == head)).Aggregate(default(Sums), (sum, one) => sum + one.Value);

        /// <summary>Adds what one token reads.</summary>
        public void Add(LanguageModel model, SegmentRead read, NeedleTokens tokens)
        {
            if (read.Gates.IsEmpty)
            {
                return;
            }

            var count = read.Segments.Count;
            var mixer = MixerOf(model, read.Layer)!;
            var isSparse = AggregationRegistry.Find(mixer.Cache.Aggregation).IsSparse;
            foreach (var needle in tokens.Needles)
            {
                List<int> holding = [];
                for (int i = 0, start = 0; i < count; start += read.Segments[i++])
                {
                    if (needle.Overlaps(new SegmentSpan(start, read.Segments[i])))
                    {
                        holding.Add(i);
                    }
                }

                if (holding.Count == 0)
                {
                    continue;
                }

                IsInOnlineSegment &= read.Position >= tokens.Answer;
                for (var head = 0; head < read.Heads; head++)
                {
                    var gates = read.Gates.Slice(head * (count + 1), count + 1);
                    var (mass, isHit) = (0.0, false);
                    foreach (var i in holding)
                    {
                        mass += gates[i];
                        isHit |= gates[i] > 0;
                    }

                    var key = (read.Layer, head);
                    _sums[key] = _sums.GetValueOrDefault(key) + new Sums(
                        1, mass, holding.Count / (count + 1.0), isSparse ? 1 : 0, isSparse && isHit ? 1 : 0, isSparse ? Chance(count, holding.Count, mixer.Cache.TopK) : 0);
                }
            }
        }

        /// <summary>How likely it is that one of so many segments is among some chosen at random.</summary>
        private static double Chance(int count, int holding, int chosen)
        {
            var missed = 1.0;
            for (var i = 0; i < Math.Min(chosen, count); i++)
            {
                missed *= Math.Max(0, count - holding - i) / (double)(count - i);
            }

            return 1 - missed;
        }
    }
}
