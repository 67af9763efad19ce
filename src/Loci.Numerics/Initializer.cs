namespace Loci.Numerics;

/// <summary>
/// Draws initial weights, deterministically from a seed: matrices from N(0, 0.02^2) as GPT-2 and Llama do, those that write to the residual stream
/// divided by sqrt(2 layers), gains 1. Every parameter has its own stream, so that adding one does not change the others.
/// </summary>
public sealed class Initializer
{
    private const float StandardDeviation = 0.02f;

    private readonly ulong? _seed;
    private readonly float _residualScale;
    private readonly Func<Device, string, Shape, bool, Parameter> _create = Allocate;

    /// <summary>Makes an initializer.</summary>
    /// <param name="seed">Determines all values, with the parameters' names.</param>
    /// <param name="layers">Number of blocks of the model.</param>
    public Initializer(ulong seed, int layers)
    {
        _seed = seed;
        _residualScale = 1 / MathF.Sqrt(2 * layers);
    }

    private Initializer(Func<Device, string, Shape, bool, Parameter> create) => _create = create;

    /// <summary>Makes parameters whose values are yet to be loaded.</summary>
    internal static Initializer ForLoading { get; } = new(Allocate);

    /// <summary>Makes parameters that have names and shapes and no memory, to see what a model needs before it is made.</summary>
    internal static Initializer ForShapes { get; } =
        new((device, name, shape, decays) => new Parameter(device, name, shape, decays, default));

    /// <summary>A matrix from N(0, 0.02^2).</summary>
    public Parameter Normal(Device device, string name, Shape shape, bool decays = true) => Normal(device, name, shape, StandardDeviation, decays);

    /// <summary>A matrix that writes to the residual stream, from N(0, 0.02^2 / (2 layers)).</summary>
    public Parameter Residual(Device device, string name, Shape shape) => Normal(device, name, shape, StandardDeviation * _residualScale, true);

    /// <summary>Taps of a depthwise convolution, uniform within 1 / sqrt(width) as is usual for convolutions.</summary>
    public Parameter Convolution(Device device, string name, Shape shape)
    {
        var bound = 1 / MathF.Sqrt(shape.Columns);
        return Make(device, name, shape, false, (values, random) =>
        {
            for (var i = 0; i < values.Length; i++)
            {
                values[i] = (float)((2 * random.NextUniform()) - 1) * bound;
            }
        });
    }

    /// <summary>A bias or rate whose elements are functions of numbers uniform in [0, 1), without weight decay.</summary>
    internal Parameter Uniform(Device device, string name, Shape shape, Func<double, double> value) =>
        Make(device, name, shape, false, (values, random) =>
        {
            for (var i = 0; i < values.Length; i++)
            {
                values[i] = (float)value(random.NextUniform());
            }
        });

    /// <summary>A gain or bias of one value, without weight decay.</summary>
    public Parameter Constant(Device device, string name, Shape shape, float value) =>
        Make(device, name, shape, false, (values, _) => Array.Fill(values, value));

    /// <summary>A parameter without weight decay whose parts, one after another, are normal with deviations of their own.</summary>
    internal Parameter Normal(Device device, string name, Shape shape, IEnumerable<(int Count, float Deviation)> parts) =>
        Make(device, name, shape, false, (values, random) =>
        {
            var rest = values.AsSpan();
            foreach (var (count, deviation) in parts)
            {
                FillNormal(rest[..count], random, deviation);
                rest = rest[count..];
            }
        });

    internal Parameter Normal(Device device, string name, Shape shape, float deviation, bool decays) =>
        Make(device, name, shape, decays, (values, random) => FillNormal(values, random, deviation));

    private static void FillNormal(Span<float> values, Stream random, float deviation)
    {
        for (var i = 0; i < values.Length; i += 2)
        {
            // Box and Muller: two normal values from two uniform ones.
            var radius = Math.Sqrt(-2 * Math.Log(1 - random.NextUniform()));
            var (sine, cosine) = Math.SinCos(2 * Math.PI * random.NextUniform());
            values[i] = (float)(deviation * radius * cosine);
            if (i + 1 < values.Length)
            {
                values[i + 1] = (float)(deviation * radius * sine);
            }
        }
    }

    private static Parameter Allocate(Device device, string name, Shape shape, bool decays) => new(device, name, shape, decays);

    private Parameter Make(Device device, string name, Shape shape, bool decays, Action<float[], Stream> fill)
    {
        var parameter = _create(device, name, shape, decays);
        if (_seed is { } seed)
        {
            var values = new float[shape.Count];
            fill(values, new Stream(seed, name));
            parameter.Load(values);
        }

        return parameter;
    }

    /// <summary>SplitMix64 (Steele, Lea, Flood 2014), seeded by FNV-1a of the name.</summary>
    private sealed class Stream
    {
        private ulong _state;

        public Stream(ulong seed, string name)
        {
            var hash = 14695981039346656037UL;
            foreach (var character in name)
            {
                hash = (hash ^ character) * 1099511628211UL;
            }

            _state = seed ^ hash;
        }

        public double NextUniform()
        {
            _state += 0x9E3779B97F4A7C15UL;
            var z = _state;
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9UL;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EBUL;
            return ((z ^ (z >> 31)) >> 11) * (1.0 / (1UL << 53));
        }
    }
}
