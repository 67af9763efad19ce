namespace Loci;

/// <summary>What a caller may want to tell apart in a <see cref="LociException"/>; the message says what is wrong and what to do.</summary>
public enum ErrorKind
{
    /// <summary>Anything else: most often, things that do not go together.</summary>
    Other,

    /// <summary>What was asked for is wrong in itself, such as a setting out of range, rather than what was found.</summary>
    Usage,

    /// <summary>A file or folder is not there.</summary>
    NotFound,

    /// <summary>A file may not be read or written.</summary>
    AccessDenied,

    /// <summary>A file is cut short, changed, or not what it should be.</summary>
    Damaged,

    /// <summary>Another process uses a file or folder.</summary>
    InUse,

    /// <summary>The disk, or what of it may be used, is full.</summary>
    DiskFull,

    /// <summary>A session would take more memory than it may, or the machine has.</summary>
    OutOfMemory,

    /// <summary>A file belongs to another model.</summary>
    OtherModel,

    /// <summary>The model gives numbers that are not finite.</summary>
    NotFinite,
}
