using FsCheck;
using FsCheck.Fluent;
using Loci.Formats;
using Loci.Sessions.Storage;
using Loci.Tests.Formats;
using Xunit;

namespace Loci.Tests.Sessions;

public sealed class SessionFileTests : IDisposable
{
    private static readonly byte[] Metadata = [.. "{\"model\":\"é\"}"u8];

    private readonly TemporaryFolder _folder = new();

    private string SessionPath => _folder.File("a.session");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void HoldsWhatWasCommitted()
    {
        using (var file = SessionFile.Create(SessionPath, Metadata, [4, 96], overwrite: false))
        {
            Assert.Equal(0, file.Commits);
            file.Begin();
            file.AppendRows(0, [1, 1, 1, 1, 2, 2, 2, 2]);
            file.AppendRows(1, Filled(2 * 96, 7));
            file.AppendRows(0, [3, 3, 3, 3]);
            file.Commit("one"u8);
            file.Begin();
            file.Keep(1, 1);
            file.AppendRows(1, Filled(96, 8));
            file.Keep(0, 0);
            file.Commit(Filled(100_000, 9));
        }

        using (var file = SessionFile.Open(SessionPath, writable: false))
        {
            Assert.Equal(Metadata, file.Metadata.ToArray());
            Assert.Equal((2, 2L, 4L, 96L), (file.StreamCount, file.Commits, file.RowBytes(0), file.RowBytes(1)));
            Assert.Equal((0L, 2L), (file.RowCount(0), file.RowCount(1)));
            Assert.Equal(Filled(100_000, 9), file.Online.ToArray());
            Assert.Equal(2 * 96, file.LiveBytes);
            Assert.Equal(new FileInfo(SessionPath).Length, file.Length);
            var rows = new byte[2 * 96];
            file.ReadRows(1, 0, rows);
            Assert.Equal([.. Filled(96, 7), .. Filled(96, 8)], rows);
            Assert.Throws<ArgumentOutOfRangeException>(() => file.AddressOf(1, 2));
            Assert.Throws<InvalidOperationException>(file.Begin);
        }

        Assert.Equal([SessionPath], Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public void AnyCommitsReadBackAtAnyTime() => Prop.ForAll(Gen.Choose(0, int.MaxValue).ToArbitrary(), seed =>
    {
        Random random = new(seed);
        var path = _folder.File($"{seed}");
        SessionState state = new(4, 64, 1000, 1);
        var file = SessionFile.Create(path, Metadata, [4, 64, 1000, 1], overwrite: true, Unflushed);
        try
        {
            for (var i = 0; i < 25; i++)
            {
                switch (random.Next(12))
                {
                    case 0:
                        file.Dispose();
                        file = SessionFile.Open(path, writable: true, verify: random.Next(2) == 0, wrap: Unflushed);
                        break;
                    case 1:
                        file.MapAppended();
                        break;
                    case 2:
                        state.Copy().Change(random, file);
                        file.Rollback();
                        break;
                    case 3:
                        file.Compact();
                        break;
                    case 4:
                        file.CompactTo(path + ".copy", overwrite: true);
                        using (var copy = SessionFile.Open(path + ".copy", writable: false))
                        {
                            state.AssertIs(copy, $"seed {seed}, copy");
                        }

                        break;
                    default:
                        state.Change(random, file, 300 << random.Next(10));
                        file.Commit(state.Online);
                        break;
                }

                state.AssertIs(file, $"seed {seed}, step {i}");
                file.Verify();
            }
        }
        finally
        {
            file.Dispose();
        }

        File.Delete(path);
    }).Check(Config.QuickThrowOnFailure.WithMaxTest(30));

    [Fact]
    public void AFileCutAnywhereIsRefused()
    {
        var states = SmallFile();
        using FileStream stream = new(SessionPath, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
        var end = stream.Length;
        stream.SetLength(end + 1000); // a commit that never became one
        AssertOpensAs(states[^1]);
        for (var length = end - 1; length >= 0; length--)
        {
            stream.SetLength(length);
            var failure = Assert.Throws<LociException>(() => SessionFile.Open(SessionPath, writable: false).Dispose());
            Assert.Contains(length == 0 ? "is empty" : $"is cut short at {length} bytes", failure.Message, StringComparison.Ordinal);
        }
    }

    // A flipped bit is either refused, or lies where nothing is read (padding, rows cut off, the older blob, one copy of a slot). It never costs a commit.
    [Fact]
    public void AFlippedBitIsRefusedOrChangesNothing()
    {
        var states = SmallFile();
        using FileStream stream = new(SessionPath, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite, bufferSize: 0);
        var content = new byte[stream.Length];
        stream.ReadExactly(content);
        var refused = 0;
        for (var i = 0; i < content.Length; i++)
        {
            stream.Position = i;
            stream.WriteByte((byte)(content[i] ^ (1 << (i % 8))));
            try
            {
                AssertOpensAs(states[^1], $"byte {i}");
            }
            catch (LociException exception)
            {
                refused++;
                Assert.Contains(SessionPath, exception.Message, StringComparison.Ordinal);
            }

            stream.Position = i;
            stream.WriteByte(content[i]);
        }

        Assert.InRange(refused, states[^1].Online.Length, content.Length / 2);
        AssertOpensAs(states[^1]);
    }

    [Fact]
    public void ATornSlotOpensAsTheCommitBefore()
    {
        var states = SmallFile();
        var slots = SessionFormat.SlotsStart(3, Metadata.Length);
        Overwrite(slots + ((states[^1].Commits & 1) * SessionFormat.PageBytes) + 10, Filled(SessionFormat.PageBytes - 500, 0x55));
        AssertOpensAs(states[^2]);
        var state = states[^2].Copy();
        using (var file = SessionFile.Open(SessionPath, writable: true))
        {
            state.Change(new Random(5), file);
            file.Commit(state.Online);
        }

        AssertOpensAs(state);
        Overwrite(slots, new byte[2 * SessionFormat.PageBytes]);
        AssertRefused("no commit in it is whole");
    }

    // For a disk that did not keep its word when it was flushed.
    [Fact]
    public void TheCommitBeforeOpensWhereItIsAskedFor()
    {
        var states = SmallFile();
        using (FileStream stream = new(SessionPath, FileMode.Open))
        {
            stream.SetLength(stream.Length - 1);
        }

        AssertRefused("is cut short");
        var state = states[^2].Copy();
        FaultyDisk? disk = null;
        using (var file = SessionFile.Open(SessionPath, writable: true, previous: true, wrap: (path, stream) => disk = new FaultyDisk(path, stream)))
        {
            state.AssertIs(file);
            file.Begin();
            file.AppendRows(0, new byte[400_000]); // over the rows of the commit passed over, which must not open again
            var content = new byte[disk!.Length];
            Assert.True(disk.TryRead(0, content));
            File.WriteAllBytes(_folder.File("copy"), content);

            file.Rollback();
            state.Change(new Random(5), file);
            file.Commit(state.Online);
        }

        AssertOpensAs(state);
        File.Move(_folder.File("copy"), SessionPath, overwrite: true);
        AssertOpensAs(states[^2]);
        AssertPreviousRefused();
        SessionFile.Create(SessionPath, Metadata, [4], overwrite: true).Dispose();
        AssertPreviousRefused();

        void AssertPreviousRefused() => Assert.Contains("no commit before its last is whole",
            Assert.Throws<LociException>(() => SessionFile.Open(SessionPath, writable: false, previous: true).Dispose()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void DamagedRowsAreNamedAndOnlyOpenUnverified()
    {
        long position;
        using (var file = SessionFile.Create(SessionPath, Metadata, [64], overwrite: false))
        {
            position = file.Length + SessionFormat.BlockBytes + 70;
            file.Begin();
            file.AppendRows(0, Filled(192, 1));
            file.Commit([]);
        }

        Overwrite(position, [99]);
        AssertRefused("rows 0 to 2 of stream 0 do not match their checksum");
        using var unverified = SessionFile.Open(SessionPath, writable: true, verify: false);
        Assert.Throws<LociException>(() => unverified.Verify());
        Assert.Throws<LociException>(unverified.Compact);
        Assert.Throws<LociException>(() => unverified.CompactTo(_folder.File("copy")));
        Assert.False(File.Exists(_folder.File("copy")));
    }

    // Every write and every half write of a few commits, in order, as a killed process leaves them.
    [Fact]
    public void AProcessThatDiesBetweenAnyTwoWritesLosesOnlyTheCommitUnderWay()
    {
        var (start, operations, states) = Record(seed: 1, failures: 0);
        AssertEveryPrefix(start, operations, states, random: null);
    }

    // The same after a power failure: of what was written since the last flush, any part may be on the disk.
    [Fact]
    public void APowerFailureLosesOnlyTheCommitUnderWay()
    {
        var (start, operations, states) = Record(seed: 2, failures: 0);
        Random random = new(3);
        for (var round = 0; round < 5; round++)
        {
            AssertEveryPrefix(start, operations, states, random);
        }
    }

    // Many operations fail, having written nothing, a part or all; the commit is tried again until it succeeds, and the process dies anywhere in all that.
    [Fact]
    public void AFailingDiskLeavesTheLastCommit()
    {
        for (var seed = 0; seed < 3; seed++)
        {
            var (start, operations, states) = Record(seed, failures: 0.2);
            AssertEveryPrefix(start, operations, states, random: null);
            AssertEveryPrefix(start, operations, states, new Random(seed));
        }
    }

    [Fact]
    public void AFullDiskIsOneSentenceAndTheSessionGoesOn()
    {
        FaultyDisk? disk = null;
        using (var file = SessionFile.Create(SessionPath, Metadata, [4], overwrite: false, (path, stream) => disk = new FaultyDisk(path, stream)))
        {
            disk!.FailNext = true;
            file.Begin();
            file.AppendRows(0, [1, 2, 3, 4]);
            var failure = Assert.Throws<LociException>(() => file.Commit([1]));
            Assert.Equal($"Cannot write '{SessionPath}': the disk is full; free some space or choose another folder, then run again.", failure.Message);
            Assert.Equal((0L, 0L, 0), (file.Commits, file.RowCount(0), file.Online.Length));
            Assert.Throws<InvalidOperationException>(() => file.Commit([1]));
            file.Begin();
            file.AppendRows(0, [5, 6, 7, 8]);
            file.Commit([2]);
            disk.FailNext = true;
            file.Begin();
            Assert.Throws<LociException>(() => file.AppendRows(0, new byte[1 << 20])); // more than the buffer
            file.Rollback();
        }

        using var reopened = SessionFile.Open(SessionPath, writable: false);
        Assert.Equal((1L, 1L), (reopened.Commits, reopened.RowCount(0)));
        Assert.Equal([2], reopened.Online.ToArray());
    }

    [Fact]
    public unsafe void RowsLieWhereTheirAddressesSay()
    {
        using var file = SessionFile.Create(SessionPath, Metadata, [128, 4], overwrite: false);
        file.MapAppended();
        file.Begin();
        file.AppendRows(0, Filled(128, 1));
        file.AppendRows(0, Filled(256, 2));
        file.Commit([]);
        Assert.False(file.IsMapped(0, 0));
        Assert.Throws<InvalidOperationException>(() => file.AddressOf(0, 0));
        file.MapAppended();
        var first = file.AddressOf(0, 0, out var rows);
        Assert.Equal((0, 3L), (first % 64, rows));
        Assert.Equal(first + 256, file.AddressOf(0, 2, out rows));
        Assert.Equal(1, rows);

        file.Begin();
        file.Keep(0, 2);
        file.AppendRows(0, Filled(128, 3));
        file.Commit([]);
        Assert.True(file.IsMapped(0, 1));
        Assert.False(file.IsMapped(0, 2));
        file.MapAppended();
        Assert.Equal(first, file.AddressOf(0, 0, out rows));
        Assert.Equal(2, rows);
        Assert.Equal(2, *(byte*)(first + 128));
        Assert.Equal(2, *(byte*)(first + 256)); // cut off, and still there for whoever reads it
        Assert.Equal(3, *(byte*)file.AddressOf(0, 2));
    }

    [Fact]
    public void RollbackAndMistakesChangeNothing()
    {
        using var file = SessionFile.Create(SessionPath, Metadata, [4, 8], overwrite: false);
        file.Begin();
        file.AppendRows(0, new byte[8]);
        file.Commit([1]);
        Assert.Throws<InvalidOperationException>(() => file.AppendRows(0, new byte[4]));
        Assert.Throws<InvalidOperationException>(() => file.Keep(0, 0));
        file.Begin();
        Assert.Throws<InvalidOperationException>(file.Begin);
        Assert.Throws<InvalidOperationException>(file.Compact);
        Assert.Throws<ArgumentException>(() => file.AppendRows(1, new byte[12]));
        Assert.Throws<ArgumentOutOfRangeException>(() => file.Keep(0, 3));
        Assert.Throws<ArgumentOutOfRangeException>(() => file.Keep(0, -1));
        file.Keep(0, 1);
        file.AppendRows(1, new byte[8]);
        file.Rollback();
        Assert.Equal((1L, 2L, 0L), (file.Commits, file.RowCount(0), file.RowCount(1)));
        Assert.Throws<LociException>(() => file.CompactTo(SessionPath, overwrite: true));
        file.Begin();
        file.AppendRows(1, new byte[16]);
        file.Commit([2]);
        Assert.Equal((2L, 2L, 2L), (file.Commits, file.RowCount(0), file.RowCount(1)));
    }

    // Rows as logarithmic segments have them: few live ones, replaced all the time.
    [Fact]
    public void CompactionLeavesWhatLives()
    {
        using var file = SessionFile.Create(SessionPath, Metadata, [256], overwrite: false, Unflushed);
        for (var commit = 1; commit <= 200; commit++)
        {
            file.Begin();
            file.Keep(0, Math.Min(3, file.RowCount(0)));
            file.AppendRows(0, Filled(256, (byte)commit));
            file.Commit(Filled(commit, 1));
        }

        Assert.True(file.Length > 200 * 256);
        file.MapAppended();
        file.Compact();
        Assert.True(file.Length < 30_000);
        Assert.Equal((200L, 4L), (file.Commits, file.RowCount(0)));
        file.AddressOf(0, 0, out var rows);
        Assert.Equal(4, rows);
        Assert.Equal(Filled(200, 1), file.Online.ToArray());
        Assert.Throws<LociException>(() => SessionFile.Open(SessionPath, writable: false).Dispose()); // still locked
        Assert.Equal([SessionPath], Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public void TheFileGrowsWithItsRowsAndNotWithItsCommits()
    {
        using var file = SessionFile.Create(SessionPath, Metadata, [64], overwrite: false, Unflushed);
        for (var commit = 0; commit < 300; commit++)
        {
            file.Begin();
            file.Commit(Filled(50_000 + (commit * 10), 1));
        }

        Assert.True(file.Length < 300_000, $"{file.Length}");
    }

    [Fact]
    public void CommitsAllocateNothing()
    {
        using var file = SessionFile.Create(SessionPath, Metadata, [64, 4], overwrite: false);
        var data = Filled(640, 3);
        void Commit()
        {
            file.Begin();
            file.Keep(0, 0);
            file.AppendRows(0, data);
            file.Keep(1, 0);
            file.AppendRows(1, data);
            file.Commit(data);
        }

        Commit();
        Commit();
        Commit();
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 10; i++)
        {
            Commit();
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Fact]
    public void ReportsWhatItHasVerified()
    {
        using (var file = SessionFile.Create(SessionPath, Metadata, [1000], overwrite: false))
        {
            file.Begin();
            file.AppendRows(0, new byte[3_000_000]);
            file.Commit([]);
            file.Begin();
            file.Keep(0, 2000);
            file.Commit([]);
        }

        ProgressList progress = new();
        using var opened = SessionFile.Open(SessionPath, writable: false, verify: true, progress);
        Assert.Equal(opened.LiveBytes, progress.Values[^1]);
        Assert.Equal(progress.Values.Order(), progress.Values);
        Assert.True(progress.Values.Count > 2);
    }

    [Fact]
    public void OtherFilesAreRefusedInTheirOwnWords()
    {
        var missing = Assert.Throws<LociException>(() => SessionFile.Open(SessionPath, writable: true));
        Assert.Equal($"There is no file '{SessionPath}'; check the path.", missing.Message);
        Assert.Contains("is a folder", Assert.Throws<LociException>(() => SessionFile.Open(_folder.Path, writable: true)).Message, StringComparison.Ordinal);
        Assert.Contains("is a folder", Assert.Throws<LociException>(() => SessionFile.Create(_folder.Path, [], [1], overwrite: true)).Message, StringComparison.Ordinal);
        Assert.Contains("does not exist", Assert.Throws<LociException>(() => SessionFile.Create(_folder.File("no/a"), [], [1], overwrite: true)).Message, StringComparison.Ordinal);
        File.WriteAllBytes(SessionPath, []);
        AssertRefused("is empty");
        File.WriteAllText(SessionPath, "{}");
        AssertRefused("is not a session file");
        File.WriteAllText(SessionPath, new string('x', 100_000));
        AssertRefused("is not a session file");
        SmallFile();
        Overwrite(8, [2]);
        AssertRefused("has format 2, and this version of Loci reads format 1");
        Overwrite(8, [1]);
        Overwrite(15, [0x7F]);
        AssertRefused("its header gives impossible sizes");
        var taken = Assert.Throws<LociException>(() => SessionFile.Create(SessionPath, [], [1], overwrite: false));
        Assert.Equal($"There is already a file '{SessionPath}'; choose another name, or remove it first.", taken.Message);
    }

    [Fact]
    public void OneWriterOrSeveralReaders()
    {
        var states = SmallFile();
        var inUse = $"The session file '{SessionPath}' is in use by another process; wait until it ends, or name another file.";
        using (SessionFile.Open(SessionPath, writable: true))
        {
            AssertInUse(() => SessionFile.Open(SessionPath, writable: true));
            AssertInUse(() => SessionFile.Open(SessionPath, writable: false));
            AssertInUse(() => SessionFile.Create(SessionPath, [], [1], overwrite: true));
        }

        using (SessionFile.Open(SessionPath, writable: false))
        {
            AssertOpensAs(states[^1]);
            AssertInUse(() => SessionFile.Open(SessionPath, writable: true));
            AssertInUse(() => SessionFile.Create(SessionPath, [], [1], overwrite: true));
        }

        using (SessionFile.Create(SessionPath, [], [1], overwrite: true))
        {
            AssertInUse(() => SessionFile.Open(SessionPath, writable: false));
        }

        void AssertInUse(Func<SessionFile> open) => Assert.Equal(inUse, Assert.Throws<LociException>(() => open().Dispose()).Message);
    }

    [Fact]
    public void AnotherProcessIsToldThatTheFileIsInUse()
    {
        using var child = SessionFileChild.Start(SessionPath, "hold");
        Assert.Equal("ready", child.StandardOutput.ReadLine());
        AssertRefused("is in use by another process");
        Assert.Throws<LociException>(() => SessionFile.Open(SessionPath, writable: true).Dispose());
        child.Kill();
        child.WaitForExit();
        SessionFile.Open(SessionPath, writable: true).Dispose();
    }

    [Fact]
    public void AProcessKilledAtAnyMomentLeavesWholeCommits()
    {
        Random random = new(20260302);
        long last = 0;
        for (var round = 0; round < 6; round++)
        {
            using var child = SessionFileChild.Start(SessionPath, "commit");
            Assert.Equal("ready", child.StandardOutput.ReadLine());
            Thread.Sleep(random.Next(0, 60));
            child.Kill();
            child.WaitForExit();
            using var file = SessionFile.Open(SessionPath, writable: false);
            Assert.True(file.Commits > last);
            last = file.Commits;
            SessionFileChild.AssertHolds(file);
        }
    }

    private static SessionDisk Unflushed(string path, FileStream stream) => new FaultyDisk(path, stream);

    private static byte[] Filled(int length, byte value)
    {
        var bytes = new byte[length];
        bytes.AsSpan().Fill(value);
        return bytes;
    }

    /// <summary>Makes the file of a few commits; gives the session after each of them.</summary>
    private List<SessionState> SmallFile()
    {
        Random random = new(11);
        List<SessionState> states = [new(4, 64, 100)];
        using var file = SessionFile.Create(SessionPath, Metadata, [4, 64, 100], overwrite: true);
        for (var i = 0; i < 5; i++)
        {
            states.Add(states[^1].Copy());
            states[^1].Change(random, file);
            file.Commit(states[^1].Online);
        }

        return states;
    }

    private void AssertOpensAs(SessionState state, string what = "")
    {
        using var file = SessionFile.Open(SessionPath, writable: false);
        state.AssertIs(file, what);
    }

    private void AssertRefused(string reason)
    {
        var failure = Assert.Throws<LociException>(() => SessionFile.Open(SessionPath, writable: false).Dispose());
        Assert.Contains(reason, failure.Message, StringComparison.Ordinal);
        Assert.Contains(SessionPath, failure.Message, StringComparison.Ordinal);
    }

    private void Overwrite(long position, byte[] data)
    {
        using FileStream stream = new(SessionPath, FileMode.Open, FileAccess.Write);
        stream.Position = position;
        stream.Write(data);
    }

    /// <summary>Makes some commits and notes every operation on the disk, with the number of the commit that was last reported to have succeeded.</summary>
    private (byte[] Start, List<DiskOperation> Operations, List<SessionState> States) Record(int seed, double failures)
    {
        List<SessionState> states = [new(4, 64, 3000)];
        SessionFile.Create(SessionPath, Metadata, [4, 64, 3000], overwrite: true).Dispose();
        var start = File.ReadAllBytes(SessionPath);
        FaultyDisk? disk = null;
        Random random = new(seed);
        using var file = SessionFile.Open(SessionPath, writable: true, wrap: (path, stream) => disk = new FaultyDisk(path, stream) { Failures = failures });
        for (var i = 0; i < 6; i++)
        {
            // The same changes once more after each failure.
            for (var changes = random.Next(); ;)
            {
                var next = states[^1].Copy();
                try
                {
                    next.Change(new Random(changes), file, i < 3 ? 3000 : 9000);
                    file.Commit(next.Online);
                }
                catch (LociException)
                {
                    states[^1].AssertIs(file);
                    continue;
                }

                states.Add(next);
                disk!.Commits = file.Commits;
                next.AssertIs(file);
                break;
            }
        }

        return (start, disk!.Operations, states);
    }

    /// <summary>
    /// Replays operations and stops anywhere: what then opens must be the last commit that succeeded, or the next one, and must take another commit.
    /// </summary>
    /// <param name="start">The file before them.</param>
    /// <param name="operations">The operations.</param>
    /// <param name="states">The session after each commit.</param>
    /// <param name="random">Decides how much of each write since the last flush is lost; null where all of them arrive in order.</param>
    private void AssertEveryPrefix(byte[] start, List<DiskOperation> operations, List<SessionState> states, Random? random)
    {
        var path = _folder.File("replayed");
        List<DiskOperation> unflushed = [];
        var flushed = start;
        for (var count = 0; count <= operations.Count; count++)
        {
            var content = flushed;
            foreach (var operation in unflushed)
            {
                content = operation.ApplyTo(content, random is null ? 1 : Math.Clamp((random.NextDouble() * 2) - 0.5, 0, 1));
            }

            var least = count == 0 ? 0 : operations[count - 1].Commits;
            AssertWhole(content, least, $"after {count} operations");
            if (count == operations.Count)
            {
                break;
            }

            if (random is null)
            {
                AssertWhole(operations[count].ApplyTo(content, 0.5), operations[count].Commits, $"within operation {count}");
            }

            unflushed.Add(operations[count]);
            if (operations[count].IsFlush)
            {
                flushed = unflushed.Aggregate(flushed, (current, operation) => operation.ApplyTo(current, 1));
                unflushed.Clear();
            }
        }

        void AssertWhole(byte[] content, long least, string when)
        {
            File.WriteAllBytes(path, content);
            SessionState state;
            using (var file = SessionFile.Open(path, writable: true, wrap: Unflushed))
            {
                Assert.InRange(file.Commits, least, least + 1);
                state = states[(int)file.Commits].Copy();
                state.AssertIs(file, when);
                state.Change(new Random(1), file);
                file.Commit(state.Online);
            }

            using var again = SessionFile.Open(path, writable: false);
            state.AssertIs(again, when);
        }
    }

    private sealed class ProgressList : IProgress<long>
    {
        public List<long> Values { get; } = [];

        public void Report(long value) => Values.Add(value);
    }

    /// <summary>A write, an extension (without data) or a flush; and the last commit known to have succeeded when it began.</summary>
    private sealed record DiskOperation(long Position, byte[]? Data, bool IsFlush, long Commits)
    {
        /// <summary>The file after a part of this.</summary>
        public byte[] ApplyTo(byte[] content, double part)
        {
            if (IsFlush || part == 0)
            {
                return content;
            }

            var data = Data is null ? [] : Data.AsSpan(0, (int)Math.Ceiling(Data.Length * part));
            var result = new byte[Math.Max(content.Length, Position + data.Length)];
            content.CopyTo(result, 0);
            data.CopyTo(result.AsSpan((int)Position));
            return result;
        }
    }

    /// <summary>Notes every operation, and lets some fail as on a full disk, having done nothing, a part or all of it.</summary>
    private sealed class FaultyDisk(string path, FileStream stream) : SessionDisk(path, stream)
    {
        private readonly Random _random = new(7);

        public List<DiskOperation> Operations { get; } = [];

        /// <summary>The part of all operations that fail.</summary>
        public double Failures { get; init; }

        public bool FailNext { get; set; }

        public long Commits { get; set; }

        public override void Write(long position, ReadOnlySpan<byte> data)
        {
            var fails = Fails();
            var done = fails ? data[..(data.Length * _random.Next(3) / 2)] : data;
            Operations.Add(new DiskOperation(position, done.ToArray(), IsFlush: false, Commits));
            base.Write(position, done);
            Throw(fails);
        }

        public override void Extend(long length)
        {
            var fails = Fails();
            if (!fails)
            {
                Operations.Add(new DiskOperation(length, null, IsFlush: false, Commits));
                base.Extend(length);
            }

            Throw(fails);
        }

        public override void Flush()
        {
            // One that fails leaves open what has reached the disk. None reaches it in truth: that takes long, and nobody pulls the plug on a test.
            var fails = Fails();
            if (!fails)
            {
                Operations.Add(new DiskOperation(0, null, IsFlush: true, Commits));
            }

            Throw(fails);
        }

        private bool Fails()
        {
            var fails = FailNext || _random.NextDouble() < Failures;
            FailNext = false;
            return fails;
        }

        private static void Throw(bool fails)
        {
            if (fails)
            {
                throw new IOException("No space left on device", OperatingSystem.IsWindows() ? unchecked((int)0x80070070) : 28);
            }
        }
    }
}
