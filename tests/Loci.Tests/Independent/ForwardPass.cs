using System.Text.Json;
using Loci.Memory.Aggregations;
using Loci.Memory.Routing;
using Loci.Memory.Rules.Deep;
using Loci.Memory.Rules.ScalarGated;
using static Loci.Tests.Independent.Algebra;

namespace Loci.Tests.Independent;

/// <summary>The logits of a model folder in doubles, token by token, in the order in which docs/models.md has the equations.</summary>
internal sealed class ForwardPass
{
    private readonly ModelFolder _folder;
    private readonly int _dimension;
    private readonly int _heads;
    private readonly double _epsilon;
    private readonly double _rotaryBase;

    public ForwardPass(ModelFolder folder)
    {
        _folder = folder;
        _dimension = Integer(folder.Configuration, "dimension");
        _heads = Integer(folder.Configuration, "heads");
        _epsilon = Number(folder.Configuration, "normEpsilon", 1e-6);
        _rotaryBase = Number(folder.Configuration, "rotaryBase", 10000);
    }

    private int Width => _dimension / _heads;

    // The block

    public double[][] Logits(int[] tokens)
    {
        var embedding = _folder.Matrix("embedding.weight");
        var mixers = _folder.Configuration.GetProperty("mixers");
        var x = tokens.Select(token => Row(embedding, token)).ToArray();
        for (var i = 0; i < Integer(_folder.Configuration, "layers"); i++)
        {
            var mixer = mixers[i % mixers.GetArrayLength()];
            var block = $"blocks.{i}.";
            var normalized = x.Select(row => RmsNorm(row, _folder.Vector(block + "mixer_norm.weight"))).ToArray();
            var isAttention = Text(mixer, "memory") == "attention";
            var mixed = isAttention ? Attention(block + "mixer.", normalized) : Mixer(block + "mixer.", mixer, normalized);
            x = [.. x.Zip(mixed, Plus)];
            var gain = _folder.Vector(block + "feed_forward_norm.weight");
            x = [.. x.Select(row => Plus(row, SwiGlu(block + "feed_forward.", RmsNorm(row, gain))))];
        }

        var head = _folder.Configuration.GetProperty("tiedEmbeddings").GetBoolean() ? embedding : _folder.Matrix("head.weight");
        return [.. x.Select(row => Product(head, RmsNorm(row, _folder.Vector("norm.weight"))))];
    }

    private double[] RmsNorm(double[] x, double[] gain) =>
        Times(1 / Math.Sqrt(x.Average(value => value * value) + _epsilon), Times(gain, x));

    private double[] SwiGlu(string name, double[] x)
    {
        var both = Product(_folder.Matrix(name + "input.weight"), x);
        var hidden = both[..(both.Length / 2)].Zip(both[(both.Length / 2)..], (gate, value) => Silu(gate) * value);
        return Product(_folder.Matrix(name + "output.weight"), [.. hidden]);
    }

    private double[][] Mixer(string name, JsonElement mixer, double[][] x)
    {
        var (q, k, v) = Convolved(name, x);
        var o = Memories(name, mixer, x, q, k, v);
        var gain = _folder.Vector(name + "norm.weight");
        var gate = _folder.Matrix(name + "gate.weight");
        var output = _folder.Matrix(name + "output.weight");
        return [.. x.Select((row, t) =>
        {
            double[] read = [.. Enumerable.Range(0, _heads).SelectMany(h => RmsNorm(o[h][t], Head(gain, h)))];
            return Product(output, Times(read, [.. Product(gate, row).Select(Silu)]));
        })];
    }

