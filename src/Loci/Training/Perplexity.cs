using Loci.Data;
using Loci.Models;
using Loci.Numerics;
using Loci.Sessions;

namespace Loci.Training;

/// <summary>Which positions share a bucket of the loss by position.</summary>
public enum PositionScale
{
    /// <summary>Bounds double: 0, 1, 2 to 3, 4 to 7 and so on.</summary>
    Logarithmic,

    /// <summary>Sixteen buckets of one width (fewer where the context is shorter).</summary>
    Linear,
}

/// <summary>How a model's loss on text is measured.</summary>
public sealed record PerplexityOptions
{
    /// <summary>T: each document is read in windows of so many tokens, each with an empty memory at its start.</summary>
    public int Context { get; init; } = 1024;

    /// <summary>Rows of T tokens that are computed at once; does not change the results.</summary>
    public int BatchRows { get; init; } = 4;

    /// <summary>Stops after so many tokens, at a whole batch; null = all.</summary>
    public long? MaximumTokens { get; init; }

    /// <summary>The buckets of the loss by position.</summary>
    public PositionScale Positions { get; init; }

    /// <summary>
    /// Reads every window through a session with these options rather than in the parallel form: for caches after training and for checkpoints in fewer bits, which only sessions have. Windows are
    /// then read one after another.
    /// </summary>
    public SessionOptions? Session { get; init; }

    internal void Validate()
    {
        if (Context < 1 || BatchRows < 1 || (long)Context * BatchRows > 1 << 24)
        {
            throw new LociException($"A context of {Context} tokens in batches of {BatchRows} rows is out of range: use at least 1 of each and at most {1 << 24} tokens in all.");
        }
    }
}

/// <summary>The loss at some positions of the window.</summary>
/// <param name="From">The first position: how many tokens of the window were read before the token was predicted, less one.</param>
/// <param name="To">The last position.</param>
/// <param name="Tokens">Tokens predicted there.</param>
/// <param name="Loss">Their mean loss, in nats per token.</param>
/// <param name="BitsPerByte">Their loss in bits per byte of UTF-8; null where bytes are not known.</param>
public sealed record PositionLoss(int From, int To, long Tokens, double Loss, double? BitsPerByte);

/// <summary>A model's loss on a text.</summary>
/// <param name="Tokens">Tokens predicted: those of the text and one end of text per document.</param>
/// <param name="Nats">The sum of their losses.</param>
/// <param name="Bytes">Bytes of UTF-8 of those tokens; 0 where they are not known.</param>
/// <param name="Words">Words of the text plus one end of line per line, as WikiText's word perplexity counts them; 0 where they are not known or the text was not read to its end.</param>
/// <param name="Positions">The loss by position in the window.</param>
public sealed record PerplexityResult(long Tokens, double Nats, long Bytes, long Words, IReadOnlyList<PositionLoss> Positions)
{
    /// <summary>Mean loss, in nats per token.</summary>
    public double Loss => Nats / Tokens;

    /// <summary>e to the mean loss per token; depends on the tokenizer.</summary>
    public double TokenPerplexity => Math.Exp(Loss);

    /// <summary>The loss in bits per byte of UTF-8, the cost of the ends of documents included; null where bytes are not known.</summary>
    public double? BitsPerByte => Bytes > 0 ? Nats / Math.Log(2) / Bytes : null;

    /// <summary>e to the loss per word, one end of line per line counted as a word; null where words are not known.</summary>
    public double? WordPerplexity => Words > 0 ? Math.Exp(Nats / Words) : null;
}

/// <summary>Measures the loss of language models on text that they were not trained on; every token is predicted exactly once.</summary>
public static class Perplexity
{
    private const int LinearBuckets = 16;
    private const int PassLength = 4096;

    /// <summary>Measures a model.</summary>
    /// <param name="model">The model.</param>
    /// <param name="corpus">The text, in the model's vocabulary.</param>
    /// <param name="options">How to measure.</param>
    /// <param name="tokenizer">Counts the bytes of tokens for bits per byte; without one it is left out.</param>
    /// <param name="progress">Told the tokens predicted after every batch.</param>
    /// <param name="cancellationToken">Stops the measurement.</param>
    /// <exception cref="LociException">The options are out of range, or the text has another vocabulary than the model.</exception>
    /// <exception cref="OperationCanceledException">The measurement was stopped.</exception>
    public static PerplexityResult Measure(
        LanguageModel model, TokenizedCorpus corpus, PerplexityOptions options, Tokenizer? tokenizer = null, IProgress<long>? progress = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        using var tape = new Tape(model.Device);
        return Measure(tape, model, corpus, options, tokenizer, progress, cancellationToken);
    }

