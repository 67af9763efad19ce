using System.Numerics;
using Loci.Numerics.Kernels;

namespace Loci.Numerics;

public sealed unsafe partial class CpuDevice
{
    internal override void CrossEntropy(
        DeviceSpan<float> logits, DeviceSpan<int> targets, int columns, float scale, bool withGradient, DeviceSpan<float> losses)
    {
        var state = new CrossEntropyState
        {
            Logits = Pointer(logits),
            Targets = Pointer(targets),
            Rows = checked((int)targets.Length),
            Columns = columns,
            Scale = scale,
            WithGradient = withGradient,
            Losses = Pointer(losses),
        };
        _workers.For(Blocks(state.Rows, RowBlock(columns)), &Body, &state);

        static void Body(void* pointer, int index, int worker)
        {
            var state = (CrossEntropyState*)pointer;
            var block = RowBlock(state->Columns);
            var end = Math.Min(state->Rows, (index + 1) * block);
            for (var row = index * block; row < end; row++)
            {
                state->Losses[row] = Row(state, state->Logits + ((long)row * state->Columns), state->Targets[row]);
            }
        }

        static float Row(CrossEntropyState* state, float* logits, int target)
        {
            var columns = state->Columns;
            if (target < 0)
            {
                if (state->WithGradient)
                {
                    new Span<float>(logits, columns).Clear();
                }

                return 0;
            }

            var chosen = logits[target];
            var largest = LargestOf(logits, columns);
            var shift = new Vector<float>(largest);
            var sum = Vector<float>.Zero;
            for (var i = 0; i < columns; i += Lanes.Count)
            {
                var left = columns - i;
                var exponential = VectorMath.Exp(Lanes.Load(logits + i, left, float.NegativeInfinity) - shift);
                sum += exponential;
                if (state->WithGradient)
                {
                    Lanes.Store(exponential, logits + i, left);
                }
            }

            var total = Vector.Sum(sum);
            if (state->WithGradient)
            {
                Lanes.AddScaled(logits, state->Scale / total, logits, columns, false);
                logits[target] -= state->Scale;
            }

            return (float)(Math.Log(total) + ((double)largest - chosen));
        }
    }

    /// <summary>The largest of some numbers; NaN if there is one.</summary>
    private static float LargestOf(float* values, int count)
    {
        var largest = new Vector<float>(float.NegativeInfinity);
        for (var i = 0; i < count; i += Lanes.Count)
        {
            largest = Vector.Max(largest, Lanes.Load(values + i, count - i, float.NegativeInfinity));
        }

        return Lanes.Max(largest);
    }

    private struct CrossEntropyState
    {
        public float* Logits;
        public int* Targets;
        public int Rows;
        public int Columns;
        public float Scale;
        public bool WithGradient;
        public float* Losses;
    }
}
