using Loci.Numerics.Kernels;

namespace Loci.Numerics;

public sealed unsafe partial class CpuDevice
{
    internal override void DeepScan(in DeepArguments arguments)
    {
        // Items write different states, whatever their level.
        var work = DeepWork(arguments);
        _workers.For(arguments.Plan.ItemCount * work.Heads, &Kernels.DeepScan.Forward, &work);
    }

    internal override void DeepScanBackward(in DeepArguments arguments, in DeepGradients gradients)
    {
        var work = DeepWork(arguments);
        var plan = arguments.Plan;
        work.DOutput = Pointer(gradients.Output);
        work.DStates = Pointer(gradients.States);
        work.DQ = Pointer(gradients.Queries);
        work.AddQ = gradients.AddQueries;
        work.DK = Pointer(gradients.Keys);
        work.AddK = gradients.AddKeys;
        work.DV = Pointer(gradients.Values);
        work.AddV = gradients.AddValues;
        work.DRate = Pointer(gradients.LearningRate);
        work.AddRate = gradients.AddLearningRate;
        work.DLogDecay = Pointer(gradients.LogDecay);
        work.AddLogDecay = gradients.AddLogDecay;
        work.DMomentum = Pointer(gradients.Momentum);
        work.AddMomentum = gradients.AddMomentum;
        work.DGain = Pointer(gradients.GainPartials);
        work.DReads = Pointer(gradients.Reads);
        for (var level = 0; level < plan.LevelCount; level++)
        {
            work.FirstItem = plan.Levels.Values[level];
            _workers.For((plan.Levels.Values[level + 1] - work.FirstItem) * work.Heads, &Kernels.DeepScan.Backward, &work);

            // The rows of every further level have had a gradient before.
            work.AddK = work.AddV = work.AddRate = work.AddLogDecay = work.AddMomentum = true;
        }

        if (!gradients.Weights.IsEmpty)
        {
            WeightSum sum = new() { Scan = work, Items = plan.ItemCount, Weights = Pointer(gradients.Weights), Accumulate = gradients.AddWeights };
            _workers.For(work.Heads * sum.Parts, &SumWeights, &sum);
        }

        SumRows(work.DGain, plan.ItemCount, work.Stride, Pointer(gradients.Gain), gradients.AddGain);
    }

    internal override void DeepStream(in DeepStreamArguments arguments)
    {
        DeepStep.Work work = new()
        {
            Scan = new()
            {
                Network = new(arguments.Options),
                Heads = arguments.Options.Heads,
                Stride = arguments.Options.Heads * arguments.Options.Width,
                Q = Pointer(arguments.Queries),
                K = Pointer(arguments.Keys),
                V = Pointer(arguments.Values),
                Rate = Pointer(arguments.LearningRate),
                LogDecay = Pointer(arguments.LogDecay),
                Momentum = Pointer(arguments.Momentum),
                Gain = Pointer(arguments.Gain),
            },
            Rows = arguments.Rows,
            ChunkLength = arguments.ChunkLength,
            Position = arguments.Position,
            Weights = Pointer(arguments.Weights),
            Start = Pointer(arguments.Start),
            Steps = Pointer(arguments.Steps),
            Output = Pointer(arguments.Output),
        };
        _workers.For(work.Scan.Heads, &DeepStep.Forward, &work);
    }

    internal override void DeepSoup(in DeepArguments arguments, in ReadArguments read)
    {
        var work = SoupWork(arguments, read);
        ScoreSegments(read, work.Read);
        _workers.For((arguments.OnlineWeights.IsEmpty ? arguments.Plan.ReadChunkCount : 1) * work.Read.Heads, &Kernels.DeepSoup.Forward, &work);
    }

    internal override void DeepSoupBackward(in DeepArguments arguments, in DeepGradients gradients, in ReadArguments read, in ReadGradients readGradients)
    {
        var work = SoupWork(arguments, read);
        var plan = arguments.Plan;
        int heads = work.Read.Heads, chunks = plan.ReadChunkCount;
        SetGradients(ref work.Read, readGradients);
        work.DReads = Pointer(gradients.Reads);
        _workers.For(chunks * heads, &Kernels.DeepSoup.Backward, &work);
        if (work.Read.DStates != null)
        {
            _workers.For(plan.SlotCount * heads, &Kernels.DeepSoup.SlotBackward, &work);
        }

        _workers.For(chunks * heads, &Kernels.DeepSoup.OnlineBackward, &work);
        SumRows(work.Read.DGain, chunks, work.Read.Stride, Pointer(readGradients.Gain), readGradients.AddGain);
        RouterBackward(work.Read, plan, readGradients);
        DeepScanBackward(arguments, gradients);
    }

    private static void SumWeights(void* state, int index, int worker)
    {
        ref var sum = ref *(WeightSum*)state;
        int head = index / sum.Parts, start = index % sum.Parts * WeightSum.Part;
        Kernels.DeepScan.SumWeights(sum.Weights, sum.Accumulate, sum.Scan, sum.Items, head, start, Math.Min(WeightSum.Part, sum.Scan.Network.WeightCount - start));
    }

    /// <summary>Adds up rows in their order.</summary>
    private static void SumRows(float* rows, int count, int width, float* destination, bool accumulate)
    {
        for (var row = 0; row < count && destination != null; row++)
        {
            Lanes.AddScaled(rows + ((long)row * width), 1, destination, width, accumulate || row > 0);
        }
    }

    private static Kernels.DeepSoup.Work SoupWork(in DeepArguments arguments, in ReadArguments read) => new()
    {
        Read = ReadWork(read),
        Scan = DeepWork(arguments),
        Preactivations = Pointer(arguments.Preactivations),
        OnlineWeights = Pointer(arguments.OnlineWeights),
    };

    private static Kernels.DeepScan.Work DeepWork(in DeepArguments arguments) => new()
    {
        Network = new(arguments.Options),
        Heads = arguments.Options.Heads,
        Stride = arguments.Options.Heads * arguments.Options.Width,
        ChunkLength = arguments.Plan.ChunkLength,
        KeptEvery = arguments.KeptEvery,
        Chunks = Pointer(arguments.Plan.Chunks.Data),
        Items = Pointer(arguments.Plan.Items.Data),
        Q = Pointer(arguments.Queries),
        K = Pointer(arguments.Keys),
        V = Pointer(arguments.Values),
        Rate = Pointer(arguments.LearningRate),
        LogDecay = Pointer(arguments.LogDecay),
        Momentum = Pointer(arguments.Momentum),
        Weights = Pointer(arguments.Weights),
        Gain = Pointer(arguments.Gain),
        Output = Pointer(arguments.Output),
        States = Pointer(arguments.States),
        Kept = Pointer(arguments.Kept),
        Records = Pointer(arguments.Records),
        Preactivations = Pointer(arguments.Preactivations),
    };

    private struct WeightSum
    {
        public const int Part = 4096;

        public Kernels.DeepScan.Work Scan;
        public int Items;
        public float* Weights;
        public bool Accumulate;

        public readonly int Parts => (Scan.Network.WeightCount + Part - 1) / Part;
    }
}
