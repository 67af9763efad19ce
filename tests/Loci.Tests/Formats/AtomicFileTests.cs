using Loci.Formats;
using Xunit;

namespace Loci.Tests.Formats;

public sealed class AtomicFileTests
{
    [Fact]
    public void WritesAndReplaces()
    {
        using TemporaryFolder folder = new();
        string path = folder.File("a.txt");
        AtomicFile.WriteAllText(path, "first é");
        AtomicFile.WriteAllText(path, "second");
        Assert.Equal("second"u8.ToArray(), File.ReadAllBytes(path));
        Assert.Equal([path], Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void TextIsUtf8WithoutByteOrderMark()
    {
        using TemporaryFolder folder = new();
        AtomicFile.WriteAllText(folder.File("a.txt"), "é");
        Assert.Equal([0xC3, 0xA9], File.ReadAllBytes(folder.File("a.txt")));
    }

    [Fact]
    public void AThrowingWriterLeavesTheOldFileAndNothingElse()
    {
        using TemporaryFolder folder = new();
        string path = folder.File("a.txt");
        AtomicFile.WriteAllText(path, "old");
        Assert.Throws<FormatException>(() => AtomicFile.Write(path, stream =>
        {
            stream.Write(new byte[200_000]);
            throw new FormatException();
        }));
        Assert.Equal("old", File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void AWriterThatClosesTheStreamIsTold()
    {
        using TemporaryFolder folder = new();
        Assert.Throws<InvalidOperationException>(() => AtomicFile.Write(folder.File("a"), stream => stream.Dispose()));
        Assert.Empty(Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void AFullDiskIsOneSentenceAndLeavesTheOldFile()
    {
        Assert.SkipUnless(File.Exists("/dev/full"), "Needs /dev/full.");
        using TemporaryFolder folder = new();
        string path = folder.File("a.txt");
        AtomicFile.WriteAllText(path, "old");

        // The failure is the system's own: a real write to a device that is always full.
        LociException failure = Assert.Throws<LociException>(() => AtomicFile.Write(path, stream =>
        {
            stream.Write("half"u8);
            using FileStream full = new("/dev/full", FileMode.Open, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);
            full.Write("rest"u8);
        }));
        Assert.Contains("the disk is full", failure.Message, StringComparison.Ordinal);
        Assert.Contains(path, failure.Message, StringComparison.Ordinal);
        Assert.Equal("old", File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void AMissingFolderIsNamed()
    {
        using TemporaryFolder folder = new();
        LociException failure = Assert.Throws<LociException>(() => AtomicFile.WriteAllText(folder.File("no/such/a.txt"), ""));
        Assert.Contains($"'{folder.File("no/such")}' does not exist", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AFolderThatIsAFileIsNamed()
    {
        using TemporaryFolder folder = new();
        File.WriteAllText(folder.File("plain"), "");
        LociException failure = Assert.Throws<LociException>(() => AtomicFile.WriteAllText(folder.File("plain/a.txt"), ""));
        Assert.Contains("is a file where a folder is needed", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AFolderIsNotReplaced()
    {
        using TemporaryFolder folder = new();
        Assert.Contains("it is a folder", Assert.Throws<LociException>(() => AtomicFile.WriteAllText(folder.Path, "")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void ADeviceIsNotReplaced()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Unix devices.");
        Assert.Contains("device", Assert.Throws<LociException>(() => AtomicFile.WriteAllText("/dev/null", "")).Message, StringComparison.Ordinal);
        Assert.True(File.Exists("/dev/null"));
    }

    [Fact]
    public void ALinkIsFollowedAndPermissionsAreKept()
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("Links need a privilege there.");
            return;
        }

        using TemporaryFolder folder = new();
        string target = folder.File("target");
        File.WriteAllText(target, "old");
        File.SetUnixFileMode(target, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        File.CreateSymbolicLink(folder.File("link"), target);
        AtomicFile.WriteAllText(folder.File("link"), "new");
        Assert.Equal("new", File.ReadAllText(target));
        Assert.NotNull(new FileInfo(folder.File("link")).LinkTarget);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(target));
    }

    [Fact]
    public void LeftoversOfTheSameNameAreRemovedAndOnlyThose()
    {
        using TemporaryFolder folder = new();
        File.WriteAllText(folder.File(".a.txt.tmp-0123456789ab"), "");
        File.WriteAllText(folder.File(".b.txt.tmp-0123456789ab"), "");
        AtomicFile.WriteAllText(folder.File("a.txt"), "");
        Assert.False(File.Exists(folder.File(".a.txt.tmp-0123456789ab")));
        Assert.True(File.Exists(folder.File(".b.txt.tmp-0123456789ab")));
    }

    [Fact]
    public void ALivingWriterIsNotTakenForALeftover()
    {
        using TemporaryFolder folder = new();
        string path = folder.File("a.txt");
        AtomicFile.Write(path, stream =>
        {
            stream.Write("outer"u8);
            AtomicFile.WriteAllText(path, "inner");
            Assert.Equal("inner", File.ReadAllText(path));
        });
        Assert.Equal("outer", File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFiles(folder.Path));
    }

    [Fact]
    public void ALargeFileArrivesWhole()
    {
        using TemporaryFolder folder = new();
        byte[] content = new byte[1_000_003];
        new Random(1).NextBytes(content);
        AtomicFile.Write(folder.File("a"), stream => stream.Write(content));
        Assert.Equal(content, File.ReadAllBytes(folder.File("a")));
    }
}
