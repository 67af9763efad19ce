namespace Loci.Numerics;

// The kernels of a language model's layers. Every gradient may be an empty span (not wanted) and comes with a flag that says whether to add to what is there.
public abstract partial class Device
{
    /// <summary>sum of x^2 in double precision; not finite exactly where an element is not.</summary>
    internal abstract double SumOfSquares(DeviceSpan<float> values);

    /// <summary>destination[0] = scale * sum of the values, summed in double precision.</summary>
    internal abstract void Sum(DeviceSpan<float> values, double scale, DeviceSpan<float> destination);

    /// <summary>The smallest and the largest of some integers and how many are not negative.</summary>
    internal abstract void Inspect(DeviceSpan<int> values, out int minimum, out int maximum, out long nonNegative);

    /// <summary>Whether every element is finite.</summary>
    internal bool IsFinite(DeviceSpan<float> values) => double.IsFinite(SumOfSquares(values));

    /// <summary>y[row] = table[ids[row]]; y [ids, columns].</summary>
    internal abstract void Embed(DeviceSpan<int> ids, DeviceSpan<float> table, int columns, DeviceSpan<float> y);

    /// <summary>Gradient of <see cref="Embed"/>; writes all of dTable [vocabulary, columns].</summary>
    internal abstract void EmbedBackward(
        DeviceSpan<int> ids, DeviceSpan<float> dy, int vocabulary, int columns, DeviceSpan<float> dTable, bool accumulate);

    /// <summary>
    /// y = x / sqrt(factor * sum x^2 + epsilon) * gain * SiLU(gate), the sum over each group of <paramref name="width"/> columns.
    /// Gain [columns] and gate [rows, columns] may be empty. Writes the inverse roots [rows, columns / width] where wanted.
    /// </summary>
    internal abstract void Normalise(
        DeviceSpan<float> x, DeviceSpan<float> gain, DeviceSpan<float> gate, int rows, int columns, int width, float factor, float epsilon,
        DeviceSpan<float> y, DeviceSpan<float> inverseRoots);

    /// <summary>Gradients of <see cref="Normalise"/>.</summary>
    internal abstract void NormaliseBackward(
        DeviceSpan<float> x, DeviceSpan<float> gain, DeviceSpan<float> gate, DeviceSpan<float> inverseRoots, DeviceSpan<float> dy,
        int rows, int columns, int width, float factor,
        DeviceSpan<float> dx, bool accumulateX, DeviceSpan<float> dGain, bool accumulateGain, DeviceSpan<float> dGate, bool accumulateGate);

    /// <summary>y = f(x + bias); x, y [rows, columns], bias [columns] or empty.</summary>
    internal abstract void Activate(ActivationKind kind, DeviceSpan<float> x, DeviceSpan<float> bias, int rows, int columns, DeviceSpan<float> y);

    /// <summary>Gradients of <see cref="Activate"/>.</summary>
    internal abstract void ActivateBackward(
        ActivationKind kind, DeviceSpan<float> x, DeviceSpan<float> bias, DeviceSpan<float> dy, int rows, int columns,
        DeviceSpan<float> dx, bool accumulateX, DeviceSpan<float> dBias, bool accumulateBias);

    /// <summary>y = SiLU(x[:, 0..hidden]) * x[:, hidden..]; x [rows, 2 hidden], y [rows, hidden].</summary>
    internal abstract void SwiGlu(DeviceSpan<float> x, int rows, int hidden, DeviceSpan<float> y);

    /// <summary>Gradient of <see cref="SwiGlu"/>.</summary>
    internal abstract void SwiGluBackward(DeviceSpan<float> x, DeviceSpan<float> dy, int rows, int hidden, DeviceSpan<float> dx, bool accumulate);

    /// <summary>
    /// y = SiLU(causal depthwise convolution of x), then y / sqrt(sum y^2 + epsilon) per head where <paramref name="headWidth"/> is not 0.
    /// x [rows, columns] with <paramref name="strideX"/> between rows, weight [columns, width] with the last tap on the row itself, y [rows, columns].
    /// </summary>
    internal abstract void ShortConvolution(
        DeviceSpan<float> x, int strideX, DeviceSpan<float> weight, SequenceLayout layout, int columns, int width, int headWidth, float epsilon,
        DeviceSpan<float> y);

