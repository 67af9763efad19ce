using FsCheck;
using FsCheck.Fluent;
using Loci.Data;
using Xunit;

namespace Loci.Tests.Data;

public sealed class PackingTests
{
    private const int EndOfText = 0;

    /// <summary>Corpora in which every token is another, so that each tells where it came from.</summary>
    private static readonly Arbitrary<(TokenizedCorpus Corpus, int Rows, int Length, ulong Seed)> Cases =
        Gen.Choose(0, 12).NonEmptyListOf().SelectMany(lengths => Gen.Choose(1, 5).SelectMany(rows => Gen.Choose(1, 9).SelectMany(length => Gen.Choose(0, 100)
            .Select(seed => (MakeCorpus([.. lengths]), rows, length, (ulong)seed))))).ToArbitrary();

    [Fact]
    public void Every_epoch_predicts_every_token_once_from_the_one_before_it() =>
        Prop.ForAll(Cases, parts =>
        {
            PackedSampler sampler = new(parts.Corpus, parts.Length, parts.Seed);
            TokenBatch batch = new(1, parts.Length);
            for (int epoch = 0; epoch < 3; epoch++)
            {
                List<(int, int)> predictions = [];
                for (int row = 0; row < sampler.RowsPerEpoch; row++)
                {
                    Assert.Equal(new PackedSamplerState(epoch, row), sampler.State);
                    sampler.Next(batch);
                    AssertWellFormed(batch, parts.Corpus, predictions);
                }

                Assert.Equal(sampler.PositionsPerEpoch, predictions.Count);
                Assert.Equal(ExpectedPredictions(parts.Corpus), predictions.Order());
            }
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void Batches_are_the_rows_in_turn_across_epochs() =>
        Prop.ForAll(Cases, parts =>
        {
            PackedSampler batches = new(parts.Corpus, parts.Length, parts.Seed);
            PackedSampler rows = new(parts.Corpus, parts.Length, parts.Seed);
            TokenBatch batch = new(parts.Rows, parts.Length);
            TokenBatch row = new(1, parts.Length);
            for (int step = 0; step < 5; step++)
            {
                batches.Next(batch);
                AssertWellFormed(batch, parts.Corpus, []);
                int predicted = 0;
                for (int i = 0; i < parts.Rows; i++)
                {
                    rows.Next(row);
                    Assert.Equal(row.Inputs, batch.Inputs.AsSpan(i * parts.Length, parts.Length));
                    Assert.Equal(row.Targets, batch.Targets.AsSpan(i * parts.Length, parts.Length));
                    Assert.Equal(row.SequenceStarts.ToArray(), batch.SequenceStarts.ToArray().Where(start => start / parts.Length == i).Select(start => start % parts.Length));
                    predicted += row.PredictedCount;
                }

                Assert.Equal(predicted, batch.PredictedCount);
            }
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void A_restored_sampler_gives_the_batches_that_would_have_come() =>
        Prop.ForAll(Cases, parts =>
        {
            PackedSampler sampler = new(parts.Corpus, parts.Length, parts.Seed);
            TokenBatch expected = new(parts.Rows, parts.Length);
            TokenBatch actual = new(parts.Rows, parts.Length);
            PackedSampler reused = new(parts.Corpus, parts.Length, parts.Seed);
            for (int step = 0; step < 6; step++)
            {
                PackedSamplerState state = sampler.State;
                sampler.Next(expected);
                foreach (PackedSampler restored in (PackedSampler[])[new(parts.Corpus, parts.Length, parts.Seed), reused])
                {
                    restored.State = state;
                    restored.Next(actual);
                    Assert.Equal(expected.Inputs, actual.Inputs);
                    Assert.Equal(expected.Targets, actual.Targets);
                    Assert.Equal(expected.SequenceStarts, actual.SequenceStarts);
                    Assert.Equal(sampler.State, restored.State);
                }

                // Elsewhere in between, to see that it does not matter.
                reused.State = new PackedSamplerState(17, 0);
                reused.Next(actual);
            }
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void Orders_differ_by_epoch_and_seed()
    {
        TokenizedCorpus corpus = MakeCorpus([.. Enumerable.Repeat(5, 50)]);
        PackedSampler first = new(corpus, 7, seed: 1);
        PackedSampler second = new(corpus, 7, seed: 2);
        TokenBatch a = new(first.RowsPerEpoch, 7);
        TokenBatch b = new(first.RowsPerEpoch, 7);
        TokenBatch c = new(first.RowsPerEpoch, 7);
        first.Next(a);
        first.Next(b);
        second.Next(c);
        Assert.NotEqual(a.Inputs, b.Inputs);
        Assert.NotEqual(a.Inputs, c.Inputs);
    }

    [Fact]
    public void Sampling_allocates_nothing_epoch_changes_included()
    {
        PackedSampler sampler = new(MakeCorpus([.. Enumerable.Range(1, 40)]), 16, seed: 3);
        TokenBatch batch = new(4, 16);
        EvaluationRows rows = new(MakeCorpus([.. Enumerable.Range(1, 40)]), 16);
        sampler.Next(batch);
        rows.Next(batch);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++)
        {
            sampler.Next(batch);
            if (!rows.Next(batch))
            {
                rows.Reset();
            }
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.True(sampler.State.Epoch > 2);
    }

    [Fact]
    public void States_of_other_samplers_and_batches_of_other_lengths_are_refused()
    {
        PackedSampler sampler = new(MakeCorpus([10]), 4, seed: 0);
        Assert.Equal(3, sampler.RowsPerEpoch);
        Assert.Throws<ArgumentException>(() => sampler.State = new PackedSamplerState(0, 3));
        Assert.Throws<ArgumentException>(() => sampler.State = new PackedSamplerState(-1, 0));
        Assert.Throws<ArgumentException>(() => sampler.Next(new TokenBatch(1, 5)));
        Assert.Throws<ArgumentException>(() => new EvaluationRows(MakeCorpus([10]), 4).Next(new TokenBatch(1, 5)));
    }

    [Fact]
    public void Evaluation_predicts_every_token_once_in_windows_from_document_starts() =>
        Prop.ForAll(Cases, parts =>
        {
            EvaluationRows rows = new(parts.Corpus, parts.Length);
            TokenBatch batch = new(parts.Rows, parts.Length);
            for (int round = 0; round < 2; round++)
            {
                List<(int, int)> predictions = [];
                while (rows.Next(batch))
                {
                    AssertWellFormed(batch, parts.Corpus, predictions, windows: true);
                }

                Assert.Equal(0, batch.PredictedCount);
                Assert.All(batch.Targets, target => Assert.Equal(TokenBatch.Ignored, target));
                Assert.Equal(rows.PredictedCount, predictions.Count);
                Assert.Equal(ExpectedPredictions(parts.Corpus), predictions.Order());
                rows.Reset();
            }
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void Short_documents_share_rows_of_an_evaluation()
    {
        EvaluationRows rows = new(MakeCorpus([2, 3, 9]), 8);
        TokenBatch batch = new(3, 8);
        Assert.True(rows.Next(batch));
        Assert.Equal([0, 3, 7, 8, 16, 18], batch.SequenceStarts.ToArray());
        Assert.Equal(17, batch.PredictedCount);
        Assert.False(rows.Next(batch));
    }

    private static TokenizedCorpus MakeCorpus(int[] lengths)
    {
        int next = 1;
        List<int[]> documents = [.. lengths.Select(length => Enumerable.Range(0, length).Select(_ => next++).ToArray())];
        return TokenizedCorpus.FromDocuments("tokens", documents, next, EndOfText);
    }

    /// <summary>What must be predicted from what, in each document.</summary>
    private static List<(int Input, int Target)> ExpectedPredictions(TokenizedCorpus corpus)
    {
        List<(int, int)> predictions = [];
        for (int i = 0; i < corpus.DocumentCount; i++)
        {
            int[] line = [EndOfText, .. corpus.GetDocument(i), EndOfText];
            predictions.AddRange(line.Zip(line.Skip(1)));
        }

        predictions.Sort();
        return predictions;
    }

    private static void AssertWellFormed(TokenBatch batch, TokenizedCorpus corpus, List<(int, int)> predictions, bool windows = false)
    {
        int[] starts = batch.SequenceStarts.ToArray();
        Assert.Equal(starts.Distinct().Order(), starts);
        Assert.Equal(Enumerable.Range(0, batch.Rows).Select(row => row * batch.Length), starts.Where(start => start % batch.Length == 0));
        int predicted = 0;
        for (int s = 0; s < starts.Length; s++)
        {
            int end = s + 1 < starts.Length ? starts[s + 1] : batch.Inputs.Length;
            for (int i = starts[s]; i < end; i++)
            {
                if (batch.Targets[i] == TokenBatch.Ignored)
                {
                    Assert.Equal(EndOfText, batch.Inputs[i]);
                    continue;
                }

                predicted++;
                predictions.Add((batch.Inputs[i], batch.Targets[i]));
                bool isInner = i > starts[s];
                Assert.True(!isInner || batch.Inputs[i] == batch.Targets[i - 1], "Inside a sequence the token predicted is the next one.");
                Assert.True(!isInner || batch.Inputs[i] != EndOfText, "A document begins a sequence.");
            }

            // In evaluation a window starts at a multiple of T of its document.
            int first = batch.Inputs[starts[s]];
            if (windows && first != EndOfText)
            {
                int document = Enumerable.Range(0, corpus.DocumentCount).Single(d => corpus.GetDocument(d).Contains(first));
                Assert.Equal(0, (corpus.GetDocument(document).IndexOf(first) + 1) % batch.Length);
            }
        }

        Assert.Equal(predicted, batch.PredictedCount);
    }
}
