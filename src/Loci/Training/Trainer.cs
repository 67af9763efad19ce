using System.Diagnostics;
using Loci.Data;
using Loci.Formats;
using Loci.Memory.Aggregations;
using Loci.Models;
using Loci.Numerics;
using Loci.Numerics.Optimization;

namespace Loci.Training;

/// <summary>
/// Trains a language model, one step at a time: batches from text or from any other source, gradients accumulated with every token weighted alike, clipping, AdamW. A step whose
/// loss or gradient is not finite leaves the weights alone. Its whole state can be saved and restored, after which it takes exactly the steps it would have taken.
/// After the first steps a step allocates no managed memory. <see cref="TrainingRun"/> adds the folder, evaluations and checkpoints.
/// </summary>
public sealed class Trainer : IDisposable
{
    private const ulong SamplerStream = 1;
    private const ulong DropoutStream = 2;
    private const long MostCounted = 1L << 60;

    private static readonly TimeSpan s_longest = TimeSpan.FromDays(100_000);

    private readonly ITrainingBatches _source;
    private readonly RandomGenerator _dropout;
    private readonly AdamW _optimizer;
    private readonly Tape _tape;
    private readonly TokenBatch[] _batches;
    private readonly SequenceLayout _layout = new();
    private readonly DeviceSpan<int> _inputs;
    private readonly DeviceSpan<int> _targets;
    private readonly TimeProvider _clock;
    private TimeSpan _elapsedBefore;
    private long _started;
    private bool _isRunning;

    /// <summary>Makes a trainer at the beginning of its run.</summary>
    /// <param name="model">The model; the trainer changes its weights but does not own it.</param>
    /// <param name="corpus">The training data, in the model's vocabulary.</param>
    /// <param name="options">How to train.</param>
    /// <param name="clock">What measures time; the system's where null.</param>
    /// <exception cref="LociException">The options are out of range, the data has another vocabulary than the model, or the model is one that is not trained.</exception>
    public Trainer(LanguageModel model, TokenizedCorpus corpus, TrainingOptions options, TimeProvider? clock = null)
        : this(model, Pack(corpus, options), options, clock)
    {
    }

    /// <summary>Makes a trainer at the beginning of its run.</summary>
    /// <param name="model">The model; the trainer changes its weights but does not own it.</param>
    /// <param name="source">Where its batches come from, with rows of the options' context; used by this trainer alone.</param>
    /// <param name="options">How to train.</param>
    /// <param name="clock">What measures time; the system's where null.</param>
    /// <exception cref="LociException">The options are out of range or do not fit the source, the model's vocabulary is smaller than the source's, the model is one that is not trained, or its weights were rounded.</exception>
    public Trainer(LanguageModel model, ITrainingBatches source, TrainingOptions options, TimeProvider? clock = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(options);
        if (model.Configuration.IsRwkv)
        {
            throw Layers.RwkvBlock.NotTrained();
        }

        model.RequireExact("trained");
        Options = options.Validate();
        RequireVocabulary(model, source.Name, source.VocabularySize);
        if (source.Length != options.Context)
        {
            throw new LociException($"{source.Name} has rows of {source.Length} tokens, but the training a context of {options.Context}: use the same number.");
        }

        if (options.Epochs is not null && source.RowsPerEpoch is null)
        {
            throw new LociException($"{source.Name} has no end, so the training cannot be a number of epochs: give a number of steps or a time limit.");
        }

        // Weights, gradients and the two moments.
        MachineMemory.RequireRoom(model.ParameterCount, 4 * sizeof(float), "to be trained");
        Model = model;
        _clock = clock ?? TimeProvider.System;
        _source = source;
        _dropout = new RandomGenerator(options.Seed, DropoutStream);
        _optimizer = new AdamW(model.Parameters, options.AdamW);
        _tape = new Tape(model.Device);
        _batches = new TokenBatch[options.Accumulation];
        for (var i = 0; i < _batches.Length; i++)
        {
            _batches[i] = new TokenBatch(options.BatchRows, options.Context);
        }

        long rows = (long)options.BatchRows * options.Context;
        _inputs = model.Device.Allocate<int>(rows);
        _targets = model.Device.Allocate<int>(rows);
        TotalSteps = TotalStepsUnder(options);
    }

    /// <summary>The model.</summary>
    public LanguageModel Model { get; }

    /// <summary>How it is trained.</summary>
    public TrainingOptions Options { get; }

    /// <summary>Steps of the whole run; <see cref="long.MaxValue"/> where only the time ends it.</summary>
    public long TotalSteps { get; }

    /// <summary>Steps taken, skipped ones included.</summary>
    public long Step { get; private set; }

    /// <summary>Tokens predicted.</summary>
    public long Tokens { get; private set; }

    /// <summary>Steps skipped because loss or gradient was not finite.</summary>
    public long SkippedSteps { get; private set; }

    /// <summary>How many of the last steps were skipped in a row.</summary>
    public long SkippedInRow { get; private set; }

