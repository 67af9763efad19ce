using System.Text.RegularExpressions;
using Loci.Data;

namespace Loci.Evaluation.Tasks.Retrieval;

/// <summary>
/// Prompts of the completion form (Arora et al., 2024, arXiv 2402.18668 and 2407.05483), as github.com/HazyResearch/prefix-linear-attention makes them, and the part of a document that is given.
/// </summary>
internal static partial class RetrievalPrompt
{
    /// <summary>Tokens that are left for the answer in a given length.</summary>
    public const int AnswerTokens = 50;

    /// <summary>The part of a document around what is looked for: half the tokens before where it begins and half from there on; the last ones where it is not found.</summary>
    /// <param name="tokenizer">Counts.</param>
    /// <param name="document">The document.</param>
    /// <param name="around">What is looked for; the one found first counts, and none is the beginning.</param>
    /// <param name="context">The tokens of the part and of the answer.</param>
    public static string Cut(Tokenizer tokenizer, string document, IReadOnlyList<string> around, int context)
    {
        document = document.Trim();
        var length = context - AnswerTokens;
        var tokens = tokenizer.Encode(document);
        if (tokens.Length <= length / 2)
        {
            return document;
        }

        var found = around.Select(text => document.IndexOf(text, StringComparison.OrdinalIgnoreCase)).Where(place => place >= 0).DefaultIfEmpty(around.Count == 0 ? 0 : document.Length - 1).Min();
        var place = tokenizer.Encode(document.AsSpan(0, found)).Length;
        var start = Math.Max(0, place - (length / 2));
        var end = Math.Min(tokens.Length, start + length);
        return tokenizer.Decode(tokens.AsSpan(Math.Min(start, end)..end));
    }

    /// <summary>The prompt.</summary>
    /// <param name="item">The document and what is asked.</param>
    /// <param name="twice">Whether the document is given twice, and what is asked before it as well.</param>
    public static string Make(RetrievalItem item, bool twice) => item.Form switch
    {
        PromptForm.KeyValue => KeyValue(item, twice),
        PromptForm.Cloze => Cloze(item, twice),
        PromptForm.Completion => (twice ? $"{item.Introduction} {item.Passage}\n" : "") + item.Document.Trim(),
        PromptForm.Question => Question(item, twice),
        _ => item.Question,
    };

    private static string KeyValue(RetrievalItem item, bool twice)
    {
        var key = char.ToUpperInvariant(item.Question[0]) + item.Question[1..];
        var document = WithoutEnd(item.Document, item.Question + ":");
        document = (item.IsPage ? document.Trim() : document.Trim('\n')).Trim('.');
        document = document.EndsWith('.') ? document : document + ".";
        return (twice ? $"Information about {key}. {document}\n" : "") + $"{document} {key}:";
    }

    private static string Cloze(RetrievalItem item, bool twice)
    {
        var question = item.Question.Trim();
        var document = WithoutEnd(Marks().Replace(item.Document.Trim(), ""), question).Trim().Trim('.');
        return (twice ? $"{item.Introduction?.Trim(':')} {document.Trim()}.\n{document.Trim()}." : document + ".") + " " + question;
    }

    private static string Question(RetrievalItem item, bool twice)
    {
        var document = Marks().Replace(item.Document.Trim(), "");
        return (twice ? $"{item.Introduction} {document}\n" : "") + $"{document}\nQuestion: {item.Question.Trim()}\nAnswer:";
    }

    /// <summary>Without what is asked where the document already ends with it.</summary>
    private static string WithoutEnd(string document, string end)
    {
        while (end.Length > 0 && document.EndsWith(end, StringComparison.OrdinalIgnoreCase))
        {
            document = document[..^end.Length];
        }

        return document;
    }

    /// <summary>Marks of paragraphs, documents and titles in passages of TriviaQA.</summary>
    [GeneratedRegex(@"\[PAR\]|\[DOC\]|\[TLE\]")]
    private static partial Regex Marks();
}
