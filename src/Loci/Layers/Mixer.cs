using Loci.Memory;
using Loci.Numerics;

namespace Loci.Layers;

/// <summary>A token mixer: the part of a block that moves information between the tokens of a sequence.</summary>
internal abstract class Mixer
{
    /// <summary>The learned tensors.</summary>
    public abstract IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>Mixes some rows: whole sequences, or the next tokens of sequences whose states it moves past them. The two agree.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="x">Normalized input, [rows, D].</param>
    /// <param name="residual">The residual stream that the result is added to, [rows, D]; null returns the result alone.</param>
    /// <param name="rows">The sequences of the rows.</param>
    /// <returns>[rows, D].</returns>
    public abstract Tensor Forward(Tape tape, Tensor x, Tensor? residual, SequenceRows rows);

    /// <summary>An empty state: the start of a sequence.</summary>
    /// <param name="options">How the sequence's memory is kept.</param>
    /// <exception cref="LociException">The options do not go with this mixer.</exception>
    public abstract MixerState CreateState(StateOptions options);
}
