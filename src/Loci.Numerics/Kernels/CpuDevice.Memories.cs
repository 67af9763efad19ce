using Loci.Numerics.Kernels;

namespace Loci.Numerics;

public sealed unsafe partial class CpuDevice
{
    internal override void MatrixScan(in ScanArguments arguments)
    {
        var work = ScanWork(arguments);
        var items = arguments.Plan.ItemCount * arguments.Heads;
        var isVector = arguments.Rule == MatrixRule.Vector;
        if (arguments.Rule == MatrixRule.Delta)
        {
            // Items write different states, whatever their level.
            var delta = new DeltaScan.Work { Scan = work };
            _workers.For(items, &DeltaScan.Forward, &delta);
            return;
        }

        _workers.For(items, isVector ? &VectorGatedScan.Forward : &MemoryScan.Forward, &work);
        if (arguments.Plan.Merges.Count > 0)
        {
            var merge = MergeWork(arguments, work);
            _workers.For(arguments.Plan.MergeRanges.Count / 2 * arguments.Heads, isVector ? &VectorGatedMerge.Forward : &MemoryMerge.Forward, &merge);
        }
    }

    internal override void MatrixScanBackward(in ScanArguments arguments, in ScanGradients gradients)
    {
        var work = ScanWork(arguments);
        work.DOutput = Pointer(gradients.Output);
        work.DStates = Pointer(gradients.States);
        work.DQ = Pointer(gradients.Queries);
        work.AddQ = gradients.AddQueries;
        work.DK = Pointer(gradients.Keys);
        work.AddK = gradients.AddKeys;
        work.DV = Pointer(gradients.Values);
        work.AddV = gradients.AddValues;
        work.DLogDecay = Pointer(gradients.LogDecay);
        work.AddLogDecay = gradients.AddLogDecay;
        work.DPreviousGate = Pointer(gradients.PreviousGate);
        work.AddPreviousGate = gradients.AddPreviousGate;
        work.DWriteGate = Pointer(gradients.WriteGate);
        work.AddWriteGate = gradients.AddWriteGate;
        if (arguments.Rule == MatrixRule.Delta)
        {
            DeltaScanBackward(arguments.Plan, work);
            return;
        }

        var isVector = arguments.Rule == MatrixRule.Vector;
        var hasMerges = arguments.Plan.Merges.Count > 0 && !gradients.States.IsEmpty;
        var merge = MergeWork(arguments, work);
        var mergeItems = arguments.Plan.MergeRanges.Count / 2 * arguments.Heads;
        if (hasMerges)
        {
            _workers.For(mergeItems, isVector ? &VectorGatedMerge.PropagateBackward : &MemoryMerge.PropagateBackward, &merge);
        }

        _workers.For(arguments.Plan.ItemCount * arguments.Heads, isVector ? &VectorGatedScan.Backward : &MemoryScan.Backward, &work);
        if (hasMerges && work.IsGated)
        {
            _workers.For(mergeItems, isVector ? &VectorGatedMerge.InputBackward : &MemoryMerge.InputBackward, &merge);
        }
    }

    internal override void MatrixStream(in StreamArguments arguments)
    {
        var work = new MemoryStep.Work
        {
            Rows = arguments.Rows,
            Heads = arguments.Heads,
            Width = arguments.Width,
            Q = Pointer(arguments.Queries),
            K = Pointer(arguments.Keys),
            V = Pointer(arguments.Values),
            LogDecay = Pointer(arguments.LogDecay),
            PreviousGate = Pointer(arguments.PreviousGate),
            WriteGate = Pointer(arguments.WriteGate),
            OwnGain = Pointer(arguments.OwnGain),
            RemovalKeys = Pointer(arguments.RemovalKeys),
            RemovalRates = Pointer(arguments.RemovalRates),
            Previous = Pointer(arguments.Previous),
            IsFirstOfSegment = arguments.IsFirstOfSegment,
            WindowReachesBack = arguments.WindowReachesBack,
            State = Pointer(arguments.State),
            Tail = Pointer(arguments.Tail),
            Output = Pointer(arguments.Output),
        };
        switch (arguments.Rule)
        {
            case MatrixRule.Delta:
                _workers.For(arguments.Heads, &DeltaStep.Forward, &work);
                break;
            case MatrixRule.Vector:
                _workers.For(arguments.Heads, &VectorGatedStep.Forward, &work);
                break;
            case MatrixRule.Rwkv5:
                _workers.For(arguments.Heads, &Rwkv5Step.Forward, &work);
                break;
            case MatrixRule.Rwkv7:
                _workers.For(arguments.Heads, &Rwkv7Step.Forward, &work);
                break;
            default:
                _workers.For(arguments.Heads, &MemoryStep.Forward, &work);
                break;
        }
    }