    /// <summary>Gradients of <see cref="ShortConvolution"/>; dx has the stride of x.</summary>
    internal abstract void ShortConvolutionBackward(
        DeviceSpan<float> x, int strideX, DeviceSpan<float> weight, SequenceLayout layout, int columns, int width, int headWidth, float epsilon,
        DeviceSpan<float> dy, DeviceSpan<float> dx, bool accumulateX, DeviceSpan<float> dWeight, bool accumulateWeight);

    /// <summary>
    /// <see cref="ShortConvolution"/> of one new row per sequence. The state [batch, width - 1, strideX] holds the rows before, oldest first;
    /// its columns from 0 to <paramref name="columns"/> are moved on by one row.
    /// </summary>
    internal abstract void ShortConvolutionStep(
        DeviceSpan<float> x, int strideX, DeviceSpan<float> weight, DeviceSpan<float> state, int batch, int columns, int width, int headWidth, float epsilon,
        DeviceSpan<float> y);

    /// <summary>
    /// Turns columns (i, i + headWidth / 2) of every head by the angle of the row's position, backwards if <paramref name="inverse"/>.
    /// table [positions, headWidth] holds cosines, then sines. A sequence starts at offsets[sequence], or offsets[0] if there is one for all.
    /// </summary>
    internal abstract void Rotate(
        DeviceSpan<float> x, DeviceSpan<float> table, SequenceLayout layout, ReadOnlySpan<int> offsets, int columns, int headWidth, bool inverse,
        DeviceSpan<float> y, bool accumulate);

    /// <summary>y = residual + mask * x / (1 - probability); the mask depends on key and element index only. The residual may be empty, or y itself.</summary>
    internal abstract void Dropout(DeviceSpan<float> x, DeviceSpan<float> residual, float probability, ulong key, DeviceSpan<float> y);

    /// <summary>Causal softmax attention per head; q, k, v, y [rows, heads * headWidth]. Writes the log-sum-exp [rows, heads] where wanted.</summary>
    internal abstract void Attend(
        DeviceSpan<float> q, DeviceSpan<float> k, DeviceSpan<float> v, SequenceLayout layout, int heads, int headWidth, float scale,
        DeviceSpan<float> y, DeviceSpan<float> logSumExp);

    /// <summary>Gradients of <see cref="Attend"/>.</summary>
    internal abstract void AttendBackward(
        DeviceSpan<float> q, DeviceSpan<float> k, DeviceSpan<float> v, DeviceSpan<float> y, DeviceSpan<float> logSumExp, DeviceSpan<float> dy,
        SequenceLayout layout, int heads, int headWidth, float scale,
        DeviceSpan<float> dq, bool accumulateQ, DeviceSpan<float> dk, bool accumulateK, DeviceSpan<float> dv, bool accumulateV);

    /// <summary>Attention of the rows of q, [rows, heads * headWidth], over the first before + 1, before + 2.. rows of keys and values.</summary>
    internal abstract void AttendStep(
        DeviceSpan<float> q, PagedRows keys, PagedRows values, int before, int rows, int heads, int headWidth, float scale, DeviceSpan<float> y);

    /// <summary>
    /// losses[row] = log sum exp(logits[row]) - logits[row, target], 0 where the target is negative. If <paramref name="withGradient"/>,
    /// the logits [targets, columns] become their gradient times <paramref name="scale"/>; otherwise they are left undefined.
    /// </summary>
    internal abstract void CrossEntropy(
        DeviceSpan<float> logits, DeviceSpan<int> targets, int columns, float scale, bool withGradient, DeviceSpan<float> losses);

    /// <summary>One AdamW update of one parameter.</summary>
    internal abstract void AdamWStep(
        DeviceSpan<float> parameter, DeviceSpan<float> gradient, DeviceSpan<float> first, DeviceSpan<float> second, in AdamWFactors factors);
}
