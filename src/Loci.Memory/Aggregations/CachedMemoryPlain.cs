namespace Loci.Reference;

/// <summary>A layer of memories with cached segments (equations 4 and 5), token by token.</summary>
public static class CachedMemory
{
    /// <summary>Matrix memories over several sequences.</summary>
    /// <param name="q">[rows, heads dk]</param>
    /// <param name="k">[rows, heads dk]</param>
    /// <param name="v">[rows, heads dv]</param>
    /// <param name="u">[rows, heads dk], the router's vectors; null = q</param>
    /// <param name="gates">Gates of the memories.</param>
    /// <param name="temperature">[heads], the router's tau; null = 1</param>
    /// <param name="options">Segments and aggregation.</param>
    /// <param name="heads">Number of consecutive blocks of columns.</param>
    /// <param name="sequenceStarts">First row of every sequence.</param>
    /// <returns>[rows, heads dv]</returns>
    public static Real[,] Forward(
        Real[,] q,
        Real[,] k,
        Real[,] v,
        Real[,]? u,
        MatrixMemoryGates gates,
        Real[]? temperature,
        CachedMemoryOptions options,
        int heads,
        int[] sequenceStarts) =>
        Forward(q, k, v, u, temperature, options, heads, sequenceStarts, (head, start, end, keys, values) => new MatrixMemory(
            keys,
            values,
            Sequences.Gate(gates.LogDecay, head, start, end),
            Sequences.Gate(gates.B, head, start, end),
            Sequences.Gate(gates.L, head, start, end)));

    /// <summary>Memories of the delta rule over several sequences.</summary>
    /// <param name="q">[rows, heads dk]</param>
    /// <param name="k">[rows, heads dk]</param>
    /// <param name="v">[rows, heads dv]</param>
    /// <param name="u">[rows, heads dk], the router's vectors; null = q</param>
    /// <param name="gates">Gates of the memories.</param>
    /// <param name="temperature">[heads], the router's tau; null = 1</param>
    /// <param name="options">Segments and aggregation.</param>
    /// <param name="heads">Number of consecutive blocks of columns.</param>
    /// <param name="sequenceStarts">First row of every sequence.</param>
    /// <returns>[rows, heads dv]</returns>
    public static Real[,] Forward(
        Real[,] q,
        Real[,] k,
        Real[,] v,
        Real[,]? u,
        DeltaMemoryGates gates,
        Real[]? temperature,
        CachedMemoryOptions options,
        int heads,
        int[] sequenceStarts) =>
        Forward(q, k, v, u, temperature, options, heads, sequenceStarts, (head, start, end, keys, values) => new DeltaMemory(
            keys, values, Sequences.Gate(gates.Beta, head, start, end)!, Sequences.Gate(gates.LogDecay, head, start, end)));

    /// <summary>Vector-gated memories over several sequences.</summary>
    /// <param name="q">[rows, heads dk]</param>
    /// <param name="k">[rows, heads dk]</param>
    /// <param name="v">[rows, heads dv]</param>
    /// <param name="u">[rows, heads dk], the router's vectors; null = q</param>
    /// <param name="gates">Gates of the memories.</param>
    /// <param name="temperature">[heads], the router's tau; null = 1</param>
    /// <param name="options">Segments and aggregation.</param>
    /// <param name="heads">Number of consecutive blocks of columns.</param>
    /// <param name="sequenceStarts">First row of every sequence.</param>
    /// <returns>[rows, heads dv]</returns>
    public static Real[,] Forward(
        Real[,] q,
        Real[,] k,
        Real[,] v,
        Real[,]? u,
        VectorGatedMemoryGates gates,
        Real[]? temperature,
        CachedMemoryOptions options,
        int heads,
        int[] sequenceStarts) =>
        Forward(q, k, v, u, temperature, options, heads, sequenceStarts, (head, start, end, keys, values) => new VectorGatedMemory(
            keys, values, Sequences.Head(gates.LogDecay, heads, head, start, end)));

    /// <summary>Deep memories over several sequences.</summary>
    /// <param name="q">[rows, heads d]</param>
    /// <param name="k">[rows, heads d]</param>
    /// <param name="v">[rows, heads d]</param>
    /// <param name="u">[rows, heads d], the router's vectors; null = q</param>
    /// <param name="parameters">Initial weights and gain of every head.</param>
    /// <param name="gates">Gates of the memories.</param>
    /// <param name="memory">The rule of the memories.</param>
    /// <param name="temperature">[heads], the router's tau; null = 1</param>
    /// <param name="options">Segments and aggregation.</param>
    /// <param name="heads">Number of consecutive blocks of columns.</param>
    /// <param name="sequenceStarts">First row of every sequence.</param>
    /// <returns>[rows, heads d]</returns>
    public static Real[,] Forward(
        Real[,] q,
        Real[,] k,
        Real[,] v,
        Real[,]? u,
        DeepMemoryParameters parameters,
        DeepMemoryGates gates,
        DeepMemoryOptions memory,
        Real[]? temperature,
        CachedMemoryOptions options,
        int heads,
        int[] sequenceStarts) =>
        Forward(q, k, v, u, temperature, options, heads, sequenceStarts, (head, start, end, keys, values) => new DeepMemory(
            keys,
            values,
            parameters.Weights[head],
            parameters.Gain?[head],
            Sequences.Gate(gates.LearningRate, head, start, end)!,
            Sequences.Gate(gates.LogDecay, head, start, end),
            Sequences.Gate(gates.Momentum, head, start, end),
            memory));

