using Loci.Caching;
using Loci.Inference;
using Loci.Numerics;

namespace Loci.Layers;

/// <summary>The readers, with fixed parameters, that sessions give a memory that was trained without a cache.</summary>
internal sealed class AfterTrainingReaders(Device device, int heads, bool isDeep) : IDisposable
{
    private readonly Dictionary<AfterTrainingCache, CacheReader> _readers = [];

    /// <summary>The reader and segments of a session.</summary>
    /// <param name="options">Its options; without a cache after training the result is what is given.</param>
    /// <param name="reader">The mixer's own reader.</param>
    /// <param name="segmentation">The mixer's own segments.</param>
    /// <exception cref="LociException">The mixer has a cache, or the options make no sense.</exception>
    public (CacheReader Reader, Segmentation Segmentation) Choose(StateOptions options, CacheReader reader, Segmentation segmentation)
    {
        if (options.AfterTraining is not { } cache)
        {
            return (reader, segmentation);
        }

        if (!segmentation.IsNone)
        {
            throw new LociException("Caching after training is for memories that were trained without a cache, and this model has one: leave it out.");
        }

        if (!_readers.TryGetValue(cache, out var added))
        {
            added = cache.CreateReader(device, heads, isDeep);
            _readers.Add(cache, added);
        }

        return (added, new Segmentation(SegmentKind.Constant, cache.SegmentLength, cache.Start));
    }

    public void Dispose()
    {
        foreach (var parameter in _readers.Values.SelectMany(reader => reader.Parameters))
        {
            parameter.Dispose();
        }
    }
}
