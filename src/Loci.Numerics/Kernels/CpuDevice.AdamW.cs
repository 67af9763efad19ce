using System.Numerics;
using Loci.Numerics.Kernels;

namespace Loci.Numerics;

public sealed unsafe partial class CpuDevice
{
    internal override void AdamWStep(
        DeviceSpan<float> parameter, DeviceSpan<float> gradient, DeviceSpan<float> first, DeviceSpan<float> second, in AdamWFactors factors)
    {
        var state = new AdamWState
        {
            Parameter = Pointer(parameter),
            Gradient = Pointer(gradient),
            First = Pointer(first),
            Second = Pointer(second),
            Count = parameter.Length,
            Factors = factors,
        };
        _workers.For(ElementBlocks(parameter.Length), &Body, &state);

        static void Body(void* pointer, int index, int worker)
        {
            var state = (AdamWState*)pointer;
            ref readonly var factors = ref state->Factors;
            var count = BlockAt(state->Count, index, out var start);
            var scale = new Vector<float>(factors.GradientScale);
            var keep = new Vector<float>(1 - factors.Decay);
            Vector<float> beta1 = new(factors.Beta1), rest1 = new(1 - factors.Beta1);
            Vector<float> beta2 = new(factors.Beta2), rest2 = new(1 - factors.Beta2);
            Vector<float> step = new(factors.StepSize), correction = new(factors.SecondCorrection), epsilon = new(factors.Epsilon);
            for (var i = start; i < start + count; i += Lanes.Count)
            {
                var left = start + count - i;
                var gradient = Lanes.Load(state->Gradient + i, left) * scale;
                var first = Vector.MultiplyAddEstimate(beta1, Lanes.Load(state->First + i, left), rest1 * gradient);
                var second = Vector.MultiplyAddEstimate(beta2, Lanes.Load(state->Second + i, left), rest2 * gradient * gradient);
                var update = step * first / Vector.MultiplyAddEstimate(Vector.SquareRoot(second), correction, epsilon);
                Lanes.Store(first, state->First + i, left);
                Lanes.Store(second, state->Second + i, left);
                Lanes.Store((Lanes.Load(state->Parameter + i, left) * keep) - update, state->Parameter + i, left);
            }
        }
    }

    private struct AdamWState
    {
        public float* Parameter;
        public float* Gradient;
        public float* First;
        public float* Second;
        public long Count;
        public AdamWFactors Factors;
    }
}
