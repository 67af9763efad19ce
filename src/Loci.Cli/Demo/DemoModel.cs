namespace Loci.Cli.Demo;

/// <summary>One of the two models that the demo compares.</summary>
/// <param name="Name">Its name, which is also that of its folder.</param>
/// <param name="IsCached">Whether it keeps the memories of past segments.</param>
internal sealed record DemoModel(string Name, bool IsCached)
{
    /// <summary>The recurrence alone.</summary>
    public static DemoModel Base { get; } = new("base", false);

    /// <summary>The same recurrence whose past memories are kept and read through a gate.</summary>
    public static DemoModel Cached { get; } = new("grm", true);

    /// <summary>Both, in the order in which they are trained.</summary>
    public static IReadOnlyList<DemoModel> Both { get; } = [Base, Cached];
}