    /// <summary>Any memories over several sequences.</summary>
    /// <param name="q">[rows, heads dk]</param>
    /// <param name="k">[rows, heads dk]</param>
    /// <param name="v">[rows, heads dv]</param>
    /// <param name="u">[rows, heads dk], the router's vectors; null = q</param>
    /// <param name="temperature">[heads], the router's tau; null = 1</param>
    /// <param name="options">Segments and aggregation.</param>
    /// <param name="heads">Number of consecutive blocks of columns.</param>
    /// <param name="sequenceStarts">First row of every sequence.</param>
    /// <param name="memoryOf">
    /// Makes the memory of one head over the rows start, ..., end - 1 of one sequence from their keys and values.
    /// </param>
    /// <returns>[rows, heads dv]</returns>
    public static Real[,] Forward(
        Real[,] q,
        Real[,] k,
        Real[,] v,
        Real[,]? u,
        Real[]? temperature,
        CachedMemoryOptions options,
        int heads,
        int[] sequenceStarts,
        MemoryOf memoryOf)
    {
        int rows = q.GetLength(0);
        int valueSize = v.GetLength(1) / heads;
        u ??= q;
        var y = new Real[rows, v.GetLength(1)];
        CachedMemoryOptions routing = options.RouterKeys is null ? options : options with { NormalizeKeys = false };
        foreach ((int start, int end) in Sequences.Ranges(sequenceStarts, rows))
        {
            var keys = new Real[heads][][]; // of the router
            var memories = new PlainMemory[heads];
            var histories = new MemoryHistory[heads];
            for (int head = 0; head < heads; head++)
            {
                Real[][] written = Sequences.Head(k, heads, head, start, end);
                keys[head] = options.RouterKeys is null ? written : Sequences.Head(options.RouterKeys, heads, head, start, end);
                memories[head] = memoryOf(head, start, end, written, Sequences.Head(v, heads, head, start, end));
                histories[head] = new MemoryHistory(memories[head]);
            }

            for (int t = 0; t < end - start; t++)
            {
                VisibleSegments visible = options.Segmentation.At(t);
                var logits = new Real[heads][];
                for (int head = 0; head < heads; head++)
                {
                    Real[] router = Sequences.Head(u, heads, head, start + t, start + t + 1)[0];
                    logits[head] = Router.Logits(keys[head], router, t, visible, temperature is null ? 1 : temperature[head], routing);
                }

                if (options.SharedGates)
                {
                    Real[] shared = SumOverHeads(logits);
                    logits = Array.ConvertAll(logits, _ => (Real[])shared.Clone());
                }

                for (int head = 0; head < heads; head++)
                {
                    logits[head][^1] += options.OnlineBias;
                    Real[] query = Sequences.Head(q, heads, head, start + t, start + t + 1)[0];
                    Real[] read = Read(memories[head], States(histories[head], visible, t, options.Start), logits[head], options, query);
                    for (int i = 0; i < valueSize; i++)
                    {
                        y[start + t, head * valueSize + i] = read[i];
                    }
                }
            }
        }

        return y;
    }

    /// <summary>The cached states of the past segments in order, and the online memory after token t.</summary>
    public static IReadOnlyList<MemoryState> States(MemoryHistory history, VisibleSegments visible, int t, SegmentStart start)
    {
        var states = new List<MemoryState>();
        foreach (Segment segment in visible.Past)
        {
            states.Add(history.Written(start == SegmentStart.Independent ? segment.Start : 0, segment.End));
        }

        states.Add(history.Written(start == SegmentStart.Independent ? visible.OnlineStart : 0, t + 1));
        return states;
    }

    private static Real[] Read(
        PlainMemory memory, IReadOnlyList<MemoryState> states, Real[] logits, CachedMemoryOptions options, Real[] q) =>
        options.Aggregation switch
        {
            Aggregation.None => memory.Read(states[^1].Weights, q),
            Aggregation.Residual => ResidualMemory.Read(memory, states, q),
            Aggregation.GatedResidual => GatedResidualMemory.Read(memory, states, logits, q),
            Aggregation.MemorySoup => MemorySoup.Read(memory, states, logits, q),
            Aggregation.SparseSelective => SparseSelectiveCaching.Read(memory, states, logits, options.SelectedSegments, q),
            _ => throw new ArgumentOutOfRangeException(nameof(options), options.Aggregation, "Unknown aggregation."),
        };

    private static Real[] SumOverHeads(Real[][] logits)
    {
        var sum = new Real[logits[0].Length];
        foreach (Real[] head in logits)
        {
            for (int i = 0; i < sum.Length; i++)
            {
                sum[i] += head[i];
            }
        }

        return sum;
    }
}

/// <summary>Makes the memory of one head over the rows start, ..., end - 1 of one sequence from their keys and values.</summary>
public delegate PlainMemory MemoryOf(int head, int start, int end, Real[][] keys, Real[][] values);
