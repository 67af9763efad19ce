using Loci.Sessions.Storage;
using Xunit;

namespace Loci.Tests.Sessions;

/// <summary>What a session file should hold, kept in plain lists.</summary>
internal sealed class SessionState
{
    public SessionState(params int[] rowBytes)
    {
        RowBytes = rowBytes;
        Rows = [.. rowBytes.Select(_ => new List<byte[]>())];
    }

    public int[] RowBytes { get; }

    public List<byte[]>[] Rows { get; private init; }

    public byte[] Online { get; set; } = [];

    public long Commits { get; set; }

    public SessionState Copy() => new(RowBytes) { Rows = [.. Rows.Select(rows => new List<byte[]>(rows))], Online = Online, Commits = Commits };

    /// <summary>Makes some changes here, and in the file where there is one, in the same order; the commit itself is the caller's.</summary>
    public void Change(Random random, SessionFile? file, int onlineBytes = 700)
    {
        file?.Begin();
        var changes = random.Next(0, 6);
        for (var i = 0; i < changes; i++)
        {
            var stream = random.Next(Rows.Length);
            if (random.Next(3) == 0)
            {
                var keep = Rows[stream].Count - random.Next(0, Math.Min(4, Rows[stream].Count + 1));
                Rows[stream].RemoveRange(keep, Rows[stream].Count - keep);
                file?.Keep(stream, keep);
            }

            var data = new byte[random.Next(0, 4) * RowBytes[stream]];
            random.NextBytes(data);
            Rows[stream].AddRange(data.Chunk(RowBytes[stream]));
            file?.AppendRows(stream, data);
        }

        Online = new byte[random.Next(0, onlineBytes)];
        random.NextBytes(Online);
        Commits++;
    }

    /// <summary>Whether a file holds this, read, and in memory where it is mapped.</summary>
    public unsafe bool Is(SessionFile file)
    {
        if (file.Commits != Commits || file.StreamCount != Rows.Length || !file.Online.SequenceEqual(Online))
        {
            return false;
        }

        for (var stream = 0; stream < Rows.Length; stream++)
        {
            var rows = Rows[stream];
            if (file.RowCount(stream) != rows.Count || file.RowBytes(stream) != RowBytes[stream])
            {
                return false;
            }

            var all = new byte[rows.Count * RowBytes[stream]];
            file.ReadRows(stream, 0, all);
            for (var row = 0; row < rows.Count; row++)
            {
                if (!all.AsSpan(row * RowBytes[stream], RowBytes[stream]).SequenceEqual(rows[row])
                    || (file.IsMapped(stream, row) && !new ReadOnlySpan<byte>((void*)file.AddressOf(stream, row), RowBytes[stream]).SequenceEqual(rows[row])))
                {
                    return false;
                }
            }
        }

        return true;
    }

    public void AssertIs(SessionFile file, string what = "")
    {
        Assert.Equal(Commits, file.Commits);
        Assert.True(Is(file), $"commit {Commits} differs {what}");
    }
}
