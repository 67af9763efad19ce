using Loci.Models;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Caching;

/// <summary>Makes the routing queries u and the routing keys r of a mixer's rows, in the parallel and in the step form.</summary>
internal sealed class RouterProjections : IDisposable
{
    private readonly Parameter? _query;
    private readonly Parameter? _key;
    private readonly Parameter? _positionKey;
    private readonly RotaryTable? _rotary;
    private readonly Device _device;
    private DeviceSpan<int> _zeros;

    public RouterProjections(Device device, string prefix, ModelConfiguration model, RouterConfiguration router, Initializer initializer)
    {
        _device = device;
        var shape = new Shape(model.Dimension, model.Dimension);
        _query = router.Query == RouterQuery.Projected ? initializer.Normal(device, prefix + "router.weight", shape) : null;
        _key = router.Keys == RouterKeys.Projected ? initializer.Normal(device, prefix + "router.key", shape) : null;
        if (router.Keys == RouterKeys.Position)
        {
            _positionKey = initializer.Normal(device, prefix + "router.position", new Shape(1, model.Dimension), 1 / MathF.Sqrt(model.HeadWidth), false);
            _rotary = new RotaryTable(device, model.HeadWidth, model.RotaryBase);
        }

        Parameters = [.. new[] { _query, _key, _positionKey }.OfType<Parameter>()];
    }

    public IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>u and r of whole sequences.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="x">The mixer's normalised input, [rows, D].</param>
    /// <param name="q">Queries, [rows, D].</param>
    /// <param name="k">Keys, normalised per head, [rows, D].</param>
    /// <param name="layout">The sequences of the rows.</param>
    public RouterInputs Apply(Tape tape, Tensor x, Tensor q, Tensor k, SequenceLayout layout)
    {
        var (u, r) = Project(tape, x);
        return Turn(tape, u ?? q, r ?? k, layout, 0);
    }

    /// <summary>What of u and r does not depend on the position; null where it is q or k.</summary>
    public (Tensor? U, Tensor? R) Project(Tape tape, Tensor x) =>
        (_query is null ? null : Linear.Apply(tape, x, _query), _key is not null ? Linear.Apply(tape, x, _key) : _positionKey is not null ? Broadcast(tape, x.Rows) : null);

    /// <summary>Turns u and r by their positions, where these are what is compared.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="u">Routing queries, [rows, D].</param>
    /// <param name="r">Routing keys, [rows, D].</param>
    /// <param name="layout">The sequences of the rows.</param>
    /// <param name="position">Position of the first row.</param>
    public RouterInputs Turn(Tape tape, Tensor u, Tensor r, SequenceLayout layout, int position) =>
        _rotary is null ? new RouterInputs(u, r) : new RouterInputs(Rotary.Apply(tape, u, layout, _rotary, position), Rotary.Apply(tape, r, layout, _rotary, position));

    public void Dispose()
    {
        _rotary?.Dispose();
        _device.Free(_zeros);
    }

    private Tensor Broadcast(Tape tape, int rows)
    {
        if (_zeros.Length < rows)
        {
            _device.Free(_zeros);
            _zeros = _device.Allocate<int>(rows);
            _device.CopyFromHost<int>(new int[rows], _zeros);
        }

        return Embedding.Apply(tape, _zeros.Slice(0, rows), _positionKey!);
    }
}
