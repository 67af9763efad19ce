namespace Loci.Numerics;

/// <summary>One recorded operation: what its backward needs. Nodes are recycled, so every field must be set when one is recorded.</summary>
internal abstract class TapeNode
{
    /// <summary>The first (usually only) output.</summary>
    public Tensor Output { get; set; } = null!;

    /// <summary>Whether the gradient of any output arrived.</summary>
    public virtual bool HasOutputGradient => Output.HasGradient;

    /// <summary>Adds this operation's contribution to its inputs' gradients.</summary>
    public abstract void Backward(Tape tape);

    /// <summary>Gives back the memory of the outputs and whatever was saved: nothing recorded earlier can need it.</summary>
    public virtual void ReleaseOutputs(Tape tape) => Release(tape, Output);

    protected static void Release(Tape tape, Tensor tensor)
    {
        if (tensor.IsKept)
        {
            return;
        }

        tape.Return(tensor.Data);
        tape.Return(tensor.Gradient);
        tensor.Data = default;
        tensor.Gradient = default;
    }
}
