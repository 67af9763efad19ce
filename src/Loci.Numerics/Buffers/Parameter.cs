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
        : this(device, name, shape, decays, device?.Allocate<float>(shape.Count) ?? default)
    {
        _device.Clear(Data);
    }

    /// <summary>Makes a parameter of memory that it takes over; empty memory makes a description of one.</summary>
    internal Parameter(Device device, string name, Shape shape, bool decays, DeviceSpan<float> data)
    {
        ArgumentNullException.ThrowIfNull(device);
        ArgumentException.ThrowIfNullOrEmpty(name);
        _device = device;
        Name = name;
        Shape = shape;
        Decays = decays;
        RequiresGradient = true;
        Data = data;
    }

    /// <summary>The name in weight files.</summary>
    public string Name { get; }

    /// <summary>Whether weight decay applies.</summary>
    public bool Decays { get; }

    /// <summary>The device that holds it.</summary>
    public Device Device => _device;

    /// <summary>How the values are stored.</summary>
    public WeightFormat Format => Blocks.IsEmpty ? WeightFormat.Float32 : WeightFormat.Int8;

    /// <summary>Bytes of the values.</summary>
    public long Bytes => Blocks.IsEmpty ? sizeof(float) * Shape.Count : Blocks.Length;

    /// <summary>The values where they are <see cref="WeightFormat.Int8"/>; <see cref="Tensor.Data"/> is empty then.</summary>
    internal DeviceSpan<byte> Blocks { get; private set; }

    /// <summary>
    /// Rounds a matrix to <see cref="WeightFormat.Int8"/>, for good: linear maps, embeddings and the output layer can use it, but it has no gradient and its exact values are gone.
    /// </summary>
    /// <exception cref="InvalidOperationException">It is not a matrix, or a value is not finite.</exception>
    public void RoundToInt8()
    {
        if (!Blocks.IsEmpty)
        {
            return;
        }

        if (Shape.Rank != 2 || !_device.IsFinite(Data))
        {
            throw new InvalidOperationException(
                $"Parameter {Name} of shape {Shape} cannot be rounded to int8: {(Shape.Rank != 2 ? "only matrices can" : "it has values that are not finite")}.");
        }

        var blocks = _device.Allocate<byte>(_device.Int8Bytes(Shape[0], Shape[1]));
        _device.RoundToInt8(Data, Shape[0], Shape[1], blocks);
        _device.Free(Data);
        _device.Free(Gradient);
        Data = default;
        Gradient = default;
        RequiresGradient = false;
        Blocks = blocks;
    }

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
    /// <exception cref="InvalidOperationException">The parameter was rounded to int8.</exception>
    public void Load(ReadOnlySpan<float> values)
    {
        if (values.Length != Shape.Count)
        {
            throw new ArgumentException($"Parameter {Name} of shape {Shape} holds {Shape.Count} values, not {values.Length}.", nameof(values));
        }

        RequireFloat32();
        _device.CopyFromHost(values, Data);
    }

    /// <summary>Copies the values out to the host.</summary>
    /// <exception cref="InvalidOperationException">They were rounded to int8.</exception>
    public void Save(Span<float> destination)
    {
        RequireFloat32();
        _device.CopyToHost(Data, destination);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _device.Free(Data);
        _device.Free(Gradient);
        _device.Free(Blocks);
        Data = default;
        Gradient = default;
        Blocks = default;
    }

    private void RequireFloat32()
    {
        if (!Blocks.IsEmpty)
        {
            throw new InvalidOperationException($"Parameter {Name} was rounded to int8 and has no float32 values any more.");
        }
    }
}
