using System.Text;
using Loci.Data;
using Loci.Models;
using Loci.Sessions;

namespace Loci.Cli.Demo;

/// <summary>Text that a model writes.</summary>
internal static class DemoSample
{
    /// <summary>Lets a model write, and shows the text as it comes.</summary>
    /// <param name="model">The model.</param>
    /// <param name="tokenizer">Its tokenizer.</param>
    /// <param name="prompt">What it goes on from; shown first.</param>
    /// <param name="count">Tokens to write at most.</param>
    /// <param name="seed">Decides the choices.</param>
    /// <param name="output">Where to show it.</param>
    /// <returns>The text, prompt included.</returns>
    public static string Write(LanguageModel model, Tokenizer tokenizer, string prompt, int count, ulong seed, TextWriter output)
    {
        var sampler = new Sampler(new SamplerOptions { Temperature = Temperature, TopP = TopP, Seed = seed });
        var text = new StringBuilder();
        using var session = model.CreateSession();
        Show(prompt);
        session.Read([tokenizer.EndOfTextId, .. tokenizer.Encode(prompt)]);
        var written = new TextGenerator(session, tokenizer, sampler).Begin(new GenerationOptions { MaximumTokens = count });
        while (written.MoveNext())
        {
            Show(written.Text);
        }

        output.WriteLine();
        return text.ToString();

        void Show(ReadOnlySpan<char> piece)
        {
            text.Append(piece);
            output.Write(piece);
            output.Flush();
        }
    }

    // Those of loci generate, so that it writes the same with the same seed.
    private const float Temperature = 0.8f;
    private const float TopP = 0.95f;
}
