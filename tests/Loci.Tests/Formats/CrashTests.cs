using System.Diagnostics;
using System.Globalization;
using Loci.Formats;
using Xunit;

namespace Loci.Tests.Formats;

public sealed class CrashTests
{
    [Fact]
    public void AProcessKilledAtAnyMomentLeavesOneWholeVersion()
    {
        using TemporaryFolder folder = new();
        string path = folder.File("model.safetensors");
        Random random = new(20260301);
        for (int round = 0; round < 8; round++)
        {
            using Process child = CrashChild.Start(path);
            Assert.Equal("saved", child.StandardOutput.ReadLine());
            Thread.Sleep(random.Next(0, 60));
            child.Kill();
            child.WaitForExit();

            using (SafetensorsFile file = SafetensorsFile.Open(path))
            {
                int version = int.Parse(file.Metadata["version"], CultureInfo.InvariantCulture);
                float[] values = new float[CrashChild.Elements(version)];
                file.ReadFloat("values", [values.Length], values);
                Assert.All(values, value => Assert.Equal(version, value));
            }

            // The log opens after the kill and every line it kept is whole.
            Assert.All(MetricsLog.Read(path + ".jsonl"), record => Assert.Equal(1.0 / record.Step, record.Loss));
            Assert.True(Leftovers(folder.Path).Length <= 1, "each start cleans up after the one before");
        }

        AtomicFile.WriteAllText(path, "x");
        Assert.Empty(Leftovers(folder.Path));
    }

    private static string[] Leftovers(string folder) => Directory.GetFiles(folder, ".model.safetensors.tmp-*");
}
