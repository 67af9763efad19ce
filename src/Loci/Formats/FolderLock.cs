namespace Loci.Formats;

/// <summary>Keeps a second process from working in the same folder; the system lets go of it when the process ends, however it ends.</summary>
internal sealed class FolderLock : IDisposable
{
    private readonly FileStream _stream;

    private FolderLock(FileStream stream) => _stream = stream;

    /// <summary>Takes the lock of a folder, which is made where it is missing.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="taken">What to say where another process has it.</param>
    /// <exception cref="LociException">Another process has it, or the folder cannot be written to.</exception>
    public static FolderLock Take(string folder, string taken)
    {
        var path = Path.Combine(folder, ".lock");
        FileFailure.MakeFolder(folder);

        try
        {
            return new FolderLock(new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None));
        }
        catch (IOException exception) when (exception is not DirectoryNotFoundException && File.Exists(path))
        {
            throw new LociException(ErrorKind.InUse, taken, exception);
        }
        catch (Exception exception) when (FileFailure.Is(exception))
        {
            throw FileFailure.Writing(path, exception);
        }
    }

    public void Dispose() => _stream.Dispose();
}
