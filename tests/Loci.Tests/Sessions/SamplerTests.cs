using FsCheck;
using FsCheck.Fluent;
using Loci.Sessions;
using Xunit;

namespace Loci.Tests.Sessions;

public sealed class SamplerTests
{
    // Probabilities 0.4, 0.05, 0.25, 0.1, 0.2.
    private static readonly float[] Logits = [.. new[] { 0.4, 0.05, 0.25, 0.1, 0.2 }.Select(probability => (float)(Math.Log(probability) + 3))];

    [Theory]
    [InlineData(1.0f)]
    [InlineData(0.5f)]
    [InlineData(2.0f)]
    public void DrawsFromTheDistribution(float temperature)
    {
        var weights = new[] { 0.4, 0.05, 0.25, 0.1, 0.2 }.Select(probability => Math.Pow(probability, 1 / temperature)).ToArray();
        AssertDistribution(new SamplerOptions { Temperature = temperature, Seed = 3 }, weights);
    }

    [Fact]
    public void TopKDrawsFromTheLikeliest() => AssertDistribution(new SamplerOptions { TopK = 3, Seed = 4 }, [0.4, 0, 0.25, 0, 0.2]);

    [Fact]
    public void TopPDrawsFromTheNucleus() => AssertDistribution(new SamplerOptions { TopP = 0.8f, Seed = 5 }, [0.4, 0, 0.25, 0, 0.2]);

    // After top-k the probabilities are 0.4 / 0.85, 0.25 / 0.85 and 0.2 / 0.85, of which the first two make up 0.76.
    [Fact]
    public void TopPFollowsTopK() => AssertDistribution(new SamplerOptions { TopK = 3, TopP = 0.75f, Seed = 6 }, [0.4, 0, 0.25, 0, 0]);

    [Fact]
    public void ZeroTemperatureTakesTheFirstOfTheLikeliest()
    {
        var sampler = new Sampler(new SamplerOptions { Temperature = 0 });
        Assert.Equal(1, sampler.Next([-3, 7, 2, 7]));
        Assert.Equal(0, sampler.Next([-5]));
        Assert.Equal(0, sampler.Next([-0f, 0f]));
    }

