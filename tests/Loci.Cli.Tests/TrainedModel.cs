using Xunit;

namespace Loci.Cli.Tests;

/// <summary>A tiny model that <c>loci train</c> made, and the text it was trained on, shared by the tests that only read it.</summary>
public sealed class TrainedModel : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public TrainedModel()
    {
        File.WriteAllText(TextPath, Text);
        Training = Cli.Run([.. TrainArguments(TextPath, Folder), "--eval-every", "10"]);
    }

    internal CliResult Training { get; }

    public string Folder => _folder.In("run");

    public string TextPath => _folder.In("text.txt");

    public static string Text { get; } = string.Join("\n\n", Enumerable.Range(0, 40).Select(i => $"Paragraph {i} says that {i} and {i + 1} make {(2 * i) + 1}, as everybody knows."));

    public static string[] TrainArguments(string text, string folder) =>
    [
        "train", "--data", text, "--validation-fraction", "0.1", "--separator", "blank-line", "--tokenizer", "byte", "--out", folder, "--size", "tiny", "--dimension", "32", "--layers", "1",
        "--aggregation", "grm", "--segment-length", "64", "--context", "32", "--batch", "2", "--dropout", "0.1", "--steps", "30", "--threads", "1", "--seed", "1",
    ];

    public void Dispose() => _folder.Dispose();
}