    /// <summary>q, k and v by head and token.</summary>
    private (double[][][] Q, double[][][] K, double[][][] V) Convolved(string name, double[][] x)
    {
        var projected = x.Select(row => Product(_folder.Matrix(name + "qkv.weight"), row)).ToArray();
        var taps = _folder.Matrix(name + "convolution.weight");
        var width = taps.GetLength(1);
        double Convolution(int t, int channel) =>
            Enumerable.Range(0, Math.Min(width, t + 1)).Sum(i => taps[channel, width - 1 - i] * projected[t - i][channel]);
        var rows = x.Select((_, t) => Enumerable.Range(0, 3 * _dimension).Select(i => Silu(Convolution(t, i))).ToArray()).ToArray();
        double[][][] Part(int part, Func<double[], double[]> change) =>
            ByHead([.. rows.Select(row => row[(part * _dimension)..((part + 1) * _dimension)])], change);
        return (Part(0, UnitLength), Part(1, UnitLength), Part(2, row => row));
    }

    private static double[] UnitLength(double[] x) => Times(1 / Math.Sqrt(Dot(x, x) + 1e-6), x);

    private double[][] Attention(string name, double[][] x)
    {
        double[][][] Projected(string part, bool isTurned) => ByHead([.. x.Select((row, t) =>
        {
            var projected = Product(_folder.Matrix($"{name}{part}.weight"), row);
            return isTurned ? Turned(projected, t) : projected;
        })], head => head);
        var (q, k, v) = (Projected("query", true), Projected("key", true), Projected("value", false));
        return [.. x.Select((_, t) => Product(_folder.Matrix(name + "output.weight"), [.. Enumerable.Range(0, _heads).SelectMany(h =>
        {
            var weights = Softmax([.. Enumerable.Range(0, t + 1).Select(s => Dot(q[h][t], k[h][s]) / Math.Sqrt(Width))]);
            return Sum(weights.Select((weight, s) => Times(weight, v[h][s])));
        })]))];
    }

    private double[] Turned(double[] x, int t)
    {
        var turned = new double[x.Length];
        for (var h = 0; h < _heads; h++)
        {
            for (var i = 0; i < Width / 2; i++)
            {
                var w = t * Math.Pow(_rotaryBase, -2.0 * i / Width);
                var (first, second) = ((h * Width) + i, (h * Width) + i + (Width / 2));
                turned[first] = (x[first] * Math.Cos(w)) - (x[second] * Math.Sin(w));
                turned[second] = (x[first] * Math.Sin(w)) + (x[second] * Math.Cos(w));
            }
        }

        return turned;
    }

    // Memories

    /// <summary>o by head and token.</summary>
    private double[][][] Memories(string name, JsonElement mixer, double[][] x, double[][][] q, double[][][] k, double[][][] v)
    {
        var aggregation = Text(mixer.GetProperty("cache"), "aggregation");
        if (aggregation == "log-linear")
        {
            return [.. Enumerable.Range(0, _heads).Select(h => LogLinear(name, mixer, x, q[h], k[h], v[h], h))];
        }

        Memory[] memories = [.. Enumerable.Range(0, _heads).Select(h => MemoryOf(name, mixer, x, k[h], v[h], h))];
        var isIndependent = (Text(mixer.GetProperty("cache"), "start") ?? DefaultStart(Text(mixer, "memory")!)) == "independent";
        var topK = Integer(mixer.GetProperty("cache"), "topK");
        var logits = aggregation is "grm" or "soup" or "ssc" ? new Router(this, name, mixer, x, q, k) : null;
        return [.. memories.Select((memory, h) => x.Select((_, t) =>
        {
            var segments = aggregation == "none" ? [(0, t + 1)] : Segments(mixer, t);
            double[][][,] states = [.. segments.Select(segment => memory.Written(isIndependent ? segment.Begin : 0, segment.End).Matrices)];
            return Read(memory, aggregation!, states, logits?.Logits(h, t, segments) ?? [], q[h][t], topK);
        }).ToArray())];
    }

    /// <summary>x W + bias of a gate.</summary>
    private double GateInput(string gate, double[] x, int h) =>
        Dot(Row(_folder.Matrix(gate + ".weight"), h), x) + _folder.Vector(gate + ".bias")[h];

