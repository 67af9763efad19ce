using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using Loci.Formats;
using Loci.Numerics;

namespace Loci.Models;

/// <summary>An open model file of rwkv.cpp: the tensors it holds, under the names that Loci's models use.</summary>
internal sealed class RwkvWeights : IWeightSource, IDisposable
{
    private const int HeaderLength = 6 * sizeof(int);
    private const uint Magic = 0x67676d66;
    private const int LongestName = 256;
    private const float NormEpsilon = 1e-5f;

    // e^-104 is the smallest power that is not 0 in float32.
    private const double LeastLogDecay = -104;

    private static readonly Dictionary<string, string> s_mixerNames = new()
    {
        ["norm.weight"] = "ln_x.weight",
        ["norm.bias"] = "ln_x.bias",
        ["removal"] = "k_k",
        ["replacement"] = "k_a",
        ["decay.bias"] = "w0",
        ["decay.down.weight"] = "w1",
        ["decay.up.weight"] = "w2",
        ["rate.bias"] = "a0",
        ["rate.down.weight"] = "a1",
        ["rate.up.weight"] = "a2",
        ["first_value.bias"] = "v0",
        ["first_value.down.weight"] = "v1",
        ["first_value.up.weight"] = "v2",
        ["gate.down.weight"] = "g1",
        ["gate.up.weight"] = "g2",
    };

    private static readonly string[] s_rwkv5Shifts = ["time_mix_r", "time_mix_k", "time_mix_v", "time_mix_g"];

    private readonly string _path;
    private readonly FileStream _file;
    private readonly Dictionary<string, Entry> _entries = [];

