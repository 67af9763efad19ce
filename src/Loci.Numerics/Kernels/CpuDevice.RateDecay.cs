namespace Loci.Numerics;

// One value a row and head: too little work to wake a second thread for.
public sealed unsafe partial class CpuDevice
{
    internal override void RateDecay(DeviceSpan<float> stepSize, DeviceSpan<float> logRate, int rows, int columns, DeviceSpan<float> y)
    {
        float* source = Pointer(stepSize), destination = Pointer(y);
        for (var column = 0; column < columns; column++)
        {
            var rate = MathF.Exp(Pointer(logRate)[column]);
            for (long i = column; i < (long)rows * columns; i += columns)
            {
                destination[i] = -source[i] * rate;
            }
        }
    }

    internal override void RateDecayBackward(
        DeviceSpan<float> logRate, DeviceSpan<float> y, DeviceSpan<float> dy, int rows, int columns,
        DeviceSpan<float> dStepSize, bool accumulateStepSize, DeviceSpan<float> dLogRate, bool accumulateLogRate)
    {
        float* output = Pointer(y), gradient = Pointer(dy), dSource = Pointer(dStepSize), dRate = Pointer(dLogRate);
        for (var column = 0; column < columns; column++)
        {
            var rate = MathF.Exp(Pointer(logRate)[column]);
            var sum = 0.0;
            for (long i = column; i < (long)rows * columns; i += columns)
            {
                sum += (double)gradient[i] * output[i];
                if (dSource != null)
                {
                    dSource[i] = (accumulateStepSize ? dSource[i] : 0) - (gradient[i] * rate);
                }
            }

            if (dRate != null)
            {
                dRate[column] = (float)(sum + (accumulateLogRate ? dRate[column] : 0));
            }
        }
    }
}
