namespace Loci.Numerics.Operations;

/// <summary>Operations without a gradient, which a recording tape would leave out of the backward pass.</summary>
internal static class InferenceOnly
{
    /// <exception cref="InvalidOperationException">The tape records.</exception>
    public static void Require(Tape tape)
    {
        ArgumentNullException.ThrowIfNull(tape);
        if (tape.IsRecording)
        {
            throw new InvalidOperationException("This operation has no gradient: set IsRecording of the tape to false.");
        }
    }
}
