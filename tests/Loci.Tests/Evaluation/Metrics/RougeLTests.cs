using Loci.Evaluation.Tasks.Metrics;
using Xunit;

namespace Loci.Tests.Evaluation.Metrics;

public sealed class RougeLTests
{
    private const int Digits = 7; // the package adds 1e-8 to a divisor

    // The example of the package: w1 w2 and w1 w3 w5 are the common subsequences, together 4 words of the 5 of the reference and of the 8 different ones of the summary: 2 * 4/5 * 4/8 / (4/5 + 4/8).
    [Fact]
    public void UnitesTheSubsequencesOfSentences() => Assert.Equal(0.8 / 1.3, RougeL.Score("w1 w2 w6 w7 w8. w1 w3 w8 w9 w5", "w1 w2 w3 w4 w5"), Digits);

    [Theory]
    [InlineData("the cat", "the cat sat", 0.8)] // 2 of 2 and 2 of 3
    [InlineData("sat cat the", "the cat sat", 1.0 / 3)] // of another order only one word is common: 1 of 3 and 1 of 3
    [InlineData("the the the", "the", 1)] // words are counted once
    [InlineData("The cat", "the cat", 0.5)] // case counts: 1 of 2 and 1 of 2
    [InlineData("cat  sat\nthere", "cat sat there", 1)]
    [InlineData("", "the cat", 0)]
    [InlineData("...", "the cat", 0)]
    [InlineData("dog", "cat", 0)]
    public void IsTheFMeasureOfDifferentWords(string written, string reference, double expected) => Assert.Equal(expected, RougeL.Score(written, reference), Digits);

    // A full stop ends a sentence even without a space: "a" and "b" of the summary each meet the reference.
    [Fact]
    public void SubsequencesDoNotCrossSentences() => Assert.Equal(1, RougeL.Score("b. a", "a b"), Digits);
}
