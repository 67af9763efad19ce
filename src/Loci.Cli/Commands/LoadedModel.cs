using Loci.Data;
using Loci.Models;
using Loci.Numerics;
using Loci.Training;

namespace Loci.Cli.Commands;

/// <summary>A model from a folder, with its tokenizer and the device that it runs on.</summary>
internal sealed class LoadedModel : IDisposable
{
    private const string TokenizerName = "tokenizer.json";

    private LoadedModel(Device device, Tokenizer? tokenizer, LanguageModel model)
    {
        Device = device;
        OptionalTokenizer = tokenizer;
        Model = model;
    }

    public Device Device { get; }

    /// <summary>The tokenizer of a model that was loaded with one.</summary>
    public Tokenizer Tokenizer => OptionalTokenizer ?? throw new InvalidOperationException("The model was loaded as one that may have no tokenizer.");

    /// <summary>The tokenizer; null for a model of token ids.</summary>
    public Tokenizer? OptionalTokenizer { get; }

    public LanguageModel Model { get; }

    /// <summary>Loads a model.</summary>
    /// <param name="folder">A run, or any folder with a model's files.</param>
    /// <param name="threads">Processor threads; null takes all.</param>
    /// <param name="weights">How the large matrices are kept; null keeps them as they are.</param>
    /// <param name="needsTokenizer">Whether a folder without a tokenizer is refused.</param>
    /// <exception cref="LociException">The folder holds no model, or a damaged one.</exception>
    public static LoadedModel Load(string folder, int? threads, WeightFormat? weights, bool needsTokenizer = true)
    {
        Require(folder, needsTokenizer);
        var device = Options.Device(threads);
        LanguageModel? model = null;
        try
        {
            var tokenizer = needsTokenizer || File.Exists(Path.Combine(folder, TokenizerName)) ? TrainingRun.LoadTokenizer(folder) : null;
            model = LanguageModel.Load(folder, device, weights ?? WeightFormat.Float32);
            if (tokenizer is not null)
            {
                RequireTokenizer(model, tokenizer, folder);
            }

            return new LoadedModel(device, tokenizer, model);
        }
        catch
        {
            model?.Dispose();
            device.Dispose();
            throw;
        }
    }

    /// <summary>Checks that a folder is there and holds a model.</summary>
    public static void Require(string folder, bool needsTokenizer = true)
    {
        if (!Directory.Exists(folder))
        {
            throw new LociException($"There is no folder {folder}: name the folder of a run or model.");
        }

        foreach (var name in new[] { "config.json", TokenizerName, "model.safetensors" })
        {
            if ((needsTokenizer || name != TokenizerName) && !File.Exists(Path.Combine(folder, name)))
            {
                throw new LociException($"The folder {folder} holds no model, because {name} is missing: name the folder of a run that has saved one.");
            }
        }
    }

    public void Dispose()
    {
        Model.Dispose();
        Device.Dispose();
    }

    private static void RequireTokenizer(LanguageModel model, Tokenizer tokenizer, string folder)
    {
        if (tokenizer.VocabularySize > model.Configuration.VocabularySize)
        {
            throw new LociException(
                $"The tokenizer in {folder} has {tokenizer.VocabularySize} tokens, but the model has {model.Configuration.VocabularySize}: put the tokenizer back that the model was trained with.");
        }
    }
}
