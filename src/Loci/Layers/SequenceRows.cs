using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Layers;

/// <summary>Rows of a pass that are the next tokens of one sequence.</summary>
/// <param name="States">The sequence's states, one a block: before the pass those before its rows, after it those behind them.</param>
/// <param name="Rows">Number of rows.</param>
internal readonly record struct StreamPart(MixerState[] States, int Rows);

/// <summary>
/// The rows of one pass through a model: whole sequences, or the next tokens of sequences that go on from states, which the pass moves
/// behind them. Only what carries something
/// from token to token (memories, convolutions, attention, token shifts) looks whether there are states.
/// </summary>
internal readonly ref struct SequenceRows
{
    private readonly ReadOnlySpan<StreamPart> _parts;
    private readonly int _layer;

    /// <summary>Whole sequences.</summary>
    public SequenceRows(SequenceLayout layout) => Layout = layout;

    /// <summary>The next tokens of some sequences.</summary>
    /// <param name="layout">The sequences of the rows, one a part; filled here.</param>
    /// <param name="parts">The sequences' states.</param>
    public SequenceRows(SequenceLayout layout, ReadOnlySpan<StreamPart> parts)
        : this(layout, parts, 0)
    {
        Span<int> starts = stackalloc int[parts.Length];
        var rows = 0;
        for (var i = 0; i < parts.Length; i++)
        {
            starts[i] = rows;
            rows += parts[i].Rows;
        }

        layout.Set(starts, rows);
    }

    private SequenceRows(SequenceLayout layout, ReadOnlySpan<StreamPart> parts, int layer)
    {
        Layout = layout;
        _parts = parts;
        _layer = layer;
    }

    /// <summary>How the rows divide into sequences.</summary>
    public SequenceLayout Layout { get; }

    /// <summary>Number of sequences.</summary>
    public int Count => Layout.Count;

    /// <summary>Whether the sequences go on from states.</summary>
    public bool HaveStates => !_parts.IsEmpty;

    /// <summary>The same rows as another block sees them.</summary>
    public SequenceRows InLayer(int layer) => new(Layout, _parts, layer);

    /// <summary>What this block remembers of a sequence.</summary>
    public T State<T>(int sequence) where T : MixerState => (T)_parts[sequence].States[_layer];

    /// <summary>The rows of a sequence.</summary>
    public (int First, int Count) RowsOf(int sequence) => (Layout.Starts[sequence], Layout.Starts[sequence + 1] - Layout.Starts[sequence]);

    /// <summary>Counts the rows as read by this block.</summary>
    public void MarkRead()
    {
        foreach (var (states, rows) in _parts)
        {
            states[_layer].Position += rows;
        }
    }

    /// <summary>Turns rows by their positions in their sequences, [rows, H*d].</summary>
    public Tensor Rotate(Tape tape, Tensor x, RotaryTable table)
    {
        if (!HaveStates)
        {
            return Rotary.Apply(tape, x, Layout, table);
        }

        Span<int> positions = stackalloc int[Count];
        for (var i = 0; i < positions.Length; i++)
        {
            positions[i] = _parts[i].States[_layer].Position;
        }

        return Rotary.Apply(tape, x, Layout, table, positions);
    }
}
