using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
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
            using var reader = new RwkvReader(path);
            var model = new LanguageModel(reader.Configuration, device);
            try
            {
                foreach (var parameter in model.Parameters)
                {
                    parameter.Load(reader.Read(parameter.Name, parameter.Shape));
                }

                reader.RequireAllRead();
                return model;
            }
            catch
            {
                model.Dispose();
                throw;
            }
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
            using var reader = new RwkvReader(path);
            return reader.Configuration;
        }
        catch (Exception exception) when (FileFailure.Is(exception))
        {
            throw FileFailure.Reading(path, exception);
        }
    }
}

/// <summary>An open model file of rwkv.cpp: the tensors it holds, under the names that Loci's models use.</summary>
internal sealed class RwkvReader : IDisposable
{
    private const int HeaderLength = 6 * sizeof(int);
    private const uint Magic = 0x67676d66;
    private const int LongestName = 256;
    private const float NormEpsilon = 1e-5f;

    // e^-104 is the smallest power that is not 0 in float32.
    private const double LeastLogDecay = -104;

    private static readonly string[] s_rwkv5Shifts = ["time_mix_r", "time_mix_k", "time_mix_v", "time_mix_g"];

    private readonly string _path;
    private readonly FileStream _file;
    private readonly Dictionary<string, Entry> _entries = [];
    private readonly HashSet<string> _read = [];

    public RwkvReader(string path)
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

    private bool Is5 => Configuration.Architecture != ModelArchitecture.Rwkv7;

    public void Dispose() => _file.Dispose();

    /// <summary>The values of one of the model's parameters.</summary>
    /// <exception cref="LociException">The file does not hold them in the shape that the model needs, or they are not finite.</exception>
    public float[] Read(string parameter, Shape shape)
    {
        var parts = parameter.Split('.', 3);
        if (parts[0] != "blocks")
        {
            return parameter switch
            {
                "embedding.weight" => Tensor("emb.weight", shape),
                "head.weight" => Tensor("head.weight", shape),
                _ => Tensor("ln_out." + parts[1], shape),
            };
        }

        var block = $"blocks.{parts[1]}.";
        var part = parts[2].Split('.', 2);
        return part[0] switch
        {
            "input_norm" => Tensor($"{block}ln0.{part[1]}", shape),
            "mixer_norm" => Tensor($"{block}ln1.{part[1]}", shape),
            "feed_forward_norm" => Tensor($"{block}ln2.{part[1]}", shape),
            "mixer" => Mixer(block + "att.", part[1], shape),
            _ when part[1] == "shift.weight" => Is5 ? OneMinus(Rows(block + "ffn.", ["time_mix_k", "time_mix_r"], shape)) : Tensor(block + "ffn.x_k", shape),
            _ => Tensor($"{block}ffn.{part[1]}", shape),
        };
    }

    /// <summary>Checks that nothing in the file was left over.</summary>
    public void RequireAllRead()
    {
        // Some checkpoints give the first block a share of the first block's values; it has no use for one.
        var unknown = _entries.Keys.FirstOrDefault(name => !_read.Contains(name) && name is not ("blocks.0.att.v0" or "blocks.0.att.v1" or "blocks.0.att.v2"));
        if (unknown is not null)
        {
            throw new LociException($"'{_path}' has the tensor '{unknown}', which {NameOf(Configuration.Architecture)} does not have; use a checkpoint of the published architecture.");
        }
    }

