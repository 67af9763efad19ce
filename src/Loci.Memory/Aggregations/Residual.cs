using Loci.Memory.Aggregations;
using Loci.Memory.Routing;
using Loci.Memory.Rules;
using Loci.Memory.Segments;
using Loci.Memory.Store;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Memory.Aggregations;

/// <summary>Residual memory (equation 7): y_t = M_t^(s)(q_t) + sum_{i before s} M^(i)(q_t).</summary>
internal sealed class Residual : TrainedAggregation, IReadsAfterTraining
{
    public override string Name => "residual";

    public override string Title => "Residual";

    public override string Equation => "y_t = M_t^(s)(q_t) + sum_{i<s} M^(i)(q_t)";

    internal override TrainedReader CreateReader(LayerContext layer, CacheConfiguration cache) => new Reader(layer.Heads, cache.DetachStates);

    CacheReader IReadsAfterTraining.CreateReader(Device device, int heads, bool readsLinearly, AfterTrainingCache cache) => new Reader(heads, false);

    private sealed class Reader(int heads, bool detaches) : TrainedReader
    {
        public override Tensor Read(Tape tape, LayerMemory memory, in MemoryInputs inputs) =>
            CachedRead.Sum(tape, inputs.Plan, memory.Write(tape, inputs).Scan, inputs.Q, new CachedReadOptions(heads, DetachesStates: detaches));

        public override ReadState CreateState(CachedSegments segments, RecurrentMemory memory) =>
            memory.ReadsLinearly ? new SummedState(segments, memory) : new State(segments, memory);
    }

    /// <summary>Every state is read.</summary>
    private sealed class State(CachedSegments segments, RecurrentMemory memory) : ReadState(segments, memory)
    {
        public override void Read(Tape tape, in StepInputs inputs, int row, int rows, int position)
        {
            Segments.PlanRead(rows, Segments.Count);
            var arguments = Arguments(tape, inputs, row, rows);
            Device.Launch<CachedReadKernel.Forward, ReadArguments>(arguments);
            Observe(arguments, rows, position);
        }
    }

    /// <summary>A read that is linear in the states is one read of their running sum.</summary>
    private sealed class SummedState : ReadState
    {
        private readonly DeviceSpan<float> _sum;     // [state]
        private readonly DeviceSpan<long> _address;  // of the sum

        public SummedState(CachedSegments segments, RecurrentMemory memory)
            : base(segments, memory)
        {
            _sum = segments.Store.AddBuffer(memory.StateLength);
            _address = Device.Allocate<long>(1);
            Device.CopyFromHost<long>([_sum.Address], _address);
        }

        public override bool ReadsAllStates => false;

        public override bool CanHideSegments => false;

        public override void Read(Tape tape, in StepInputs inputs, int row, int rows, int position)
        {
            Segments.PlanRead(rows, Math.Min(1, Segments.Count)); // as if the sum were the only state
            var arguments = Arguments(tape, inputs, row, rows);
            arguments.StatePages = new PagedRows(_address, 0, _sum.Length);
            arguments.StateFormat = StateFormat.Float32;
            arguments.Sums = tape.Allocate((long)Segments.Heads * Segments.Width * Segments.Width);
            Device.Launch<CachedReadKernel.Forward, ReadArguments>(arguments);
            Observe(arguments, rows, position);
        }

        public override void StatesChanged()
        {
            if (!Segments.Merges)
            {
                Device.AddScaled(Segments.Decoded(Segments.Count - 1), 1, _sum);
                return;
            }

            // A merge has changed which states there are; they are few, so they are summed anew.
            Device.Clear(_sum);
            AddStates();
        }

        public override void WentBack() => AddStates();

        public override void Dispose()
        {
            base.Dispose();
            Device.Free(_address);
        }

        private void AddStates()
        {
            for (var slot = 0; slot < Segments.Count; slot++)
            {
                Device.AddScaled(Segments.Decoded(slot), 1, _sum);
            }
        }
    }
}
