using Loci.Layers;
using Loci.Numerics;

namespace Loci.Models;

/// <summary>
/// What it takes to read through a model: a tape with its memory and plans, and buffers of tokens. One thread at a time; the model is
/// shared by many.
/// </summary>
internal sealed class ModelRunner : IDisposable
{
    /// <summary>Tokens per pass: enough for full-speed matrix products, few enough to keep memory small.</summary>
    public const int MostRows = 256;

    private readonly LanguageModel _model;
    private readonly SequenceLayout _layout = new(1, 1);
    private readonly DeviceSpan<int> _tokens;
    private readonly DeviceSpan<int> _targets;

    public ModelRunner(LanguageModel model)
    {
        _model = model;
        Tape = new Tape(model.Device) { IsRecording = false };
        _tokens = model.Device.Allocate<int>(MostRows);
        _targets = model.Device.Allocate<int>(MostRows);
    }

    public Tape Tape { get; }

    /// <summary>Reads the next tokens of some sequences, at most <see cref="MostRows"/>, and moves their states behind them.</summary>
    /// <returns>Their final hidden states, [rows, D], valid until the next call.</returns>
    public Tensor Read(ReadOnlySpan<int> tokens, ReadOnlySpan<StreamPart> parts)
    {
        Tape.Reset();
        _model.Device.CopyFromHost(tokens, _tokens);
        return _model.Forward(Tape, _tokens.Slice(0, tokens.Length), new SequenceRows(_layout, parts));
    }

    /// <summary>Logits of the tokens that follow rows of hidden states, [rows, vocabulary].</summary>
    public Tensor Logits(Tensor hidden) => _model.Logits(Tape, hidden);

    /// <summary>Losses of the tokens that follow rows of hidden states.</summary>
    public void Losses(Tensor hidden, ReadOnlySpan<int> targets, Span<float> losses)
    {
        _model.Device.CopyFromHost(targets, _targets);
        _model.Device.CopyToHost(_model.Losses(Tape, hidden, _targets.Slice(0, targets.Length)).Data, losses);
    }

    public void Dispose()
    {
        _model.Device.Free(_tokens);
        _model.Device.Free(_targets);
        Tape.Dispose();
    }
}

/// <summary>
/// The runners of a model that nobody uses at the moment: a session takes one for as long as it reads. Safe for use by several threads.
/// </summary>
internal sealed class ModelRunnerPool(LanguageModel model) : IDisposable
{
    private readonly Lock _lock = new();
    private readonly Stack<ModelRunner> _free = [];

    /// <summary>A runner, given back when the lease is disposed.</summary>
    public Lease Rent()
    {
        lock (_lock)
        {
            if (_free.TryPop(out var runner))
            {
                return new Lease(this, runner);
            }
        }

        return new Lease(this, new ModelRunner(model));
    }

    public void Dispose()
    {
        lock (_lock)
        {
            while (_free.TryPop(out var runner))
            {
                runner.Dispose();
            }
        }
    }

    internal readonly struct Lease(ModelRunnerPool pool, ModelRunner runner) : IDisposable
    {
        public ModelRunner Runner => runner;

        public void Dispose()
        {
            lock (pool._lock)
            {
                pool._free.Push(runner);
            }
        }
    }
}
