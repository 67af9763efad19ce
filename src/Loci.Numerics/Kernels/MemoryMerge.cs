namespace Loci.Numerics.Kernels;

/// <summary>
/// Merges of neighbouring states of an additive memory, for logarithmic segments written independently: with E the end of the destination's segment and f
/// the first row after the source's, destination += exp(log a_f + ... + log a_E) source + exp(log a_{f+1} + ... + log a_E) b_f k_{f-1} v_{f-1}^T.
/// </summary>
internal static unsafe class MemoryMerge
{
    internal struct Work
    {
        public MemoryScan.Work Scan;
        public int* Merges;
        public int* Ranges;
    }

    public static void Forward(void* state, int index, int worker)
    {
        ref var work = ref *(Work*)state;
        ref var scan = ref work.Scan;
        int sequence = index / scan.Heads, head = index % scan.Heads, d = scan.Width, square = d * d;
        for (var i = work.Ranges[2 * sequence]; i < work.Ranges[(2 * sequence) + 1]; i++)
        {
            var merge = work.Merges + (i * MemoryPlan.MergeFields);
            var destination = scan.States + ((((long)merge[0] * scan.Heads) + head) * square);
            var source = scan.States + ((((long)merge[1] * scan.Heads) + head) * square);
            var after = DecaySum(scan, merge[2] + 1, merge[3], head);
            var decay = MathF.Exp(after + DecaySum(scan, merge[2], merge[2] + 1, head));
            MemoryVector.AddScaled(decay, source, destination, square);
            if (scan.PreviousGate != null)
            {
                var coefficient = scan.PreviousGate[((long)merge[2] * scan.Heads) + head] * MathF.Exp(after);
                var offset = ((long)(merge[2] - 1) * scan.Stride) + (head * d);
                for (var x = 0; x < d; x++)
                {
                    MemoryVector.AddScaled(coefficient * scan.K[offset + x], scan.V + offset, destination + (x * d), d);
                }
            }
        }
    }

    /// <summary>Passes the gradients of merged states on to the states merged, before the scan's backward.</summary>
    public static void PropagateBackward(void* state, int index, int worker)
    {
        ref var work = ref *(Work*)state;
        ref var scan = ref work.Scan;
        int sequence = index / scan.Heads, head = index % scan.Heads, square = scan.Width * scan.Width;
        for (var i = work.Ranges[(2 * sequence) + 1] - 1; i >= work.Ranges[2 * sequence]; i--)
        {
            var merge = work.Merges + (i * MemoryPlan.MergeFields);
            var destination = scan.DStates + ((((long)merge[0] * scan.Heads) + head) * square);
            var source = scan.DStates + ((((long)merge[1] * scan.Heads) + head) * square);
            MemoryVector.AddScaled(MathF.Exp(DecaySum(scan, merge[2], merge[3], head)), destination, source, square);
        }
    }

    /// <summary>Adds the merges' gradients of gates, keys and values, after the scan's backward.</summary>
    public static void InputBackward(void* state, int index, int worker)
    {
        ref var work = ref *(Work*)state;
        ref var scan = ref work.Scan;
        int sequence = index / scan.Heads, head = index % scan.Heads, d = scan.Width, square = d * d, heads = scan.Heads;
        for (var i = work.Ranges[2 * sequence]; i < work.Ranges[(2 * sequence) + 1]; i++)
        {
            var merge = work.Merges + (i * MemoryPlan.MergeFields);
            int first = merge[2], end = merge[3];
            var gradient = scan.DStates + ((((long)merge[0] * heads) + head) * square);
            var source = scan.States + ((((long)merge[1] * heads) + head) * square);
            var after = DecaySum(scan, first + 1, end, head);
            var decay = MathF.Exp(after + DecaySum(scan, first, first + 1, head));
            var dLog = scan.DLogDecay != null ? decay * MemoryVector.Dot(gradient, source, square) : 0;
            var dLogAfter = 0f;
            if (scan.PreviousGate != null)
            {
                var reach = MathF.Exp(after);
                var coefficient = scan.PreviousGate[((long)first * heads) + head] * reach;
                var offset = ((long)(first - 1) * scan.Stride) + (head * d);
                var total = 0f;
                for (var x = 0; x < d; x++)
                {
                    var value = MemoryVector.Dot(gradient + (x * d), scan.V + offset, d);
                    total += value * scan.K[offset + x];
                    if (scan.DK != null)
                    {
                        scan.DK[offset + x] += coefficient * value;
                    }

                    if (scan.DV != null)
                    {
                        MemoryVector.AddScaled(coefficient * scan.K[offset + x], gradient + (x * d), scan.DV + offset, d);
                    }
                }

                if (scan.DPreviousGate != null)
                {
                    scan.DPreviousGate[((long)first * heads) + head] += reach * total;
                }

                dLogAfter = coefficient * total;
            }

            if (scan.DLogDecay != null)
            {
                for (var row = first; row < end; row++)
                {
                    scan.DLogDecay[((long)row * heads) + head] += dLog + (row > first ? dLogAfter : 0);
                }
            }
        }
    }

    private static float DecaySum(in MemoryScan.Work scan, int first, int end, int head)
    {
        var sum = 0f;
        if (scan.LogDecay != null)
        {
            for (var row = first; row < end; row++)
            {
                sum += scan.LogDecay[((long)row * scan.Heads) + head];
            }
        }

        return sum;
    }
}
