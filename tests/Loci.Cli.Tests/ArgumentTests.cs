using System.CommandLine;
using Loci.Cli.Terminal;
using Xunit;

namespace Loci.Cli.Tests;

/// <summary>An argument is the text that was typed, for every option and argument of every command that there is.</summary>
public sealed class ArgumentTests
{
    private static readonly string[] Texts =
    [
        "@alice wrote:", "@king of", "@", "@@", "@/etc/hosts", "-", "--", "-5", "-5 degrees", "--5", "- x", "-- x", "--tokens", "--help", "-h", "-?", "/h", "/?", "--nothing", "-hello", "-x",
        "a=b:c", "=", ":", "=x", "--a=b", "--help=x", "[suggest]", "train", "loci", "true", "false", "a,b", " x ", "\"", "'", "\n", "$HOME", "ключ",
    ];

    private static List<(string[] Path, Command Command)> Commands { get; } = [.. Walk([], CommandLine.CreateRoot())];

    public static TheoryData<string> Paths => [.. Commands.Where(one => one.Command.Action is not null && one.Path.Length > 0).Select(one => string.Join(' ', one.Path))];

    [Theory]
    [MemberData(nameof(Paths))]
    public void EveryOptionTakesWhatIsBehindIt(string path)
    {
        var options = Find(path).Options.Where(option => option.Arity.MinimumNumberOfValues > 0).ToList();
        foreach (var name in options.Select(option => option.Name))
        {
            foreach (var text in Texts)
            {
                Assert.Equal([text], ValuesOf(path, name, name, text));
                Assert.Equal([text], ValuesOf(path, name, $"{name}={text}"));
                Assert.Equal([text], ValuesOf(path, name, $"{name}:{text}"));
            }

            Assert.Equal([""], ValuesOf(path, name, name, ""));
            Assert.Equal([""], ValuesOf(path, name, $"{name}="));
        }
    }

    [Theory]
    [MemberData(nameof(Paths))]
    public void EveryArgumentIsTheTextItself(string path)
    {
        var names = Find(path).Options.SelectMany(option => option.Aliases.Append(option.Name)).Concat(["-h", "-?", "--help", "--help=x"]).ToList();
        foreach (var argument in Find(path).Arguments)
        {
            foreach (var text in Texts)
            {
                Assert.Equal([text], ArgumentsOf(path, argument.Name, "--", text));
                if (text == "--" || names.Contains(text))
                {
                    continue;
                }

                if (text is "--tokens" or "--nothing" or "-hello" or "-x" or "--a=b")
                {
                    var failure = Assert.Throws<UsageException>(() => ArgumentsOf(path, argument.Name, text));
                    Assert.StartsWith($"There is no option '{text.Split('=')[0]}' here; ", failure.Message, StringComparison.Ordinal);
                }
                else
                {
                    Assert.Equal([text], ArgumentsOf(path, argument.Name, text));
                }
            }
        }
    }

    [Theory]
    [MemberData(nameof(Paths))]
    public void FlagsTakeNothing(string path)
    {
        foreach (var flag in Find(path).Options.OfType<Option<bool>>())
        {
            foreach (var argument in Find(path).Arguments)
            {
                Assert.Equal(["true"], ArgumentsOf(path, argument.Name, flag.Name, "true"));
            }

            var failure = Assert.Throws<UsageException>(() => ValuesOf(path, flag.Name, flag.Name + "=false"));
            Assert.StartsWith($"{flag.Name} takes no value: ", failure.Message, StringComparison.Ordinal);
            Assert.True(CommandLine.Parse(CommandLine.CreateRoot(), [.. path.Split(' '), flag.Name]).GetValue<bool>(flag.Name));
        }
    }

    [Fact]
    public void AllCommandsAreWalked()
    {
        Assert.True(Commands.Count >= 18, $"{Commands.Count} commands");
        Assert.True(Commands.Sum(one => one.Command.Options.Count(option => option.Arity.MinimumNumberOfValues > 0)) > 100);
        Assert.Contains(Commands, one => one.Command.Arguments.Count > 0);
    }

    [Fact]
    public void GroupsNameAllOfTheirCommands()
    {
        foreach (var (path, group) in Commands.Where(one => one.Command.Subcommands.Count > 0 && one.Path.Length > 0))
        {
            var failure = Assert.Throws<UsageException>(() => CommandLine.Run(path));
            Assert.Contains(string.Join(", ", group.Subcommands.Select(command => command.Name)), failure.Message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("ask --model x --memory y --x", "There is no option '--x' here; put -- before text that begins so. See loci ask --help.")]
    [InlineData("ask --model x --memory y -- q r", "There is no argument 'r' here. See loci ask --help.")]
    [InlineData("ask --modle x --memory y q", "There is no option '--modle' here; did you mean --model? See loci ask --help.")]
    [InlineData("read a --modle=x", "There is no option '--modle' here; did you mean --model?")]
    [InlineData("train --data --out run", "--data takes what is behind it, '--out', for its value, so that 'run' is left over: give it a value. See loci train --help.")]
    [InlineData("generate --model=", "--model must not be empty.")]
    [InlineData("train --steps=", "--steps takes a whole number of at least 1, not ''")]
    [InlineData("train --steps @5", "--steps takes a whole number of at least 1, not '@5'")]
    [InlineData("eval @mqar --model x", "There is no task '@mqar'; did you mean mqar?")]
    public void WhatCannotBeMeantIsSaid(string line, string sentence)
    {
        var failure = Assert.Throws<UsageException>(() => CommandLine.Run(line.Split(' ')));
        Assert.StartsWith(sentence, failure.Message, StringComparison.Ordinal);
    }

    private static IReadOnlyList<string> ValuesOf(string path, string option, params string[] arguments)
    {
        var result = CommandLine.Parse(CommandLine.CreateRoot(), [.. path.Split(' '), .. arguments]);
        Assert.Empty(result.UnmatchedTokens);
        return [.. result.GetResult(option)!.Tokens.Select(token => token.Value)];
    }

    private static IReadOnlyList<string> ArgumentsOf(string path, string argument, params string[] arguments)
    {
        var result = CommandLine.Parse(CommandLine.CreateRoot(), [.. path.Split(' '), .. arguments]);
        Assert.Empty(result.UnmatchedTokens);
        return [.. result.GetResult(argument)!.Tokens.Select(token => token.Value)];
    }

    private static Command Find(string path) => Commands.Find(one => string.Join(' ', one.Path) == path).Command;

    private static IEnumerable<(string[] Path, Command Command)> Walk(string[] path, Command command) =>
        command.Subcommands.SelectMany(one => Walk([.. path, one.Name], one)).Prepend((path, command));
}
