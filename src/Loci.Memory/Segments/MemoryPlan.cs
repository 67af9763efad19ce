using Loci.Numerics;

namespace Loci.Memory.Segments;

/// <summary>
/// The work of one batch of memories as tables of integers, derived from the sequences and the segmentation: which rows form a chunk, where
/// a state is cached, and which cached states a row reads. Rows that read the same states form a group; a group's first row is the start of
/// its online segment.
/// </summary>
/// <remarks>It is filled by the segmentation and read by the kernels; it is reused from step to step without allocating.</remarks>
public sealed class MemoryPlan : IDisposable
{
    internal const int ChunkFields = 7;
    internal const int GroupFields = 8;
    internal const int SlotFields = 4;
    internal const int MergeFields = 4;

    private readonly Device _device;
    private readonly IntTable[] _tables;

    /// <summary>Makes an empty plan.</summary>
    public MemoryPlan(Device device)
    {
        ArgumentNullException.ThrowIfNull(device);
        _device = device;
        Chunks = new IntTable(device);
        Items = new IntTable(device);
        Levels = new IntTable(device);
        Merges = new IntTable(device);
        MergeRanges = new IntTable(device);
        Groups = new IntTable(device);
        Visible = new IntTable(device);
        Slots = new IntTable(device);
        SeenBy = new IntTable(device);
        Cover = new IntTable(device);
        GroupRanges = new IntTable(device);
        _tables = [Chunks, Items, Levels, Merges, MergeRanges, Groups, Visible, Slots, SeenBy, Cover, GroupRanges];
    }

    /// <summary>Rows of the batch.</summary>
    public int Rows { get; private set; }

    /// <summary>Number of cached states (checkpoints) that some row reads.</summary>
    public int SlotCount { get; private set; }

    /// <summary>Longest chunk, in rows.</summary>
    public int ChunkLength { get; private set; }

    /// <summary>Number of rows that share the same cached states, at most.</summary>
    public int LongestGroup { get; private set; }

    /// <summary>Most cached states that a row reads.</summary>
    public int MostVisible { get; private set; }

    /// <summary>Sum over the rows of (cached states read + 1): the number of gates per head.</summary>
    public int GateCount { get; private set; }

    /// <summary>Changes whenever the plan is filled anew, so that a backward pass can tell that its plan is gone.</summary>
    public int Version { get; private set; }

    /// <summary>Number of groups.</summary>
    public int GroupCount => Groups.Count / GroupFields;

    /// <summary>Number of independent pieces of work: chunks whose states depend on each other.</summary>
    internal int ItemCount => (Items.Count + 1) / 2;

    /// <summary>Number of chunks.</summary>
    internal int ChunkCount => Chunks.Count / ChunkFields;

    /// <summary>Number of chunks that are read; they come first.</summary>
    internal int ReadChunkCount => LevelCount > 1 ? Items.Values[2 * Levels.Values[1]] : ChunkCount;

    /// <summary>Number of sequences.</summary>
    internal int SequenceCount => GroupRanges.Count / 2;

    /// <summary>Number of levels; see <see cref="BeginRewriting"/>.</summary>
    internal int LevelCount => Levels.Count - 1;

    /// <summary>Sum over the rows of the cached states read.</summary>
    public long VisibleRows => GateCount - Rows;

    // first row, rows, slot or -1, whether the state starts anew, whether the rows are read (or only written), group, item
    internal IntTable Chunks { get; }

    // [first chunk, past the last): chunks whose states depend on each other
    internal IntTable Items { get; }

    // [first item, past the last): no two items of a level have a row in common
    internal IntTable Levels { get; }

    // destination slot, source slot, first row after the source, row past the destination's end
    internal IntTable Merges { get; }

    // [first merge, past the last) of every sequence
    internal IntTable MergeRanges { get; }

    // first row, rows, offset and number of visible slots, gate offset, offset and number of covering slots, whether one slot more than the
    // group before
    internal IntTable Groups { get; }

    internal IntTable Visible { get; }

    // first row, rows, offset and number of readers
    internal IntTable Slots { get; }

    // (group, position in the group's visible list)
    internal IntTable SeenBy { get; }

    internal IntTable Cover { get; }

    // [first group, past the last) of every sequence
    internal IntTable GroupRanges { get; }

    /// <summary>Starts filling the plan anew.</summary>
    public void Begin()
    {
        Version++;
        Rows = SlotCount = ChunkLength = LongestGroup = MostVisible = GateCount = 0;
        foreach (var table in _tables)
        {
            table.Clear();
        }

        Levels.Add(0);
    }

    /// <summary>Starts a sequence: groups and merges added until <see cref="EndSequence"/> belong to it.</summary>
    public void BeginSequence()
    {
        MergeRanges.Add(Merges.Count / MergeFields);
        GroupRanges.Add(GroupCount);
    }

    /// <summary>Ends the sequence.</summary>
    public void EndSequence()
    {
        MergeRanges.Add(Merges.Count / MergeFields);
        GroupRanges.Add(GroupCount);
    }

    /// <summary>Adds the slot of a cached state.</summary>
    /// <param name="firstRow">First row of the segment that its router key describes.</param>
    /// <param name="rows">Length of that segment.</param>
    /// <returns>The slot's number.</returns>
    public int AddSlot(int firstRow, int rows)
    {
        Slots.Add(firstRow);
        Slots.Add(rows);
        Slots.Add(0);
        Slots.Add(0);
        return SlotCount++;
    }

