namespace Loci.Reference;

/// <summary>Several sequences laid one after another as the rows of one matrix.</summary>
public static class Sequences
{
    /// <summary>First row and end row (exclusive) of every sequence; <paramref name="starts"/> begins with 0 and increases.</summary>
    public static IReadOnlyList<(int Start, int End)> Ranges(int[] starts, int rows)
    {
        Shape.Require(starts.Length > 0 && starts[0] == 0, "sequence starts must begin with 0");
        var ranges = new List<(int, int)>();
        for (int i = 0; i < starts.Length; i++)
        {
            int end = i + 1 < starts.Length ? starts[i + 1] : rows;
            Shape.Require(starts[i] < end, $"sequence {i} holds rows {starts[i]} to {end}");
            ranges.Add((starts[i], end));
        }

        return ranges;
    }

    /// <summary>The vectors of one head of one sequence: [tokens][size of a head], heads being consecutive blocks of columns.</summary>
    public static Real[][] Head(Real[,] x, int heads, int head, int start, int end)
    {
        Shape.Require(x.GetLength(1) % heads == 0, $"{x.GetLength(1)} columns in {heads} heads");
        int size = x.GetLength(1) / heads;
        var vectors = new Real[end - start][];
        for (int token = 0; token < vectors.Length; token++)
        {
            vectors[token] = new Real[size];
            for (int i = 0; i < size; i++)
            {
                vectors[token][i] = x[start + token, head * size + i];
            }
        }

        return vectors;
    }

    /// <summary>One gate per token of one head of one sequence from [rows, heads].</summary>
    public static Real[]? Gate(Real[,]? gates, int head, int start, int end)
    {
        if (gates is null)
        {
            return null;
        }

        var gate = new Real[end - start];
        for (int token = 0; token < gate.Length; token++)
        {
            gate[token] = gates[start + token, head];
        }

        return gate;
    }
}
