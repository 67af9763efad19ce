using Loci.Models;
using Loci.Numerics;

namespace Loci.Layers;

/// <summary>
/// A token mixer: the part of a block that moves information between the tokens of a sequence. It runs over whole batches in the parallel form, and
/// over the next tokens of a single sequence from a <see cref="MixerState"/> in the recurrent form; the two agree.
/// </summary>
public abstract class Mixer
{
    /// <summary>The learned tensors.</summary>
    public abstract IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>The parallel form.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="x">Normalised input, [rows, D].</param>
    /// <param name="residual">The residual stream that the result is added to, [rows, D]; null returns the result alone.</param>
    /// <param name="layout">The sequences.</param>
    /// <returns>[rows, D].</returns>
    public abstract Tensor Apply(Tape tape, Tensor x, Tensor? residual, SequenceLayout layout);

    /// <summary>An empty state: the start of a sequence.</summary>
    public abstract MixerState CreateState();

    /// <summary>The recurrent form: reads the next tokens of one sequence and moves its state past them.</summary>
    /// <param name="tape">The step; it must not be recording.</param>
    /// <param name="x">Normalised input of the next tokens, [rows, D].</param>
    /// <param name="residual">The residual stream, [rows, D].</param>
    /// <param name="state">The state before these tokens; after the call, the one behind them.</param>
    /// <returns>[rows, D].</returns>
    public abstract Tensor Step(Tape tape, Tensor x, Tensor residual, MixerState state);
}

/// <summary>What a mixer remembers of the tokens that one sequence has had so far.</summary>
public abstract class MixerState : IDisposable
{
    /// <summary>Number of tokens read.</summary>
    public int Position { get; internal set; }

    /// <summary>Bytes of memory that the sequence needs: online state, cached states and the last few inputs.</summary>
    public abstract long Bytes { get; }

    /// <summary>Number of cached states.</summary>
    public abstract int CachedStates { get; }

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Frees the state's memory.</summary>
    protected abstract void Dispose(bool disposing);
}