    /// <summary>Adds a chunk of rows that are written together, and read; those of a group come before the group.</summary>
    /// <param name="firstRow">First row.</param>
    /// <param name="rows">Number of rows, at least 1.</param>
    /// <param name="slot">Slot that keeps the state after the chunk, or -1.</param>
    /// <param name="startsFromZero">
    /// Whether the memory starts from its initial state; the chunk then starts a new independent piece of work.
    /// </param>
    public void AddChunk(int firstRow, int rows, int slot, bool startsFromZero) => AddChunk(firstRow, rows, slot, startsFromZero, true);

    /// <summary>
    /// Starts a level of segments that are written once more, as a whole and without being read, because their memory cannot be merged from
    /// its parts. The segments of a level have no row in common.
    /// </summary>
    public void BeginRewriting() => EndLevel();

    /// <summary>
    /// Adds a chunk that is written and not read, after <see cref="BeginRewriting"/>; parameters as in
    /// <see cref="AddChunk(int, int, int, bool)"/>.
    /// </summary>
    public void AddRewrittenChunk(int firstRow, int rows, int slot, bool startsFromZero) =>
        AddChunk(firstRow, rows, slot, startsFromZero, false);

    /// <summary>
    /// Adds a merge: the state of <paramref name="source"/>, decayed over the rows that follow it, joins the state of
    /// <paramref name="destination"/>.
    /// </summary>
    public void AddMerge(int destination, int source, int firstRow, int endRow)
    {
        Merges.Add(destination);
        Merges.Add(source);
        Merges.Add(firstRow);
        Merges.Add(endRow);
    }

    /// <summary>Adds a group of rows that read the same cached states and share an online segment that starts at their first row.</summary>
    /// <param name="firstRow">First row, where the online segment starts.</param>
    /// <param name="rows">Number of rows.</param>
    /// <param name="visible">Slots read, oldest first.</param>
    /// <param name="cover">Slots whose segments contain these rows.</param>
    /// <param name="extendsPrevious">Whether the slots are those of the group before and one more at the end.</param>
    public void AddGroup(int firstRow, int rows, ReadOnlySpan<int> visible, ReadOnlySpan<int> cover, bool extendsPrevious)
    {
        Groups.Add(firstRow);
        Groups.Add(rows);
        Groups.Add(Visible.Count);
        Groups.Add(visible.Length);
        Groups.Add(GateCount);
        Groups.Add(Cover.Count);
        Groups.Add(cover.Length);
        Groups.Add(extendsPrevious ? 1 : 0);
        foreach (var slot in visible)
        {
            Visible.Add(slot);
        }

        foreach (var slot in cover)
        {
            Cover.Add(slot);
        }

        GateCount = checked(GateCount + (rows * (visible.Length + 1)));
        LongestGroup = Math.Max(LongestGroup, rows);
        MostVisible = Math.Max(MostVisible, visible.Length);
    }

    /// <summary>Ends filling: derives who reads each slot and hands the tables to the device.</summary>
    public void End()
    {
        Items.Add(ChunkCount);
        EndLevel();
        var groups = Groups.Values;
        var slots = Slots.Values;
        for (var group = 0; group < GroupCount; group++)
        {
            foreach (var slot in VisibleOf(group))
            {
                slots[(slot * SlotFields) + 3]++;
            }
        }

        var offset = 0;
        for (var slot = 0; slot < SlotCount; slot++)
        {
            slots[(slot * SlotFields) + 2] = offset;
            offset += slots[(slot * SlotFields) + 3];
            slots[(slot * SlotFields) + 3] = 0;
        }

        SeenBy.Resize(2 * offset);
        var seenBy = SeenBy.Values;
        for (var group = 0; group < GroupCount; group++)
        {
            var visible = VisibleOf(group);
            for (var position = 0; position < visible.Length; position++)
            {
                var slot = visible[position] * SlotFields;
                var entry = 2 * (slots[slot + 2] + slots[slot + 3]++);
                seenBy[entry] = group;
                seenBy[entry + 1] = position;
            }
        }

        foreach (var table in _tables)
        {
            table.Upload(_device);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var table in _tables)
        {
            table.Dispose();
        }
    }

    /// <summary>Ends a level, unless nothing was added to it.</summary>
    private void EndLevel()
    {
        if (ItemCount > Levels.Values[^1])
        {
            Levels.Add(ItemCount);
        }
    }

    private void AddChunk(int firstRow, int rows, int slot, bool startsFromZero, bool isRead)
    {
        var index = ChunkCount;
        if (startsFromZero)
        {
            if (index > 0)
            {
                Items.Add(index);
            }

            Items.Add(index);
        }

        Chunks.Add(firstRow);
        Chunks.Add(rows);
        Chunks.Add(slot);
        Chunks.Add(startsFromZero ? 1 : 0);
        Chunks.Add(isRead ? 1 : 0);
        Chunks.Add(GroupCount);
        Chunks.Add(ItemCount - 1);
        ChunkLength = Math.Max(ChunkLength, rows);
        Rows = Math.Max(Rows, firstRow + rows);
    }

    /// <summary>Refuses a backward pass over a plan that has been filled anew since its forward pass.</summary>
    internal void RequireVersion(int version)
    {
        if (version != Version)
        {
            throw new InvalidOperationException(
                "The plan of a memory was filled anew between a forward pass and its backward pass: run each backward pass before the " +
                "model's next forward pass.");
        }
    }

    internal ReadOnlySpan<int> VisibleOf(int group)
    {
        var groups = Groups.Values;
        return Visible.Values.Slice(groups[(group * GroupFields) + 2], groups[(group * GroupFields) + 3]);
    }
}
