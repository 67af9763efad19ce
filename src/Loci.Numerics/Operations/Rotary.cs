namespace Loci.Numerics.Operations;

/// <summary>
/// The angles of <see cref="Rotary"/> for heads of one width: position / base^(2i / headWidth). It computes them in double precision as positions are asked for.
/// Safe for use by several threads: a table that has become too short stays until the end, so that whoever reads it may go on.
/// </summary>
public sealed class RotaryTable : IDisposable
{
    private readonly Device _device;
    private readonly Lock _lock = new();
    private readonly List<DeviceSpan<float>> _tables = []; // each twice as long as the one before

    /// <summary>Makes an empty table.</summary>
    /// <param name="device">Where it lives.</param>
    /// <param name="headWidth">Columns of a head, an even number.</param>
    /// <param name="frequencyBase">The base of the frequencies.</param>
    public RotaryTable(Device device, int headWidth, double frequencyBase = 10000)
    {
        ArgumentNullException.ThrowIfNull(device);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(headWidth);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(frequencyBase);
        if (headWidth % 2 != 0)
        {
            throw new ArgumentException($"Rotary positions turn pairs of columns: a head needs an even number of columns, not {headWidth}.", nameof(headWidth));
        }

        _device = device;
        HeadWidth = headWidth;
        FrequencyBase = frequencyBase;
    }

    /// <summary>Columns of a head.</summary>
    public int HeadWidth { get; }

    /// <summary>The base of the frequencies.</summary>
    public double FrequencyBase { get; }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var table in _tables)
        {
            _device.Free(table);
        }

        _tables.Clear();
    }

    /// <summary>[positions, headWidth] for at least this many positions: cosines, then sines.</summary>
    internal DeviceSpan<float> For(int positions)
    {
        lock (_lock)
        {
            var known = _tables.Count > 0 ? (int)(_tables[^1].Length / HeadWidth) : 0;
            if (positions > known)
            {
                _tables.Add(Compute(Math.Max(positions, Math.Max(64, 2 * known))));
            }

            return _tables[^1];
        }
    }

    private DeviceSpan<float> Compute(int positions)
    {
        var half = HeadWidth / 2;
        var values = new float[(long)positions * HeadWidth];
        for (var position = 0; position < positions; position++)
        {
            for (var pair = 0; pair < half; pair++)
            {
                var (sine, cosine) = Math.SinCos(position / Math.Pow(FrequencyBase, 2.0 * pair / HeadWidth));
                values[((long)position * HeadWidth) + pair] = (float)cosine;
                values[((long)position * HeadWidth) + half + pair] = (float)sine;
            }
        }

        var table = _device.Allocate<float>(values.Length);
        _device.CopyFromHost<float>(values, table);
        return table;
    }
}

/// <summary>
/// Rotary position embedding (Su et al., 2104.09864): columns i and i + d/2 of every head turned by the angle of the row's position (the layout of Llama in
/// Hugging Face form). Positions start afresh at every sequence.
/// </summary>
public static class Rotary
{
    /// <summary>Turns every row.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="x">[rows, heads * head width].</param>
    /// <param name="layout">The sequences of the rows; unchanged until the backward pass is over.</param>
    /// <param name="table">The angles.</param>
    /// <param name="offset">Position of the first row of every sequence.</param>
    /// <returns>[rows, heads * head width].</returns>
    /// <exception cref="ArgumentException">The shapes do not fit together.</exception>
    public static Tensor Apply(Tape tape, Tensor x, SequenceLayout layout, RotaryTable table, int offset = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        var record = tape is { IsRecording: true } && x is { RequiresGradient: true };
        var y = Run(tape!, x!, layout, table, [offset], record);
        if (record)
        {
            var node = tape!.Record<Node>();
            node.X = x!;
            node.Layout = layout;
            node.Table = table;
            node.Offset = offset;
            node.Output = y;
        }

        return y;
    }

    /// <summary>Turns every row, the sequences starting at positions of their own; for inference.</summary>
    /// <param name="tape">The step; it must not be recording.</param>
    /// <param name="x">[rows, heads * head width].</param>
    /// <param name="layout">The sequences of the rows.</param>
    /// <param name="table">The angles.</param>
    /// <param name="offsets">Position of the first row of every sequence, one for each.</param>
    /// <returns>[rows, heads * head width].</returns>
    /// <exception cref="ArgumentException">The shapes do not fit together.</exception>
    public static Tensor Apply(Tape tape, Tensor x, SequenceLayout layout, RotaryTable table, ReadOnlySpan<int> offsets)
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(layout);
        if (tape.IsRecording)
        {
            throw new InvalidOperationException("Positions per sequence are for inference: use a tape that is not recording.");
        }

        if (offsets.Length != layout.Count)
        {
            throw new ArgumentException($"{layout.Count} sequences need as many positions, not {offsets.Length}.", nameof(offsets));
        }

        return Run(tape, x, layout, table, offsets, false);
    }

    private static Tensor Run(Tape tape, Tensor x, SequenceLayout layout, RotaryTable table, ReadOnlySpan<int> offsets, bool record)
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(x);
        ArgumentNullException.ThrowIfNull(layout);
        ArgumentNullException.ThrowIfNull(table);
        if (layout.Rows != x.Rows || x.Columns % table.HeadWidth != 0)
        {
            throw new ArgumentException($"An input {x.Shape} does not fit a layout of {layout.Rows} rows and heads of {table.HeadWidth} columns.", nameof(x));
        }

        var positions = 0;
        for (var sequence = 0; sequence < layout.Count; sequence++)
        {
            var offset = offsets[offsets.Length > 1 ? sequence : 0];
            ArgumentOutOfRangeException.ThrowIfNegative(offset, nameof(offsets));
            positions = Math.Max(positions, checked(layout.Starts[sequence + 1] - layout.Starts[sequence] + offset));
        }

        var y = tape.NewOutput(x.Shape, record);
        tape.Device.Rotate(x.Data, table.For(positions), layout, offsets, x.Columns, table.HeadWidth, false, y.Data, false);
        return y;
    }

    private sealed class Node : TapeNode
    {
        public Tensor X { get; set; } = null!;

        public SequenceLayout Layout { get; set; } = null!;

        public RotaryTable Table { get; set; } = null!;

        public int Offset { get; set; }

        public override void Backward(Tape tape)
        {
            var dx = tape.GradientOf(X, out var accumulate);
            tape.Device.Rotate(Output.Gradient, Table.For(0), Layout, [Offset], X.Columns, Table.HeadWidth, true, dx, accumulate);
        }
    }
}
