namespace Loci.Numerics.Operations;

/// <summary>One row of a table per token.</summary>
public static class Embedding
{
    /// <summary>Looks up the rows.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="ids">Which row of the table for every token, [rows], in the device's memory; unchanged until the backward pass is over.</param>
    /// <param name="table">[vocabulary, columns].</param>
    /// <returns>[rows, columns].</returns>
    /// <exception cref="ArgumentException">There are no ids, or one lies outside the table.</exception>
    public static Tensor Apply(Tape tape, DeviceSpan<int> ids, Tensor table)
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(table);
        if (table.Shape.Rank != 2 || ids.IsEmpty)
        {
            throw new ArgumentException($"An embedding takes a table [vocabulary, columns] and at least one id, not a table {table.Shape} and {ids.Length} ids.", nameof(ids));
        }

        var vocabulary = table.Shape[0];
        tape.Device.Inspect(ids, out var minimum, out var maximum, out _);
        if (minimum < 0 || maximum >= vocabulary)
        {
            throw new ArgumentException($"Token id {(minimum < 0 ? minimum : maximum)} is not in a vocabulary of {vocabulary}: ids go from 0 to {vocabulary - 1}.", nameof(ids));
        }

        var record = tape.IsRecording && table.RequiresGradient;
        var y = tape.NewOutput(new Shape(checked((int)ids.Length), table.Columns), record);
        if (table is Parameter { Format: WeightFormat.Int8, Blocks: var blocks })
        {
            tape.Device.EmbedInt8(ids, blocks, table.Columns, y.Data);
            return y;
        }

        tape.Device.Embed(ids, table.Data, table.Columns, y.Data);
        if (record)
        {
            var node = tape.Record<Node>();
            node.Ids = ids;
            node.Table = table;
            node.Output = y;
        }

        return y;
    }

    private sealed class Node : TapeNode
    {
        public DeviceSpan<int> Ids { get; set; }

        public Tensor Table { get; set; } = null!;

        public override void Backward(Tape tape)
        {
            var dTable = tape.GradientOf(Table, out var accumulate);
            tape.Device.EmbedBackward(Ids, Output.Gradient, Table.Shape[0], Table.Columns, dTable, accumulate);
        }
    }
}