    /// <summary>Passes over the data so far; 0 where it has no end.</summary>
    public double Epoch => _source.RowsPerEpoch is { } rows ? (double)_source.RowsTaken / rows : 0;

    /// <summary>Time since the first step, earlier parts of a resumed run included.</summary>
    public TimeSpan Elapsed => _isRunning ? _elapsedBefore + _clock.GetElapsedTime(_started) : _elapsedBefore;

    /// <summary>Whether the run has reached its end.</summary>
    public bool IsComplete => Step >= TotalSteps || (Options.TimeLimit is { } limit && Elapsed >= limit);

    /// <summary>The learning rate of the next step.</summary>
    public double LearningRate => RateUnder(Options);

    /// <summary>Bytes of device memory that steps use beside weights, gradients and moments.</summary>
    public long StepBytes => _tape.BytesHeld;

    /// <summary>Takes the next step.</summary>
    /// <returns>What it did.</returns>
    public TrainingStep TakeStep()
    {
        StartClock();
        var begun = Stopwatch.GetTimestamp();
        var rate = LearningRate;
        long predicted = 0;
        foreach (var batch in _batches)
        {
            _source.Next(batch);
            predicted += batch.PredictedCount;
        }

        _optimizer.ResetGradients();
        var loss = 0.0;
        foreach (var batch in _batches)
        {
            // Drawn for every batch, so that the state of the generator tells nothing but the number of batches.
            var seed = _dropout.NextUInt64();
            if (double.IsFinite(loss))
            {
                loss += AccumulateGradient(batch, predicted, seed);
            }
        }

        var norm = double.NaN;
        var applied = false;
        if (double.IsFinite(loss))
        {
            (norm, applied) = _optimizer.Step((float)rate);
        }

        Step++;
        Tokens += predicted;
        if (applied)
        {
            SkippedInRow = 0;
        }
        else
        {
            SkippedSteps++;
            SkippedInRow++;
        }

        return new TrainingStep(Step, Tokens, predicted, loss, rate, norm, !applied, Stopwatch.GetElapsedTime(begun).TotalSeconds);
    }

    /// <summary>Measures the model on held-out data, with the memory of the training steps.</summary>
    /// <param name="corpus">The data, in the model's vocabulary.</param>
    /// <param name="tokenizer">Counts the bytes of tokens for bits per byte; none without.</param>
    /// <param name="cancellationToken">Stops the evaluation.</param>
    /// <exception cref="OperationCanceledException">The evaluation was stopped.</exception>
    public PerplexityResult Evaluate(TokenizedCorpus corpus, Tokenizer? tokenizer = null, CancellationToken cancellationToken = default)
    {
        StartClock();
        return Perplexity.Measure(
            _tape, Model, corpus, new PerplexityOptions { Context = Options.Context, BatchRows = Options.BatchRows, MaximumTokens = Options.EvaluationTokens }, tokenizer, null,
            cancellationToken);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _tape.Dispose();
        _optimizer.Dispose();
        Model.Device.Free(_inputs);
        Model.Device.Free(_targets);
    }

    /// <summary>The learning rate that the next step has with other options, such as another end.</summary>
    internal double RateUnder(TrainingOptions options) => TotalStepsUnder(options) is var steps && steps != long.MaxValue
        ? options.LearningRate.RateAt(Step, steps)
        : options.LearningRate.RateAt(Step, Elapsed / options.TimeLimit!.Value);

    /// <summary>How far the run of a checkpoint has come.</summary>
    /// <exception cref="LociException">The checkpoint is damaged.</exception>
    internal static (long Step, TimeSpan Elapsed) ReadProgress(SafetensorsFile file)
    {
        var state = ReadState(file);
        return (state[0], new TimeSpan(state[7]));
    }

    internal static void RequireVocabulary(LanguageModel model, TokenizedCorpus corpus) => RequireVocabulary(model, corpus.Name, corpus.VocabularySize);

    /// <summary>The whole state as tensors of a file.</summary>
    internal IEnumerable<TensorEntry> Save()
    {
        var buffer = new float[Model.Parameters.Max(parameter => parameter.Shape.Count)];
        for (var i = 0; i < Model.Parameters.Count; i++)
        {
            var parameter = Model.Parameters[i];
            yield return Entry("weights.", parameter, parameter.Data, buffer);
            yield return Entry("first_moment.", parameter, _optimizer.FirstMoment(i), buffer);
            yield return Entry("second_moment.", parameter, _optimizer.SecondMoment(i), buffer);
        }

        var random = _dropout.State;
        var (epoch, row) = Math.DivRem(_source.RowsTaken, _source.RowsPerEpoch ?? long.MaxValue);
        yield return TensorEntry.Int64(
            "trainer.state",
            [StateLength],
            (long[])[
                Step, Tokens, SkippedSteps, SkippedInRow, _optimizer.StepCount, epoch, row, Elapsed.Ticks, (long)random.S0, (long)random.S1,
                (long)random.S2, (long)random.S3]);
    }

