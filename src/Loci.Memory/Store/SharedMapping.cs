namespace Loci.Memory.Store;

/// <summary>Something that memory is mapped from, disposed when its owner and all users of the memory have let go of it.</summary>
internal sealed class SharedMapping(IDisposable source)
{
    private int _holders = 1;

    /// <summary>Whether anything but the owner uses it.</summary>
    public bool IsShared => Volatile.Read(ref _holders) > 1;

    public void Share() => Interlocked.Increment(ref _holders);

    public void Release()
    {
        if (Interlocked.Decrement(ref _holders) == 0)
        {
            source.Dispose();
        }
    }
}
