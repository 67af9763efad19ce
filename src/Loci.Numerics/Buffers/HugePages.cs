using System.Runtime.InteropServices;

namespace Loci.Numerics.Buffers;

/// <summary>
/// Asks Linux to back large allocations with 2 MiB pages where it waits to be asked: a training step strides through hundreds of megabytes, and the
/// processor's table of 4 KiB pages is too small for that (6 % of a step). A hint only: nothing depends on it.
/// </summary>
internal static unsafe partial class HugePages
{
    /// <summary>Size and alignment of a huge page, in bytes.</summary>
    public const nuint Size = 2 << 20;

    private const int AdviseHugePage = 14;

    /// <summary>The alignment to ask for, so that an allocation of <paramref name="bytes"/> consists of whole huge pages where it is large.</summary>
    public static nuint AlignmentOf(nuint bytes) => OperatingSystem.IsLinux() && bytes >= 2 * Size ? Size : 64;

    /// <summary>Gives the hint for an allocation with the alignment of <see cref="AlignmentOf"/>.</summary>
    public static void Advise(void* memory, nuint bytes)
    {
        if (AlignmentOf(bytes) == Size)
        {
            try
            {
                _ = MemoryAdvise(memory, bytes, AdviseHugePage);
            }
            catch (Exception exception) when (exception is DllNotFoundException or EntryPointNotFoundException)
            {
                // Another C library: small pages it is.
            }
        }
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int MemoryAdvise(void* address, nuint length, int advice);
}
