namespace Loci.Numerics;

/// <summary>
/// What a kernel knows of a tensor: its values and, in a backward pass, its gradient. Either is empty where it is not there or not wanted.
/// </summary>
internal struct Operand
{
    public DeviceSpan<float> Values;
    public DeviceSpan<float> Gradient;

    /// <summary>Whether the kernel adds to the gradient that is there.</summary>
    public bool Accumulates;

    public static implicit operator Operand(DeviceSpan<float> values) => new() { Values = values };

    public static implicit operator Operand(Tensor? tensor) => new() { Values = tensor?.Data ?? default };

    /// <summary>Asks for the gradient of an input, where it is wanted. Kernels accumulate in the order in which they ask.</summary>
    public void Want(Tape tape, Tensor? tensor)
    {
        if (tensor is not null)
        {
            Gradient = tape.GradientOf(tensor, out Accumulates);
        }
    }
}
