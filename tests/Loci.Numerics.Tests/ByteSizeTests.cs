using Xunit;

namespace Loci.Numerics.Tests;

public sealed class ByteSizeTests
{
    [Theory]
    [InlineData(0, "0 B")]
    [InlineData(640, "640 B")]
    [InlineData(1023, "1,023 B")]
    [InlineData(1024, "1.00 KiB")]
    [InlineData(10_000, "9.77 KiB")]
    [InlineData(10 * 1024, "10.0 KiB")]
    [InlineData((100 * 1024) - 1, "100 KiB")]
    [InlineData((1024 * 1024) - 1, "1.00 MiB")]
    [InlineData(35_756_441, "34.1 MiB")]
    [InlineData(1L << 40, "1.00 TiB")]
    [InlineData(long.MaxValue, "8,192 PiB")]
    public void SizesHaveTheUnitThatShowsThem(long bytes, string text) => Assert.Equal(text, ByteSize.Format(bytes));

    [Fact]
    public void TwoSizesCanBeToldApart()
    {
        Assert.Equal(("10,241 B", "10,240 B"), (ByteSize.Format(10_241, 10_240), ByteSize.Format(10_240, 10_241)));
        Assert.Equal(("12.0 KiB", "10.0 KiB"), (ByteSize.Format(12_288, 10_240), ByteSize.Format(10_240, 12_288)));
        Assert.Equal("10.0 KiB", ByteSize.Format(10_240, 10_240));
    }
}
