using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using System.Text;

namespace Loci.Formats;

/// <summary>
/// Replaces files so that a reader, or a restart after a crash or a full disk, finds either the old version whole or the new one whole.
/// The new version is written aside in the same folder, flushed to the disk and renamed over the old one.
/// </summary>
/// <remarks>
/// The file aside is named <c>.name.tmp-XXXX</c>. One that a killed process left behind is removed by the next write of the same name; one that
/// another living process is writing is left alone (it is held locked until it is renamed).
/// </remarks>
internal static class AtomicFile
{
    private const int BufferSize = 1 << 16;
    private const string Marker = ".tmp-";
    private static readonly ConcurrentDictionary<string, bool> s_aside = []; // files that a process which ends now would leave behind

    static AtomicFile() => AppDomain.CurrentDomain.ProcessExit += (_, _) =>
    {
        foreach (var aside in s_aside.Keys)
        {
            TryDelete(aside);
        }
    };

    /// <summary>Replaces <paramref name="path"/> by what <paramref name="write"/> writes.</summary>
    /// <param name="path">The file to create or replace; its folder must exist. A symbolic link is followed.</param>
    /// <param name="write">Writes the new content; it must leave the stream open. Whatever it throws leaves the old file as it was.</param>
    /// <exception cref="LociException">The disk is full, the folder is missing or may not be written to, or the path is a folder or a device.</exception>
    public static void Write(string path, Action<Stream> write)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentNullException.ThrowIfNull(write);
        try
        {
            Replace(Resolve(path), write, overwrite: true).Dispose();
        }
        catch (Exception exception) when (FileFailure.Is(exception))
        {
            throw FileFailure.Writing(path, exception);
        }
    }

    /// <summary>As <see cref="Write"/>, and hands the new file over still open for reading and writing; no other process can have opened it in between.</summary>
    /// <param name="path">The file to create or replace; its folder must exist.</param>
    /// <param name="overwrite">Whether it may be there already.</param>
    /// <param name="write">Writes the new content; it must leave the stream open, and may keep it.</param>
    /// <exception cref="LociException">As <see cref="Write"/>, or the file is there and may not be.</exception>
    internal static FileStream Hold(string path, bool overwrite, Action<FileStream> write)
    {
        try
        {
            return Replace(Resolve(path), write, overwrite);
        }
        catch (Exception exception) when (FileFailure.Is(exception))
        {
            throw FileFailure.Writing(path, exception);
        }
    }

    /// <summary>Replaces <paramref name="path"/> by <paramref name="text"/> in UTF-8 without a byte order mark.</summary>
    /// <param name="path">The file to create or replace; its folder must exist.</param>
    /// <param name="text">The new content.</param>
    /// <exception cref="LociException">As <see cref="Write"/>.</exception>
    public static void WriteAllText(string path, string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        Write(path, stream =>
        {
            using StreamWriter writer = new(stream, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false), BufferSize, leaveOpen: true);
            writer.Write(text);
        });
    }

    private static string Resolve(string path)
    {
        string full = Path.GetFullPath(path);
        // A rename over a device node would replace the device itself, which an administrator is allowed to do.
        if (!OperatingSystem.IsWindows() && (full.StartsWith("/dev/", StringComparison.Ordinal) || full.StartsWith("/proc/", StringComparison.Ordinal))
            && !full.StartsWith("/dev/shm/", StringComparison.Ordinal))
        {
            throw new LociException($"Cannot write '{path}': it is a device, which cannot be replaced safely; name an ordinary file.");
        }

        if (Directory.Exists(full))
        {
            throw new LociException($"Cannot write '{path}': it is a folder; name a file in it.");
        }

        if (Path.GetDirectoryName(full) is { } folder && File.Exists(folder))
        {
            throw new LociException($"Cannot write '{path}': '{folder}' is a file where a folder is needed; choose another path.");
        }

        FileInfo file = new(full);
        return file.LinkTarget is null ? full : file.ResolveLinkTarget(returnFinalTarget: true)!.FullName;
    }

    private static FileStream Replace(string path, Action<FileStream> write, bool overwrite)
    {
        string folder = Path.GetDirectoryName(path)!;
        string name = Path.GetFileName(path);
        RemoveLeftovers(folder, name);
        string aside = Path.Combine(folder, $".{name}{Marker}{Guid.NewGuid().ToString("N")[..12]}");
        // Held until after the rename, so that no other writer takes it for a leftover; Windows renames an open file only if deletion is shared.
        FileShare share = OperatingSystem.IsWindows() ? FileShare.Delete : FileShare.None;
        FileStream stream = new(aside, FileMode.CreateNew, FileAccess.ReadWrite, share, BufferSize);
        s_aside[aside] = true;
        try
        {
            write(stream);
            if (!stream.CanWrite)
            {
                throw new InvalidOperationException("The callback closed the stream; it must leave it open.");
            }

            stream.Flush(flushToDisk: true);
            KeepPermissions(path, stream);
            File.Move(aside, path, overwrite);
        }
        catch
        {
            Discard(stream, aside);
            throw;
        }
        finally
        {
            s_aside.TryRemove(aside, out _);
        }

        FlushFolder(folder);
        return stream;
    }

    private static void KeepPermissions(string path, FileStream stream)
    {
        if (!OperatingSystem.IsWindows() && File.Exists(path))
        {
            File.SetUnixFileMode(stream.SafeFileHandle, File.GetUnixFileMode(path));
        }
    }

    private static void Discard(FileStream stream, string aside)
    {
        // Closing flushes what is still buffered, which fails again on a full disk; the first failure is the one to report.
        try
        {
            stream.Dispose();
        }
        catch (IOException)
        {
        }

        TryDelete(aside);
    }

    private static void TryDelete(string aside)
    {
        try
        {
            File.Delete(aside);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
        }
    }

    private static void RemoveLeftovers(string folder, string name)
    {
        string prefix = $".{name}{Marker}";
        foreach (string leftover in Directory.EnumerateFiles(folder))
        {
            if (!Path.GetFileName(leftover.AsSpan()).StartsWith(prefix, StringComparison.Ordinal))
            {
                continue;
            }

            try
            {
                using FileStream unused = new(leftover, FileMode.Open, FileAccess.ReadWrite, FileShare.None | FileShare.Delete, bufferSize: 0);
                File.Delete(leftover);
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                // A living writer holds it, or it is gone already.
            }
        }
    }

    /// <summary>Makes the rename itself survive a power failure, where the system lets a folder be flushed (not on Windows).</summary>
    private static void FlushFolder(string folder)
    {
        if (OperatingSystem.IsWindows())
        {
            return;
        }

        try
        {
            int descriptor = Native.Open(Encoding.UTF8.GetBytes(folder + '\0'), 0);
            if (descriptor >= 0)
            {
                _ = Native.Synchronise(descriptor);
                _ = Native.Close(descriptor);
            }
        }
        catch (Exception exception) when (exception is DllNotFoundException or EntryPointNotFoundException)
        {
            // The file is whole all the same; only a power failure in the next seconds could bring the old version back.
        }
    }

    // File.OpenHandle refuses folders.
    private static class Native
    {
        [DllImport("libc", EntryPoint = "open")]
        [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
        internal static extern int Open(byte[] path, int flags);

        [DllImport("libc", EntryPoint = "fsync")]
        [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
        internal static extern int Synchronise(int descriptor);

        [DllImport("libc", EntryPoint = "close")]
        [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
        internal static extern int Close(int descriptor);
    }
}
