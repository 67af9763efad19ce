namespace Loci.Numerics.Optimization;

/// <summary>Settings of <see cref="AdamW"/>.</summary>
public sealed record AdamWOptions
{
    /// <summary>Share of the mean of gradients that is kept at every step, in [0, 1).</summary>
    public float Beta1 { get; init; } = 0.9f;

    /// <summary>Share of the mean of squared gradients that is kept at every step, in [0, 1).</summary>
    public float Beta2 { get; init; } = 0.95f;

    /// <summary>Added to the root of the mean of squares, above 0.</summary>
    public float Epsilon { get; init; } = 1e-8f;

    /// <summary>Part of a decaying parameter taken off at every step, per unit of learning rate.</summary>
    public float WeightDecay { get; init; } = 0.1f;

    /// <summary>Gradients whose common norm is larger are scaled down to it; infinity = never.</summary>
    public float MaximumGradientNorm { get; init; } = 1;

    /// <summary>Throws if a setting is out of its range.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A setting is out of its range.</exception>
    internal void Validate()
    {
        Require(Beta1 is >= 0 and < 1, nameof(Beta1), Beta1, "in [0, 1)");
        Require(Beta2 is >= 0 and < 1, nameof(Beta2), Beta2, "in [0, 1)");
        Require(Epsilon > 0 && float.IsFinite(Epsilon), nameof(Epsilon), Epsilon, "above 0");
        Require(WeightDecay >= 0 && float.IsFinite(WeightDecay), nameof(WeightDecay), WeightDecay, "0 or more");
        Require(MaximumGradientNorm > 0, nameof(MaximumGradientNorm), MaximumGradientNorm, "above 0");

        static void Require(bool holds, string name, float value, string range)
        {
            if (!holds)
            {
                throw new ArgumentOutOfRangeException(name, $"{name} must be {range}, not {value}.");
            }
        }
    }
}

/// <summary>What one step of <see cref="AdamW"/> did.</summary>
/// <param name="GradientNorm">The common norm of all gradients before clipping.</param>
/// <param name="IsApplied">False where the norm was not finite: parameters and moments are as before.</param>
public readonly record struct AdamWStepResult(double GradientNorm, bool IsApplied);

/// <summary>
/// Adam with decoupled weight decay (Loshchilov and Hutter, 1711.05101) in PyTorch's order, with clipping of the global gradient norm. Parameters decay according to
/// <see cref="Parameter.Decays"/>. Those without a gradient are left alone. A step allocates nothing.
/// </summary>
public sealed class AdamW : IDisposable
{
    private readonly Parameter[] _parameters;
    private readonly DeviceSpan<float>[] _first;
    private readonly DeviceSpan<float>[] _second;
    private readonly AdamWOptions _options;

    /// <summary>Makes an optimizer with all moments zero.</summary>
    /// <param name="parameters">What it changes, each once.</param>
    /// <param name="options">Its settings.</param>
    /// <exception cref="ArgumentException">There is no parameter, or one comes twice.</exception>
    public AdamW(IEnumerable<Parameter> parameters, AdamWOptions options)
    {
        ArgumentNullException.ThrowIfNull(parameters);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        _options = options;
        _parameters = [.. parameters];
        if (_parameters.Length == 0 || _parameters.Distinct().Count() != _parameters.Length)
        {
            throw new ArgumentException("An optimizer needs at least one parameter, and each only once.", nameof(parameters));
        }

        _first = new DeviceSpan<float>[_parameters.Length];
        _second = new DeviceSpan<float>[_parameters.Length];
        for (var i = 0; i < _parameters.Length; i++)
        {
            var device = _parameters[i].Device;
            _first[i] = device.Allocate<float>(_parameters[i].Shape.Count);
            _second[i] = device.Allocate<float>(_parameters[i].Shape.Count);
            device.Clear(_first[i]);
            device.Clear(_second[i]);
        }
    }

    /// <summary>The parameters in the order of their moments.</summary>
    public IReadOnlyList<Parameter> Parameters => _parameters;

    /// <summary>The settings.</summary>
    public AdamWOptions Options => _options;

    /// <summary>Number of steps applied; settable to go on from saved moments.</summary>
    public int StepCount { get; set; }

    /// <summary>The mean of gradients of a parameter, in its shape; write to it to go on from a saved state.</summary>
    public DeviceSpan<float> FirstMoment(int parameter) => _first[parameter];

    /// <summary>The mean of squared gradients of a parameter, in its shape; write to it to go on from a saved state.</summary>
    public DeviceSpan<float> SecondMoment(int parameter) => _second[parameter];

    /// <summary>Forgets all gradients, so that the next backward pass writes rather than adds.</summary>
    public void ResetGradients()
    {
        foreach (var parameter in _parameters)
        {
            parameter.ResetGradient();
        }
    }

    /// <summary>Changes all parameters that have a gradient, unless a gradient is not finite. Gradients are kept.</summary>
    /// <param name="learningRate">Of this step, 0 or more.</param>
    public AdamWStepResult Step(float learningRate)
    {
        if (!(learningRate >= 0) || !float.IsFinite(learningRate))
        {
            throw new ArgumentOutOfRangeException(nameof(learningRate), $"A learning rate is a number of 0 or more, not {learningRate}.");
        }

        double squares = 0;
        foreach (var parameter in _parameters)
        {
            if (parameter.HasGradient)
            {
                squares += parameter.Device.SumOfSquares(parameter.Gradient);
            }
        }

        var norm = Math.Sqrt(squares);
        if (!double.IsFinite(norm))
        {
            return new AdamWStepResult(norm, false);
        }

        StepCount++;
        var factors = new AdamWFactors(
            norm > _options.MaximumGradientNorm ? (float)(_options.MaximumGradientNorm / norm) : 1, 0, _options.Beta1, _options.Beta2,
            (float)(learningRate / (1 - Math.Pow(_options.Beta1, StepCount))), (float)(1 / Math.Sqrt(1 - Math.Pow(_options.Beta2, StepCount))), _options.Epsilon);
        for (var i = 0; i < _parameters.Length; i++)
        {
            var parameter = _parameters[i];
            if (parameter.HasGradient)
            {
                var decay = parameter.Decays ? learningRate * _options.WeightDecay : 0;
                parameter.Device.AdamWStep(parameter.Data, parameter.Gradient, _first[i], _second[i], factors with { Decay = decay });
            }
        }

        return new AdamWStepResult(norm, true);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        for (var i = 0; i < _parameters.Length; i++)
        {
            _parameters[i].Device.Free(_first[i]);
            _parameters[i].Device.Free(_second[i]);
            _first[i] = default;
            _second[i] = default;
        }
    }
}
