namespace Loci.Numerics;

/// <summary>
/// Records the operations of one step in order and runs their gradients in the reverse order. It owns the step's memory: every tensor it makes lives
/// until <see cref="Reset"/>. Nodes and tensors are recycled, so that a step of shapes seen before allocates nothing.
/// Without <see cref="IsRecording"/> the same operations run for inference alone. Not safe for use by several threads at once.
/// </summary>
public sealed class Tape : IDisposable
{
    private readonly StepMemory _memory;
    private readonly List<Tensor> _tensors = [];
    private readonly List<TapeNode> _nodes = [];
    private readonly List<INodePool?> _pools = [];
    private readonly Dictionary<Type, IDisposable> _resources = [];
    private int _tensorCount;

    /// <summary>Makes an empty tape.</summary>
    /// <param name="device">Where the tensors live and the kernels run.</param>
    public Tape(Device device)
    {
        ArgumentNullException.ThrowIfNull(device);
        Device = device;
        _memory = new StepMemory(device);
    }

    private interface INodePool
    {
        void Reset();
    }

    /// <summary>Where the tensors live and the kernels run.</summary>
    public Device Device { get; }

    /// <summary>Whether operations are recorded for a backward pass. False makes the tape a plain evaluator.</summary>
    public bool IsRecording { get; set; } = true;

    /// <summary>Whether dropout is applied.</summary>
    public bool IsTraining { get; set; }

    /// <summary>Seeds this step's dropout masks; the trainer sets it from its own random state.</summary>
    public ulong DropoutSeed { get; set; }

    /// <summary>Number of dropout masks drawn since the last reset.</summary>
    internal int DropoutCount { get; set; }

    /// <summary>Bytes of device memory that the tape holds for its steps.</summary>
    public long BytesHeld => _memory.BytesHeld;

    /// <summary>Makes a tensor whose contents are undefined until an operation writes them.</summary>
    public Tensor NewTensor(Shape shape) => NewTensor(shape, _memory.Allocate(shape.Count));

    /// <summary>Makes a tensor from values on the host.</summary>
    /// <param name="shape">Its extents.</param>
    /// <param name="values">Its elements, row-major.</param>
    /// <param name="requiresGradient">Whether a backward pass computes its gradient.</param>
    public Tensor FromHost(Shape shape, ReadOnlySpan<float> values, bool requiresGradient = false)
    {
        if (values.Length != shape.Count)
        {
            throw new ArgumentException($"A tensor of shape {shape} takes {shape.Count} values, not {values.Length}.", nameof(values));
        }

        var tensor = NewTensor(shape);
        Device.CopyFromHost(values, tensor.Data);
        tensor.RequiresGradient = requiresGradient;
        tensor.IsKept = requiresGradient;
        return tensor;
    }

    /// <summary>Copies a tensor's elements to the host.</summary>
    public float[] ToHost(Tensor tensor)
    {
        ArgumentNullException.ThrowIfNull(tensor);
        var values = new float[tensor.Shape.Count];
        Device.CopyToHost(tensor.Data, values);
        return values;
    }

    /// <summary>Keeps a tensor's memory and gradient until the reset, so that they can be read after the backward pass.</summary>
    public static void Keep(Tensor tensor)
    {
        ArgumentNullException.ThrowIfNull(tensor);
        tensor.IsKept = true;
    }

    /// <summary>Runs the gradients of everything recorded, starting from a gradient of <paramref name="seed"/> in every element of <paramref name="output"/>.</summary>
    public void Backward(Tensor output, float seed = 1)
    {
        Device.Fill(OutputGradient(output), seed);
        RunBackward();
    }

    /// <summary>Runs the gradients of everything recorded, starting from a given gradient of <paramref name="output"/>.</summary>
    public void Backward(Tensor output, ReadOnlySpan<float> gradient)
    {
        Device.CopyFromHost(gradient, OutputGradient(output));
        RunBackward();
    }

    /// <summary>Forgets the recorded operations and takes back all tensors.</summary>
    public void Reset()
    {
        _nodes.Clear();
        foreach (var pool in _pools)
        {
            pool?.Reset();
        }

        _tensorCount = 0;
        DropoutCount = 0;
        _memory.Reset();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var resource in _resources.Values)
        {
            resource.Dispose();
        }