    internal static PerplexityResult Measure(
        Tape tape, LanguageModel model, TokenizedCorpus corpus, PerplexityOptions options, Tokenizer? tokenizer, IProgress<long>? progress, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(corpus);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        Trainer.RequireVocabulary(model, corpus);
        var device = model.Device;
        var rows = new EvaluationRows(corpus, options.Context);
        var batch = new TokenBatch(options.BatchRows, options.Context);
        var layout = new SequenceLayout();
        var losses = new float[batch.Inputs.Length];
        var buckets = Buckets(options.Context, options.Positions);
        var sums = new double[buckets.Length];
        var counts = new long[buckets.Length];
        var bytes = new long[buckets.Length];
        var inputs = device.Allocate<int>(losses.Length);
        var targets = device.Allocate<int>(losses.Length);
        var (recorded, trained) = (tape.IsRecording, tape.IsTraining);
        long tokens = 0;
        try
        {
            tape.IsRecording = false;
            tape.IsTraining = false;
            while (tokens < (options.MaximumTokens ?? long.MaxValue) && rows.Next(batch))
            {
                cancellationToken.ThrowIfCancellationRequested();
                if (options.Session is null)
                {
                    device.CopyFromHost<int>(batch.Inputs, inputs);
                    device.CopyFromHost<int>(batch.Targets, targets);
                    layout.Set(batch.SequenceStarts, batch.Inputs.Length);
                    tape.Reset();
                    device.CopyToHost(model.Loss(tape, inputs, targets, layout).RowLosses.Data, losses);
                }
                else
                {
                    Read(model, options.Session, batch, losses, cancellationToken);
                }

                Add(batch, losses, buckets, tokenizer, sums, counts, bytes);
                tokens += batch.PredictedCount;
                progress?.Report(tokens);
            }
        }
        finally
        {
            (tape.IsRecording, tape.IsTraining) = (recorded, trained);
            tape.Reset();
            device.Free(inputs);
            device.Free(targets);
        }

        var positions = new List<PositionLoss>();
        for (var i = 0; i < buckets.Length; i++)
        {
            if (counts[i] > 0)
            {
                var to = (i + 1 < buckets.Length ? buckets[i + 1] : options.Context) - 1;
                positions.Add(new PositionLoss(buckets[i], to, counts[i], sums[i] / counts[i], bytes[i] > 0 ? sums[i] / Math.Log(2) / bytes[i] : null));
            }
        }

        return new PerplexityResult(tokens, sums.Sum(), bytes.Sum(), tokens == rows.PredictedCount && corpus.WordCount > 0 ? corpus.WordCount + corpus.LineCount : 0, positions);
    }

    /// <summary>Losses of a batch whose sequences are read by sessions.</summary>
    private static void Read(LanguageModel model, SessionOptions options, TokenBatch batch, float[] losses, CancellationToken cancellationToken)
    {
        var starts = batch.SequenceStarts;
        for (var sequence = 0; sequence < starts.Length; sequence++)
        {
            var end = sequence + 1 < starts.Length ? starts[sequence + 1] : losses.Length;
            var predicted = end;
            while (predicted > starts[sequence] && batch.Targets[predicted - 1] < 0)
            {
                predicted--;
            }

            if (predicted == starts[sequence])
            {
                continue; // padding
            }

            // A session says how well each token was predicted by those before it, so the last target is read as well; the first token is not predicted.
            using var session = model.CreateSession(options);
            session.Read(batch.Inputs[starts[sequence]]);
            for (var i = starts[sequence]; i < predicted; i += PassLength)
            {
                var count = Math.Min(PassLength, predicted - i);
                session.Read(batch.Targets.AsSpan(i, count), losses.AsSpan(i, count), cancellationToken);
            }
        }
    }

    private static void Add(TokenBatch batch, float[] losses, int[] buckets, Tokenizer? tokenizer, double[] sums, long[] counts, long[] bytes)
    {
        var starts = batch.SequenceStarts;
        for (var sequence = 0; sequence < starts.Length; sequence++)
        {
            var end = sequence + 1 < starts.Length ? starts[sequence + 1] : losses.Length;
            var bucket = 0;
            for (var i = starts[sequence]; i < end; i++)
            {
                while (bucket + 1 < buckets.Length && i - starts[sequence] >= buckets[bucket + 1])
                {
                    bucket++;
                }

                if (batch.Targets[i] >= 0)
                {
                    sums[bucket] += losses[i];
                    counts[bucket]++;
                    bytes[bucket] += tokenizer?.GetByteLength(batch.Targets[i]) ?? 0;
                }
            }
        }
    }

    /// <summary>The first position of every bucket.</summary>
    private static int[] Buckets(int context, PositionScale scale)
    {
        if (scale == PositionScale.Linear)
        {
            var count = Math.Min(LinearBuckets, context);
            return [.. Enumerable.Range(0, count).Select(i => (int)((long)i * context / count))];
        }

        List<int> bounds = [0];
        for (var bound = 1; bound < context; bound *= 2)
        {
            bounds.Add(bound);
        }

        return [.. bounds];
    }
}
