using Loci.Memory.Rules.ScalarGated;
using Loci.Numerics;
using Loci.Numerics.Tests;
using Xunit;
using Real = Loci.Reference.Real;

namespace Loci.Tests.Caching;

/// <summary>The decay of Mamba-2 against its twin, forward and every gradient.</summary>
public sealed class RateDecayTests
{
    public static TheoryData<int, int> Shapes => new() { { 1, 1 }, { 3, 5 }, { 17, 8 }, { 65, 20 }, { 3, 64 }, { 130, 33 } };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void AgreesWithItsTwin(int rows, int columns) => OperationCheck.Run(
        [Input.Random(1, new Shape(rows, columns)), Input.Random(2, new Shape(columns))],
        (tape, x) => [RateDecay.Apply(tape, x[0], x[1])],
        x =>
        {
            var y = new Real[rows, columns];
            for (var row = 0; row < rows; row++)
            {
                for (var column = 0; column < columns; column++)
                {
                    y[row, column] = -x[0][row, column] * Real.Exp(x[1][0, column]);
                }
            }

            return [y];
        });
}
