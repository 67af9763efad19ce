using System.CommandLine;
using Loci.Formats;
using Loci.Sessions;
using Xunit;

namespace Loci.Cli.Tests.Terminal;

/// <summary>Standard streams that are full or closed, with real processes and real descriptors.</summary>
public sealed class StreamTests(TrainedModel trained, TinyModels models)
    : IClassFixture<TrainedModel>, IClassFixture<TinyModels>, IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>Every command there is, also those to come: its help is output like any other.</summary>
    public static TheoryData<string> Commands => [.. Leaves(CommandLine.CreateRoot(), []).Select(words => string.Join(' ', words))];

    [Theory]
    [MemberData(nameof(Commands))]
    public void OutputThatCannotBeWrittenFailsEveryCommand(string command)
    {
        RequireDescriptors();
        var result = Cli.RunInShell(">/dev/full", [.. command.Split(' ', StringSplitOptions.RemoveEmptyEntries), "--help"]);
        Assert.Equal(1, result.ExitCode);
        Assert.StartsWith("error: Standard output cannot be written: No space left on device", result.Error, StringComparison.Ordinal);
        Assert.Single(result.Error.TrimEnd().Split('\n'));
    }

    [Theory]
    [InlineData("generate", "--model", "{run}", "--tokens", "3", "--prompt", "x")]
    [InlineData("eval", "perplexity", "--model", "{run}", "--data", "{text}")]
    [InlineData("eval", "perplexity", "--model", "{run}", "--data", "{text}", "--json")]
    [InlineData("eval", "mqar", "--model", "{run}", "--samples", "1", "--lengths", "64")]
    [InlineData("inspect", "--model", "{run}", "--text", "{text}", "--json")]
    [InlineData("read", "{text}", "--model", "{run}", "--into", "{new}")]
    [InlineData("info", "--model", "{run}")]
    [InlineData("eval", "list")]
    public void ResultsThatCannotBeWrittenAreAFailure(params string[] arguments)
    {
        RequireDescriptors();
        string[] filled = [.. arguments.Select(argument => argument switch
        {
            "{run}" => trained.Folder,
            "{text}" => trained.TextPath,
            "{new}" => _folder.In("x.memory"),
            _ => argument,
        })];
        foreach (var (redirection, part) in new[] { (">/dev/full", "No space left on device"), (">&-", "Standard output is closed") })
        {
            var result = Cli.RunInShell(redirection, filled);
            Assert.Equal(1, result.ExitCode);
            Assert.Single(result.Error.Split('\n'), line => line.StartsWith("error: ", StringComparison.Ordinal));
            Assert.Contains(part, result.Error, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void AnswersThatCannotBeWrittenAreKeptAllTheSame()
    {
        RequireDescriptors();
        var memory = _folder.In("x.memory");
        Assert.Equal(0, Cli.Run("read", models.TextPath, "--model", models.Gated, "--into", memory).ExitCode);
        var before = Position(memory);
        var asked = Cli.RunInShell(">/dev/full", "ask", "--memory", memory, "--model", models.Gated, "--tokens", "3", "--keep", "why");
        Assert.Equal(1, asked.ExitCode);
        Assert.True(Position(memory) >= before + 3);
        using var chat = Cli.StartInShell("", ">/dev/full", "chat", "--memory", memory, "--model", models.Gated, "--tokens", "3");
        before = Position(memory);
        chat.StandardInput.Write("and then?\nmore\n");
        chat.StandardInput.Close();
        var result = Cli.Finish(chat);
        Assert.Equal(1, result.ExitCode);
        Assert.Contains("No space left on device", result.Error, StringComparison.Ordinal);
        Assert.True(Position(memory) >= before + 10);
    }

    [Fact]
    public void ClosedPipeEndsTheWriting()
    {
        RequireDescriptors();
        string[] arguments = ["generate", "--model", models.Plain, "--prompt", "0123456789ABCDEF", "--temperature", "0", "--tokens"];
        Assert.StartsWith("1,000 tokens, ", Cli.Run([.. arguments, "1000"]).Error, StringComparison.Ordinal); // it does not end by itself
        var generate = Cli.RunInShell("| head -c 10", [.. arguments, "400000000"]);
        Assert.Equal(("0123456789", ""), (generate.Output, generate.Error));
    }

    [Theory]
    [InlineData("2>/dev/full")]
    [InlineData("2>&-")]
    [InlineData("<&- >&- 2>&-")]
    public void DisplayThatCannotBeWrittenIsNotWorthARun(string redirection)
    {
        RequireDescriptors();
        string[] arguments = [.. TrainedModel.TrainArguments(trained.TextPath, _folder.In("run")), "--eval-every", "10"];
        var result = Cli.RunInShell(redirection, arguments);
        Assert.Equal((0, "", ""), (result.ExitCode, result.Output, result.Error));
        foreach (var name in new[] { "model.safetensors", "config.json", "tokenizer.json" })
        {
            Assert.Equal(File.ReadAllBytes(Path.Combine(trained.Folder, name)), File.ReadAllBytes(_folder.In("run/" + name)));
        }

        var metrics = _folder.In("run/metrics.jsonl");
        var message = Assert.Single(MetricsLog.Read(metrics), record => record.Kind == MetricsKind.Message);
        Assert.Contains("Standard error could not be written", message.Text, StringComparison.Ordinal);
        Assert.DoesNotContain(MetricsLog.Read(Path.Combine(trained.Folder, "metrics.jsonl")), record => record.Kind == MetricsKind.Message);
        Assert.Equal(0, Cli.Run("train", "--resume", _folder.In("run"), "--steps", "40").ExitCode);
        Assert.Contains(MetricsLog.Read(metrics), record => record is { Kind: MetricsKind.Message, Step: 1 });
    }

    [Theory]
    [InlineData("2>/dev/full")]
    [InlineData("2>&-")]
    public void ErrorsThatCannotBeWrittenKeepTheirCodes(string redirection)
    {
        RequireDescriptors();
        Assert.Equal(2, Cli.RunInShell(redirection, "train", "--stpes", "3").ExitCode);
        Assert.Equal(1, Cli.RunInShell(redirection, "info", "--model", _folder.In("none")).ExitCode);
        var generated = Cli.RunInShell(redirection, "generate", "--model", models.Plain, "--prompt", "x", "--tokens", "5");
        Assert.Equal(0, generated.ExitCode);
        Assert.StartsWith("x", generated.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void ClosedInputIsItsEndOrASentence()
    {
        RequireDescriptors();
        Assert.Equal(0, Cli.RunInShell("<&-", "chat", "--model", models.Plain).ExitCode);
        Assert.Equal(0, Cli.RunInShell("<&-", "generate", "--model", models.Plain, "--tokens", "3").ExitCode);
        var memory = _folder.In("x.memory");
        Assert.Equal(0, Cli.Run("read", models.TextPath, "--model", models.Gated, "--into", memory).ExitCode);
        foreach (var arguments in SignalTests.Waiting(models.Gated, memory, _folder.In("new.memory")))
        {
            var result = Cli.RunInShell("<&-", arguments);
            Assert.Equal(1, result.ExitCode);
            Assert.Equal("error: Standard input is closed: send the text through a pipe, or give it in the command.\n", result.Error);
        }
    }

    /// <summary>What only the outermost frame may do, so that no command goes past it.</summary>
    [Fact]
    public void NoCommandGoesPastTheDoor()
    {
        string[] forbidden =
        [
            "OpenStandard", "PosixSignalRegistration", "CancelKeyPress", "Environment.Exit", "Environment.FailFast", "Console.Set",
        ];
        var source = Path.Combine(Root(), "src");
        var inside = Path.Combine(source, "Loci.Cli", "Terminal");
        var files = Directory.GetFiles(source, "*.cs", SearchOption.AllDirectories)
            .Where(file => !file.StartsWith(inside, StringComparison.Ordinal) && !file.Split(Path.DirectorySeparatorChar).Contains("obj"))
            .ToList();
        Assert.True(files.Count > 200);
        Assert.Empty(from file in files let text = File.ReadAllText(file) from word in forbidden where text.Contains(word) select (file, word));
        var program = File.ReadAllLines(Path.Combine(source, "Loci.Cli", "Program.cs"));
        Assert.Equal("return Door.Open(() => CommandLine.Run(args));", program[^1]);
    }

    private static string Root()
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "Loci.slnx")))
        {
            folder = Path.GetDirectoryName(folder)!;
        }

        return folder;
    }

    private int Position(string memory)
    {
        using var device = new Numerics.CpuDevice(1);
        using var model = Models.LanguageModel.Load(models.Gated, device);
        using var session = Session.Open(model, memory, new SessionOpenOptions { IsReadOnly = true });
        return session.Position;
    }

    private static void RequireDescriptors() => Assert.SkipWhen(!OperatingSystem.IsLinux(), "/dev/full is there on Linux.");

    private static IEnumerable<string[]> Leaves(Command command, string[] words) =>
        command.Subcommands.Count == 0 ? [words] : [words, .. command.Subcommands.SelectMany(child => Leaves(child, [.. words, child.Name]))];
}
