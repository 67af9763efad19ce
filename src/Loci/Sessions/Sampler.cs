using Loci.Data;

namespace Loci.Sessions;

/// <summary>How the next token is chosen.</summary>
public sealed record SamplerOptions
{
    /// <summary>Logits are divided by it: below 1 likely tokens become likelier; 0 takes the likeliest always.</summary>
    public float Temperature { get; init; } = 1;

    /// <summary>Only so many of the likeliest tokens may be chosen; 0 = all.</summary>
    public int TopK { get; init; }

    /// <summary>Only the fewest likeliest tokens whose probabilities (after temperature and top-k) add up to this may be chosen; 1 = all.</summary>
    public float TopP { get; init; } = 1;

    /// <summary>Decides the choices.</summary>
    public ulong Seed { get; init; }

    internal void Validate()
    {
        Require(Temperature >= 0 && float.IsFinite(Temperature), $"The temperature is {Temperature}: use 0 for the likeliest token, or a positive number such as 0.8.");
        Require(TopK >= 0, $"The number of likeliest tokens to choose from (top-k) is {TopK}: use a positive number, or 0 for all.");
        Require(TopP is > 0 and <= 1, $"The probability to choose from (top-p) is {TopP}: use a number above 0 and up to 1.");

        static void Require(bool condition, string message)
        {
            if (!condition)
            {
                throw new LociException(message);
            }
        }
    }
}

/// <summary>
/// Draws tokens from logits: temperature, then top-k, then top-p (nucleus sampling: Holtzman et al., 2020). Of tokens with equal logits the one with the smaller id counts as likelier.
/// The same seed and logits give the same tokens on every machine with the same exponential function. After the first token nothing is allocated. Not safe for use by several threads at once.
/// </summary>
public sealed class Sampler
{
    private readonly SamplerOptions _options;
    private readonly RandomGenerator _random;
    private ulong[] _candidates = [];
    private float[] _probabilities = [];

    /// <summary>Makes a sampler.</summary>
    /// <param name="options">How to choose.</param>
    /// <exception cref="LociException">An option is out of range.</exception>
    public Sampler(SamplerOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        _options = options;
        _random = new RandomGenerator(options.Seed);
    }

    /// <summary>The state of the random numbers: read it to save, set it to go on from there.</summary>
    internal RandomState State
    {
        get => _random.State;
        set => _random.State = value;
    }

    /// <summary>Chooses a token.</summary>
    /// <param name="logits">One logit per token of the vocabulary.</param>
    /// <returns>The token's id.</returns>
    /// <exception cref="LociException">A logit is not a number, or infinite.</exception>
    public int Next(ReadOnlySpan<float> logits)
    {
        if (logits.IsEmpty)
        {
            throw new ArgumentException("There are no logits to choose from.", nameof(logits));
        }

        var likeliest = 0;
        for (var id = 0; id < logits.Length; id++)
        {
            if (!float.IsFinite(logits[id]))
            {
                throw new LociException(ErrorKind.NotFinite, "The model's logits are not finite numbers: its weights are damaged, or its training diverged.");
            }

            if (logits[id] > logits[likeliest])
            {
                likeliest = id;
            }
        }

        if (_options.Temperature == 0 || _options.TopK == 1)
        {
            return likeliest;
        }

        if (_probabilities.Length < logits.Length)
        {
            _probabilities = new float[logits.Length];
            _candidates = new ulong[logits.Length];
        }

        var count = _options.TopK > 0 && _options.TopK < logits.Length ? TakeLikeliest(logits, _options.TopK) : 0;
        if (_options.TopP < 1)
        {
            return FromNucleus(logits, logits[likeliest], count);
        }

        if (count > 0)
        {
            var total = Weigh(logits, logits[likeliest], count);
            return IdOf(_candidates[Draw(count, total)]);
        }

        return Draw(logits.Length, WeighAll(logits, logits[likeliest]));
    }

