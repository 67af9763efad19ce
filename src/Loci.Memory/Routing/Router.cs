using Loci.Memory.Aggregations;
using Loci.Memory.Routing;
using Loci.Memory.Rules;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Numerics.Operations;

namespace Loci.Memory.Routing;

/// <summary>The router's learned tensors and options: logit = tau &lt;u, p&gt; (+ bias for the online segment).</summary>
internal sealed class Router
{
    /// <param name="layer">What the router is made of.</param>
    /// <param name="cache">Its settings.</param>
    /// <param name="topK">Past segments read per token; 0 reads all.</param>
    public Router(LayerContext layer, CacheConfiguration cache, int topK)
    {
        var (device, prefix, heads, initializer) = (layer.Device, layer.Prefix, layer.Heads, layer.Initializer);
        var configuration = cache.Router;
        Options = new CachedReadOptions(heads, configuration.SharedGates, topK, configuration.Key, cache.DetachStates);
        Temperature = initializer.Constant(device, prefix + "router.temperature", new Shape(heads), configuration.InitialTemperature);
        if (configuration.OnlineBias is { } bias)
        {
            // Shared gates add the biases of all heads up.
            OnlineBias = initializer.Constant(device, prefix + "router.online_bias", new Shape(heads), configuration.SharedGates ? bias / heads : bias);
        }

        Parameters = OnlineBias is null ? [Temperature] : [Temperature, OnlineBias];
    }

    /// <summary>The same router, of which only the best past segments are read.</summary>
    public Router(Router router, int topK)
    {
        Options = router.Options with { TopK = topK };
        (Temperature, OnlineBias, Parameters) = (router.Temperature, router.OnlineBias, router.Parameters);
    }

    /// <summary>A router that learns nothing.</summary>
    public static Router Fixed(Device device, int heads, int topK, float temperature, float? onlineBias) => new(
        new LayerContext(device, "after_training.", new Initializer(0, 1)) { Dimension = heads, Heads = heads },
        new CacheConfiguration { Router = new() { InitialTemperature = temperature, OnlineBias = onlineBias } },
        topK);

    public CachedReadOptions Options { get; }

    public Parameter Temperature { get; }

    public Parameter? OnlineBias { get; }

    public IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>What the sum of <paramref name="count"/> keys is multiplied by to describe their segment.</summary>
    public float KeyScale(int count) => Options.KeyScale(count);

    public Tensor Read(Tape tape, MemoryPlan plan, ScanResult scan, Tensor q, RouterInputs routing) =>
        CachedRead.Gated(tape, plan, scan, q, routing.Queries, routing.Keys, Temperature, OnlineBias, Options);
}
