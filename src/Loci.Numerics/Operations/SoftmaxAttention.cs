namespace Loci.Numerics.Operations;

/// <summary>
/// Causal softmax attention per head: y_t = sum over j &lt;= t of softmax_j(scale q_t . k_j) v_j within a sequence. Scores exist only in tiles;
/// the log-sum-exp of every row and head is kept for the backward pass, which computes the tiles again.
/// </summary>
public static class SoftmaxAttention
{
    /// <summary>Attends.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="q">Queries, [rows, heads * head width].</param>
    /// <param name="k">Keys, the shape of <paramref name="q"/>.</param>
    /// <param name="v">Values, the shape of <paramref name="q"/>.</param>
    /// <param name="layout">The sequences of the rows; unchanged until the backward pass is over.</param>
    /// <param name="heads">Number of heads.</param>
    /// <param name="scale">Factor of the scores, above 0; none = 1 / sqrt(head width).</param>
    /// <returns>The shape of <paramref name="q"/>.</returns>
    /// <exception cref="ArgumentException">The shapes do not fit together.</exception>
    public static Tensor Apply(Tape tape, Tensor q, Tensor k, Tensor v, SequenceLayout layout, int heads, float? scale = null)
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(q);
        ArgumentNullException.ThrowIfNull(k);
        ArgumentNullException.ThrowIfNull(v);
        ArgumentNullException.ThrowIfNull(layout);
        var width = RmsNorm.Width(q, heads);
        var factor = Scale(scale, width);
        if (k.Shape != q.Shape || v.Shape != q.Shape || layout.Rows != q.Rows)
        {
            throw new ArgumentException($"Queries {q.Shape}, keys {k.Shape}, values {v.Shape} and a layout of {layout.Rows} rows do not fit together.", nameof(k));
        }

        var record = tape.IsRecording && (q.RequiresGradient || k.RequiresGradient || v.RequiresGradient);
        var y = tape.NewOutput(q.Shape, record);
        var logSumExp = record ? tape.Allocate((long)q.Rows * heads) : default; // [rows, heads]
        tape.Device.Attend(q.Data, k.Data, v.Data, layout, heads, width, factor, y.Data, logSumExp);
        if (record)
        {
            var node = tape.Record<Node>();
            node.Q = q;
            node.K = k;
            node.V = v;
            node.Layout = layout;
            node.Heads = heads;
            node.Scale = factor;
            node.LogSumExp = logSumExp;
            node.Output = y;
        }

        return y;
    }

    /// <summary>The step form: the next rows of one sequence, each over the rows before it and itself.</summary>
    /// <param name="tape">The step; it must not be recording.</param>
    /// <param name="q">Queries of the next rows, [rows, heads * head width].</param>
    /// <param name="keys">Keys of the rows so far, these included.</param>
    /// <param name="values">Their values.</param>
    /// <param name="before">Rows before these.</param>
    /// <param name="heads">Number of heads.</param>
    /// <param name="scale">Factor of the scores, above 0; none = 1 / sqrt(head width).</param>
    /// <returns>[rows, heads * head width].</returns>
    internal static Tensor Step(Tape tape, Tensor q, PagedRows keys, PagedRows values, int before, int heads, float? scale = null)
    {
        var width = RmsNorm.Width(q, heads);
        if (tape.IsRecording)
        {
            throw new InvalidOperationException("The step form of attention has no gradient: use a tape that is not recording.");
        }

        var y = tape.NewOutput(q.Shape, false);
        tape.Device.AttendStep(q.Data, keys, values, before, q.Rows, heads, width, Scale(scale, width), y.Data);
        return y;
    }

    private static float Scale(float? scale, int width)
    {
        var factor = scale ?? 1 / MathF.Sqrt(width);
        return factor > 0 ? factor : throw new ArgumentOutOfRangeException(nameof(scale), $"The factor of the scores must be above 0, not {factor}.");
    }

    private sealed class Node : TapeNode
    {
        public Tensor Q { get; set; } = null!;

        public Tensor K { get; set; } = null!;

        public Tensor V { get; set; } = null!;

        public SequenceLayout Layout { get; set; } = null!;

        public int Heads { get; set; }

        public float Scale { get; set; }

        public DeviceSpan<float> LogSumExp { get; set; }

        public override void Backward(Tape tape)
        {
            var dq = tape.GradientOf(Q, out var accumulateQ);
            var dk = tape.GradientOf(K, out var accumulateK);
            var dv = tape.GradientOf(V, out var accumulateV);
            tape.Device.AttendBackward(
                Q.Data, K.Data, V.Data, Output.Data, LogSumExp, Output.Gradient, Layout, Heads, Q.Columns / Heads, Scale,
                dq, accumulateQ, dk, accumulateK, dv, accumulateV);
        }

        public override void ReleaseOutputs(Tape tape)
        {
            base.ReleaseOutputs(tape);
            tape.Return(LogSumExp);
            LogSumExp = default;
        }
    }
}