    public RwkvWeights(string path)
    {
        _path = path;
        _file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16);
        try
        {
            Configuration = ReadHeaders();
        }
        catch
        {
            _file.Dispose();
            throw;
        }
    }

    public ModelConfiguration Configuration { get; }

    private bool Is51 => Configuration.Architecture == ModelArchitecture.Rwkv51;

    private bool Is5 => Configuration.Architecture != ModelArchitecture.Rwkv7;

    public void Dispose() => _file.Dispose();

    /// <inheritdoc/>
    public void Require(IReadOnlyList<WeightShape> tensors)
    {
        HashSet<string> known = [];
        foreach (var tensor in tensors)
        {
            var part = PartOf(tensor);
            foreach (var name in part.Tensors)
            {
                _ = Find(name, part.Shape);
                known.Add(name);
            }
        }

        // Some checkpoints give the first block a share of the first block's values; it has no use for one.
        var unknown = _entries.Keys.FirstOrDefault(name => !known.Contains(name) && name is not ("blocks.0.att.v0" or "blocks.0.att.v1" or "blocks.0.att.v2"));
        if (unknown is not null)
        {
            throw new LociException(
                $"'{_path}' has the tensor '{unknown}', which {NameOf(Configuration.Architecture)} does not have; use a checkpoint of the published architecture.");
        }
    }

    /// <inheritdoc/>
    public void Read(WeightShape tensor, Span<float> values)
    {
        var part = PartOf(tensor);
        var read = values;
        foreach (var name in part.Tensors)
        {
            var entry = Find(name, part.Shape);
            Read(name, entry, read[..entry.Count]);
            read = read[entry.Count..];
        }

        part.Convert?.Invoke(values);
    }

    /// <summary>Where a parameter of Loci's models stands in the file.</summary>
    private Part PartOf(WeightShape parameter)
    {
        var (name, shape) = parameter;
        var words = name.Split('.', 3);
        if (words[0] != "blocks")
        {
            return name switch
            {
                "embedding.weight" => new Part(["emb.weight"], shape),
                "head.weight" => new Part(["head.weight"], shape),
                _ => new Part(["ln_out." + words[1]], shape),
            };
        }

        var block = $"blocks.{words[1]}.";
        var rest = words[2].Split('.', 2);
        return rest[0] switch
        {
            "input_norm" => new Part([$"{block}ln0.{rest[1]}"], shape),
            "mixer_norm" => new Part([$"{block}ln1.{rest[1]}"], shape),
            "feed_forward_norm" => new Part([$"{block}ln2.{rest[1]}"], shape),
            "mixer" => MixerPart(block + "att.", rest[1], shape),
            _ when rest[1] == "shift.weight" => Is5 ? Shifts(block + "ffn.", ["time_mix_k", "time_mix_r"], shape) : new Part([block + "ffn.x_k"], shape),
            _ => new Part([$"{block}ffn.{rest[1]}"], shape),
        };
    }

    private Part MixerPart(string prefix, string name, Shape shape) => name switch
    {
        "shift.weight" => Is5 ? Shifts(prefix, s_rwkv5Shifts[..shape[0]], shape) : new Part([prefix + "x_rwkvag"], shape),
        "log_decay" => PerHead(prefix + "time_decay", shape, values => ToLogDecay(prefix + "time_decay", values)),
        "own_gain" => Is5 ? PerHead(prefix + (Is51 ? "time_first" : "time_faaaa"), shape) : new Part([prefix + "r_k"], shape),
        _ => new Part([prefix + s_mixerNames.GetValueOrDefault(name, name)], shape),
    };

    /// <summary>Rows that say how much of the row itself a mixture takes; the models here ask for the share of the row before.</summary>
    private static Part Shifts(string prefix, string[] names, Shape shape) => new(
        [.. names.Select(name => prefix + name)], new Shape(shape[0] / names.Length, shape[1]), values => OneMinus(values));

    private static void OneMinus(Span<float> values)
    {
        foreach (ref var value in values)
        {
            value = 1 - value;
        }
    }

    /// <summary>RWKV-5.1 has one number per head where the models here have one for every dimension of the head.</summary>
    private Part PerHead(string name, Shape shape, Conversion? convert = null) => Is51
        ? new Part([name], new Shape(Configuration.Heads), values =>
        {
            for (var i = values.Length - 1; i >= 0; i--)
            {
                values[i] = values[i / Configuration.HeadWidth];
            }

            convert?.Invoke(values);
        })
        : new Part([name], shape, convert);

    private void ToLogDecay(string name, Span<float> values)
    {
        foreach (ref var value in values)
        {
            value = value is >= 0 and <= 1 ? (float)Math.Max(Math.Log(value), LeastLogDecay) : throw new LociException(
                ErrorKind.Damaged, $"'{_path}' is damaged: the tensor '{name}' holds {value}, but decays lie between 0 and 1; fetch or convert it again.");
        }
    }

    private void Read(string name, Entry entry, Span<float> values)
    {
        _file.Position = entry.Position;
        if (entry.IsHalf)
        {
            var halves = new Half[entry.Count];
            _file.ReadExactly(MemoryMarshal.AsBytes(halves.AsSpan()));
            for (var i = 0; i < values.Length; i++)
            {
                values[i] = (float)halves[i];
            }
        }
        else
        {
            _file.ReadExactly(MemoryMarshal.AsBytes(values));
        }

        for (var i = 0; i < values.Length; i++)
        {
            if (!float.IsFinite(values[i]))
            {
                throw new LociException(
                    ErrorKind.Damaged, $"'{_path}' is damaged: element {i} of the tensor '{name}' is not a finite number; fetch or convert it again.");
            }
        }
    }

    /// <summary>Finds a tensor that must have a shape.</summary>
    private Entry Find(string name, Shape shape)
    {
        var entry = Find(name);
        return Significant(shape).SequenceEqual(entry.Extents.Where(extent => extent != 1)) || IsFlattened(shape, entry) ? entry : throw new LociException(
            ErrorKind.Damaged,
            $"'{_path}' is damaged: the tensor '{name}' has the shape [{string.Join(", ", entry.Extents)}] where the model needs {shape}; fetch or convert it again.");
    }

    private Entry Find(string name) => _entries.TryGetValue(name, out var entry)
        ? entry
        : throw new LociException($"'{_path}' has no tensor '{name}', which the model needs; fetch or convert it again.");

    /// <summary>Whether a vector of the model's is a matrix [heads, width] in the file.</summary>
    private bool IsFlattened(Shape shape, Entry entry) =>
        shape.Rank == 1 && entry.Count == shape.Count && entry.Extents.Where(extent => extent != 1).SequenceEqual([Configuration.Heads, Configuration.HeadWidth]);

    private static IEnumerable<int> Significant(Shape shape)
    {
        for (var i = 0; i < shape.Rank; i++)
        {
            if (shape[i] != 1)
            {
                yield return shape[i];
            }
        }
    }

    private ModelConfiguration ReadHeaders()
    {
        if (!BitConverter.IsLittleEndian)
        {
            throw new LociException("RWKV model files are little-endian, which this machine is not: import them on another and copy the model's folder.");
        }

        Span<byte> bytes = stackalloc byte[HeaderLength];
        if (_file.Length < HeaderLength || !TryRead(bytes) || BinaryPrimitives.ReadUInt32LittleEndian(bytes) != Magic)
        {
            throw new LociException(ErrorKind.Damaged, $"'{_path}' is not a model file of rwkv.cpp: it does not begin like one; choose a .bin file that its converter wrote.");
        }

        var header = MemoryMarshal.Cast<byte, int>(bytes);
        int version = header[1], vocabulary = header[2], dimension = header[3], layers = header[4];
        if (version is not (100 or 101))
        {
            throw new LociException($"'{_path}' is a model file of version {version}; 100 and 101 are supported, so convert it with another release of rwkv.cpp.");
        }

        RequireType(header[5], $"'{_path}'");
        if (vocabulary < 2 || dimension < 1 || layers < 1)
        {
            throw new LociException(ErrorKind.Damaged, $"'{_path}' is damaged: its header asks for {vocabulary} tokens, a width of {dimension} and {layers} layers; fetch or convert it again.");
        }

        while (_file.Position < _file.Length)
        {
            ReadEntry();
        }

        return Describe(vocabulary, dimension, layers);
    }

    private void ReadEntry()
    {
        Span<byte> bytes = stackalloc byte[4 * sizeof(int)];
        var numbers = MemoryMarshal.Cast<byte, int>(bytes);
        RequireRead(bytes[..(3 * sizeof(int))], "the header of a tensor");
        int axes = numbers[0], nameLength = numbers[1], type = numbers[2];
        if (axes is < 1 or > 4 || nameLength is < 1 or > LongestName)
        {
            throw new LociException(ErrorKind.Damaged, $"'{_path}' is damaged: a tensor after {_entries.Count} others has {axes} axes and a name of {nameLength} bytes; fetch or convert it again.");
        }

        RequireRead(bytes[..(axes * sizeof(int))], "the header of a tensor");
        var extents = numbers[..axes].ToArray();
        Array.Reverse(extents);
        Span<byte> utf8 = stackalloc byte[LongestName];
        RequireRead(utf8[..nameLength], "the name of a tensor");
        var name = Encoding.UTF8.GetString(utf8[..nameLength]);
        RequireType(type, $"The tensor '{name}' of '{_path}'");
        var count = 1L;
        foreach (var extent in extents)
        {
            count = extent < 1 || count > int.MaxValue / extent ? -1 : count * extent;
            if (count < 0)
            {
                throw new LociException(ErrorKind.Damaged, $"'{_path}' is damaged: the tensor '{name}' has the shape [{string.Join(", ", extents)}]; fetch or convert it again.");
            }
        }

        var length = count * (type == 1 ? 2 : sizeof(float));
        if (length > _file.Length - _file.Position)
        {
            throw CutShort($"the tensor '{name}'");
        }

        if (!_entries.TryAdd(name, new Entry(extents, (int)count, type == 1, _file.Position)))
        {
            throw new LociException(ErrorKind.Damaged, $"'{_path}' is damaged: it has the tensor '{name}' twice; fetch or convert it again.");
        }

        _file.Position += length;
    }

    private ModelConfiguration Describe(int vocabulary, int dimension, int layers)
    {
        var architecture = Has("k_k") ? ModelArchitecture.Rwkv7
            : !Has("ln_x.weight") || Has("time_maa_x") ? ModelArchitecture.Llama
            : Has("gate.weight") ? ModelArchitecture.Rwkv52 : ModelArchitecture.Rwkv51;
        if (architecture == ModelArchitecture.Llama)
        {
            var found = Has("time_maa_x") ? "RWKV-6" : Has("time_decay") ? "RWKV-4" : _entries.Count == 0 ? "no model" : "no RWKV model";
            throw new LociException($"'{_path}' holds {found}; RWKV-5.1, 5.2 and 7 are supported, so choose a checkpoint of one of them.");
        }

        // Before a model of the header's sizes is made, which could be any.
        var embedding = Find("emb.weight");
        if (!embedding.Extents.SequenceEqual([vocabulary, dimension]))
        {
            throw new LociException(
                ErrorKind.Damaged,
                $"'{_path}' is damaged: its header asks for {vocabulary} tokens and a width of {dimension}, but the tensor 'emb.weight' has the shape [{string.Join(", ", embedding.Extents)}]; fetch or convert it again.");
        }

        Find($"blocks.{layers - 1}.ln1.weight");
        var is5 = architecture != ModelArchitecture.Rwkv7;
        return new ModelConfiguration
        {
            VocabularySize = vocabulary,
            Architecture = architecture,
            Ranks = is5 ? null : new RwkvRanks(Rank("blocks.0.att.w1"), Rank("blocks.0.att.a1"), layers > 1 ? Rank("blocks.1.att.v1") : 1, Rank("blocks.0.att.g1")),
            Dimension = dimension,
            Layers = layers,
            Heads = Rank(is5 ? "blocks.0.att.time_decay" : "blocks.0.att.r_k"),
            FeedForward = Rank("blocks.0.ffn.key.weight"),
            TiedEmbeddings = false,
            NormEpsilon = NormEpsilon,
            Mixers = [],
        }.Validate();

        bool Has(string name) => _entries.ContainsKey("blocks.0.att." + name);
        int Rank(string name) => Find(name).Extents[0];
    }

    private bool TryRead(Span<byte> bytes) => _file.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false) == bytes.Length;

    private void RequireRead(Span<byte> bytes, string what)
    {
        if (!TryRead(bytes))
        {
            throw CutShort(what);
        }
    }

    private static void RequireType(int type, string what)
    {
        if (type is not (0 or 1))
        {
            throw new LociException($"{what} is quantised (type {type}); only FP32 and FP16 are supported, so use the checkpoint as it was before quantisation.");
        }
    }

    private LociException CutShort(string where) => new(ErrorKind.Damaged, $"'{_path}' ends inside {where}: it was cut short, so fetch or convert it again.");

    private static string NameOf(ModelArchitecture architecture) => architecture switch
    {
        ModelArchitecture.Rwkv51 => "RWKV-5.1",
        ModelArchitecture.Rwkv52 => "RWKV-5.2",
        _ => "RWKV-7",
    };

    /// <summary>What is made of the numbers of a file, in place.</summary>
    private delegate void Conversion(Span<float> values);

    /// <summary>Where a parameter comes from.</summary>
    /// <param name="Tensors">One or more tensors, each some of its rows.</param>
    /// <param name="Shape">The shape of each.</param>
    /// <param name="Convert">What is then made of them; null leaves them.</param>
    private sealed record Part(string[] Tensors, Shape Shape, Conversion? Convert = null);

    /// <summary>Where a tensor lies.</summary>
    /// <param name="Extents">Outermost first.</param>
    /// <param name="Count">Number of elements.</param>
    /// <param name="IsHalf">FP16 rather than FP32.</param>
    /// <param name="Position">First byte of its data.</param>
    private sealed record Entry(int[] Extents, int Count, bool IsHalf, long Position);
}