    internal override void EncodeState(DeviceSpan<float> state, StateFormat format, int width, DeviceSpan<float> stored)
    {
        if (format == StateFormat.Float32)
        {
            Copy(state, stored);
            return;
        }

        StateCodec.Encode(format, Pointer(state), state.Length, width, Pointer(stored));
    }

    internal override void DecodeState(DeviceSpan<float> stored, StateFormat format, int width, DeviceSpan<float> state)
    {
        if (format == StateFormat.Float32)
        {
            Copy(stored, state);
            return;
        }

        StateCodec.Decode(format, Pointer(stored), state.Length, width, 0, state.Length, Pointer(state));
    }

    internal override void IndexKey(DeviceSpan<float> index, int capacity, int slot, DeviceSpan<float> key, int heads) =>
        KeyIndex.Set(Pointer(index), capacity, slot, Pointer(key), heads, (int)(key.Length / heads));

    internal override void CachedRead(in ReadArguments arguments)
    {
        var work = ReadWork(arguments);
        var plan = arguments.Plan;
        var items = plan.GroupCount * arguments.Options.Heads;
        if (arguments.IsGated)
        {
            ScoreSegments(arguments, work);
        }

        if (arguments.Network is not null)
        {
            _workers.For(items, &DeepRead.Forward, &work);
        }
        else if (arguments.IsGated)
        {
            _workers.For(items, &MemoryRead.GatedForward, &work);
        }
        else
        {
            _workers.For(plan.GroupRanges.Count / 2 * arguments.Options.Heads, &MemoryRead.SumStates, &work);
            _workers.For(items, &MemoryRead.SumForward, &work);
        }
    }

    internal override void CachedReadBackward(in ReadArguments arguments, in ReadGradients gradients)
    {
        var work = ReadWork(arguments);
        var plan = arguments.Plan;
        int items = plan.GroupCount * arguments.Options.Heads, sequences = plan.GroupRanges.Count / 2;
        SetGradients(ref work, gradients);
        if (arguments.Network is not null)
        {
            if (!gradients.States.IsEmpty)
            {
                Fill(gradients.States, 0);
            }

            _workers.For(sequences * work.Heads, &DeepRead.Backward, &work);
            SumRows(work.DGain, sequences, work.Stride, Pointer(gradients.Gain), gradients.AddGain);
        }
        else if (arguments.IsGated)
        {
            _workers.For(items, &MemoryRead.GatedBackwardRead, &work);
        }
        else
        {
            _workers.For(items, &MemoryRead.SumBackwardGroup, &work);
            Fill(gradients.States, 0);
            _workers.For(sequences * work.Heads, &MemoryRead.SumBackwardStates, &work);
        }

        if (arguments.IsGated)
        {
            RouterBackward(work, plan, gradients);
        }
    }

    private void ScoreSegments(in ReadArguments arguments, MemoryRead.Work work)
    {
        if (arguments.PoolsKeys)
        {
            _workers.For(arguments.Plan.SlotCount, &MemoryRead.PoolKeys, &work);
        }

        if (arguments.Plan.GroupCount == 1 && KeyIndex.Applies(work, arguments.Plan.LongestGroup, arguments.Plan.MostVisible))
        {
            _workers.For(arguments.Options.Heads, &KeyIndex.Choose, &work);
            return;
        }

        _workers.For(arguments.Plan.GroupCount * arguments.Options.Heads, &MemoryRead.Score, &work);
        _workers.For(arguments.Plan.GroupCount, &MemoryRead.Normalize, &work);
    }

    /// <summary>From the gradients of the gates to those of routing queries, keys, temperature and bias; of a matrix memory's states on the way.</summary>
    private void RouterBackward(MemoryRead.Work work, MemoryPlan plan, in ReadGradients gradients)
    {
        int heads = work.Heads, groups = plan.GroupCount;
        _workers.For(groups, &MemoryRead.NormalizeBackward, &work);
        _workers.For(groups * heads, &MemoryRead.ScoreBackward, &work);
        _workers.For(plan.SlotCount * heads, work.IsDeep ? &DeepRead.PooledKeyBackward : &MemoryRead.GatedBackwardSlot, &work);
        if (work.DK != null)
        {
            _workers.For(groups * heads, &MemoryRead.GatedBackwardKeys, &work);
        }

        SumPartials(work.Partials, groups, heads, Pointer(gradients.Temperature), gradients.AddTemperature);
        SumPartials(work.Partials + 1, groups, heads, Pointer(gradients.OnlineBias), gradients.AddOnlineBias);
    }

