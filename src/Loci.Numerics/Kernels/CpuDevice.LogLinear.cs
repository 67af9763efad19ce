using Loci.Numerics.Kernels;

namespace Loci.Numerics;

public sealed unsafe partial class CpuDevice
{
    internal override void LogLinearRead(in LogLinearArguments arguments)
    {
        var work = LogLinearWork(arguments);
        _workers.For(arguments.Plan.GroupCount * arguments.Heads, &LogLinear.Forward, &work);
    }

    internal override void LogLinearReadBackward(in LogLinearArguments arguments, in LogLinearGradients gradients)
    {
        var work = LogLinearWork(arguments);
        work.Read.DOutput = Pointer(gradients.Output);
        work.Read.DStates = Pointer(gradients.States);
        work.Read.DQ = Pointer(gradients.Queries);
        work.Read.AddQ = gradients.AddQueries;
        work.Read.DK = Pointer(gradients.Keys);
        work.Read.AddK = gradients.AddKeys;
        work.DV = Pointer(gradients.Values);
        work.AddV = gradients.AddValues;
        work.DLambda = Pointer(gradients.Lambda);
        work.AddLambda = gradients.AddLambda;
        work.DLogDecay = Pointer(gradients.LogDecay);
        work.AddLogDecay = gradients.AddLogDecay;
        work.DWriteGate = Pointer(gradients.WriteGate);
        work.AddWriteGate = gradients.AddWriteGate;
        if (!gradients.States.IsEmpty)
        {
            Fill(gradients.States, 0);
        }

        _workers.For(arguments.Plan.GroupRanges.Count / 2 * arguments.Heads, &LogLinear.Backward, &work);
    }

    private static LogLinear.Work LogLinearWork(in LogLinearArguments arguments) => new()
    {
        Read = new()
        {
            Heads = arguments.Heads,
            Width = arguments.Width,
            Stride = arguments.Heads * arguments.Width,
            Groups = Pointer(arguments.Plan.Groups.Data),
            Visible = Pointer(arguments.Plan.Visible.Data),
            Slots = Pointer(arguments.Plan.Slots.Data),
            Cover = Pointer(arguments.Plan.Cover.Data),
            GroupRanges = Pointer(arguments.Plan.GroupRanges.Data),
            Q = Pointer(arguments.Queries),
            K = Pointer(arguments.Keys),
            States = Pointer(arguments.States),
            StatePages = new(arguments.StatePages),
            Output = Pointer(arguments.Output),
        },
        Levels = arguments.Levels,
        V = Pointer(arguments.Values),
        Lambda = Pointer(arguments.Lambda),
        LogDecay = Pointer(arguments.LogDecay),
        WriteGate = Pointer(arguments.WriteGate),
        SlotDecay = Pointer(arguments.SlotDecay),
        FirstRow = arguments.FirstRow,
    };
}
