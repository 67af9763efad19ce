using System.CommandLine;
using System.CommandLine.Parsing;
using System.Security.Cryptography;
using Loci.Cli.Terminal;
using Loci.Sessions;

namespace Loci.Cli.Commands;

/// <summary>The options of all commands that let a model write.</summary>
internal sealed class WritingOptions
{
    private readonly Option<int?> _tokens = Options.Whole("--tokens", "Tokens to write at most (default 200).", 1, int.MaxValue);
    private readonly Option<double?> _temperature = Options.Number("--temperature", "Below 1 keeps to the likely, above 1 strays; 0 always takes the likeliest token (default 0.8).", 0, 100);
    private readonly Option<int?> _topK = Options.Whole("--top-k", "Choose from so many of the likeliest tokens; 0 = all (default 0).", 0);
    private readonly Option<double?> _topP = Options.Number("--top-p", "Choose from the likeliest tokens that make up this probability; 1 = all (default 0.95).", 0, 1, true);
    private readonly Option<ulong?> _seed = Options.Whole("--seed", "Decides the choices: the same seed writes the same text (default another one each time).", 0UL);

    private readonly Option<string[]?> _stop = new("--stop")
    {
        Description = "Ends the text where this one begins. May be given several times.",
        HelpName = "TEXT",
        Validators = { result => RequireText(result) },
    };

    private readonly Option<bool> _raw = Options.Flag("--raw", "Shows control characters of what the model writes as they are, also on a terminal, which obeys them.");

    /// <summary>All of the options.</summary>
    public IReadOnlyList<Option> All => [_tokens, _stop, _temperature, _topK, _topP, _seed, _raw];

    /// <summary>Decides how a terminal shows what the model writes.</summary>
    public void Apply(ParseResult result)
    {
        if (result.GetValue(_raw))
        {
            Visible.ShowRaw();
        }
    }

    /// <summary>When the text ends.</summary>
    public GenerationOptions Ends(ParseResult result) => new()
    {
        MaximumTokens = result.GetValue(_tokens) ?? 200,
        StopTexts = result.GetValue(_stop) ?? [],
    };

    /// <summary>What chooses them.</summary>
    public Sampler Sampler(ParseResult result) => new(new SamplerOptions
    {
        Temperature = (float)(result.GetValue(_temperature) ?? 0.8),
        TopK = result.GetValue(_topK) ?? 0,
        TopP = (float)(result.GetValue(_topP) ?? 0.95),
        Seed = result.GetValue(_seed) ?? BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(sizeof(ulong))),
    });

    private static void RequireText(OptionResult result)
    {
        if (result.Tokens.Any(token => token.Value.Length == 0))
        {
            result.AddError("--stop takes a text of at least one character.");
        }
    }
}
