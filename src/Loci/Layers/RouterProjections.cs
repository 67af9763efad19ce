using Loci.Memory.Routing;
using Loci.Memory.Rules;
using Loci.Models;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Layers;

/// <summary>Makes the routing queries u and the routing keys r of a mixer's rows.</summary>
internal sealed class RouterProjections : IDisposable
{
    private readonly Parameter? _query;
    private readonly Parameter? _key;
    private readonly Parameter? _positionKey;
    private readonly RotaryTable? _rotary;

    public RouterProjections(LayerContext layer, RouterConfiguration router)
    {
        var (device, prefix, initializer) = (layer.Device, layer.Prefix, layer.Initializer);
        var shape = new Shape(layer.Dimension, layer.Dimension);
        _query = router.Query == RouterQuery.Projected ? initializer.Normal(device, prefix + "router.weight", shape) : null;
        _key = router.Keys == RouterKeys.Projected ? initializer.Normal(device, prefix + "router.key", shape) : null;
        if (router.Keys == RouterKeys.Position)
        {
            _positionKey = initializer.Normal(device, prefix + "router.position", new Shape(1, layer.Dimension), 1 / MathF.Sqrt(layer.HeadWidth), false);
            _rotary = new RotaryTable(device, layer.HeadWidth, layer.RotaryBase);
        }

        Parameters = [.. new[] { _query, _key, _positionKey }.OfType<Parameter>()];
    }

    public IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>u and r.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="x">The mixer's normalized input, [rows, D].</param>
    /// <param name="q">Queries, [rows, D].</param>
    /// <param name="k">Keys, normalized per head, [rows, D].</param>
    /// <param name="rows">The sequences of the rows.</param>
    public RouterInputs Forward(Tape tape, Tensor x, Tensor q, Tensor k, SequenceRows rows)
    {
        var u = _query is null ? q : Linear.Apply(tape, x, _query);
        var r = _key is not null ? Linear.Apply(tape, x, _key) : _positionKey is not null ? Broadcast(tape, x.Rows) : k;
        return _rotary is null ? new RouterInputs(u, r) : new RouterInputs(rows.Rotate(tape, u, _rotary), rows.Rotate(tape, r, _rotary));
    }

    public void Dispose() => _rotary?.Dispose();

    /// <summary>The one learned vector for every row: row 0 of a table, by ids that are all 0.</summary>
    private Tensor Broadcast(Tape tape, int rows)
    {
        var zeros = tape.Allocate(rows);
        tape.Device.Clear(zeros);
        return Embedding.Apply(tape, new DeviceSpan<int>(zeros.Address, rows), _positionKey!);
    }
}
