using Loci.Data;
using Loci.Models;
using Loci.Numerics;

namespace Loci.Evaluation.Recall;

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
/// <param name="ByPairs">By the number of pairs of the row.</param>
/// <param name="ByDistance">By the tokens from a pair's key to its query, in ranges that double.</param>
public sealed record RecallResult(long Queries, long Correct, double Nats, IReadOnlyList<RecallCount> ByPairs, IReadOnlyList<RecallCount> ByDistance)
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
    /// <param name="options">The task; every number of pairs gets the same number of rows.</param>
    /// <param name="rows">Rows for every number of pairs.</param>
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

        using var counter = new Counter(model, options);
        foreach (var pairs in options.Pairs.Distinct().Order())
        {
            counter.Count(new MultiQueryRecall(options with { Pairs = [pairs] }, RandomGenerator.Hash(seed, (ulong)pairs)), pairs, rows, cancellationToken);
        }

        return counter.Result();
    }

    private sealed class Counter : IDisposable
    {
        private readonly LanguageModel _model;
        private readonly Tape _tape;
        private readonly SequenceLayout _layout = new();
        private readonly TokenBatch _batch;
        private readonly DeviceSpan<int> _inputs;
        private readonly float[] _logits;
        private readonly int[] _keyPositions;
        private readonly List<RecallCount> _byPairs = [];
        private readonly long[] _distanceQueries = new long[32];
        private readonly long[] _distanceCorrect = new long[32];
        private double _nats;

        public Counter(LanguageModel model, MultiQueryRecallOptions options)
        {
            _model = model;
            _batch = new TokenBatch((int)Math.Clamp(MaximumLogits / ((long)options.Length * model.Configuration.VocabularySize), 1, MaximumRows), options.Length);
            _tape = new Tape(model.Device) { IsRecording = false };
            _inputs = model.Device.Allocate<int>(_batch.Inputs.Length);
            _logits = new float[model.Configuration.VocabularySize];
            _keyPositions = new int[options.VocabularySize];
        }

        public void Count(MultiQueryRecall task, int pairs, int rows, CancellationToken cancellationToken)
        {
            long correct = 0;
            for (var done = 0; done < rows; done += _batch.Rows)
            {
                cancellationToken.ThrowIfCancellationRequested();
                task.Next(_batch);
                _model.Device.CopyFromHost<int>(_batch.Inputs, _inputs);
                _layout.Set(_batch.SequenceStarts, _batch.Inputs.Length);
                _tape.Reset();
                var logits = _model.Logits(_tape, _inputs, _layout); // [B * T, V]
                for (var row = 0; row < Math.Min(_batch.Rows, rows - done); row++)
                {
                    correct += CountRow(logits, row, pairs);
                }
            }

            _byPairs.Add(new RecallCount(pairs, pairs, (long)rows * pairs, correct));
        }

        public RecallResult Result() => new(
            _byPairs.Sum(count => count.Queries),
            _byPairs.Sum(count => count.Correct),
            _nats,
            _byPairs,
            [.. Enumerable.Range(0, _distanceQueries.Length).Where(i => _distanceQueries[i] > 0).Select(i => new RecallCount(1 << i, (1 << (i + 1)) - 1, _distanceQueries[i], _distanceCorrect[i]))]);

        public void Dispose()
        {
            _tape.Dispose();
            _model.Device.Free(_inputs);
        }

        private int CountRow(Tensor logits, int row, int pairs)
        {
            var start = row * _batch.Length;
            for (var i = 0; i < pairs; i++)
            {
                _keyPositions[_batch.Inputs[start + (2 * i)]] = 2 * i;
            }

            var correct = 0;
            for (var position = 2 * pairs; position < _batch.Length; position++)
            {
                var target = _batch.Targets[start + position];
                if (target == TokenBatch.Ignored)
                {
                    continue;
                }

                _model.Device.CopyToHost(logits.Data.Slice((long)(start + position) * _logits.Length, _logits.Length), _logits);
                var isRight = Judge(target);
                var bucket = int.Log2(position - _keyPositions[_batch.Inputs[start + position]]);
                _distanceQueries[bucket]++;
                _distanceCorrect[bucket] += isRight ? 1 : 0;
                correct += isRight ? 1 : 0;
            }

            return correct;
        }

        /// <summary>Adds the loss of a query, and says whether the target is the most likely token; a tie with another is wrong.</summary>
        private bool Judge(int target)
        {
            var greatest = float.NegativeInfinity;
            var isRight = true;
            for (var token = 0; token < _logits.Length; token++)
            {
                greatest = Math.Max(greatest, _logits[token]);
                isRight &= token == target || _logits[token] < _logits[target];
            }

            var sum = 0.0;
            foreach (var logit in _logits)
            {
                sum += Math.Exp(logit - greatest);
            }

            _nats += Math.Log(sum) + greatest - _logits[target];
            return isRight;
        }
    }
}
