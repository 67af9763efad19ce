#pragma warning disable CA1822
namespace Loci.Numerics.Kernels;

internal sealed unsafe class Workers : IDisposable
{
    public Workers(int threads) => ThreadCount = threads;

    public static Workers Shared { get; } = new(1);

    public int ThreadCount { get; }

    public void Dispose()
    {
    }

    public void For(int count, delegate*<void*, int, int, void> body, void* state)
    {
        for (var i = 0; i < count; i++)
        {
            body(state, i, 0);
        }
    }
}
