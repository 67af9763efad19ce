namespace Loci.Data;

/// <summary>A file in a folder or a folder within it.</summary>
/// <param name="Name">Its path from the folder, with slashes.</param>
/// <param name="Path">Its path.</param>
/// <param name="Length">Its length.</param>
internal sealed record FolderFile(string Name, string Path, long Length);

/// <summary>Lists the files of a folder, each once.</summary>
internal static class FolderFiles
{
    /// <summary>
    /// The files of a folder and the folders within it. Links are followed, but for those to what is read anyway, which could also lead
    /// round in a circle. Empty files are left out; so is what has no length, such as pipes.
    /// </summary>
    public static IEnumerable<FolderFile> Of(string folder)
    {
        DirectoryInfo root = new(folder);
        return Of(root, "", [Resolve(root).FullName]);
    }

    private static IEnumerable<FolderFile> Of(DirectoryInfo folder, string prefix, List<string> read)
    {
        foreach (var entry in folder.EnumerateFileSystemInfos().OrderBy(entry => entry.Name, StringComparer.Ordinal))
        {
            var name = prefix + entry.Name;
            var target = Resolve(entry);
            if (SourceNames.IsHidden(name) || (entry.LinkTarget is not null && !Follow(target, read)))
            {
                continue;
            }

            if (target is DirectoryInfo)
            {
                foreach (var file in Of(new DirectoryInfo(entry.FullName), name + "/", read))
                {
                    yield return file;
                }
            }
            else if (target is not FileInfo { Exists: true, Length: 0 })
            {
                var path = System.IO.Path.Combine(folder.ToString(), entry.Name);
                yield return new FolderFile(name, path, target is FileInfo { Exists: true } file ? file.Length : 0);
            }
        }
    }

    private static FileSystemInfo Resolve(FileSystemInfo entry) =>
        entry.LinkTarget is null ? entry : entry.ResolveLinkTarget(returnFinalTarget: true) ?? entry;

    private static bool Follow(FileSystemInfo target, List<string> read)
    {
        if (read.Any(path => IsWithin(path, target.FullName) || (IsWithin(target.FullName, path) && IsReadThere(target, path))))
        {
            return false;
        }

        read.Add(target.FullName);
        return true;
    }

    private static bool IsReadThere(FileSystemInfo target, string folder)
    {
        var name = SourceNames.Normalize(System.IO.Path.GetRelativePath(folder, target.FullName));
        return target is FileInfo ? SourceNames.IsRead(name) : !SourceNames.IsHidden(name);
    }

    private static bool IsWithin(string path, string folder) =>
        path == folder
        || path.StartsWith(
            System.IO.Path.TrimEndingDirectorySeparator(folder) + System.IO.Path.DirectorySeparatorChar, StringComparison.Ordinal);
}
