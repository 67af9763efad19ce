using static Loci.Numerics.CpuDevice;

namespace Loci.Memory.Segments;

/// <summary>The tables of a <see cref="MemoryPlan"/> as kernels follow them.</summary>
internal readonly unsafe struct PlanTables(MemoryPlan plan)
{
    public readonly int* Chunks = Pointer(plan.Chunks.Data);
    public readonly int* Items = Pointer(plan.Items.Data);
    public readonly int* Merges = Pointer(plan.Merges.Data);
    public readonly int* MergeRanges = Pointer(plan.MergeRanges.Data);
    public readonly int* Groups = Pointer(plan.Groups.Data);
    public readonly int* GroupRanges = Pointer(plan.GroupRanges.Data);
    public readonly int* Visible = Pointer(plan.Visible.Data);
    public readonly int* Cover = Pointer(plan.Cover.Data);
    public readonly int* Slots = Pointer(plan.Slots.Data);
    public readonly int* SeenBy = Pointer(plan.SeenBy.Data);

    /// <summary>
    /// First row and number of rows of the segment that a slot's key describes, and offset and number of the slot's readers.
    /// </summary>
    public int* Slot(int slot) => Slots + (slot * MemoryPlan.SlotFields);
}

/// <summary>
/// One group of rows that read the same cached states, and where its gates lie: by head [rows, visible + 1], the online one last.
/// </summary>
internal readonly unsafe ref struct PlanGroup
{
    public readonly int Row;
    public readonly int Rows;
    public readonly int* Visible;
    public readonly int Count;
    public readonly int* Cover;
    public readonly int CoverCount;
    public readonly bool Extends;
    private readonly long _gates;

    public PlanGroup(in PlanTables plan, int heads, int index)
    {
        var group = plan.Groups + (index * MemoryPlan.GroupFields);
        Row = group[0];
        Rows = group[1];
        Visible = plan.Visible + group[2];
        Count = group[3];
        _gates = (long)group[4] * heads;
        Cover = plan.Cover + group[5];
        CoverCount = group[6];
        Extends = group[7] != 0;
    }

    public int Line => Count + 1;

    public long GatesOf(int head) => _gates + ((long)head * Rows * Line);
}
