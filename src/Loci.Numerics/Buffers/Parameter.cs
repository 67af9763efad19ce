namespace Loci.Numerics;

/// <summary>A learned tensor: it owns its memory and gradient and is known by name in files.</summary>
public sealed class Parameter : Tensor, IDisposable
{
    private readonly Device _device;

    /// <summary>Allocates a parameter filled with zeros.</summary>
    /// <param name="device">Where it lives.</param>
    /// <param name="name">Its name in weight files, dotted by module.</param>
    /// <param name="shape">Its extents.</param>
    /// <param name="decays">Whether weight decay applies to it (matrices: yes; gains, biases and gates: no).</param>
    public Parameter(Device device, string name, Shape shape, bool decays)
    {
        ArgumentNullException.ThrowIfNull(device);
        ArgumentException.ThrowIfNullOrEmpty(name);
        _device = device;
        Name = name;
        Shape = shape;
        Decays = decays;
        RequiresGradient = true;
        Data = device.Allocate<float>(shape.Count);
        device.Clear(Data);
    }

    /// <summary>The name in weight files.</summary>
    public string Name { get; }

    /// <summary>Whether weight decay applies.</summary>
    public bool Decays { get; }

    /// <summary>The device that holds it.</summary>
    public Device Device => _device;

    /// <summary>Allocates the gradient if there is none yet. Inference never does.</summary>
    internal void EnsureGradient()
    {
        if (Gradient.IsEmpty)
        {
            Gradient = _device.Allocate<float>(Shape.Count);
            HasGradient = false;
        }
    }

    /// <summary>Forgets the gradient: the next contribution is written rather than added.</summary>
    public void ResetGradient() => HasGradient = false;

    /// <summary>Copies values in from the host.</summary>
    /// <exception cref="ArgumentException">The number of values is not the parameter's.</exception>
    public void Load(ReadOnlySpan<float> values)
    {
        if (values.Length != Shape.Count)
        {
            throw new ArgumentException($"Parameter {Name} of shape {Shape} holds {Shape.Count} values, not {values.Length}.", nameof(values));
        }

        _device.CopyFromHost(values, Data);
    }

    /// <summary>Copies the values out to the host.</summary>
    public void Save(Span<float> destination) => _device.CopyToHost(Data, destination);

    /// <inheritdoc/>
    public void Dispose()
    {
        _device.Free(Data);
        _device.Free(Gradient);
        Data = default;
        Gradient = default;
    }
}