    private static string DefaultStart(string memory) =>
        memory is "delta-net" or "gated-delta-net" or "titans" ? "checkpoint" : "independent";

    private Memory MemoryOf(string name, JsonElement mixer, double[][] x, double[][] k, double[][] v, int h)
    {
        double[] Gate(string gate, Func<double, double> function) => [.. x.Select(row => function(GateInput(name + gate, row, h)))];
        double[,] Write(int t) => Outer(v[t], k[t]);
        MatrixMemory Matrix(Func<double[,], int, int, double[,]> update) => new(Width, update);
        var memory = Text(mixer, "memory");
        switch (memory)
        {
            case "linear":
                return Matrix((m, t, _) => Plus(m, Write(t)));
            case "gated-linear":
                var a = Gate("decay", Sigmoid);
                return Matrix((m, t, _) => Plus(Times(a[t], m), Write(t)));
            case "swla":
                var (decay, b, l) = (Gate("decay", Sigmoid), Gate("previous_gate", Sigmoid), Gate("write_gate", Sigmoid));
                return Matrix((m, t, begin) =>
                    Plus(Plus(Times(decay[t], m), t > begin ? Times(b[t], Write(t - 1)) : Times(0, m)), Times(l[t], Write(t))));
            case "mamba2":
                var step = Gate("step_size", Softplus);
                var rate = Math.Exp(_folder.Vector(name + "log_rate")[h]);
                return Matrix((m, t, _) => Plus(Times(Math.Exp(-step[t] * rate), m), Times(step[t], Write(t))));
            case "gla":
                var decays = VectorDecays(name, x, h);
                return Matrix((m, t, _) => Plus(Map(m, (_, column, value) => value * decays[t][column]), Write(t)));
            case "delta-net":
                var beta = Gate("beta", Sigmoid);
                return Matrix((m, t, _) => Plus(Corrected(m, k[t], beta[t]), Times(beta[t], Write(t))));
            case "gated-delta-net":
                var (beta2, a2) = (Gate("beta", Sigmoid), Gate("decay", Sigmoid));
                return Matrix((m, t, _) => Plus(Times(a2[t], Corrected(m, k[t], beta2[t])), Times(beta2[t], Write(t))));
            case "dla" or "titans":
                return Deep(name, mixer, memory == "titans", k, v, h, Gate);
            default:
                throw new InvalidDataException($"docs/models.md knows no memory {memory}.");
        }
    }

    /// <summary>M (I - b k k^T).</summary>
    private static double[,] Corrected(double[,] m, double[] k, double b) => Plus(m, Times(-b, Outer(Product(m, k), k)));

    private double[][] VectorDecays(string name, double[][] x, int h)
    {
        var (down, up) = (_folder.Matrix(name + "decay.down.weight"), _folder.Matrix(name + "decay.up.weight"));
        var bias = _folder.Vector(name + "decay.bias");
        return [.. x.Select(row => Head([.. Plus(Product(up, Product(down, row)), bias).Select(z => Math.Exp(-Softplus(-z) / 16))], h))];
    }

    // Deep memories

    private DeepMemory Deep(
        string name, JsonElement mixer, bool isTitans, double[][] k, double[][] v, int h, Func<string, Func<double, double>, double[]> gate)
    {
        var deep = mixer.TryGetProperty("deep", out var settings) ? settings : default;
        var depth = (int)Number(deep, "depth", 2);
        var hidden = (int)Number(deep, "expansion", 4) * Width;
        var weights = _folder.Matrix(name + "memory.weights");
        var matrices = new double[depth][,];
        for (int i = 0, begin = 0; i < depth; i++)
        {
            var (rows, columns) = (i == depth - 1 ? Width : hidden, i == 0 ? Width : hidden);
            matrices[i] = Transposed(Matrix(Row(weights, h), begin, columns, rows));
            begin += rows * columns;
        }

        var rate = gate("learning_rate", Sigmoid);
        var decay = Switch(deep, "decay", isTitans) ? gate("decay", Sigmoid) : null;
        var momentum = Switch(deep, "momentum", isTitans) ? gate("momentum", Sigmoid) : null;
        var clips = !(Property(deep, "gradientClip") is { ValueKind: JsonValueKind.Null });
        return new()
        {
            K = k,
            V = v,
            Initial = matrices,
            Gain = Switch(deep, "norm", true) && depth > 1 ? Head(_folder.Vector(name + "memory.norm.weight"), h) : null,
            Epsilon = _epsilon,
            IsSquaredError = isTitans,
            Clip = clips ? Number(deep, "gradientClip", 1) : null,
            ChunkLength = Integer(mixer, "chunkLength"),
            Rate = t => rate[t],
            Decay = t => decay is null ? 1 : decay[t],
            Momentum = t => momentum is null ? 0 : momentum[t],
        };
    }

