namespace Loci.Numerics;

public sealed unsafe partial class CpuDevice
{
    internal override void ShortConvolution(DeviceSpan<float> x, int strideX, DeviceSpan<float> weight, SequenceLayout layout, int columns, int width, int headWidth, float epsilon, DeviceSpan<float> y) => throw new NotImplementedException();
    internal override void ShortConvolutionBackward(DeviceSpan<float> x, int strideX, DeviceSpan<float> weight, SequenceLayout layout, int columns, int width, int headWidth, float epsilon, DeviceSpan<float> dy, DeviceSpan<float> dx, bool accumulateX, DeviceSpan<float> dWeight, bool accumulateWeight) => throw new NotImplementedException();
    internal override void ShortConvolutionStep(DeviceSpan<float> x, int strideX, DeviceSpan<float> weight, DeviceSpan<float> state, int batch, int columns, int width, int headWidth, float epsilon, DeviceSpan<float> y) => throw new NotImplementedException();
    internal override void Rotate(DeviceSpan<float> x, DeviceSpan<float> table, SequenceLayout layout, ReadOnlySpan<int> offsets, int columns, int headWidth, bool inverse, DeviceSpan<float> y, bool accumulate) => throw new NotImplementedException();
    internal override void Dropout(DeviceSpan<float> x, DeviceSpan<float> residual, float probability, ulong key, DeviceSpan<float> y) => throw new NotImplementedException();
    internal override void Attend(DeviceSpan<float> q, DeviceSpan<float> k, DeviceSpan<float> v, SequenceLayout layout, int heads, int headWidth, float scale, DeviceSpan<float> y, DeviceSpan<float> logSumExp) => throw new NotImplementedException();
    internal override void AttendBackward(DeviceSpan<float> q, DeviceSpan<float> k, DeviceSpan<float> v, DeviceSpan<float> y, DeviceSpan<float> logSumExp, DeviceSpan<float> dy, SequenceLayout layout, int heads, int headWidth, float scale, DeviceSpan<float> dq, bool accumulateQ, DeviceSpan<float> dk, bool accumulateK, DeviceSpan<float> dv, bool accumulateV) => throw new NotImplementedException();
    internal override void AttendStep(DeviceSpan<float> q, DeviceSpan<float> k, DeviceSpan<float> v, ReadOnlySpan<int> counts, int batch, int capacity, int heads, int headWidth, float scale, DeviceSpan<float> y) => throw new NotImplementedException();
    internal override void CrossEntropy(DeviceSpan<float> logits, DeviceSpan<int> targets, int columns, float scale, bool withGradient, DeviceSpan<float> losses) => throw new NotImplementedException();
    internal override void AdamWStep(DeviceSpan<float> parameter, DeviceSpan<float> gradient, DeviceSpan<float> first, DeviceSpan<float> second, in AdamWFactors factors) => throw new NotImplementedException();
}
