using Loci.Models;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Layers;

/// <summary>A linear map through few columns: x W_1^T W_2^T.</summary>
internal sealed class Bottleneck
{
    private readonly Parameter _down;
    private readonly Parameter _up;

    public Bottleneck(Device device, string prefix, int dimension, int rank, Initializer initializer)
    {
        _down = initializer.Normal(device, prefix + ".down.weight", new Shape(rank, dimension));
        _up = initializer.Normal(device, prefix + ".up.weight", new Shape(dimension, rank));
        Parameters = [_down, _up];
    }

    public IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>[rows, D] to [rows, rank].</summary>
    public Tensor Down(Tape tape, Tensor x) => Linear.Apply(tape, x, _down);

    /// <summary>[rows, rank] to [rows, D].</summary>
    public Tensor Up(Tape tape, Tensor x) => Linear.Apply(tape, x, _up);

    public Tensor Apply(Tape tape, Tensor x) => Up(tape, Down(tape, x));
}
