using System.Runtime.InteropServices;

namespace Loci.Cli.Terminal;

/// <summary>The file descriptors that a process begins with, where there are any: not on Windows.</summary>
internal static class Descriptor
{
    public const int BrokenPipe = 32;

    private const int GetFlags = 1;
    private const int CloseOnExec = 1;

    /// <summary>Whether a descriptor is open.</summary>
    public static bool IsOpen(int descriptor) => OperatingSystem.IsWindows() || Native.Control(descriptor, GetFlags) >= 0;

    /// <summary>
    /// Whether whoever started the process gave it a descriptor, to be asked before the program opens files. One that was closed may have
    /// been taken by the runtime, whose files have the mark that closes them in programs that a process starts; what a process was started
    /// with cannot have it.
    /// </summary>
    public static bool IsInherited(int descriptor) =>
        OperatingSystem.IsWindows() || (Native.Control(descriptor, GetFlags) is >= 0 and var flags && (flags & CloseOnExec) == 0);

    /// <summary>Whether the file behind a descriptor could store what was written to it: some file systems say no only here.</summary>
    public static bool TryComplete(int descriptor) =>
        OperatingSystem.IsWindows() || (Native.Duplicate(descriptor) is >= 0 and var copy && Native.Close(copy) == 0);

    /// <summary>Writes bytes.</summary>
    /// <returns>How many were written; negative where it failed.</returns>
    public static nint Write(int descriptor, ReadOnlySpan<byte> bytes) =>
        Native.Write(descriptor, in MemoryMarshal.GetReference(bytes), bytes.Length);

    private static class Native
    {
        [DllImport("libc", EntryPoint = "fcntl")]
        [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
        internal static extern int Control(int descriptor, int command);

        [DllImport("libc", EntryPoint = "dup", SetLastError = true)]
        [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
        internal static extern int Duplicate(int descriptor);

        [DllImport("libc", EntryPoint = "close", SetLastError = true)]
        [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
        internal static extern int Close(int descriptor);

        [DllImport("libc", EntryPoint = "write", SetLastError = true)]
        [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
        internal static extern nint Write(int descriptor, in byte bytes, nint count);
    }
}
