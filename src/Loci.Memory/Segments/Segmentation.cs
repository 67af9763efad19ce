using System.Numerics;
using System.Text.Json.Serialization;
using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Memory.Segments;

/// <summary>How a sequence is divided into segments.</summary>
public enum SegmentKind
{
    /// <summary>Segments of one length; the last may be shorter.</summary>
    [JsonStringEnumMemberName("constant")]
    Constant,

    /// <summary>The binary expansion of the number of finished base blocks, largest first, so that a token reads logarithmically many states.</summary>
    [JsonStringEnumMemberName("logarithmic")]
    Logarithmic,
}

/// <summary>What a segment's memory starts from.</summary>
public enum SegmentStart
{
    /// <summary>The state at the end of the segment before.</summary>
    [JsonStringEnumMemberName("checkpoint")]
    Checkpoint,

    /// <summary>The initial state.</summary>
    [JsonStringEnumMemberName("independent")]
    Independent,
}

/// <summary>
/// Divides sequences into segments (section 4.2 of arXiv 2602.24281). A token reads the states of the segments that were finished before it, and the
/// online state of the segment that it lies in; which these are depends on its position alone, never on what follows it.
/// </summary>
/// <param name="Kind">Constant or logarithmic.</param>
/// <param name="Length">Tokens per constant segment, or per base block of logarithmic ones.</param>
/// <param name="Start">What a segment's memory starts from.</param>
public sealed record Segmentation(SegmentKind Kind, int Length, SegmentStart Start)
{
    /// <summary>One segment that never ends: the base recurrence without caching.</summary>
    public static Segmentation None { get; } = new(SegmentKind.Constant, int.MaxValue, SegmentStart.Checkpoint);

    /// <summary>Whether there is but one segment.</summary>
    public bool IsNone => Length == int.MaxValue;

    /// <summary>Whether there are segments that others make up, whose state is merged or written anew: logarithmic ones with independent starts.</summary>
    internal bool MakesUpSegments => Kind == SegmentKind.Logarithmic && Start == SegmentStart.Independent;

    /// <summary>Fills a plan for a batch.</summary>
    /// <param name="plan">Filled anew.</param>
    /// <param name="layout">The sequences of the batch.</param>
    /// <param name="chunkLength">Rows written together; segments are cut into chunks of at most this.</param>
    /// <param name="rewrites">
    /// Whether the memory of a segment that others make up is written anew from all its tokens, as error-correcting and deep memories need it, or merged from
    /// theirs. It matters only to logarithmic segments with independent starts.
    /// </param>
    /// <exception cref="ArgumentException">The segment length is not a multiple of the chunk length.</exception>
    public void Plan(MemoryPlan plan, SequenceLayout layout, int chunkLength, bool rewrites = false)
    {
        ArgumentNullException.ThrowIfNull(plan);
        ArgumentNullException.ThrowIfNull(layout);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(chunkLength);
        if (!IsNone && Length % chunkLength != 0)
        {
            throw new ArgumentException(NotWholeChunks(Length, chunkLength), nameof(chunkLength));
        }

        plan.Begin();
        rewrites &= MakesUpSegments;
        for (var sequence = 0; sequence < layout.Count; sequence++)
        {
            int first = layout.Starts[sequence], rows = layout.Starts[sequence + 1] - first;
            plan.BeginSequence();
            if (Kind == SegmentKind.Constant)
            {
                PlanConstant(plan, first, rows, chunkLength);
            }
            else
            {
                PlanLogarithmic(plan, first, rows, chunkLength, rewrites);
            }

            plan.EndSequence();
        }

        if (rewrites)
        {
            PlanRewriting(plan, layout, chunkLength);
        }

        plan.End();
    }

    /// <summary>
    /// Number of cached states that a token reads, by its position in the sequence: finished segments, or the ones in the binary expansion of
    /// finished blocks.
    /// </summary>
    public int VisibleAt(int position) => IsNone ? 0 : Kind == SegmentKind.Constant ? position / Length : BitOperations.PopCount((uint)(position / Length));

    /// <summary>Says that a segment cannot be cut into chunks.</summary>
    internal static string NotWholeChunks(int length, int chunkLength) =>
        $"A segment of {length} tokens is not a whole number of chunks of {chunkLength}: choose a segment length that is a multiple of the chunk length.";

