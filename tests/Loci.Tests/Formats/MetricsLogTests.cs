using System.Text.Json;
using Loci.Formats;
using Xunit;

namespace Loci.Tests.Formats;

public sealed class MetricsLogTests
{
    private static MetricsRecord Step(long step) => new(MetricsKind.Step, step) { Tokens = step * 1000, Loss = 1.0 / (step + 3) };

    private static string WriteSteps(TemporaryFolder folder, int count)
    {
        string path = folder.File("metrics.jsonl");
        using MetricsLog log = MetricsLog.Create(path);
        for (int step = 1; step <= count; step++)
        {
            log.Append(Step(step));
        }

        return path;
    }

    [Fact]
    public void EveryFieldReadsBackToTheSameBits()
    {
        using TemporaryFolder folder = new();
        MetricsRecord[] records =
        [
            new(MetricsKind.Step, 1)
            {
                Time = new DateTimeOffset(2026, 3, 1, 1, 2, 3, TimeSpan.Zero), Tokens = 4096, Loss = 3.2100000381469727, LearningRate = 1e-3,
                GradientNorm = double.PositiveInfinity, TokensPerSecond = 4512.3456789,
            },
            new(MetricsKind.SkippedStep, 2) { Time = DateTimeOffset.UnixEpoch, Loss = double.NaN, Text = "the gradient is \"not\" finite\n" },
            new(MetricsKind.Evaluation, 2)
            {
                Time = DateTimeOffset.UnixEpoch, Name = "validation",
                Values = new Dictionary<string, double> { ["bits_per_byte"] = 2.125, ["loss"] = double.NegativeInfinity },
            },
            new(MetricsKind.Saved, 2) { Time = DateTimeOffset.UnixEpoch }, new(MetricsKind.Resumed, 2) { Time = DateTimeOffset.UnixEpoch },
            new(MetricsKind.Message, 2) { Time = DateTimeOffset.UnixEpoch, Text = "é" },
        ];
        using (MetricsLog log = MetricsLog.Create(folder.File("m.jsonl")))
        {
            foreach (MetricsRecord record in records)
            {
                log.Append(record);
            }

            // Readable while it is open, and every line is JSON to anyone.
            IReadOnlyList<MetricsRecord> read = MetricsLog.Read(folder.File("m.jsonl"));
            Assert.Equal(records.Select(record => record with { Values = null }), read.Select(record => record with { Values = null }));
            Assert.Equal(records[2].Values, read[2].Values);
        }

        string[] lines = File.ReadAllLines(folder.File("m.jsonl"));
        Assert.Equal(records.Length, lines.Length);
        Assert.All(lines, line => JsonDocument.Parse(line).Dispose());
        Assert.Equal(
            """{"kind":"step","time":"2026-03-01T01:02:03Z","step":1,"tokens":4096,"loss":3.2100000381469727,"learning_rate":0.001,"gradient_norm":"Infinity","tokens_per_second":4512.3456789}""",
            lines[0]);
    }

    [Theory]
    [InlineData(0, 0)]
    [InlineData(4, 4)]
    [InlineData(10, 10)]
    [InlineData(99, 10)]
    public void ResumingCutsTheLinesPastTheStep(long resumed, int kept)
    {
        using TemporaryFolder folder = new();
        string path = WriteSteps(folder, 10);
        using (MetricsLog log = MetricsLog.Resume(path, resumed))
        {
            log.Append(Step(resumed + 1));
        }

        Assert.Equal([.. Enumerable.Range(1, kept).Select(step => (long)step), resumed + 1], MetricsLog.Read(path).Select(record => record.Step));
    }

    [Fact]
    public void ATornLastLineIsDroppedWhereverItIsTorn()
    {
        using TemporaryFolder folder = new();
        string path = WriteSteps(folder, 3);
        byte[] whole = File.ReadAllBytes(path);
        int[] ends = [.. whole.Index().Where(pair => pair.Item == '\n').Select(pair => pair.Index + 1)];
        for (int length = 0; length < whole.Length; length++)
        {
            File.WriteAllBytes(path, whole[..length]);
            int complete = ends.Count(end => end <= length);
            Assert.Equal(complete, MetricsLog.Read(path).Count);
            MetricsLog.Resume(path, long.MaxValue).Dispose();
            Assert.Equal(complete == 0 ? 0 : ends[complete - 1], new FileInfo(path).Length);
        }

        // A power failure can leave zeros instead.
        File.WriteAllBytes(path, [.. whole, .. new byte[100], (byte)'\n']);
        Assert.Equal(3, MetricsLog.Read(path).Count);
    }

    [Theory]
    [InlineData("hello")]
    [InlineData("hello\n")]
    [InlineData("{\"kind\":\"step\",\"step\":1}\nnonsense\n{\"kind\":\"step\",\"step\":2}\n")]
    [InlineData("{\"kind\":\"step\",\"step\":1}\nnonsense\nnonsense\n")]
    public void SomeOtherFileIsRefusedAndNotTouched(string content)
    {
        using TemporaryFolder folder = new();
        File.WriteAllText(folder.File("m"), content);
        Assert.Contains("is not a line of a metrics log", Assert.Throws<LociException>(() => MetricsLog.Read(folder.File("m"))).Message, StringComparison.Ordinal);
        Assert.Throws<LociException>(() => MetricsLog.Resume(folder.File("m"), 5));
        Assert.Equal(content, File.ReadAllText(folder.File("m")));
    }

    [Fact]
    public void DamagedLogsNeverThrowAnythingElse()
    {
        using TemporaryFolder folder = new();
        string path = WriteSteps(folder, 5);
        byte[] good = File.ReadAllBytes(path);
        Random random = new(3);
        for (int round = 0; round < 1500; round++)
        {
            byte[] bad = [.. good];
            for (int change = random.Next(1, 4); change > 0; change--)
            {
                bad[random.Next(bad.Length)] = random.Next(2) == 0 ? (byte)random.Next(256) : "{}[]\",:0-e\n\\"u8[random.Next(12)];
            }

            File.WriteAllBytes(path, bad);
            try
            {
                Assert.InRange(MetricsLog.Read(path).Count, 0, 6);
            }
            catch (LociException)
            {
            }
        }
    }

    [Fact]
    public void LinesOfALaterVersionAreUnderstood()
    {
        using TemporaryFolder folder = new();
        File.WriteAllText(folder.File("m"), "{\"kind\":\"step\",\"step\":1,\"new\":{\"a\":[1]},\"loss\":2}\n");
        Assert.Equal(2.0, Assert.Single(MetricsLog.Read(folder.File("m"))).Loss);
    }

    [Fact]
    public void AppendingAStepAllocatesNothing()
    {
        using TemporaryFolder folder = new();
        using MetricsLog log = MetricsLog.Create(folder.File("m"));
        log.Append(Step(1));
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 500; i++)
        {
            log.Append(Step(i));
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Fact]
    public void MissingFilesAndFoldersAreSentences()
    {
        using TemporaryFolder folder = new();
        Assert.Contains("There is no file", Assert.Throws<LociException>(() => MetricsLog.Read(folder.File("no"))).Message, StringComparison.Ordinal);
        Assert.Contains("does not exist", Assert.Throws<LociException>(() => MetricsLog.Create(folder.File("no/m"))).Message, StringComparison.Ordinal);
    }
}