    // Segments

    /// <summary>The past segments that a token reads, and its online segment up to itself.</summary>
    private static (int Begin, int End)[] Segments(JsonElement mixer, int t)
    {
        var cache = mixer.GetProperty("cache");
        var isConstant = Text(cache, "segments") == "constant";
        var c = isConstant ? Integer(cache, "segmentLength") : Integer(mixer, "chunkLength");
        var finished = t / c;
        List<(int, int)> segments = [];
        var begin = 0;
        for (var power = 1 << 20; power > 0; power /= 2)
        {
            if (!isConstant && (finished & power) != 0)
            {
                segments.Add((begin * c, (begin + power) * c));
                begin += power;
            }
        }

        for (; begin < finished; begin++)
        {
            segments.Add((begin * c, (begin + 1) * c));
        }

        return [.. segments, (finished * c, t + 1)];
    }

    // What a token reads

    private static double[] Read(Memory memory, string aggregation, double[][][,] states, double[] logits, double[] q, int topK)
    {
        switch (aggregation)
        {
            case "none" or "residual":
                return Sum(states.Select(state => memory.Read(state, q)));
            case "grm":
                return Sum(Softmax(logits).Zip(states, (gate, state) => Times(gate, memory.Read(state, q))));
            case "soup":
                var gates = Softmax(logits);
                double[][,] mixed = [.. states[0].Select((_, i) => gates.Select((gate, s) => Times(gate, states[s][i])).Aggregate(Plus))];
                return memory.Read(mixed, q);
            case "ssc":
                var past = Enumerable.Range(0, states.Length - 1).OrderByDescending(i => logits[i]).Take(topK);
                int[] best = [.. past, states.Length - 1];
                return Read(memory, "grm", [.. best.Select(i => states[i])], [.. best.Select(i => logits[i])], q, topK);
            default:
                throw new InvalidDataException($"docs/models.md knows no aggregation {aggregation}.");
        }
    }

    /// <summary>"The router" in docs/models.md.</summary>
    private sealed class Router
    {
        private readonly double[][][] _u;
        private readonly double[][][] _r;
        private readonly double[] _temperature;
        private readonly double[]? _onlineBias;
        private readonly string _key;
        private readonly bool _isShared;

        public Router(ForwardPass pass, string name, JsonElement mixer, double[][] x, double[][][] q, double[][][] k)
        {
            var folder = pass._folder;
            var settings = mixer.GetProperty("cache").GetProperty("router");
            var comparesPositions = Text(settings, "keys") == "position";
            double[][][] Made(Func<double[], double[]> make) =>
                pass.ByHead([.. x.Select((row, t) => comparesPositions ? pass.Turned(make(row), t) : make(row))], head => head);
            double[] Joined(double[][][] heads, int t) => [.. heads.SelectMany(head => head[t])];
            if (Text(settings, "query") != "query")
            {
                _u = Made(row => Product(folder.Matrix(name + "router.weight"), row));
            }
            else
            {
                _u = comparesPositions ? pass.ByHead([.. x.Select((_, t) => pass.Turned(Joined(q, t), t))], head => head) : q;
            }

            _r = Text(settings, "keys") switch
            {
                "projected" => Made(row => Product(folder.Matrix(name + "router.key"), row)),
                "position" => Made(_ => folder.Vector(name + "router.position")),
                _ => k,
            };
            _key = Text(settings, "key") ?? "normalized-mean";
            _isShared = Switch(settings, "sharedGates", false);
            _temperature = folder.Vector(name + "router.temperature");
            _onlineBias = folder.VectorOrNull(name + "router.online_bias");
        }