    private void PlanConstant(MemoryPlan plan, int first, int rows, int chunkLength)
    {
        var firstSlot = plan.SlotCount;
        var segments = IsNone ? 1 : (rows + Length - 1) / Length;
        Span<int> visible = segments <= 1024 ? stackalloc int[segments] : new int[segments];
        for (var segment = 0; segment < segments; segment++)
        {
            var start = segment * (IsNone ? 0 : Length);
            var length = Math.Min(IsNone ? rows : Length, rows - start);
            var isLast = segment == segments - 1;
            var slot = isLast ? -1 : plan.AddSlot(first + start, length);
            AddChunks(plan, first + start, length, chunkLength, slot, segment == 0 || Start == SegmentStart.Independent);
            visible[segment] = firstSlot + segment;
            plan.AddGroup(first + start, length, visible[..segment], isLast ? [] : [slot], segment > 0);
        }
    }

    private void PlanLogarithmic(MemoryPlan plan, int first, int rows, int chunkLength, bool rewrites)
    {
        // Slot b describes the segment that ends with block b. Its length is the lowest set bit of b + 1, whatever the number of blocks.
        var firstSlot = plan.SlotCount;
        var blocks = (rows + Length - 1) / Length;
        Span<int> visible = stackalloc int[32];
        Span<int> cover = stackalloc int[32];
        for (var block = 0; block < blocks - 1; block++)
        {
            var size = (block + 1) & -(block + 1);
            plan.AddSlot(first + ((block + 1 - size) * Length), size * Length);
        }

        for (var block = 0; block < blocks; block++)
        {
            var start = block * Length;
            var length = Math.Min(Length, rows - start);
            var isLast = block == blocks - 1;
            var isRewritten = rewrites && (block & 1) != 0;
            AddChunks(plan, first + start, length, chunkLength, isLast || isRewritten ? -1 : firstSlot + block, block == 0 || Start == SegmentStart.Independent);
            if (!isLast && Start == SegmentStart.Independent && !rewrites)
            {
                // The segments before, nearest first, that together with this block make its segment.
                var size = (block + 1) & -(block + 1);
                for (var end = block; end > block + 1 - size; end -= end & -end)
                {
                    plan.AddMerge(firstSlot + block, firstSlot + end - 1, first + (end * Length), first + ((block + 1) * Length));
                }
            }

            var count = 0;
            for (var end = block; end > 0; end -= end & -end)
            {
                visible[count++] = firstSlot + end - 1;
            }

            visible[..count].Reverse();
            var covered = 0;
            for (var end = block + 1; end <= blocks - 1; end += end & -end)
            {
                cover[covered++] = firstSlot + end - 1;
            }

            plan.AddGroup(first + start, length, visible[..count], cover[..covered], false);
        }
    }

    private void PlanRewriting(MemoryPlan plan, SequenceLayout layout, int chunkLength)
    {
        for (var size = 2L; size * Length < layout.Rows; size *= 2)
        {
            plan.BeginRewriting();
            var slot = 0;
            for (var sequence = 0; sequence < layout.Count; sequence++)
            {
                int first = layout.Starts[sequence], rows = layout.Starts[sequence + 1] - first;
                var slots = ((rows + Length - 1) / Length) - 1;
                for (var end = size; end <= slots; end += 2 * size)
                {
                    var length = (int)size * Length;
                    var start = first + ((int)(end - size) * Length);
                    for (var row = 0; row < length; row += chunkLength)
                    {
                        var chunk = Math.Min(chunkLength, length - row);
                        plan.AddRewrittenChunk(start + row, chunk, row + chunk == length ? slot + (int)end - 1 : -1, row == 0);
                    }
                }

                slot += slots;
            }
        }
    }

    private static void AddChunks(MemoryPlan plan, int first, int rows, int chunkLength, int slot, bool startsFromZero)
    {
        for (var start = 0; start < rows; start += chunkLength)
        {
            var length = Math.Min(chunkLength, rows - start);
            plan.AddChunk(first + start, length, start + length == rows ? slot : -1, startsFromZero && start == 0);
        }
    }
}