    // Every token of the exact set comes up and no other, against sets made by sorting.
    [Fact]
    public void SetsAreExact() => Prop.ForAll(
        Gen.Choose(-40, 40).ArrayOf().Where(values => values.Length is > 1 and < 40).ToArbitrary(),
        Gen.Choose(0, 12).ToArbitrary(),
        Gen.Elements(0.05f, 0.3f, 0.7f, 0.95f, 1f).ToArbitrary(),
        (values, k, p) =>
        {
            var logits = values.Select(value => value / 16f).ToArray(); // coarse, so that ties are common
            var order = Enumerable.Range(0, logits.Length).OrderByDescending(id => logits[id]).ThenBy(id => id).Take(k == 0 ? logits.Length : k).ToList();
            var total = order.Sum(id => Math.Exp(logits[id]));
            List<int> expected = [];
            for (double sum = 0; expected.Count < order.Count && sum < p * total * (1 - 1e-6); sum += Math.Exp(logits[expected[^1]]))
            {
                expected.Add(order[expected.Count]);
            }

            var sampler = new Sampler(new SamplerOptions { TopK = k, TopP = p, Seed = (ulong)values.Sum(value => value + 40) });
            HashSet<int> seen = [];
            for (var i = 0; i < 30 * logits.Length * 6; i++)
            {
                seen.Add(sampler.Next(logits));
            }

            // Rounding may decide whether the last token is needed when the sum is all but p.
            return seen.IsSubsetOf(expected.Append(expected.Count < order.Count ? order[expected.Count] : order[^1])) && expected.Where(id => Math.Exp(logits[id]) / total > 0.01).All(seen.Contains)
                && (k == 0 || seen.All(id => order.Contains(id)));
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(60));

    [Theory]
    [InlineData(0, 0.9f)]
    [InlineData(50, 1f)]
    [InlineData(50, 0.9f)]
    public void LargeVocabularyGivesTheSetOfASort(int k, float p)
    {
        var random = new Random(7);
        var logits = new float[20_000];
        for (var i = 0; i < logits.Length; i++)
        {
            logits[i] = (float)(random.NextDouble() * 12);
        }

        var order = Enumerable.Range(0, logits.Length).OrderByDescending(id => logits[id]).ToArray().AsSpan(0, k == 0 ? logits.Length : k).ToArray();
        var total = order.Sum(id => Math.Exp(logits[id]));
        double sum = 0;
        var allowed = order.TakeWhile(id =>
        {
            var before = sum;
            sum += Math.Exp(logits[id]);
            return before < (p + 1e-6) * total;
        }).ToHashSet();
        var sampler = new Sampler(new SamplerOptions { TopK = k, TopP = p, Seed = 1 });
        for (var i = 0; i < 300; i++)
        {
            Assert.Contains(sampler.Next(logits), allowed);
        }
    }

    [Fact]
    public void SeedAndStateDecide()
    {
        var first = new Sampler(new SamplerOptions { Seed = 11 });
        var second = new Sampler(new SamplerOptions { Seed = 11 });
        Assert.Equal(Draws(first), Draws(second));
        var state = first.State;
        var expected = Draws(first);
        first.State = state;
        Assert.Equal(expected, Draws(first));
        Assert.NotEqual(Draws(new Sampler(new SamplerOptions { Seed = 12 })), Draws(new Sampler(new SamplerOptions { Seed = 11 })));

        static int[] Draws(Sampler sampler) => [.. Enumerable.Range(0, 40).Select(_ => sampler.Next(Logits))];
    }

    [Theory]
    [InlineData(1f, 0, 1f)]
    [InlineData(0.8f, 40, 0.9f)]
    [InlineData(0.8f, 0, 0.9f)]
    [InlineData(0f, 0, 1f)]
    public void TokenAllocatesNothing(float temperature, int k, float p)
    {
        var sampler = new Sampler(new SamplerOptions { Temperature = temperature, TopK = k, TopP = p });
        var logits = Enumerable.Range(0, 1000).Select(i => MathF.Sin(i) * 4).ToArray();
        sampler.Next(logits);
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 100; i++)
        {
            sampler.Next(logits);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    public void LogitsThatAreNotFiniteAreRefused(float value)
    {
        foreach (var temperature in new[] { 0f, 1f })
        {
            var sampler = new Sampler(new SamplerOptions { Temperature = temperature });
            Assert.Throws<LociException>(() => sampler.Next([1, value, 2]));
        }
    }

    [Fact]
    public void OptionsOutOfRangeAreRefused()
    {
        Assert.Throws<LociException>(() => new Sampler(new SamplerOptions { Temperature = -1 }));
        Assert.Throws<LociException>(() => new Sampler(new SamplerOptions { Temperature = float.NaN }));
        Assert.Throws<LociException>(() => new Sampler(new SamplerOptions { TopK = -1 }));
        Assert.Throws<LociException>(() => new Sampler(new SamplerOptions { TopP = 0 }));
        Assert.Throws<LociException>(() => new Sampler(new SamplerOptions { TopP = 1.5f }));
    }

    // Each count lies within five standard deviations of its expectation, and what may not come does not.
    private static void AssertDistribution(SamplerOptions options, double[] weights)
    {
        const int Draws = 50_000;
        var sampler = new Sampler(options);
        var counts = new int[weights.Length];
        for (var i = 0; i < Draws; i++)
        {
            counts[sampler.Next(Logits)]++;
        }

        for (var id = 0; id < weights.Length; id++)
        {
            var probability = weights[id] / weights.Sum();
            Assert.InRange(counts[id] - (Draws * probability), -5 * Math.Sqrt(Draws * probability * (1 - probability)), 5 * Math.Sqrt(Draws * probability * (1 - probability)));
        }
    }
}