        public double[] Logits(int h, int t, (int Begin, int End)[] segments) =>
            _isShared ? Sum(_u.Select((_, head) => LogitsOf(head, t, segments))) : LogitsOf(h, t, segments);

        private double[] LogitsOf(int h, int t, (int Begin, int End)[] segments)
        {
            double[] logits = [.. segments.Select(segment => _temperature[h] * Dot(_u[h][t], Described(h, segment)))];
            logits[^1] += _onlineBias?[h] ?? 0;
            return logits;
        }

        private double[] Described(int h, (int Begin, int End) segment)
        {
            var count = segment.End - segment.Begin;
            var sum = Sum(_r[h][segment.Begin..segment.End]);
            return _key switch
            {
                "sum" => sum,
                "mean" => Times(1.0 / count, sum),
                _ => Times(Math.Sqrt(count) / count, sum),
            };
        }
    }

    private double[][] LogLinear(string name, JsonElement mixer, double[][] x, double[][] q, double[][] k, double[][] v, int h)
    {
        const int Levels = 20;
        var (weight, bias) = (_folder.Matrix(name + "levels.weight"), _folder.Vector(name + "levels.bias"));
        double Lambda(int t, int level) => Softplus(Dot(Row(weight, (h * Levels) + level), x[t]) + bias[(h * Levels) + level]);
        double StepSize(int t) => Softplus(GateInput(name + "step_size", x[t], h));
        var (logDecay, write) = Text(mixer, "memory") switch
        {
            "linear" => ((Func<int, double>)(_ => 0), (Func<int, double>)(_ => 1)),
            "gated-linear" => (t => -Softplus(-GateInput(name + "decay", x[t], h)), _ => 1),
            _ => (t => -StepSize(t) * Math.Exp(_folder.Vector(name + "log_rate")[h]), StepSize),
        };
        return [.. x.Select((_, t) => Sum(Enumerable.Range(0, t + 1).Select(j =>
        {
            var level = 0;
            for (var differing = t ^ j; differing > 0; differing /= 2)
            {
                level++;
            }

            var reach = Math.Exp(Enumerable.Range(j + 1, t - j).Sum(logDecay));
            return Times(Lambda(t, Math.Min(level, Levels - 1)) * reach * write(j) * Dot(q[t], k[j]), v[j]);
        })))];
    }

    // The configuration

    private double[] Head(double[] row, int h) => row[(h * Width)..((h + 1) * Width)];

    private double[][][] ByHead(double[][] rows, Func<double[], double[]> change) =>
        [.. Enumerable.Range(0, _heads).Select(h => rows.Select(row => change(Head(row, h))).ToArray())];

    private static JsonElement? Property(JsonElement settings, string name) =>
        settings.ValueKind == JsonValueKind.Object && settings.TryGetProperty(name, out var value) ? value : null;

    private static string? Text(JsonElement settings, string name) =>
        Property(settings, name) is { ValueKind: JsonValueKind.String } value ? value.GetString() : null;

    private static int Integer(JsonElement settings, string name) => settings.GetProperty(name).GetInt32();

    private static double Number(JsonElement settings, string name, double otherwise) =>
        Property(settings, name) is { ValueKind: JsonValueKind.Number } value ? value.GetDouble() : otherwise;

    private static bool Switch(JsonElement settings, string name, bool otherwise) =>
        Property(settings, name) is { ValueKind: JsonValueKind.True or JsonValueKind.False } value ? value.GetBoolean() : otherwise;
}
