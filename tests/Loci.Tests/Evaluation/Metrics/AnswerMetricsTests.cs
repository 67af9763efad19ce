using Loci.Evaluation.Tasks.Metrics;
using Xunit;

namespace Loci.Tests.Evaluation.Metrics;

public sealed class AnswerMetricsTests
{
    [Theory]
    [InlineData("The  Cat, a dog & an owl!", "cat dog owl")]
    [InlineData("anthem", "anthem")] // an article is a whole word
    [InlineData("$1,000.50", "100050")]
    [InlineData("The", "")]
    [InlineData("14 December\t1972", "14 december 1972")]
    public void NormalizesAsSquadDoes(string text, string expected) => Assert.Equal(expected, AnswerMetrics.Normalize(text));

    // "cat sat on mat" against "cat on mat": 3 of 4 and 3 of 3, 2 * 3/4 / (7/4) = 6/7.
    [Theory]
    [InlineData("the cat sat on the mat", "a cat on a mat", 6.0 / 7)]
    [InlineData("dog dog", "dog", 2.0 / 3)] // the second dog has no partner: 1 of 2 and 1 of 1
    [InlineData("Saint Bernadette Soubirous.", "saint bernadette soubirous", 1)]
    [InlineData("cat", "dog", 0)]
    [InlineData("", "dog", 0)]
    [InlineData("the", "the", 0)] // nothing is left of either
    public void F1CountsSharedWords(string written, string answer, double expected) => Assert.Equal(expected, AnswerMetrics.F1(written, answer), 12);

    [Theory]
    [InlineData("The 308.", "308", 1)]
    [InlineData("308 points", "308", 0)]
    public void ExactMatchIsOfTheNormalizedText(string written, string answer, double expected) => Assert.Equal(expected, AnswerMetrics.ExactMatch(written, answer));

    [Theory]
    [InlineData(" it was JOHN Smith, then", "John smith", true)]
    [InlineData(" John  Smith", "John Smith", false)] // white space is not made the same
    [InlineData(" a (b) c", "(B)", true)] // nothing in an answer is a pattern
    [InlineData("", "x", false)]
    public void ContainsIgnoresCaseOnly(string written, string answer, bool expected) => Assert.Equal(expected, AnswerMetrics.Contains(written, answer));
}
