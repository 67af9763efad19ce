using Loci.Numerics;

namespace Loci.Layers;

/// <summary>One layer of a language model: a token mixer and a feed-forward part, both added to the residual stream. One subclass an architecture.</summary>
internal abstract class ModelBlock
{
    /// <summary>The token mixer, which makes the layer's state.</summary>
    public abstract Mixer Mixer { get; }

    /// <summary>The learned tensors.</summary>
    public abstract IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>The parallel form, over the sequences of a batch.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="x">The residual stream, [rows, D].</param>
    /// <param name="layout">The sequences.</param>
    /// <returns>[rows, D].</returns>
    public abstract Tensor Apply(Tape tape, Tensor x, SequenceLayout layout);

    /// <summary>The recurrent form: reads the next tokens of some sequences and moves their states past them.</summary>
    /// <param name="tape">The step; it must not be recording.</param>
    /// <param name="x">The residual stream, [rows, D].</param>
    /// <param name="parts">Whose tokens the rows are, in their order.</param>
    /// <param name="layer">Number of the block, which is also that of its state in each part.</param>
    /// <returns>[rows, D].</returns>
    public abstract Tensor Step(Tape tape, Tensor x, ReadOnlySpan<StreamPart> parts, int layer);
}
