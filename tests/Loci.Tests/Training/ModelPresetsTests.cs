using Loci.Memory;
using Loci.Models;
using Loci.Numerics;
using Xunit;

namespace Loci.Tests.Training;

public sealed class ModelPresetsTests
{
    [Fact]
    public void EightMillionIsTheDocumentedModel()
    {
        var size = ModelPresets.FindSize("8M", 8192);
        Assert.Equal(new ModelSize(256, 4, 4), size);
        var configuration = ModelPresets.Create(size, 8192, new MixerConfiguration());
        Assert.False(configuration.TiedEmbeddings);
        using var device = new CpuDevice(1);
        using var model = new LanguageModel(configuration, device);
        Assert.InRange(model.ParameterCount, 7_500_000, 8_500_000);
        Assert.InRange(size.EstimateParameters(8192) / (double)model.ParameterCount, 0.97, 1.0);
    }

    [Theory]
    [InlineData("51.3K", 257)] // the smallest that there is
    [InlineData("500K", 257)]
    [InlineData("3M", 8192)]
    [InlineData("12M", 8192)]
    [InlineData("12500000", 8192)]
    [InlineData("45m", 8192)]
    [InlineData("0.35B", 32000)]
    [InlineData("1B", 32000)]
    public void NumberGivesAModelOfThatSize(string text, int vocabulary)
    {
        var wanted = double.Parse(text.TrimEnd('K', 'M', 'm', 'B'), System.Globalization.CultureInfo.InvariantCulture)
            * (text[^1] switch { 'K' => 1e3, 'M' or 'm' => 1e6, 'B' => 1e9, _ => 1 });
        var size = ModelPresets.FindSize(text, vocabulary);
        Assert.InRange(size.EstimateParameters(vocabulary) / wanted, 0.65, 1.5);
        Assert.Equal(0, size.Dimension % size.Heads);
    }

    [Theory]
    [InlineData("huge")]
    [InlineData("-8M")]
    [InlineData("M")]
    [InlineData("0")]
    [InlineData("1e400B")]
    public void NonsenseIsRefusedWithTheNames(string text) =>
        Assert.Contains("tiny", Assert.Throws<LociException>(() => ModelPresets.FindSize(text, 257)).Message, StringComparison.Ordinal);

    [Fact]
    public void SizeThatTheEmbeddingsExceedIsRefused() =>
        Assert.Contains("embeddings", Assert.Throws<LociException>(() => ModelPresets.FindSize("100K", 50257)).Message, StringComparison.Ordinal);

    [Fact]
    public void EveryNameIsAValidModel()
    {
        foreach (var name in ModelPresets.SizeNames)
        {
            _ = ModelPresets.Create(ModelPresets.FindSize(name, 8192), 8192, new MixerConfiguration { Memory = "attention" });
        }
    }
}
