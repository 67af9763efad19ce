using Loci.Layers;
using Loci.Numerics;

namespace Loci.Models;

/// <summary>
/// Reads one sequence through a model in the recurrent form, in pieces of any size, and gives the logits of the next token. Splitting the
/// text differently gives the same bits. Many streams may share a model, but a model and its streams must be used by one thread at a time.
/// </summary>
public sealed class ModelStream : IDisposable
{
    // Tokens per pass: enough for full-speed matrix products, few enough to keep memory small.
    private const int PassLength = 256;

    private readonly LanguageModel _model;
    private readonly Tape _tape;
    private readonly MixerState[] _states;
    private readonly DeviceSpan<int> _tokens;
    private readonly float[] _logits;

    internal ModelStream(LanguageModel model)
    {
        _model = model;
        _tape = new Tape(model.Device) { IsRecording = false };
        _states = [.. model.Mixers.Select(mixer => mixer.CreateState())];
        _tokens = model.Device.Allocate<int>(PassLength);
        _logits = new float[model.Configuration.VocabularySize];
    }

    /// <summary>Number of tokens read.</summary>
    public int Position { get; private set; }

    /// <summary>Logits of the token after the last one read, [vocabulary].</summary>
    /// <exception cref="InvalidOperationException">Nothing has been read.</exception>
    public ReadOnlySpan<float> Logits => Position > 0 ? _logits : throw new InvalidOperationException("Nothing has been read yet, so there are no logits: read at least one token.");

    /// <summary>Bytes of memory that the sequence needs.</summary>
    public long Bytes => _states.Sum(state => state.Bytes);

    /// <summary>Number of cached states, over all blocks.</summary>
    public int CachedStates => _states.Sum(state => state.CachedStates);

    /// <summary>Reads the next tokens.</summary>
    /// <exception cref="ArgumentException">A token is not of the vocabulary.</exception>
    public void Read(ReadOnlySpan<int> tokens)
    {
        while (!tokens.IsEmpty)
        {
            var pass = tokens[..Math.Min(tokens.Length, PassLength)];
            Pass(pass);
            tokens = tokens[pass.Length..];
        }
    }

    /// <summary>Reads one token.</summary>
    public void Read(int token) => Pass([token]);

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var state in _states)
        {
            state.Dispose();
        }

        _model.Device.Free(_tokens);
        _tape.Dispose();
    }

    private void Pass(ReadOnlySpan<int> tokens)
    {
        _tape.Reset();
        _model.Device.CopyFromHost(tokens, _tokens);
        var hidden = _model.StreamHidden(_tape, _tokens.Slice(0, tokens.Length), _states);
        var logits = _model.StreamLogits(_tape, _tape.Rows(hidden, tokens.Length - 1, 1));
        _model.Device.CopyToHost(logits.Data, _logits);
        Position += tokens.Length;
    }
}
