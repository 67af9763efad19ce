using Loci.Data;
using Loci.Models;
using Loci.Numerics;
using Loci.Sessions;

namespace Loci.Evaluation.Tasks.Recall;

/// <summary>How many queries of some kind were answered rightly.</summary>
/// <param name="From">The least number of what the kind is measured in: pairs of a row, or tokens between key and query.</param>
/// <param name="To">The greatest.</param>
/// <param name="Queries">The queries.</param>
/// <param name="Correct">Those whose most likely token was the value.</param>
public sealed record RecallCount(int From, int To, long Queries, long Correct)
{
    /// <summary>The part that was right.</summary>
    public double Accuracy => (double)Correct / Queries;
}

/// <summary>How well a model recalls.</summary>
/// <param name="Queries">The queries.</param>
/// <param name="Correct">Those whose most likely token was the value.</param>
/// <param name="Nats">The sum of the losses at the queries.</param>
/// <param name="ByPairs">By the number of pairs of the sequence.</param>
/// <param name="ByDistance">By the tokens from a pair's key to its query, in ranges that double.</param>
/// <param name="BySize">By the size of the sequence.</param>
public sealed record RecallResult(long Queries, long Correct, double Nats, IReadOnlyList<RecallCount> ByPairs, IReadOnlyList<RecallCount> ByDistance, IReadOnlyDictionary<RecallSize, RecallCount> BySize)
{
    /// <summary>The part of the queries that was answered rightly.</summary>
    public double Accuracy => (double)Correct / Queries;

    /// <summary>The mean loss at the queries, in nats.</summary>
    public double Loss => Nats / Queries;
}

/// <summary>Measures how well a model recalls, on rows that it was not trained on.</summary>
public static class RecallMeasurement
{
    private const int MaximumLogits = 1 << 23;
    private const int MaximumRows = 64;

    /// <summary>Measures a model.</summary>
    /// <param name="model">The model.</param>
    /// <param name="options">The task; every number of pairs, or size, gets the same number of sequences.</param>
    /// <param name="rows">Sequences for every number of pairs, or size.</param>
    /// <param name="seed">Decides the rows: another than that of the training.</param>
    /// <param name="cancellationToken">Stops the measurement.</param>
    /// <exception cref="LociException">The options are out of range, or the model's vocabulary is smaller than the task's.</exception>
    /// <exception cref="OperationCanceledException">The measurement was stopped.</exception>
    public static RecallResult Measure(LanguageModel model, MultiQueryRecallOptions options, int rows, ulong seed, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(rows);
        if (model.Configuration.VocabularySize < options.Validate().VocabularySize)
        {
            throw new LociException($"The recall task has {options.VocabularySize} token ids, but the model {model.Configuration.VocabularySize}: use the vocabulary the model was trained with.");
        }

        // The seed of rows of one length is as it was before there were several lengths.
        var isMixed = options.Sizes is not null;
        using var counter = new Counter(model, options);
        foreach (var size in options.MeasuredSizes)
        {
            var sizeSeed = RandomGenerator.Hash(seed, isMixed ? ((ulong)size.Length << 32) | (uint)size.Pairs : (ulong)size.Pairs);
            counter.Count(new MultiQueryRecall(options with { Length = size.Length, Pairs = [size.Pairs], Sizes = null, CurriculumRows = 0 }, sizeSeed), size, rows, cancellationToken);
        }

        return counter.Result();
    }

    private sealed class Counter : IDisposable
    {
        private readonly LanguageModel _model;
        private readonly Tape _tape;
        private readonly SequenceLayout _layout = new();
        private readonly Dictionary<int, TokenBatch> _batches = [];
        private readonly DeviceSpan<int> _inputs;
        private readonly float[] _logits;
        private readonly int[] _keyPositions;
        private readonly Dictionary<RecallSize, RecallCount> _bySize = [];
        private readonly long[] _distanceQueries = new long[32];
        private readonly long[] _distanceCorrect = new long[32];
        private double _nats;

        public Counter(LanguageModel model, MultiQueryRecallOptions options)
        {
            _model = model;
            _tape = new Tape(model.Device) { IsRecording = false };
            foreach (var length in options.MeasuredSizes.Select(size => size.Length).Distinct())
            {
                _batches.Add(length, new TokenBatch((int)Math.Clamp(MaximumLogits / ((long)length * model.Configuration.VocabularySize), 1, MaximumRows), length));
            }

            _inputs = model.Device.Allocate<int>(_batches.Values.Max(batch => batch.Inputs.Length));
            _logits = new float[model.Configuration.VocabularySize];
            _keyPositions = new int[options.VocabularySize];
        }

        public void Count(MultiQueryRecall task, RecallSize size, int rows, CancellationToken cancellationToken)
        {
            var batch = _batches[size.Length];
            var inputs = _inputs.Slice(0, batch.Inputs.Length);
            long correct = 0;
            for (var done = 0; done < rows; done += batch.Rows)
            {
                cancellationToken.ThrowIfCancellationRequested();
                task.Next(batch);
                _model.Device.CopyFromHost<int>(batch.Inputs, inputs);
                _layout.Set(batch.SequenceStarts, batch.Inputs.Length);
                _tape.Reset();
                var logits = _model.Logits(_tape, inputs, _layout); // [B * T, V]
                for (var row = 0; row < Math.Min(batch.Rows, rows - done); row++)
                {
                    correct += CountRow(logits, batch, row, size.Pairs);
                }
            }

            _bySize.Add(size, new RecallCount(size.Pairs, size.Pairs, (long)rows * size.Pairs, correct));
        }

        public RecallResult Result() => new(
            _bySize.Values.Sum(count => count.Queries),
            _bySize.Values.Sum(count => count.Correct),
            _nats,
            [.. _bySize.Values.GroupBy(count => count.From).OrderBy(group => group.Key).Select(group => new RecallCount(group.Key, group.Key, group.Sum(count => count.Queries), group.Sum(count => count.Correct)))],
            [.. Enumerable.Range(0, _distanceQueries.Length).Where(i => _distanceQueries[i] > 0).Select(i => new RecallCount(1 << i, (1 << (i + 1)) - 1, _distanceQueries[i], _distanceCorrect[i]))],
            _bySize);

        public void Dispose()
        {
            _tape.Dispose();
            _model.Device.Free(_inputs);
        }

        private int CountRow(Tensor logits, TokenBatch batch, int row, int pairs)
        {
            var start = row * batch.Length;
            for (var i = 0; i < pairs; i++)
            {
                _keyPositions[batch.Inputs[start + (2 * i)]] = 2 * i;
            }

            var correct = 0;
            for (var position = 2 * pairs; position < batch.Length; position++)
            {
                var target = batch.Targets[start + position];
                if (target == TokenBatch.Ignored)
                {
                    continue;
                }

                _model.Device.CopyToHost(logits.Data.Slice((long)(start + position) * _logits.Length, _logits.Length), _logits);
                var (loss, isRight) = NextToken.Judge(_logits, target);
                _nats += loss;
                var bucket = int.Log2(position - _keyPositions[batch.Inputs[start + position]]);
                _distanceQueries[bucket]++;
                _distanceCorrect[bucket] += isRight ? 1 : 0;
                correct += isRight ? 1 : 0;
            }

            return correct;
        }
    }
}
