namespace Loci.Numerics;

// The kernels that RWKV blocks need beside those of the other layers. They are for inference: none has a gradient.
public abstract partial class Device
{
    /// <summary>
    /// y[i, row] = x[row] + (x[row - 1] - x[row]) * share[i]; x [rows, columns], share [mixtures, columns], y [mixtures, rows, columns]. Before the first row of a sequence
    /// there are zeros, but before that of the first sequence there is <paramref name="previous"/> [columns] where it is not empty.
    /// </summary>
    internal abstract void ShiftTokens(
        DeviceSpan<float> x, DeviceSpan<float> previous, DeviceSpan<float> share, SequenceLayout layout, int columns, int mixtures, DeviceSpan<float> y);

    /// <summary>y = (x - mean) / sqrt(variance + epsilon) * gain + bias over each group of <paramref name="width"/> columns; gain and bias [columns].</summary>
    internal abstract void LayerNormalise(
        DeviceSpan<float> x, DeviceSpan<float> gain, DeviceSpan<float> bias, int rows, int columns, int width, float epsilon, DeviceSpan<float> y);

    /// <summary>y = a * b + c, element by element; c may be empty, and y any of them.</summary>
    internal abstract void MultiplyAdd(DeviceSpan<float> a, DeviceSpan<float> b, DeviceSpan<float> c, DeviceSpan<float> y);

    /// <summary>
    /// What RWKV-7 makes of its keys: removed = k * removal brought to unit length per head, written = k * (1 + (rate - 1) * replacement).
    /// k, rate, removed, written [rows, heads * width]; removal, replacement [heads * width].
    /// </summary>
    internal abstract void DivideKeys(
        DeviceSpan<float> k, DeviceSpan<float> rate, DeviceSpan<float> removal, DeviceSpan<float> replacement, int rows, int heads, int width,
        DeviceSpan<float> removed, DeviceSpan<float> written);

    /// <summary>y += (sum over the head of q k gain) v; all [rows, heads * width] but gain [heads * width].</summary>
    internal abstract void AddOwnValue(
        DeviceSpan<float> q, DeviceSpan<float> k, DeviceSpan<float> gain, DeviceSpan<float> v, int rows, int heads, int width, DeviceSpan<float> y);
}
