using Loci.Cli.Terminal;
using Loci.Models;
using Loci.Sessions;

namespace Loci.Cli.Commands;

/// <summary>Opens sessions in files.</summary>
internal static class MemoryFile
{
    private const long WorthShowing = 256L << 20;

    /// <summary>Opens a session, with a progress display where checking it takes a while.</summary>
    /// <param name="model">The model that it was read with.</param>
    /// <param name="path">The file.</param>
    /// <param name="isReadOnly">Whether the file stays as it is.</param>
    /// <param name="budget">Bytes of memory that the session may take, or null.</param>
    public static Session Open(LanguageModel model, string path, bool isReadOnly, long? budget)
    {
        SessionOpenOptions options = new() { IsReadOnly = isReadOnly, MemoryBudget = budget };
        if (Length(path) < WorthShowing)
        {
            return Session.Open(model, path, options);
        }

        using var display = ProgressDisplay.Start("checking " + Path.GetFileName(path), Length(path), ProgressUnit.Bytes);
        return Session.Open(model, path, options, new Reporter<long>(done => display.Report(done)));
    }

    /// <summary>Bytes of a file; 0 where there is none.</summary>
    public static long Length(string path) => File.Exists(path) ? new FileInfo(path).Length : 0;
}
