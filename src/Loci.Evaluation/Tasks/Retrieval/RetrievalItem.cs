using Loci.Evaluation.Tasks.Metrics;

namespace Loci.Evaluation.Tasks.Retrieval;

/// <summary>How a document and what is asked of it are put together.</summary>
internal enum PromptForm
{
    /// <summary>The document as sentences, then the key and a colon.</summary>
    KeyValue,

    /// <summary>The document, a full stop, and the beginning of a sentence that the answer completes.</summary>
    Cloze,

    /// <summary>The document ends with the beginning of a sentence that the answer completes.</summary>
    Completion,

    /// <summary>The document, then <c>Question:</c> and <c>Answer:</c>.</summary>
    Question,

    /// <summary>No document: the question alone.</summary>
    Closed,
}

/// <summary>A right answer: what has to be in the model's answer.</summary>
/// <param name="Parts">The texts; usually one, several where a question asks for several things.</param>
internal sealed record GoldAnswer(params IReadOnlyList<string> Parts)
{
    /// <summary>The answer as one text.</summary>
    public string Text { get; } = string.Join(' ', Parts);

    /// <summary>Whether all of it occurs in what was written.</summary>
    public bool IsIn(string written) => Parts.All(part => AnswerMetrics.Contains(written, part));
}

/// <summary>A document and what is asked of it.</summary>
internal sealed record RetrievalItem
{
    /// <summary>How they are put together.</summary>
    public required PromptForm Form { get; init; }

    /// <summary>The document.</summary>
    public required string Document { get; init; }

    /// <summary>The key, question or beginning of a sentence; empty where the document ends with it.</summary>
    public required string Question { get; init; }

    /// <summary>What stands before a document that is given twice; null where it cannot be given twice.</summary>
    public string? Introduction { get; init; }

    /// <summary>The document without what is asked, where it ends with that.</summary>
    public string? Passage { get; init; }

    /// <summary>The right answers; the first one is that whose likelihood is measured.</summary>
    public required IReadOnlyList<GoldAnswer> Answers { get; init; }

    /// <summary>Texts of which the first one found in the document is what a part of it is taken around.</summary>
    public IReadOnlyList<string> Around { get; init; } = [];

    /// <summary>Whether white space around a document of keys and values is left out.</summary>
    public bool IsPage { get; init; }

    /// <summary>What results are taken apart by.</summary>
    public IReadOnlyList<(string Slice, string Value)> Slices { get; init; } = [];
}
