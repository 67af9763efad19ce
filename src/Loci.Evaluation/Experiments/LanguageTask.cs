using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Loci.Data;
using Loci.Evaluation;
using Loci.Models;
using Loci.Training;

namespace Loci.Evaluation.Experiments;

/// <summary>Language modelling on text: <c>"kind": "language"</c>.</summary>
public sealed record LanguageTask : ExperimentTask
{
    /// <inheritdoc/>
    public override string Kind => "language";

    /// <summary>The text to train on, as <see cref="Corpus.Open"/> takes it; null where the command line gives it.</summary>
    public string? Training { get; init; }

    /// <summary>Held-out text that chooses the learning rate; null where the command line gives it.</summary>
    public string? Validation { get; init; }

    /// <summary>Held-out text that is reported; null for none.</summary>
    public string? Test { get; init; }

    /// <summary>What divides the text into documents.</summary>
    public DocumentSeparator Separator { get; init; }

    /// <summary><c>bpe:N</c> learns N tokens from the training text, <c>byte</c> takes bytes; anything else is a <c>tokenizer.json</c>.</summary>
    public string Tokenizer { get; init; } = "bpe:4096";

    /// <summary>T, the tokens of a row in training and measuring.</summary>
    public int Context { get; init; } = 512;

    /// <summary>Validation tokens, from the beginning, of a point of a learning curve.</summary>
    public long CurveTokens { get; init; } = 65536;

    /// <summary>Tokens of the windows in which the test text is read, to see how the loss goes on beyond the length trained on; null for <see cref="Context"/>.</summary>
    public int? TestContext { get; init; }

    /// <summary>Test tokens, from the beginning, that are measured; null for all.</summary>
    public long? TestTokens { get; init; }

    internal override int RowLength => Context;

    /// <inheritdoc/>
    public override void Validate()
    {
        if (Context < 1 || CurveTokens < 1)
        {
            throw new LociException($"The language task has a context of {Context} tokens and learning curves of {CurveTokens} validation tokens: use at least 1 of each.");
        }

        if (TestContext < 1 || TestTokens < 1)
        {
            throw new LociException($"The language task has a testContext of {TestContext} and testTokens of {TestTokens}: use at least 1 of each, or leave them out.");
        }

        if (VocabularyToLearn is null && Tokenizer is null or "")
        {
            throw new LociException("The language task's tokenizer is empty: use bpe:N with a number of tokens, byte or a tokenizer.json.");
        }

        if (VocabularyToLearn is < 257 or > 1 << 24)
        {
            throw new LociException($"The language task's tokenizer '{Tokenizer}' is not one that can be learned: use bpe:N with N from 257 to {1 << 24}.");
        }
    }

    /// <summary>How many tokens are to be learned from the training text; null where the tokenizer is not learned.</summary>
    /// <remarks>0 where what follows <c>bpe:</c> is no number.</remarks>
    public int? VocabularyToLearn => VocabularyIn(Tokenizer);

    /// <summary>N of <c>bpe:N</c>, 0 where that is no number; null for another tokenizer.</summary>
    internal static int? VocabularyIn(string? tokenizer) => tokenizer is not null && tokenizer.StartsWith("bpe:", StringComparison.Ordinal)
        ? int.TryParse(tokenizer.AsSpan(4), NumberStyles.None, CultureInfo.InvariantCulture, out var size) ? size : 0
        : null;

