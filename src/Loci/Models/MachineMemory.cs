using Loci.Numerics;

namespace Loci.Models;

/// <summary>What this machine has, so that more is refused before any of it is taken.</summary>
internal static class MachineMemory
{
    /// <summary>Bytes of memory that the process can have in all.</summary>
    public static long Available => GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;

    /// <summary>Checks that a model and what is kept beside each of its weights have room.</summary>
    /// <param name="parameters">Number of weights.</param>
    /// <param name="bytesPerParameter">Bytes for each of them.</param>
    /// <param name="use">What the memory is for, as in "to be loaded".</param>
    /// <exception cref="LociException">They have none.</exception>
    public static void RequireRoom(long parameters, int bytesPerParameter, string use)
    {
        var (needed, available) = ((long)Int128.Min((Int128)parameters * bytesPerParameter, long.MaxValue), Available);
        if (needed > available)
        {
            throw new LociException(
                ErrorKind.OutOfMemory,
                FormattableString.Invariant($"A model of {parameters:#,0} parameters needs {ByteSize.Format(needed, available)} ")
                + $"of memory {use}, and this machine has {ByteSize.Format(available, needed)}: choose a smaller model.");
        }
    }
}
