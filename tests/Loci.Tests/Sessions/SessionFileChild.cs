using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Loci.Sessions.Storage;
using Xunit;

namespace Loci.Tests.Sessions;

/// <summary>This test program started again as a process that makes commits until it is killed.</summary>
internal static class SessionFileChild
{
    private const string Variable = "LOCI_TEST_SESSION_CHILD";
    private const int WideRow = 20_000;

    /// <summary>Starts the child on a file, which it creates where it is missing; it prints a line after its first commit.</summary>
    /// <param name="path">The file.</param>
    /// <param name="mode"><c>commit</c> to go on, <c>hold</c> to wait.</param>
    public static Process Start(string path, string mode)
    {
        ProcessStartInfo start = new(Environment.ProcessPath!) { RedirectStandardOutput = true, RedirectStandardError = true };
        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet")
        {
            start.ArgumentList.Add(typeof(SessionFileChild).Assembly.Location);
        }

        start.Environment[Variable] = $"{mode} {path}";
        return Process.Start(start)!;
    }

    /// <summary>After any number of commits the file holds that many numbers, one wide row for each bit set in it, and a blob that tells it.</summary>
    public static unsafe void AssertHolds(SessionFile file)
    {
        var commits = file.Commits;
        Assert.Equal(commits, file.RowCount(0));
        for (long row = 0; row < commits; row++)
        {
            Assert.Equal(row + 1, *(long*)file.AddressOf(0, row));
        }

        Assert.Equal(long.PopCount(commits), file.RowCount(1));
        var rows = Rows(commits);
        for (var row = 0; row < rows.Count; row++)
        {
            var data = new ReadOnlySpan<byte>((void*)file.AddressOf(1, row), WideRow);
            Assert.False(data.ContainsAnyExcept(rows[row]));
        }

        Assert.Equal(Blob(commits), file.Online.ToArray());
    }

    [ModuleInitializer]
    internal static void RunInstead()
    {
        if (Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } order)
        {
            Run(order[(order.IndexOf(' ') + 1)..], order.StartsWith("hold", StringComparison.Ordinal));
        }
    }

    private static void Run(string path, bool hold)
    {
        using var file = File.Exists(path) ? SessionFile.Open(path, writable: true) : SessionFile.Create(path, "child"u8, [8, WideRow], overwrite: false);
        var wide = new byte[WideRow];
        for (var first = true; ; first = false)
        {
            var commit = file.Commits + 1;
            file.Begin();
            file.AppendRows(0, MemoryMarshal.AsBytes(new Span<long>(ref commit)));
            var rows = Rows(commit);
            file.Keep(1, rows.Count - 1);
            wide.AsSpan().Fill(rows[^1]);
            file.AppendRows(1, wide);
            file.Commit(Blob(commit));
            if (first)
            {
                Console.WriteLine("ready");
            }

            if (hold)
            {
                Thread.Sleep(TimeSpan.FromSeconds(60));
                Environment.Exit(0);
            }
        }
    }

    /// <summary>The bytes that fill the wide rows: one for each bit set, the highest first, told by all bits down to it.</summary>
    private static List<byte> Rows(long commits)
    {
        List<byte> rows = [];
        for (var bit = 62; bit >= 0; bit--)
        {
            if ((commits >> bit & 1) != 0)
            {
                rows.Add((byte)(((commits >> bit) * 31) + bit));
            }
        }

        return rows;
    }

    private static byte[] Blob(long commits)
    {
        var blob = new byte[1000 + (commits * 7 % 5000)];
        blob.AsSpan().Fill((byte)commits);
        return blob;
    }
}
