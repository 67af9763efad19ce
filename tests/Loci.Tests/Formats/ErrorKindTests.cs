using Loci.Data;
using Loci.Formats;
using Loci.Models;
using Loci.Numerics;
using Loci.Sessions;
using Xunit;

namespace Loci.Tests.Formats;

/// <summary>A caller tells failures apart by their kind, not by their text.</summary>
public sealed class ErrorKindTests : IDisposable
{
    private static readonly ModelConfiguration s_small = new() { VocabularySize = 32, Dimension = 8, Layers = 1, Heads = 1 };
    private readonly TemporaryFolder _folder = new();
    private readonly CpuDevice _device = new(1);

    public void Dispose()
    {
        _folder.Dispose();
        _device.Dispose();
    }

    [Fact]
    public void AMissingFileIsNotFound()
    {
        Assert.Equal(ErrorKind.NotFound, KindOf(() => LanguageModel.Load(_folder.File("none"), _device)));
        Assert.Equal(ErrorKind.NotFound, KindOf(() => SafetensorsFile.Open(_folder.File("none.safetensors"))));
        Assert.Equal(ErrorKind.NotFound, KindOf(() => TokenizerFile.Load(_folder.File("tokenizer.json"))));
        Assert.Equal(ErrorKind.NotFound, KindOf(() => AtomicFile.WriteAllText(Path.Combine(_folder.Path, "none", "a.txt"), "")));
    }

    [Fact]
    public void ACutFileIsDamaged()
    {
        using var model = new LanguageModel(s_small, _device);
        model.Save(_folder.Path);
        var weights = Directory.GetFiles(_folder.Path, "*.safetensors").Single();
        File.WriteAllBytes(weights, File.ReadAllBytes(weights)[..^3]);
        Assert.Equal(ErrorKind.Damaged, KindOf(() => LanguageModel.Load(_folder.Path, _device)));

        using var session = model.CreateSession();
        session.SaveAs(_folder.File("cut.memory"));
        session.Dispose();
        File.WriteAllBytes(_folder.File("cut.memory"), File.ReadAllBytes(_folder.File("cut.memory"))[..40]);
        Assert.Equal(ErrorKind.Damaged, KindOf(() => Session.Open(model, _folder.File("cut.memory"))));
    }

    [Fact]
    public void ASessionThatAnotherHasOrThatIsOfAnotherModelSaysSo()
    {
        using LanguageModel model = new(s_small, _device), other = new(s_small, _device, 1);
        using var session = model.CreateSession();
        session.Read([1, 2, 3]);
        session.SaveAs(_folder.File("a.memory"));
        Assert.Equal(ErrorKind.InUse, KindOf(() => Session.Open(model, _folder.File("a.memory"))));
        session.Dispose();
        Assert.Equal(ErrorKind.OtherModel, KindOf(() => Session.Open(other, _folder.File("a.memory"))));
    }

    [Fact]
    public void ABudgetThatIsTooSmallIsOutOfMemory()
    {
        using var model = new LanguageModel(s_small, _device);
        using var session = model.CreateSession(new() { MemoryBudget = 16 });
        Assert.Equal(ErrorKind.OutOfMemory, KindOf(() => session.Read([1, 2, 3])));
    }

    [Fact]
    public void AWrappedFailureKeepsItsKind()
    {
        Assert.Equal(ErrorKind.Damaged, new LociException("more of it", new LociException(ErrorKind.Damaged, "it")).Kind);
        Assert.Equal(ErrorKind.Other, new LociException("more of it", new IOException()).Kind);
        Assert.Equal(ErrorKind.Other, new LociException("it").Kind);
    }

    [Fact]
    public void NoFileIsLeftBesideATokenizerThatCannotBeWritten()
    {
        Directory.CreateDirectory(_folder.File("tokenizer.json"));
        KindOf(() => TokenizerFile.Save(_folder.File("tokenizer.json"), new ByteTokenizer()));
        Assert.Equal([_folder.File("tokenizer.json")], Directory.GetFileSystemEntries(_folder.Path));
    }

    private static ErrorKind KindOf(Action action) => Assert.Throws<LociException>(action).Kind;

    private static ErrorKind KindOf(Func<object> make) => Assert.Throws<LociException>(() => { make(); }).Kind;
}
