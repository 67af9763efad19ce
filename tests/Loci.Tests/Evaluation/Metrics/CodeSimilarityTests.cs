using Loci.Evaluation.Tasks.Metrics;
using Xunit;

namespace Loci.Tests.Evaluation.Metrics;

public sealed class CodeSimilarityTests
{
    // The examples of fuzzywuzzy's readme and of difflib's documentation. 14 characters of 14 and 15: 28/29. "uzzy was a bear", then "uzzy " before it: 20 of 22 and 22. "bcd" of 4 and 4.
    // "private" and " Thread currentThread;": 29 of 29 and 38.
    [Theory]
    [InlineData("this is a test", "this is a test!", 97)]
    [InlineData("fuzzy wuzzy was a bear", "wuzzy fuzzy was a bear", 91)]
    [InlineData("abcd", "bcde", 75)]
    [InlineData("private Thread currentThread;", "private volatile Thread currentThread;", 87)]
    [InlineData("same", "same", 100)]
    [InlineData("", "", 100)]
    [InlineData("", "x", 0)]
    public void RatioIsThatOfThePackage(string a, string b, int expected) => Assert.Equal(expected, CodeSimilarity.Ratio(a, b));

    // The longest block of "tide" and "diet" is one character, and the first one in the first text begins: "t" leaves nothing on either side that fits; "d" leaves "ie" before "e".
    [Theory]
    [InlineData("tide", "diet", 25)]
    [InlineData("diet", "tide", 50)]
    public void TheFirstOfEqualBlocksIsTaken(string a, string b, int expected) => Assert.Equal(expected, CodeSimilarity.Ratio(a, b));

    // difflib's tests: from 200 characters on, one that makes up more than a hundredth begins no block.
    [Theory]
    [InlineData(200, 0)]
    [InlineData(100, 100)] // 200/201 in whole percent
    public void PopularCharactersBeginNoBlockInLongTexts(int count, int expected) => Assert.Equal(expected, CodeSimilarity.Ratio(new string('b', count), "a" + new string('b', count)));

    [Theory]
    [InlineData("\n\n# why\nx = 1\ny = 2", "x = 1")]
    [InlineData("```python\nrun()\n```", "run()")]
    [InlineData("// no\nint x; // yes?\nreturn;", "return;")]
    [InlineData("# only", "")]
    public void TheFirstLineOfCodeCounts(string written, string expected) => Assert.Equal(expected, CodeSimilarity.FirstLine(written));

    [Fact]
    public void ScoreIsAPartOfOne() => Assert.Equal(0.75, CodeSimilarity.Score("# c\nabcd\nmore", "bcde"));
}
