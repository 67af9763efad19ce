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
    /// <param name="options">How the sequence's memory is kept.</param>
    /// <exception cref="LociException">The options do not go with this mixer.</exception>
    internal abstract MixerState CreateState(StateOptions options);

    /// <summary>The recurrent form: reads the next tokens of some sequences and moves their states past them.</summary>
    /// <param name="tape">The step; it must not be recording.</param>
    /// <param name="x">Normalised input of the next tokens, [rows, D].</param>
    /// <param name="residual">The residual stream, [rows, D].</param>
    /// <param name="parts">Whose tokens the rows are, in their order.</param>
    /// <param name="layer">Number of the block, which is also that of its state in each part.</param>
    /// <returns>[rows, D].</returns>
    internal abstract Tensor Step(Tape tape, Tensor x, Tensor residual, ReadOnlySpan<StreamPart> parts, int layer);
}

/// <summary>Rows of a step that are the next tokens of one sequence.</summary>
/// <param name="States">The sequence's states, one a block: before the step those before its rows, after it those behind them.</param>
/// <param name="Rows">Number of rows.</param>
internal readonly record struct StreamPart(MixerState[] States, int Rows);
