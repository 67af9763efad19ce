namespace Loci.Reference;

/// <summary>
/// The record of a computation in <see cref="Real"/> numbers: one node per operation, in order, with its partial derivatives.
/// Not thread-safe; use one tape per thread.
/// </summary>
public sealed class RealTape
{
    private const int BlockBits = 16;
    private const int BlockSize = 1 << BlockBits;

    // Blocks instead of one growing array: ten million nodes never need to be copied.
    private readonly List<Node[]> blocks = [];

    /// <summary>Nodes recorded so far.</summary>
    public int Count { get; private set; }

    /// <summary>A number to differentiate with respect to.</summary>
    public Real Variable(double value) => Record(value, -1, 0, -1, 0);

    public Real[] Variables(ReadOnlySpan<double> values)
    {
        var variables = new Real[values.Length];
        for (int i = 0; i < values.Length; i++)
        {
            variables[i] = Variable(values[i]);
        }

        return variables;
    }

    public Real[] Variables(ReadOnlySpan<float> values)
    {
        var variables = new Real[values.Length];
        for (int i = 0; i < values.Length; i++)
        {
            variables[i] = Variable(values[i]);
        }

        return variables;
    }

    /// <summary>A matrix of variables from its rows, one after another.</summary>
    public Real[,] Variables(ReadOnlySpan<double> values, int rows, int columns) => Matrix.FromRows(Variables(values), rows, columns);

    /// <inheritdoc cref="Variables(ReadOnlySpan{double}, int, int)"/>
    public Real[,] Variables(ReadOnlySpan<float> values, int rows, int columns) => Matrix.FromRows(Variables(values), rows, columns);

    /// <summary>The derivatives of one number with respect to everything recorded before it.</summary>
    public RealGradient Gradient(Real output) => Gradient([output], [1]);

    /// <summary>The derivatives of sum_i seeds[i] outputs[i]: what backward gives when the outputs' gradients are the seeds.</summary>
    public RealGradient Gradient(ReadOnlySpan<Real> outputs, ReadOnlySpan<double> seeds)
    {
        if (outputs.Length != seeds.Length)
        {
            throw new ArgumentException($"{outputs.Length} outputs need as many seeds, not {seeds.Length}.", nameof(seeds));
        }

        double[] adjoints = new double[Count];
        for (int i = 0; i < outputs.Length; i++)
        {
            if (outputs[i].Tape is null)
            {
                continue;
            }

            if (outputs[i].Tape != this)
            {
                throw new ArgumentException("An output was recorded on another tape.", nameof(outputs));
            }

            adjoints[outputs[i].Node] += seeds[i];
        }

        for (int index = Count - 1; index >= 0; index--)
        {
            double adjoint = adjoints[index];
            if (adjoint == 0)
            {
                continue;
            }

            ref readonly Node node = ref blocks[index >> BlockBits][index & (BlockSize - 1)];
            if (node.Left >= 0)
            {
                adjoints[node.Left] += adjoint * node.LeftPartial;
            }

            if (node.Right >= 0)
            {
                adjoints[node.Right] += adjoint * node.RightPartial;
            }
        }

        return new RealGradient(this, adjoints);
    }

    /// <summary>The derivatives of the sum of seeds times outputs; seeds row by row, as many as the matrix has entries.</summary>
    public RealGradient Gradient(Real[,] outputs, ReadOnlySpan<double> seeds) => Gradient(Matrix.Flatten(outputs), seeds);

    /// <inheritdoc cref="Gradient(Real[,], ReadOnlySpan{double})"/>
    public RealGradient Gradient(Real[,] outputs, ReadOnlySpan<float> seeds)
    {
        double[] wide = new double[seeds.Length];
        for (int i = 0; i < seeds.Length; i++)
        {
            wide[i] = seeds[i];
        }

        return Gradient(outputs, wide);
    }

    internal Real Record(double value, int left, double leftPartial, int right, double rightPartial)
    {
        int index = Count++;
        if (index >> BlockBits == blocks.Count)
        {
            blocks.Add(new Node[BlockSize]);
        }

        blocks[index >> BlockBits][index & (BlockSize - 1)] = new Node(left, right, leftPartial, rightPartial);
        return new Real(value, this, index);
    }

    private readonly record struct Node(int Left, int Right, double LeftPartial, double RightPartial);
}
