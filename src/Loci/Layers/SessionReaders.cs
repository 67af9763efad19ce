using Loci.Memory;
using Loci.Memory.Aggregations;
using Loci.Memory.Segments;
using Loci.Numerics;

namespace Loci.Layers;

/// <summary>
/// What reads the cached states of sessions: a mixer's own reader or, where a session asks for another, one with fixed parameters. Safe for
/// use by several threads.
/// </summary>
/// <param name="device">Where they live.</param>
/// <param name="heads">H.</param>
internal sealed class SessionReaders(Device device, int heads) : IDisposable
{
    private readonly Lock _lock = new();
    private readonly Dictionary<AfterTrainingCache, CacheReader> _afterTraining = [];

    /// <summary>The reader and segments of a session.</summary>
    /// <param name="options">Its options.</param>
    /// <param name="own">The mixer's own reader.</param>
    /// <param name="segmentation">The mixer's own segments.</param>
    /// <param name="readsLinearly">Whether the memory's read is linear in its state.</param>
    /// <exception cref="LociException">The options do not go with the mixer, or make no sense.</exception>
    public (CacheReader Reader, Segmentation Segmentation) Choose(StateOptions options, TrainedReader own, Segmentation segmentation, bool readsLinearly)
    {
        CacheReader reader = own;
        if (options.AfterTraining is { } cache)
        {
            if (!segmentation.IsNone)
            {
                throw new LociException("Caching after training is for memories that were trained without a cache, and this model has one: leave it out.");
            }

            reader = AfterTraining(cache, readsLinearly);
            segmentation = new Segmentation(SegmentKind.Constant, cache.SegmentLength, cache.Start);
        }

        if (options.ReadTopK is { } topK && !segmentation.IsNone)
        {
            reader = reader.Sparse(topK, readsLinearly)
                ?? throw new LociException("Reading only the best segments is for models trained with GRM or SSC: leave the number of segments to read out.");
        }

        return (reader, segmentation);
    }

    public void Dispose()
    {
        foreach (var parameter in _afterTraining.Values.SelectMany(reader => reader.Parameters))
        {
            parameter.Dispose();
        }
    }

    private CacheReader AfterTraining(AfterTrainingCache cache, bool readsLinearly)
    {
        lock (_lock)
        {
            if (!_afterTraining.TryGetValue(cache, out var reader))
            {
                reader = cache.CreateReader(device, heads, readsLinearly);
                _afterTraining.Add(cache, reader);
            }

            return reader;
        }
    }
}