    /// <summary>Puts the k likeliest tokens into the candidates, likeliest first.</summary>
    private int TakeLikeliest(ReadOnlySpan<float> logits, int k)
    {
        // A heap of the k best so far whose root is the worst of them.
        for (var id = 0; id < k; id++)
        {
            _candidates[id] = KeyOf(logits[id], id);
        }

        var heap = _candidates.AsSpan(0, k);
        for (var i = (k / 2) - 1; i >= 0; i--)
        {
            SiftDown(heap, i);
        }

        for (var id = k; id < logits.Length; id++)
        {
            var key = KeyOf(logits[id], id);
            if (key < heap[0])
            {
                heap[0] = key;
                SiftDown(heap, 0);
            }
        }

        heap.Sort();
        return k;
    }

    private int FromNucleus(ReadOnlySpan<float> logits, float maximum, int count)
    {
        double total;
        if (count > 0)
        {
            total = Weigh(logits, maximum, count);
        }
        else
        {
            // All tokens of less than (1 - p) / V together weigh less than 1 - p, so none of them is in the nucleus; half of that leaves room for rounding.
            total = WeighAll(logits, maximum);
            var least = (float)(0.5 * (1 - (double)_options.TopP) / logits.Length * total);
            for (var id = 0; id < logits.Length; id++)
            {
                if (_probabilities[id] >= least)
                {
                    _candidates[count++] = KeyOf(logits[id], id);
                }
            }

            _candidates.AsSpan(0, count).Sort();
            Weigh(logits, maximum, count);
        }

        var enough = _options.TopP * total;
        var sum = 0.0;
        var taken = 0;
        while (taken < count && sum < enough)
        {
            sum += _probabilities[taken++];
        }

        return IdOf(_candidates[Draw(taken, sum)]);
    }

    /// <summary>Weights of the candidates, in their order.</summary>
    private double Weigh(ReadOnlySpan<float> logits, float maximum, int count)
    {
        var total = 0.0;
        for (var i = 0; i < count; i++)
        {
            total += _probabilities[i] = WeightOf(logits[IdOf(_candidates[i])], maximum);
        }

        return total;
    }

    /// <summary>Weights of all tokens, by id.</summary>
    private double WeighAll(ReadOnlySpan<float> logits, float maximum)
    {
        var total = 0.0;
        for (var id = 0; id < logits.Length; id++)
        {
            total += _probabilities[id] = WeightOf(logits[id], maximum);
        }

        return total;
    }

    private float WeightOf(float logit, float maximum) => MathF.Exp((logit - maximum) / _options.Temperature);

    private int Draw(int count, double total)
    {
        var left = _random.NextDouble() * total;
        var last = 0;
        for (var i = 0; i < count; i++)
        {
            if (_probabilities[i] > 0)
            {
                last = i;
                left -= _probabilities[i];
                if (left < 0)
                {
                    return i;
                }
            }
        }

        return last; // rounding may leave a little
    }

    private static void SiftDown(Span<ulong> heap, int parent)
    {
        var value = heap[parent];
        for (int child; (child = (2 * parent) + 1) < heap.Length; parent = child)
        {
            if (child + 1 < heap.Length && heap[child + 1] > heap[child])
            {
                child++;
            }

            if (heap[child] <= value)
            {
                break;
            }

            heap[parent] = heap[child];
        }

        heap[parent] = value;
    }

    /// <summary>A number that is smaller for the likelier of two tokens: the logit's bits in descending order, then the id.</summary>
    private static ulong KeyOf(float logit, int id)
    {
        var bits = BitConverter.SingleToUInt32Bits(logit + 0f); // -0 becomes 0
        var ascending = (bits & 0x80000000) != 0 ? ~bits : bits | 0x80000000;
        return ((ulong)~ascending << 32) | (uint)id;
    }

    private static int IdOf(ulong key) => (int)(uint)key;
}
