using Loci.Formats;
using Loci.Numerics;

namespace Loci.Models;

/// <summary>
/// Model files of rwkv.cpp (github.com/RWKV/rwkv.cpp, docs/FILE_FORMAT.md, versions 100 and 101) with FP32 or FP16 weights: a header of six numbers, then tensors until the
/// end, each with its own header. RWKV-5.1, 5.2 and 7 are read. Numbers are little-endian; extents stand innermost first.
/// </summary>
public static class RwkvFile
{
    /// <summary>Reads a model.</summary>
    /// <param name="path">The file.</param>
    /// <param name="device">Where the model shall live.</param>
    /// <exception cref="LociException">The file is missing, damaged or cut short, or holds something else than a model of RWKV-5.1, 5.2 or 7 of FP32 or FP16 weights.</exception>
    public static LanguageModel Load(string path, Device device)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentNullException.ThrowIfNull(device);
        try
        {
            using var weights = new RwkvWeights(path);
            return LanguageModel.Load(weights.Configuration, weights, device);
        }
        catch (Exception exception) when (FileFailure.Is(exception))
        {
            throw FileFailure.Reading(path, exception);
        }
    }

    /// <summary>Reads what kind of model a file holds, and its sizes.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="LociException">As for <see cref="Load"/>, but for the values of the weights.</exception>
    public static ModelConfiguration ReadConfiguration(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        try
        {
            using var weights = new RwkvWeights(path);
            return weights.Configuration;
        }
        catch (Exception exception) when (FileFailure.Is(exception))
        {
            throw FileFailure.Reading(path, exception);
        }
    }
}
