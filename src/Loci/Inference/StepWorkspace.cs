using Loci.Layers;
using Loci.Models;
using Loci.Numerics;

namespace Loci.Inference;

/// <summary>What the sessions of a model share while one of them, or a batch of them, reads.</summary>
internal sealed class StepWorkspace : IDisposable
{
    /// <summary>Tokens per step: enough for full-speed matrix products, few enough to keep memory small.</summary>
    public const int MostRows = 256;

    private readonly LanguageModel _model;
    private readonly DeviceSpan<int> _tokens;
    private readonly DeviceSpan<int> _targets;

    public StepWorkspace(LanguageModel model)
    {
        _model = model;
        Tape = new Tape(model.Device) { IsRecording = false };
        _tokens = model.Device.Allocate<int>(MostRows);
        _targets = model.Device.Allocate<int>(MostRows);
    }

    public Tape Tape { get; }

    /// <summary>Reads the next tokens of some sequences, at most <see cref="MostRows"/>.</summary>
    /// <returns>Their final hidden states, [rows, D], valid until the next call.</returns>
    public Tensor Read(ReadOnlySpan<int> tokens, ReadOnlySpan<StreamPart> parts)
    {
        Tape.Reset();
        _model.Device.CopyFromHost(tokens, _tokens);
        return _model.StepHidden(Tape, _tokens.Slice(0, tokens.Length), parts);
    }

    /// <summary>Losses of the tokens that follow rows of hidden states.</summary>
    public void Losses(Tensor hidden, ReadOnlySpan<int> targets, Span<float> losses)
    {
        _model.Device.CopyFromHost(targets, _targets);
        _model.Device.CopyToHost(_model.StepLosses(Tape, hidden, _targets.Slice(0, targets.Length)).Data, losses);
    }

    public void Dispose()
    {
        _model.Device.Free(_tokens);
        _model.Device.Free(_targets);
        Tape.Dispose();
    }
}