        _memory.Dispose();
    }

    /// <summary>
    /// What some part of a model keeps with the tape from step to step, one of a type: made when it is first asked for, disposed with the
    /// tape.
    /// </summary>
    internal T Resource<T>() where T : class, IDisposable, new()
    {
        if (!_resources.TryGetValue(typeof(T), out var resource))
        {
            resource = new T();
            _resources.Add(typeof(T), resource);
        }

        return (T)resource;
    }

    /// <summary>Some rows of a tensor as a tensor over the same memory, for inference: no gradient passes through it.</summary>
    /// <param name="tensor">[R, D].</param>
    /// <param name="first">The first of them.</param>
    /// <param name="rows">How many, 1 or more.</param>
    /// <exception cref="ArgumentOutOfRangeException">The tensor has no such rows.</exception>
    public Tensor Rows(Tensor tensor, int first, int rows)
    {
        ArgumentNullException.ThrowIfNull(tensor);
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(rows);
        ArgumentOutOfRangeException.ThrowIfGreaterThan((long)first + rows, tensor.Rows);
        var columns = tensor.Columns;
        return NewTensor(new Shape(rows, columns), tensor.Data.Slice((long)first * columns, (long)rows * columns));
    }

    /// <summary>Scratch memory that lives until the reset or until it is given back.</summary>
    internal DeviceSpan<float> Allocate(long count) => _memory.Allocate(count);

    internal void Return(DeviceSpan<float> span) => _memory.Return(span);

    /// <summary>The output of an operation, which needs a gradient if the operation is recorded.</summary>
    internal Tensor NewOutput(Shape shape, bool requiresGradient)
    {
        var tensor = NewTensor(shape);
        tensor.RequiresGradient = requiresGradient;
        return tensor;
    }

    /// <summary>A node to fill in for an operation that is being recorded.</summary>
    internal T Record<T>() where T : TapeNode, new()
    {
        var index = NodeType<T>.Index;
        while (_pools.Count <= index)
        {
            _pools.Add(null);
        }

        var pool = (NodePool<T>)(_pools[index] ??= new NodePool<T>());
        var node = pool.Rent();
        _nodes.Add(node);
        return node;
    }

    /// <summary>
    /// Where a backward kernel writes its contribution to a tensor's gradient, and whether it must add to what is there.
    /// Empty where the tensor needs no gradient.
    /// </summary>
    internal DeviceSpan<float> GradientOf(Tensor tensor, out bool accumulate)
    {
        accumulate = tensor.HasGradient;
        if (!tensor.RequiresGradient)
        {
            return default;
        }

        if (tensor is Parameter parameter)
        {
            parameter.EnsureGradient();
        }
        else if (tensor.Gradient.IsEmpty)
        {
            tensor.Gradient = _memory.Allocate(tensor.Shape.Count);
        }

        tensor.HasGradient = true;
        return tensor.Gradient;
    }

    /// <summary>Passes an output's gradient on to an input unchanged, without a copy where that is possible.</summary>
    internal void PassGradient(Tensor output, Tensor input)
    {
        if (!input.RequiresGradient)
        {
            return;
        }

        if (!input.HasGradient && input is not Parameter && !output.IsKept && input.Gradient.IsEmpty)
        {
            input.Gradient = output.Gradient;
            input.HasGradient = true;
            output.Gradient = default;
            return;
        }

        var gradient = GradientOf(input, out var accumulate);
        if (accumulate)
        {
            Device.AddScaled(output.Gradient, 1, gradient);
        }
        else
        {
            Device.Copy(output.Gradient, gradient);
        }
    }

    private DeviceSpan<float> OutputGradient(Tensor output)
    {
        ArgumentNullException.ThrowIfNull(output);
        if (!IsRecording || !output.RequiresGradient)
        {
            throw new InvalidOperationException("Nothing that needs a gradient was recorded for this tensor: set IsRecording and use parameters or inputs that require a gradient.");
        }

        return GradientOf(output, out _);
    }

    private void RunBackward()
    {
        for (var i = _nodes.Count - 1; i >= 0; i--)
        {
            var node = _nodes[i];
            if (node.HasOutputGradient)
            {
                node.Backward(this);
            }

            node.ReleaseOutputs(this);
        }

        _nodes.Clear();
    }

    private Tensor NewTensor(Shape shape, DeviceSpan<float> data)
    {
        if (_tensorCount == _tensors.Count)
        {
            _tensors.Add(new Tensor());
        }

        var tensor = _tensors[_tensorCount++];
        tensor.Shape = shape;
        tensor.Data = data;
        tensor.Gradient = default;
        tensor.HasGradient = false;
        tensor.RequiresGradient = false;
        tensor.IsKept = false;
        return tensor;
    }

    private static class NodeTypes
    {
        public static int Count;
    }

    private static class NodeType<T>
    {
        public static readonly int Index = Interlocked.Increment(ref NodeTypes.Count) - 1;
    }

    private sealed class NodePool<T> : INodePool where T : TapeNode, new()
    {
        private readonly List<T> _items = [];
        private int _used;

        public T Rent()
        {
            if (_used == _items.Count)
            {
                _items.Add(new T());
            }

            return _items[_used++];
        }

        public void Reset() => _used = 0;
    }
}
