using Loci.Numerics;

namespace Loci.Numerics;

/// <summary>
/// Draws initial weights, deterministically from a seed: matrices from N(0, 0.02^2) as GPT-2 and Llama do, those that write to the residual stream
/// divided by sqrt(2 layers), gains 1. Every parameter has its own stream, so that adding one does not change the others.
/// </summary>
public sealed class Initializer
{
    private const float StandardDeviation = 0.02f;

    private readonly ulong _seed;
    private readonly float _residualScale;

    /// <summary>Makes an initialiser.</summary>
    /// <param name="seed">Determines all values, with the parameters' names.</param>
    /// <param name="layers">Number of blocks of the model.</param>
    public Initializer(ulong seed, int layers)
    {
        _seed = seed;
        _residualScale = 1 / MathF.Sqrt(2 * layers);
    }

    /// <summary>A matrix from N(0, 0.02^2).</summary>
    public Parameter Normal(Device device, string name, Shape shape, bool decays = true) => Normal(device, name, shape, StandardDeviation, decays);

    /// <summary>A matrix that writes to the residual stream, from N(0, 0.02^2 / (2 layers)).</summary>
    public Parameter Residual(Device device, string name, Shape shape) => Normal(device, name, shape, StandardDeviation * _residualScale, true);

    /// <summary>Taps of a depthwise convolution, uniform within 1 / sqrt(width) as is usual for convolutions.</summary>
    public Parameter Convolution(Device device, string name, Shape shape)
    {
        var values = new float[shape.Count];
        var random = new Stream(_seed, name);
        var bound = 1 / MathF.Sqrt(shape.Columns);
        for (var i = 0; i < values.Length; i++)
        {
            values[i] = (float)((2 * random.NextUniform()) - 1) * bound;
        }

        return Make(device, name, shape, values, false);
    }

    /// <summary>A bias or rate whose elements are functions of numbers uniform in [0, 1), without weight decay.</summary>
    internal Parameter Uniform(Device device, string name, Shape shape, Func<double, double> value)
    {
        var values = new float[shape.Count];
        var random = new Stream(_seed, name);
        for (var i = 0; i < values.Length; i++)
        {
            values[i] = (float)value(random.NextUniform());
        }

        return Make(device, name, shape, values, false);
    }

    /// <summary>A gain or bias of one value, without weight decay.</summary>
    public Parameter Constant(Device device, string name, Shape shape, float value)
    {
        _ = _seed;
        var values = new float[shape.Count];
        Array.Fill(values, value);
        return Make(device, name, shape, values, false);
    }

    /// <summary>A parameter without weight decay whose parts, one after another, are normal with deviations of their own.</summary>
    internal Parameter Normal(Device device, string name, Shape shape, IEnumerable<(int Count, float Deviation)> parts)
    {
        var values = new float[shape.Count];
        var random = new Stream(_seed, name);
        var rest = values.AsSpan();
        foreach (var (count, deviation) in parts)
        {
            FillNormal(rest[..count], ref random, deviation);
            rest = rest[count..];
        }

        return Make(device, name, shape, values, false);
    }

    internal Parameter Normal(Device device, string name, Shape shape, float deviation, bool decays)
    {
        var values = new float[shape.Count];
        var random = new Stream(_seed, name);
        FillNormal(values, ref random, deviation);
        return Make(device, name, shape, values, decays);
    }

    private static void FillNormal(Span<float> values, ref Stream random, float deviation)
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

    private static Parameter Make(Device device, string name, Shape shape, float[] values, bool decays)
    {
        var parameter = new Parameter(device, name, shape, decays);
        parameter.Load(values);
        return parameter;
    }

    /// <summary>SplitMix64 (Steele, Lea, Flood 2014), seeded by FNV-1a of the name.</summary>
    private struct Stream
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