    private float[] Mixer(string prefix, string name, Shape shape) => name switch
    {
        "shift.weight" => Is5 ? OneMinus(Rows(prefix, s_rwkv5Shifts[..shape[0]], shape)) : Tensor(prefix + "x_rwkvag", shape),
        "norm.weight" => Tensor(prefix + "ln_x.weight", shape),
        "norm.bias" => Tensor(prefix + "ln_x.bias", shape),
        "log_decay" => LogDecay(prefix + "time_decay", shape),
        "own_gain" when Configuration.Architecture == ModelArchitecture.Rwkv51 => PerHead(prefix + "time_first", shape),
        "own_gain" => Tensor(prefix + (Is5 ? "time_faaaa" : "r_k"), shape),
        "removal" => Tensor(prefix + "k_k", shape),
        "replacement" => Tensor(prefix + "k_a", shape),
        "decay.bias" => Tensor(prefix + "w0", shape),
        "decay.down.weight" => Tensor(prefix + "w1", shape),
        "decay.up.weight" => Tensor(prefix + "w2", shape),
        "rate.bias" => Tensor(prefix + "a0", shape),
        "rate.down.weight" => Tensor(prefix + "a1", shape),
        "rate.up.weight" => Tensor(prefix + "a2", shape),
        "first_value.bias" => Tensor(prefix + "v0", shape),
        "first_value.down.weight" => Tensor(prefix + "v1", shape),
        "first_value.up.weight" => Tensor(prefix + "v2", shape),
        "gate.down.weight" => Tensor(prefix + "g1", shape),
        "gate.up.weight" => Tensor(prefix + "g2", shape),
        _ => Tensor(prefix + name, shape),
    };

    /// <summary>One or more tensors, each some rows of what is returned.</summary>
    private float[] Rows(string prefix, string[] names, Shape shape)
    {
        var values = new List<float>();
        foreach (var name in names)
        {
            values.AddRange(Tensor(prefix + name, new Shape(shape[0] / names.Length, shape[1])));
        }

        return [.. values];
    }

    // The file says how much of the row itself a mixture takes; the models here ask for the share of the row before.
    private static float[] OneMinus(float[] values) => Array.ConvertAll(values, value => 1 - value);

    private float[] LogDecay(string name, Shape shape) => Array.ConvertAll(Configuration.Architecture == ModelArchitecture.Rwkv51 ? PerHead(name, shape) : Tensor(name, shape), decay => decay is >= 0 and <= 1
        ? (float)Math.Max(Math.Log(decay), LeastLogDecay)
        : throw new LociException(ErrorKind.Damaged, $"'{_path}' is damaged: the tensor '{name}' holds {decay}, but decays lie between 0 and 1; fetch or convert it again."));

    /// <summary>One number per head, for every dimension of the head.</summary>
    private float[] PerHead(string name, Shape shape)
    {
        var heads = Tensor(name, new Shape(Configuration.Heads));
        var values = new float[shape.Count];
        for (var i = 0; i < values.Length; i++)
        {
            values[i] = heads[i / Configuration.HeadWidth];
        }

        return values;
    }

    private float[] Tensor(string name, Shape shape)
    {
        var entry = Find(name);
        if (!Significant(shape).SequenceEqual(entry.Extents.Where(extent => extent != 1)) && !IsFlattened(shape, entry))
        {
            throw new LociException(ErrorKind.Damaged, $"'{_path}' is damaged: the tensor '{name}' has the shape [{string.Join(", ", entry.Extents)}] where the model needs {shape}; fetch or convert it again.");
        }

        _read.Add(name);
        var values = new float[entry.Count];
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
            _file.ReadExactly(MemoryMarshal.AsBytes(values.AsSpan()));
        }

        var bad = Array.FindIndex(values, value => !float.IsFinite(value));
        return bad < 0 ? values : throw new LociException(ErrorKind.Damaged, $"'{_path}' is damaged: element {bad} of the tensor '{name}' is not a finite number; fetch or convert it again.");
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

    /// <summary>Where a tensor lies.</summary>
    /// <param name="Extents">Outermost first.</param>
    /// <param name="Count">Number of elements.</param>
    /// <param name="IsHalf">FP16 rather than FP32.</param>
    /// <param name="Position">First byte of its data.</param>
    private sealed record Entry(int[] Extents, int Count, bool IsHalf, long Position);
}
