using Loci.Memory;
using Loci.Memory.Aggregations;
using Loci.Memory.Routing;
using Loci.Memory.Rules;
using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Layers;

/// <summary>A memory with its cache: written and read over whole sequences, or onward from the states of sequences.</summary>
/// <param name="device">Where it lives.</param>
/// <param name="memory">The memory.</param>
/// <param name="reader">How its cached states are read.</param>
/// <param name="segmentation">The segments.</param>
/// <param name="chunkLength">Rows written together over whole sequences.</param>
/// <param name="heads">H.</param>
/// <param name="width">d.</param>
internal sealed class CachedMemory(
    Device device, LayerMemory memory, TrainedReader reader, Segmentation segmentation, int chunkLength, int heads, int width) : IDisposable
{
    private readonly SessionReaders _readers = new(device, heads);

    /// <summary>The learned tensors.</summary>
    public IReadOnlyList<Parameter> Parameters => [.. memory.Parameters, .. reader.Parameters];

    /// <summary>Writes and reads some rows.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="x">The mixer's normalized input, [rows, D].</param>
    /// <param name="q">Queries, [rows, H*d].</param>
    /// <param name="k">Keys, normalized per head, [rows, H*d].</param>
    /// <param name="v">Values, [rows, H*d].</param>
    /// <param name="routing">What the router compares.</param>
    /// <param name="rows">The sequences of the rows.</param>
    /// <returns>y, [rows, H*d].</returns>
    public Tensor Forward(Tape tape, Tensor x, Tensor q, Tensor k, Tensor v, RouterInputs routing, SequenceRows rows)
    {
        if (!rows.HaveStates)
        {
            var plan = tape.Resource<MemoryPlans>().For(device, rows.Layout, segmentation, chunkLength, memory.RewritesSegments);
            return reader.Read(tape, memory, new MemoryInputs(plan, x, q, k, v, routing));
        }

        if (rows.Count == 1)
        {
            return rows.State<CachedMixerState>(0).Memory.Advance(tape, x, q, k, v, routing);
        }

        var y = tape.NewTensor(q.Shape);
        for (var i = 0; i < rows.Count; i++)
        {
            var (first, count) = rows.RowsOf(i);
            var read = rows.State<CachedMixerState>(i).Memory.Advance(
                tape, tape.Rows(x, first, count), tape.Rows(q, first, count), tape.Rows(k, first, count), tape.Rows(v, first, count),
                new RouterInputs(tape.Rows(routing.Queries, first, count), tape.Rows(routing.Keys, first, count)));
            device.Copy(read.Data, tape.Rows(y, first, count).Data);
        }

        return y;
    }

    /// <summary>The step form of one sequence, at its start.</summary>
    /// <exception cref="LociException">The options do not go with this memory.</exception>
    public CachedMemoryState CreateState(StateOptions options)
    {
        var (read, segments) = _readers.Choose(options, reader, segmentation, memory.ReadsLinearly);
        if (!segments.IsNone && segments.Length % chunkLength != 0)
        {
            throw new LociException(Segmentation.NotWholeChunks(segments.Length, chunkLength));
        }

        return new CachedMemoryState(device, memory.CreateRecurrent(segments), read, segments, heads, width, options.Format);
    }

    public void Dispose() => _readers.Dispose();
}
