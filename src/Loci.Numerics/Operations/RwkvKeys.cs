namespace Loci.Numerics.Operations;

/// <summary>The parts of RWKV-7 that are its own (Peng et al., arXiv 2503.14456). For inference.</summary>
internal static class RwkvKeys
{
    /// <summary>Two keys of one: removed = k * removal at unit length per head, written = k * (1 + (rate - 1) * replacement).</summary>
    /// <param name="tape">The step; it must not be recording.</param>
    /// <param name="k">[rows, heads * width].</param>
    /// <param name="rate">In-context learning rates, [rows, heads * width].</param>
    /// <param name="removal">[heads * width].</param>
    /// <param name="replacement">[heads * width].</param>
    /// <param name="heads">Number of heads.</param>
    /// <returns>Both [rows, heads * width].</returns>
    /// <exception cref="ArgumentException">The shapes do not fit together.</exception>
    public static (Tensor Removed, Tensor Written) Divide(Tape tape, Tensor k, Tensor rate, Tensor removal, Tensor replacement, int heads)
    {
        InferenceOnly.Require(tape);
        var width = RmsNorm.Width(k, heads);
        if (rate.Shape != k.Shape || removal.Shape != new Shape(k.Columns) || replacement.Shape != removal.Shape)
        {
            throw new ArgumentException($"Keys {k.Shape}, rates {rate.Shape}, removal {removal.Shape} and replacement {replacement.Shape} do not fit together.", nameof(rate));
        }

        Tensor removed = tape.NewTensor(k.Shape), written = tape.NewTensor(k.Shape);
        tape.Device.DivideKeys(k.Data, rate.Data, removal.Data, replacement.Data, k.Rows, heads, width, removed.Data, written.Data);
        return (removed, written);
    }

    /// <summary>Adds a row's own value once more to what it read: y += (sum over the head of q k gain) v.</summary>
    /// <param name="tape">The step; it must not be recording.</param>
    /// <param name="q">[rows, heads * width], as all but the gain.</param>
    /// <param name="k">Keys.</param>
    /// <param name="gain">[heads * width].</param>
    /// <param name="v">Values.</param>
    /// <param name="heads">Number of heads.</param>
    /// <param name="y">Changed in place.</param>
    /// <exception cref="ArgumentException">The shapes do not fit together.</exception>
    public static void AddOwnValue(Tape tape, Tensor q, Tensor k, Tensor gain, Tensor v, int heads, Tensor y)
    {
        InferenceOnly.Require(tape);
        var width = RmsNorm.Width(q, heads);
        if (k.Shape != q.Shape || v.Shape != q.Shape || y.Shape != q.Shape || gain.Shape != new Shape(q.Columns))
        {
            throw new ArgumentException($"Queries {q.Shape}, keys {k.Shape}, a gain {gain.Shape}, values {v.Shape} and an output {y.Shape} do not fit together.", nameof(k));
        }

        tape.Device.AddOwnValue(q.Data, k.Data, gain.Data, v.Data, q.Rows, heads, width, y.Data);
    }
}
