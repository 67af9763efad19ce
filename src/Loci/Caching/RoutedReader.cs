using Loci.Numerics;

namespace Loci.Caching;

/// <summary>An aggregation with a router.</summary>
internal abstract class RoutedReader(Router router) : CacheReader
{
    public Router Router { get; } = router;

    public override bool IsRouted => true;

    public override IReadOnlyList<Parameter> Parameters => Router.Parameters;
}
