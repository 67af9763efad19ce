using Loci.Formats;
using Loci.Models;
using Loci.Numerics;
using Loci.Tests.Formats;
using Xunit;

namespace Loci.Tests.Models;

/// <summary>Models take their weights from any source that has them.</summary>
public sealed class WeightSourceTests
{
    private static readonly ModelConfiguration s_configuration = new() { VocabularySize = 20, Dimension = 8, Layers = 2, Heads = 2 };

    [Theory]
    [InlineData(WeightFormat.Float32)]
    [InlineData(WeightFormat.Int8)]
    public void AModelOfASourceIsTheModelOfItsFile(WeightFormat weights)
    {
        using CpuDevice device = new(1);
        using TemporaryFolder folder = new();
        using LanguageModel model = new(s_configuration, device, 7);
        model.Save(folder.Path);
        using var ofFile = LanguageModel.Load(folder.Path, device, weights);
        Numbers source = new(model);
        using var ofSource = LanguageModel.Load(s_configuration, source, device, weights);
        Assert.Equal(ofFile.Fingerprint(), ofSource.Fingerprint());
        Assert.Equal(model.Parameters.Select(parameter => parameter.Name), source.Required);
    }

    [Fact]
    public void NothingIsReadOfASourceThatLacksATensor()
    {
        using CpuDevice device = new(1);
        using LanguageModel model = new(s_configuration, device, 7);
        Numbers source = new(model) { Missing = "embedding.weight" };
        Assert.Contains("embedding.weight", Assert.Throws<LociException>(() => LanguageModel.Load(s_configuration, source, device)).Message, StringComparison.Ordinal);
        Assert.Equal(0, source.Reads);
    }

    [Fact]
    public void AFileWithATensorMoreIsOfAnotherModel()
    {
        using CpuDevice device = new(1);
        using TemporaryFolder folder = new();
        using LanguageModel model = new(s_configuration, device), smaller = new(s_configuration with { Layers = 1 }, device);
        model.Save(folder.Path);
        using var file = SafetensorsFile.Open(folder.File("model.safetensors"));
        var failure = Assert.Throws<LociException>(() => LanguageModel.Load(smaller.Configuration, file, device));
        Assert.Equal(ErrorKind.OtherModel, failure.Kind);
        Assert.Contains("blocks.1.", failure.Message, StringComparison.Ordinal);
    }

    /// <summary>The weights of a model, in memory.</summary>
    private sealed class Numbers(LanguageModel model) : IWeightSource
    {
        private readonly Dictionary<string, float[]> _values = model.Parameters.ToDictionary(parameter => parameter.Name, IdentityTests.Values);

        public string? Missing { get; init; }

        public IReadOnlyList<string> Required { get; private set; } = [];

        public int Reads { get; private set; }

        public void Require(IReadOnlyList<WeightShape> tensors)
        {
            Required = [.. tensors.Select(tensor => tensor.Name)];
            if (Missing is not null)
            {
                throw new LociException($"There is no {Missing}.");
            }

            Assert.All(tensors, tensor => Assert.Equal(_values[tensor.Name].Length, tensor.Shape.Count));
        }

        public void Read(WeightShape tensor, Span<float> values)
        {
            Reads++;
            _values[tensor.Name].CopyTo(values);
        }
    }
}
