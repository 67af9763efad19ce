namespace Loci.Reference;

/// <summary>Derivatives of one output with respect to every number on a tape.</summary>
public sealed class RealGradient
{
    private readonly RealTape tape;
    private readonly double[] adjoints;

    internal RealGradient(RealTape tape, double[] adjoints)
    {
        this.tape = tape;
        this.adjoints = adjoints;
    }

    /// <summary>The derivative with respect to one variable (or any intermediate number).</summary>
    public double this[Real variable] => variable.Tape == tape
        ? adjoints[variable.Node]
        : throw new ArgumentException("The number is a constant or belongs to another tape; make it a variable of this tape.", nameof(variable));

    public double[] Of(Real[] variables) => Array.ConvertAll(variables, variable => this[variable]);

    /// <summary>The derivatives with respect to a matrix, row by row.</summary>
    public double[] Of(Real[,] variables) => Of(Matrix.Flatten(variables));
}