    /// <summary>Takes over a saved state.</summary>
    internal void Restore(SafetensorsFile file)
    {
        var buffer = new float[Model.Parameters.Max(parameter => parameter.Shape.Count)];
        for (var i = 0; i < Model.Parameters.Count; i++)
        {
            var parameter = Model.Parameters[i];
            Read(file, "weights.", parameter, parameter.Data, buffer);
            Read(file, "first_moment.", parameter, _optimizer.FirstMoment(i), buffer);
            Read(file, "second_moment.", parameter, _optimizer.SecondMoment(i), buffer);
        }

        var state = ReadState(file);
        if (state[6] >= (_source.RowsPerEpoch ?? long.MaxValue))
        {
            throw Impossible(file);
        }

        Step = state[0];
        Tokens = state[1];
        SkippedSteps = state[2];
        SkippedInRow = state[3];
        _optimizer.StepCount = (int)state[4];
        _source.RowsTaken = (state[5] * (_source.RowsPerEpoch ?? 0)) + state[6];
        _elapsedBefore = new TimeSpan(state[7]);
        _isRunning = false;
        _dropout.State = new RandomState((ulong)state[8], (ulong)state[9], (ulong)state[10], (ulong)state[11]);
    }

    private const int StateLength = 12;

    private static long[] ReadState(SafetensorsFile file)
    {
        var state = new long[StateLength];
        file.ReadInt64("trainer.state", state);
        return state.AsSpan(0, 4).ContainsAnyExceptInRange(0, MostCounted) || state.AsSpan(4, 2).ContainsAnyExceptInRange(0, int.MaxValue)
            || state[6] < 0 || state[7] < 0 || state[7] > s_longest.Ticks || state.AsSpan(8, 4).IndexOfAnyExcept(0) < 0
            ? throw Impossible(file)
            : state;
    }

    private static LociException Impossible(SafetensorsFile file) =>
        new(ErrorKind.Damaged, $"The checkpoint {file.Path} holds numbers that cannot be: it is damaged, so start the run again.");

    private long TotalStepsUnder(TrainingOptions options)
    {
        var stepRows = (double)options.BatchRows * options.Accumulation;
        return Math.Min(
            options.Steps ?? long.MaxValue,
            options.Epochs is { } epochs
                ? Math.Max(1, (long)Math.Ceiling(epochs * _source.RowsPerEpoch!.Value / stepRows))
                : long.MaxValue);
    }

    private static PackedSampler Pack(TokenizedCorpus corpus, TrainingOptions options)
    {
        ArgumentNullException.ThrowIfNull(corpus);
        ArgumentNullException.ThrowIfNull(options);
        return new PackedSampler(corpus, options.Validate().Context, RandomGenerator.Hash(options.Seed, SamplerStream));
    }

    private static void RequireVocabulary(LanguageModel model, string name, int size)
    {
        if (model.Configuration.VocabularySize < size)
        {
            throw new LociException($"{name} has {size} token ids, but the model {model.Configuration.VocabularySize}: use the tokenizer the model was made for.");
        }
    }

    private double AccumulateGradient(TokenBatch batch, long predicted, ulong seed)
    {
        var device = Model.Device;
        device.CopyFromHost<int>(batch.Inputs, _inputs);
        device.CopyFromHost<int>(batch.Targets, _targets);
        _layout.Set(batch.SequenceStarts, batch.Inputs.Length);
        _tape.Reset();
        _tape.IsRecording = true;
        _tape.IsTraining = true;
        _tape.DropoutSeed = seed;
        var loss = Model.Loss(_tape, _inputs, _targets, _layout, predicted).Loss;
        Span<float> value = stackalloc float[1];
        device.CopyToHost(loss.Data, value);
        if (float.IsFinite(value[0]))
        {
            _tape.Backward(loss);
        }

        return value[0];
    }

    private void StartClock()
    {
        if (!_isRunning)
        {
            _started = _clock.GetTimestamp();
            _isRunning = true;
        }
    }

    private TensorEntry Entry(string prefix, Parameter parameter, DeviceSpan<float> source, float[] buffer) =>
        TensorEntry.Float32(prefix + parameter.Name, parameter.Shape.ToExtents(), sink =>
        {
            var values = buffer.AsSpan(0, (int)parameter.Shape.Count);
            Model.Device.CopyToHost(source, values);
            sink.Write(values);
        });

    private void Read(SafetensorsFile file, string prefix, Parameter parameter, DeviceSpan<float> destination, float[] buffer)
    {
        var values = buffer.AsSpan(0, (int)parameter.Shape.Count);
        file.ReadFloat(prefix + parameter.Name, parameter.Shape.ToExtents(), values);
        file.RequireFinite(prefix + parameter.Name);
        Model.Device.CopyFromHost(values, destination);
    }
}