    private static void SetGradients(ref MemoryRead.Work work, in ReadGradients gradients)
    {
        work.DOutput = Pointer(gradients.Output);
        work.DOnline = Pointer(gradients.Online);
        work.AddOnline = gradients.AddOnline;
        work.DQ = Pointer(gradients.Queries);
        work.AddQ = gradients.AddQueries;
        work.DU = Pointer(gradients.Routing);
        work.AddU = gradients.AddRouting;
        work.DK = Pointer(gradients.Keys);
        work.AddK = gradients.AddKeys;
        work.DStates = Pointer(gradients.States);
        work.DLogits = Pointer(gradients.Logits);
        work.DPooledKeys = Pointer(gradients.PooledKeys);
        work.Partials = Pointer(gradients.Partials);
        work.DGain = Pointer(gradients.GainPartials);
    }

    private void DeltaScanBackward(MemoryPlan plan, in MemoryScan.Work scan)
    {
        // Level after level: the segments of a level have no row in common, and those of a later one add to what is there.
        var work = new DeltaScan.Work { Scan = scan };
        for (var level = 0; level < plan.LevelCount; level++)
        {
            var levels = plan.Levels.Values;
            work.FirstItem = levels[level];
            _workers.For((levels[level + 1] - levels[level]) * scan.Heads, &DeltaScan.Backward, &work);
            work.Scan.AddQ = work.Scan.AddK = work.Scan.AddV = work.Scan.AddLogDecay = work.Scan.AddWriteGate = true;
        }
    }

    private static void SumPartials(float* partials, int groups, int heads, float* destination, bool accumulate)
    {
        if (destination == null)
        {
            return;
        }

        for (var head = 0; head < heads; head++)
        {
            double sum = accumulate ? destination[head] : 0;
            for (var group = 0; group < groups; group++)
            {
                sum += partials[2 * (((long)group * heads) + head)];
            }

            destination[head] = (float)sum;
        }
    }

    private static MemoryScan.Work ScanWork(in ScanArguments arguments) => new()
    {
        Heads = arguments.Heads,
        Width = arguments.Width,
        Stride = arguments.Heads * arguments.Width,
        ChunkLength = arguments.Plan.ChunkLength,
        Chunks = Pointer(arguments.Plan.Chunks.Data),
        Items = Pointer(arguments.Plan.Items.Data),
        Q = Pointer(arguments.Queries),
        K = Pointer(arguments.Keys),
        V = Pointer(arguments.Values),
        LogDecay = Pointer(arguments.LogDecay),
        PreviousGate = Pointer(arguments.PreviousGate),
        WriteGate = Pointer(arguments.WriteGate),
        Output = Pointer(arguments.Output),
        States = Pointer(arguments.States),
        ChunkStates = Pointer(arguments.ChunkStates),
    };

    private static MemoryMerge.Work MergeWork(in ScanArguments arguments, in MemoryScan.Work scan) => new()
    {
        Scan = scan,
        Merges = Pointer(arguments.Plan.Merges.Data),
        Ranges = Pointer(arguments.Plan.MergeRanges.Data),
    };

    private static MemoryRead.Work ReadWork(in ReadArguments arguments) => new()
    {
        Heads = arguments.Options.Heads,
        Width = arguments.Width,
        Stride = arguments.Options.Heads * arguments.Width,
        Options = arguments.Options,
        GroupCount = arguments.Plan.GroupCount,
        Groups = Pointer(arguments.Plan.Groups.Data),
        Visible = Pointer(arguments.Plan.Visible.Data),
        Slots = Pointer(arguments.Plan.Slots.Data),
        SeenBy = Pointer(arguments.Plan.SeenBy.Data),
        Cover = Pointer(arguments.Plan.Cover.Data),
        GroupRanges = Pointer(arguments.Plan.GroupRanges.Data),
        Online = Pointer(arguments.Online),
        Q = Pointer(arguments.Queries),
        U = Pointer(arguments.Routing),
        K = Pointer(arguments.Keys),
        States = Pointer(arguments.States),
        StatePages = new(arguments.StatePages),
        StateFormat = arguments.StateFormat,
        KeyPages = new(arguments.KeyPages),
        Index = Pointer(arguments.Index),
        IndexCapacity = arguments.IndexCapacity,
        Temperature = Pointer(arguments.Temperature),
        OnlineBias = Pointer(arguments.OnlineBias),
        Output = Pointer(arguments.Output),
        PooledKeys = Pointer(arguments.PooledKeys),
        Scores = Pointer(arguments.Scores),
        Gates = Pointer(arguments.Gates),
        Sums = Pointer(arguments.Sums),
        InitialKeys = Pointer(arguments.InitialKeys),
        InitialCount = arguments.InitialCount,
        Network = arguments.Network is null ? default : new(arguments.Network),
        Gain = Pointer(arguments.Gain),
        IsGated = arguments.IsGated,
    };
}
