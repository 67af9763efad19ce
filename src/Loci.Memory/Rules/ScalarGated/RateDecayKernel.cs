using Loci.Numerics;
using static Loci.Numerics.CpuDevice;

namespace Loci.Memory.Rules.ScalarGated;

/// <summary>y = -stepSize exp(logRate), and the gradients of a backward pass.</summary>
internal struct RateDecayArguments
{
    public int Rows;
    public int Columns;
    public Operand StepSize;                     // [rows, columns]
    public Operand LogRate;                      // [columns]
    public Operand Output;                       // [rows, columns]
}

/// <summary>One value a row and head: too little work to wake a second thread for.</summary>
internal static unsafe class RateDecayKernel
{
    internal readonly struct Forward : IKernel<RateDecayArguments>
    {
        public static void Run(CpuDevice device, in RateDecayArguments arguments)
        {
            float* source = Pointer(arguments.StepSize.Values), destination = Pointer(arguments.Output.Values);
            for (var column = 0; column < arguments.Columns; column++)
            {
                var rate = MathF.Exp(Pointer(arguments.LogRate.Values)[column]);
                for (long i = column; i < (long)arguments.Rows * arguments.Columns; i += arguments.Columns)
                {
                    destination[i] = -source[i] * rate;
                }
            }
        }
    }

    internal readonly struct Backward : IKernel<RateDecayArguments>
    {
        public static void Run(CpuDevice device, in RateDecayArguments arguments)
        {
            float* output = Pointer(arguments.Output.Values), gradient = Pointer(arguments.Output.Gradient);
            float* dSource = Pointer(arguments.StepSize.Gradient), dRate = Pointer(arguments.LogRate.Gradient);
            for (var column = 0; column < arguments.Columns; column++)
            {
                var rate = MathF.Exp(Pointer(arguments.LogRate.Values)[column]);
                var sum = 0.0;
                for (long i = column; i < (long)arguments.Rows * arguments.Columns; i += arguments.Columns)
                {
                    sum += (double)gradient[i] * output[i];
                    if (dSource != null)
                    {
                        dSource[i] = (arguments.StepSize.Accumulates ? dSource[i] : 0) - (gradient[i] * rate);
                    }
                }

                if (dRate != null)
                {
                    dRate[column] = (float)(sum + (arguments.LogRate.Accumulates ? dRate[column] : 0));
                }
            }
        }
    }
}
