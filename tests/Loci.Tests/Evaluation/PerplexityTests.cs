using Loci.Data;
using Loci.Evaluation;
using Loci.Models;
using Loci.Numerics;
using Loci.Tests.Training;
using Loci.Training;
using Xunit;
using static Loci.Tests.Training.TrainingFixture;

namespace Loci.Tests.Evaluation;

public sealed class PerplexityTests : IDisposable
{
    private readonly CpuDevice _device = new(1);
    private readonly LanguageModel _model;

    public PerplexityTests() => _model = Model(_device);

    public void Dispose()
    {
        _model.Dispose();
        _device.Dispose();
    }

    // Every document on its own, every window on its own, in double precision from the logits.
    [Fact]
    public void IsTheLossOfEveryTokenOnce()
    {
        const int Context = 16;
        double nats = 0;
        var byPosition = new double[Context];
        var counts = new long[Context];
        for (var document = 0; document < Text.DocumentCount; document++)
        {
            int[] sequence = [256, .. Text.GetDocument(document), 256];
            for (var from = 0; from + 1 < sequence.Length; from += Context)
            {
                var count = Math.Min(Context, sequence.Length - 1 - from);
                using var tape = new Tape(_device) { IsRecording = false };
                var inputs = _device.Allocate<int>(count);
                _device.CopyFromHost<int>(sequence.AsSpan(from, count), inputs);
                var logits = tape.ToHost(_model.Logits(tape, inputs, new SequenceLayout(1, count)));
                _device.Free(inputs);
                for (var i = 0; i < count; i++)
                {
                    var row = logits.AsSpan(i * 257, 257).ToArray();
                    var loss = Math.Log(row.Sum(logit => Math.Exp(logit))) - row[sequence[from + i + 1]];
                    nats += loss;
                    byPosition[i] += loss;
                    counts[i]++;
                }
            }
        }

        var result = Measure(new PerplexityOptions { Context = Context, BatchRows = 3, Positions = PositionScale.Linear });

        Assert.Equal(Text.TokenCount + Text.DocumentCount, result.Tokens);
        Assert.Equal(nats / result.Tokens, result.Loss, 1e-5);
        Assert.Equal(Math.Exp(nats / result.Tokens), result.TokenPerplexity, 1e-2);
        Assert.Equal(nats / Math.Log(2) / Texts.Sum(text => text.Length), result.BitsPerByte!.Value, 1e-5);
        var words = Texts.Sum(text => text.Split(' ').Length) + Texts.Length; // one line each
        Assert.Equal(Math.Log(result.WordPerplexity!.Value), nats / words, 1e-4);
        Assert.Equal(Context, result.Positions.Count);
        for (var i = 0; i < Context; i++)
        {
            Assert.Equal((i, i, counts[i]), (result.Positions[i].From, result.Positions[i].To, result.Positions[i].Tokens));
            Assert.Equal(byPosition[i] / counts[i], result.Positions[i].Loss, 1e-5);
        }
    }

    [Fact]
    public void UniformModelCostsTheLogarithmOfTheVocabulary()
    {
        _model.Parameters.Single(parameter => parameter.Name == "head.weight").Load(new float[257 * 16]);
        var result = Measure(new PerplexityOptions { Context = 20 });
        Assert.Equal(Math.Log(257), result.Loss, 1e-5);
        Assert.All(result.Positions, position => Assert.Equal(Math.Log(257), position.Loss, 1e-5));
    }

    [Fact]
    public void BatchDoesNotChangeTheResult()
    {
        var expected = Measure(new PerplexityOptions { Context = 30, BatchRows = 1 });
        foreach (var rows in new[] { 2, 3, 7, 100 })
        {
            var actual = Measure(new PerplexityOptions { Context = 30, BatchRows = rows });
            Assert.Equal(expected.Tokens, actual.Tokens);
            Assert.Equal(expected.Loss, actual.Loss, 1e-9);
        }
    }

    [Fact]
    public void SessionsMeasureTheSame()
    {
        var options = new PerplexityOptions { Context = 24, BatchRows = 3 };
        PerplexityResult expected = Measure(options), actual = Measure(options with { Session = new() });
        Assert.Equal(expected.Tokens, actual.Tokens);
        Assert.Equal(expected.Loss, actual.Loss, 1e-5);
        Assert.Equal(expected.Positions.Count, actual.Positions.Count);
        foreach (var (one, other) in expected.Positions.Zip(actual.Positions))
        {
            Assert.Equal((one.From, one.To, one.Tokens), (other.From, other.To, other.Tokens));
            Assert.Equal(one.Loss, other.Loss, 1e-4);
            Assert.Equal(one.BitsPerByte!.Value, other.BitsPerByte!.Value, 1e-4);
        }
    }

    [Fact]
    public void BucketsDoubleAndCoverAllPositions()
    {
        var result = Measure(new PerplexityOptions { Context = 50 });
        Assert.Equal([(0, 0), (1, 1), (2, 3), (4, 7), (8, 15), (16, 31), (32, 49)], result.Positions.Select(position => (position.From, position.To)));
        Assert.Equal(result.Tokens, result.Positions.Sum(position => position.Tokens));
        Assert.Equal(result.Nats, result.Positions.Sum(position => position.Loss * position.Tokens), 1e-6);
        Assert.Equal(result.Bytes * result.BitsPerByte!.Value, result.Nats / Math.Log(2), 1e-6);
    }

    [Fact]
    public void PartOfATextHasNoWordPerplexity()
    {
        var result = Measure(new PerplexityOptions { Context = 20, BatchRows = 1, MaximumTokens = 50 });
        Assert.InRange(result.Tokens, 50, 69);
        Assert.Null(result.WordPerplexity);
        Assert.NotNull(result.BitsPerByte);
    }

    [Fact]
    public void WithoutATokenizerThereAreNoBytes() =>
        Assert.Null(Perplexity.Measure(_model, Text, new PerplexityOptions { Context = 20 }, cancellationToken: TestContext.Current.CancellationToken).BitsPerByte);

    [Fact]
    public void StopsWhenAsked()
    {
        using var source = new CancellationTokenSource();
        source.Cancel();
        Assert.Throws<OperationCanceledException>(() => Perplexity.Measure(_model, Text, new PerplexityOptions(), cancellationToken: source.Token));
    }

    [Fact]
    public void ContextOutOfRangeIsRefused()
    {
        Assert.Throws<LociException>(() => Measure(new PerplexityOptions { Context = 0 }));
        Assert.Throws<LociException>(() => Measure(new PerplexityOptions { Context = 1 << 20, BatchRows = 1 << 10 }));
    }

    private PerplexityResult Measure(PerplexityOptions options) => Perplexity.Measure(_model, Text, options, Bytes, cancellationToken: TestContext.Current.CancellationToken);
}
