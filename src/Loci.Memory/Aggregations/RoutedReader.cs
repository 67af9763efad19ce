using Loci.Memory.Aggregations;
using Loci.Memory.Routing;
using Loci.Memory.Rules;
using Loci.Memory.Segments;
using Loci.Memory.Store;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Memory.Aggregations;

/// <summary>Reads through gates g = softmax(tau &lt;u, p&gt;): what the gated aggregations share.</summary>
internal abstract class RoutedReader(Router router) : TrainedReader
{
    public override Router Router => router;

    public override IReadOnlyList<Parameter> Parameters => router.Parameters;

    public override Tensor Read(Tape tape, LayerMemory memory, in MemoryInputs inputs) =>
        router.Read(tape, inputs.Plan, memory.Write(tape, inputs).Scan, inputs.Q, inputs.Routing);
}

/// <summary>The step form of a gated read. Beside every state it keeps the pooled keys p of its segment.</summary>
internal class RoutedState : ReadState
{
    private readonly DeviceSpan<float> _keySum;  // of the online segment, [D]
    private readonly SharedRows _pooledKeys;     // p, [slots, D]
    private readonly SharedRows? _keySums;       // of segments that merge, whose keys add up, [slots, D]
    private readonly int _dimension;

    public RoutedState(CachedSegments segments, RecurrentMemory memory, Router router)
        : base(segments, memory)
    {
        Router = router;
        _dimension = segments.Heads * segments.Width;
        _keySum = segments.Store.AddBuffer(_dimension);
        _pooledKeys = segments.Store.AddRows(_dimension);
        _keySums = segments.Merges ? segments.Store.AddRows(_dimension) : null;
    }

    protected Router Router { get; }

    /// <summary>What is added to the online state's logit, [H], or empty.</summary>
    protected virtual DeviceSpan<float> OnlineBias => Router.OnlineBias?.Data ?? default;

    public override void Read(Tape tape, in StepInputs inputs, int row, int rows, int position)
    {
        Segments.PlanRead(rows, Segments.Count);
        var gates = (long)Segments.Plan.GateCount * Segments.Heads;
        var arguments = Arguments(tape, inputs, row, rows);
        arguments.IsGated = true;
        arguments.Options = Router.Options;
        arguments.Router = new RouterArguments
        {
            Plan = Segments.Plan,
            Options = Router.Options,
            Width = Segments.Width,
            Queries = tape.Rows(inputs.Routing.Queries, row, rows).Data,
            Keys = tape.Rows(inputs.Routing.Keys, row, rows).Data,
            Temperature = Router.Temperature.Data,
            OnlineBias = OnlineBias,
            Scores = tape.Allocate(gates),
            Gates = tape.Allocate(gates),
            InitialKeys = _keySum,
            InitialCount = position,
        };
        AddKeys(tape, ref arguments.Router);
        Launch(arguments);
        Observe(arguments, rows, position);
        for (var t = row; t < row + rows; t++)
        {
            Device.AddScaled(tape.Rows(inputs.Routing.Keys, t, 1).Data, 1, _keySum);
        }
    }

    public override void CacheSegment()
    {
        base.CacheSegment();
        _keySums?.Append(_keySum, 1);
        Pool(_keySum, Memory.OnlineLength, _pooledKeys.Append());
        KeyPooled(Segments.Count - 1, _pooledKeys[Segments.Count - 1]);
    }

    public override void SegmentsMerged(int left)
    {
        Device.AddScaled(_keySums![left + 1], 1, _keySums.Writable(left));
        Pool(_keySums[left], Segments.Lengths[left] + Segments.Lengths[left + 1], _pooledKeys.Writable(left));
    }

    public override void StatesChanged() => Device.Clear(_keySum);

    public override void Loaded()
    {
        for (var slot = 0; slot < Segments.Count; slot++)
        {
            KeyPooled(slot, _pooledKeys[slot]);
        }
    }

    public override void AppendNoise(DeviceSpan<float> noise)
    {
        var slot = Segments.Count - 1;
        _pooledKeys.Append(noise.Slice(16 * (slot % 61), _dimension), 1);
        _keySums?.Append(noise.Slice(0, _dimension), 1);
        KeyPooled(slot, _pooledKeys[slot]);
    }

    /// <summary>Runs the read.</summary>
    protected virtual void Launch(in ReadArguments arguments) => Device.Launch<CachedReadKernel.Forward, ReadArguments>(arguments);

    /// <summary>Adds what finds segments by their keys without a look at each, where there is such a thing.</summary>
    protected virtual void AddIndex(ref RouterArguments arguments)
    {
    }

    /// <summary>A segment's pooled keys are known.</summary>
    protected virtual void KeyPooled(int slot, DeviceSpan<float> key)
    {
    }

    private void AddKeys(Tape tape, ref RouterArguments arguments)
    {
        if (Segments.Visible.Length == Segments.Count)
        {
            arguments.KeyPages = _pooledKeys.Pages;
            AddIndex(ref arguments);
            return;
        }

        // Pages and index are of all slots.
        arguments.PooledKeys = tape.Allocate((long)Segments.Count * _dimension);
        foreach (var slot in Segments.Visible)
        {
            Device.Copy(_pooledKeys[slot], arguments.PooledKeys.Slice((long)slot * _dimension, _dimension));
        }
    }

    private void Pool(DeviceSpan<float> sum, int count, DeviceSpan<float> pooled)
    {
        Device.Clear(pooled);
        Device.AddScaled(sum, Router.KeyScale(count), pooled);
    }
}
