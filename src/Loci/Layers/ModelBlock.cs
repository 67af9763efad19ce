using Loci.Numerics;

namespace Loci.Layers;

/// <summary>One layer of a language model: a token mixer and a feed-forward part, both added to the residual stream. One subclass an architecture.</summary>
internal abstract class ModelBlock
{
    /// <summary>The token mixer, which makes the layer's state.</summary>
    public abstract Mixer Mixer { get; }

    /// <summary>The learned tensors.</summary>
    public abstract IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>Runs the layer on some rows.</summary>
    /// <param name="tape">The step; where the rows go on from states it must not be recording.</param>
    /// <param name="x">The residual stream, [rows, D].</param>
    /// <param name="rows">The sequences of the rows.</param>
    /// <returns>[rows, D].</returns>
    public abstract Tensor Forward(Tape tape, Tensor x, SequenceRows rows);
}
