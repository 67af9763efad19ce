namespace Loci.Formats;

/// <summary>Turns what the operating system says about a file into one sentence with a way out.</summary>
internal static class FileFailure
{
    private const int NoSpaceUnix = 28;
    private const int ReadOnlyFileSystemUnix = 30;
    private const int QuotaLinux = 122;
    private const int QuotaMac = 69;
    private const int DiskFullWindows = unchecked((int)0x80070070);
    private const int HandleDiskFullWindows = unchecked((int)0x80070027);

    /// <summary>True for the failures of files and folders that a person can act on.</summary>
    public static bool Is(Exception exception) =>
        exception is IOException or UnauthorizedAccessException or NotSupportedException { InnerException: null };

    /// <summary>The failure to write <paramref name="path"/> as a sentence.</summary>
    public static LociException Writing(string path, Exception cause) => new(KindOf(cause), cause switch
    {
        IOException when IsDiskFull(cause) =>
            $"Cannot write '{path}': the disk is full; free some space or choose another folder, then run again.",
        IOException { HResult: ReadOnlyFileSystemUnix } =>
            $"Cannot write '{path}': the file system is read-only; choose another folder.",
        DirectoryNotFoundException =>
            $"Cannot write '{path}': the folder '{Path.GetDirectoryName(Path.GetFullPath(path))}' does not exist; create it or choose another path.",
        PathTooLongException => $"Cannot write '{path}': the path is too long for this file system; choose a shorter one.",
        UnauthorizedAccessException =>
            $"Cannot write '{path}': permission denied; choose a folder that you may write to or change its permissions.",
        _ => $"Cannot write '{path}': {OneLine(cause.Message)}; check the folder and the disk, then run again.",
    }, cause);

    /// <summary>The failure to read <paramref name="path"/> as a sentence.</summary>
    public static LociException Reading(string path, Exception cause) => new(KindOf(cause), cause switch
    {
        FileNotFoundException or DirectoryNotFoundException => $"There is no file '{path}'; check the path.",
        UnauthorizedAccessException when Directory.Exists(path) => $"'{path}' is a folder where a file is needed; name a file in it.",
        UnauthorizedAccessException => $"Cannot read '{path}': permission denied; change its permissions or choose another file.",
        _ => $"Cannot read '{path}': {OneLine(cause.Message)}; check the file and the disk.",
    }, cause);

    /// <summary>Makes a folder where there is none.</summary>
    /// <exception cref="LociException">It cannot be made.</exception>
    public static void MakeFolder(string folder)
    {
        try
        {
            Directory.CreateDirectory(folder);
        }
        catch (Exception exception) when (Is(exception))
        {
            throw new LociException(KindOf(exception), $"The folder {folder} cannot be made: {OneLine(exception.Message)}.", exception);
        }
    }

    /// <summary>What the operating system's failure is to a caller.</summary>
    public static ErrorKind KindOf(Exception cause) => cause switch
    {
        FileNotFoundException or DirectoryNotFoundException => ErrorKind.NotFound,
        UnauthorizedAccessException => ErrorKind.AccessDenied,
        IOException { HResult: ReadOnlyFileSystemUnix } => ErrorKind.AccessDenied,
        InvalidDataException => ErrorKind.Damaged,
        _ => IsDiskFull(cause) ? ErrorKind.DiskFull : ErrorKind.Other,
    };

    /// <summary>Makes something of what stood in a file, whose failures then name it.</summary>
    public static T Naming<T>(string path, Func<T> make)
    {
        try
        {
            return make();
        }
        catch (LociException exception)
        {
            throw new LociException($"{path}: {exception.Message}", exception);
        }
    }

    private static bool IsDiskFull(Exception exception) => OperatingSystem.IsWindows()
        ? exception.HResult is DiskFullWindows or HandleDiskFullWindows
        : exception.HResult is NoSpaceUnix || exception.HResult == (OperatingSystem.IsMacOS() ? QuotaMac : QuotaLinux);

    private static string OneLine(string message) => message.ReplaceLineEndings(" ").Trim().TrimEnd('.');
}
