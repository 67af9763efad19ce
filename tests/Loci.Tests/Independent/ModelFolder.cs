using System.Buffers.Binary;
using System.Text.Json;

namespace Loci.Tests.Independent;

/// <summary>The two files of a model, read as docs/models.md and the safetensors format describe them, with nothing of Loci's.</summary>
internal sealed class ModelFolder
{
    private readonly Dictionary<string, (int[] Shape, double[] Values)> _tensors = [];
    private readonly HashSet<string> _read = [];

    public ModelFolder(string path)
    {
        Configuration = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(path, "config.json"))).RootElement;
        var file = File.ReadAllBytes(Path.Combine(path, "model.safetensors"));
        var headerLength = (int)BinaryPrimitives.ReadUInt64LittleEndian(file);
        var data = file.AsSpan(8 + headerLength);
        foreach (var tensor in JsonDocument.Parse(file.AsMemory(8, headerLength)).RootElement.EnumerateObject())
        {
            if (tensor.Name == "__metadata__")
            {
                continue;
            }

            if (tensor.Value.GetProperty("dtype").GetString() != "F32")
            {
                throw new InvalidDataException($"{tensor.Name} is not float32.");
            }

            int[] shape = [.. tensor.Value.GetProperty("shape").EnumerateArray().Select(length => length.GetInt32())];
            var begin = tensor.Value.GetProperty("data_offsets")[0].GetInt32();
            var values = new double[shape.Aggregate(1, (product, length) => product * length)];
            for (var i = 0; i < values.Length; i++)
            {
                values[i] = BinaryPrimitives.ReadSingleLittleEndian(data[(begin + (4 * i))..]);
            }

            _tensors.Add(tensor.Name, (shape, values));
        }
    }

    public JsonElement Configuration { get; }

    /// <summary>Tensors that nobody asked for: what the document does not say the use of.</summary>
    public HashSet<string> Unread => [.. _tensors.Keys.Except(_read)];

    public bool Has(string name) => _tensors.ContainsKey(name);

    public double[] Vector(string name)
    {
        _read.Add(name);
        return _tensors[name].Values;
    }

    public double[,] Matrix(string name)
    {
        var (shape, values) = (_tensors[name].Shape, Vector(name));
        return Algebra.Matrix(values, 0, shape[0], shape[1]);
    }

    public double[,]? MatrixOrNull(string name) => Has(name) ? Matrix(name) : null;

    public double[]? VectorOrNull(string name) => Has(name) ? Vector(name) : null;
}
