using Loci.Numerics.Kernels;

namespace Loci.Numerics;

public sealed unsafe partial class CpuDevice
{
    internal override void Fill(DeviceSpan<float> destination, float value) => throw new NotImplementedException();

    internal override void Copy(DeviceSpan<float> source, DeviceSpan<float> destination) => throw new NotImplementedException();

    internal override void AddScaled(DeviceSpan<float> source, float scale, DeviceSpan<float> destination) => throw new NotImplementedException();

    internal override void MatrixMultiply(
        bool transposeA, bool transposeB, int m, int n, int k,
        DeviceSpan<float> a, int strideA, DeviceSpan<float> b, int strideB, DeviceSpan<float> c, int strideC, bool accumulate) => throw new NotImplementedException();
}
