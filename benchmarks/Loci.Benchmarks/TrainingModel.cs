using Loci.Models;
using Loci.Numerics;
using Loci.Numerics.Optimization;

namespace Loci.Benchmarks;

/// <summary>A language model with its optimizer and one batch of random tokens, to take training steps with.</summary>
internal sealed class TrainingModel : IDisposable
{
    private readonly Device _device;
    private readonly LanguageModel _model;
    private readonly AdamW _optimizer;
    private readonly Tape _tape;
    private readonly SequenceLayout _layout;
    private readonly DeviceSpan<int> _inputs;
    private readonly DeviceSpan<int> _targets;

    public TrainingModel(Device device, ModelConfiguration configuration, int batch, int length)
    {
        _device = device;
        _model = new LanguageModel(configuration, device);
        _optimizer = new AdamW(_model.Parameters, new AdamWOptions());
        _tape = new Tape(device) { IsTraining = true };
        _layout = new SequenceLayout(batch, length);
        var random = new Random(1);
        int[] ids = [.. Enumerable.Range(0, (batch * length) + 1).Select(_ => random.Next(configuration.VocabularySize))];
        _inputs = device.Allocate<int>(batch * length);
        _targets = device.Allocate<int>(batch * length);
        device.CopyFromHost(ids.AsSpan(0, batch * length), _inputs);
        device.CopyFromHost(ids.AsSpan(1, batch * length), _targets);
    }

    public long ParameterCount => _model.ParameterCount;

    /// <summary>Bytes that the steps hold beside weights.</summary>
    public long Bytes => _tape.BytesHeld;

    /// <summary>Forward, backward, clipping and AdamW.</summary>
    public void Step()
    {
        _tape.Reset();
        _tape.Backward(_model.Loss(_tape, _inputs, _targets, _layout).Loss);
        _optimizer.Step(1e-4f);
        _optimizer.ResetGradients();
    }

    public void Dispose()
    {
        _device.Free(_inputs);
        _device.Free(_targets);
        _tape.Dispose();
        _optimizer.Dispose();
        _model.Dispose();
    }
}