    /// <summary>Makes the task ready to be trained and measured.</summary>
    /// <param name="tokenizer">What encoded the texts.</param>
    /// <param name="training">The text to train on.</param>
    /// <param name="validation">Held-out text that chooses.</param>
    /// <param name="test">Held-out text that is reported, or null.</param>
    /// <exception cref="LociException">The settings do not fit together.</exception>
    public IPreparedTask Prepare(Tokenizer tokenizer, TokenizedCorpus training, TokenizedCorpus validation, TokenizedCorpus? test)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        ArgumentNullException.ThrowIfNull(training);
        ArgumentNullException.ThrowIfNull(validation);
        Validate();
        return new Prepared(this, tokenizer, training, validation, test);
    }

    /// <summary>Without the paths: the same text may lie elsewhere, and the fingerprint tells it from another.</summary>
    internal override JsonObject ToJson()
    {
        var json = JsonSerializer.SerializeToNode(this with { Training = null, Validation = null, Test = null }, ExperimentJson.Default.LanguageTask)!.AsObject();
        foreach (var name in (ReadOnlySpan<string>)["testContext", "testTokens"])
        {
            if (json[name] is null)
            {
                json.Remove(name); // as in results from before there were such settings
            }
        }

        return json;
    }

    private sealed class Prepared(LanguageTask task, Tokenizer tokenizer, TokenizedCorpus training, TokenizedCorpus validation, TokenizedCorpus? test) : IPreparedTask
    {
        private const int EvaluationRows = 4;
        private const ulong SamplerStream = 1; // as in a trainer that is given a corpus

        public int VocabularySize => tokenizer.VocabularySize;

        public Tokenizer? Tokenizer => tokenizer;

        public string Fingerprint { get; } = string.Join('-', new[] { training, validation, test }
            .Select(corpus => corpus is null ? "none" : corpus.ComputeFingerprint().ToString("x16", CultureInfo.InvariantCulture)));

        public IReadOnlyList<ExperimentMetric> Metrics { get; } =
        [
            new("loss", "loss", "nats per token", false, 4), new("bits_per_byte", "bits per byte", "", false, 4), new("word_perplexity", "word perplexity", "", false, 2),
        ];

        public bool HasTest => test is not null;

        public IReadOnlyList<string> Describe() =>
        [
            Invariant($"Language modelling: {training.TokenCount:#,0} tokens of training text ({training.ByteCount:#,0} bytes) in a vocabulary of {VocabularySize:#,0}, read in rows of {task.Context:#,0} tokens. Held-out text is read in windows of {task.Context:#,0} tokens with an empty memory at the start of each; every token is predicted once."),
            Invariant($"The validation text ({validation.TokenCount:#,0} tokens) chooses the learning rate{(test is null ? " and is what is reported, for there is no test text" : Invariant($"; what is reported is the test text ({Math.Min(task.TestTokens ?? long.MaxValue, test.TokenCount):#,0} tokens{(task.TestContext is { } window ? Invariant($", read in windows of {window:#,0}") : "")})"))}. Word perplexity counts one end of line per line as a word, as is usual for WikiText."),
        ];

        public ITrainingBatches CreateBatches(ulong seed) => new PackedSampler(training, task.Context, RandomGenerator.Hash(seed, SamplerStream));

        public ExperimentMeasurement Measure(LanguageModel model, ExperimentSet set, CancellationToken cancellationToken)
        {
            var options = set == ExperimentSet.Test
                ? new PerplexityOptions { Context = task.TestContext ?? task.Context, BatchRows = task.TestContext > task.Context ? 1 : EvaluationRows, MaximumTokens = task.TestTokens }
                : new PerplexityOptions { Context = task.Context, BatchRows = EvaluationRows, MaximumTokens = set == ExperimentSet.Curve ? task.CurveTokens : null };
            var result = Perplexity.Measure(model, set == ExperimentSet.Test ? test ?? validation : validation, options, tokenizer, null, cancellationToken);
            Dictionary<string, double> values = new() { ["loss"] = result.Loss };
            if (result.BitsPerByte is { } bits)
            {
                values["bits_per_byte"] = bits;
            }

            if (result.WordPerplexity is { } words)
            {
                values["word_perplexity"] = words;
            }

            return new ExperimentMeasurement(values, [
                new ExperimentBreakdown(
                    "Loss by position", "position in the window (tokens)", "nats per token",
                    [.. result.Positions.Select(position => new ExperimentPoint(position.From, position.To, position.Tokens, position.Loss))]),
            ]);
        }

        private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
    }
}
