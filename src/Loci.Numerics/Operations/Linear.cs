namespace Loci.Numerics.Operations;

/// <summary>Linear map of every row: y = x W^T, optionally added to a residual.</summary>
public static class Linear
{
    /// <summary>Applies the map.</summary>
    /// <param name="tape">The step.</param>
    /// <param name="x">Input, [rows, in].</param>
    /// <param name="weight">Weight, [out, in].</param>
    /// <param name="residual">Added to the result where given, [rows, out].</param>
    /// <returns>[rows, out].</returns>
    /// <exception cref="ArgumentException">The shapes do not fit together.</exception>
    /// <exception cref="InvalidOperationException">The operation is recorded with a weight rounded to int8.</exception>
    public static Tensor Apply(Tape tape, Tensor x, Tensor weight, Tensor? residual = null)
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(x);
        ArgumentNullException.ThrowIfNull(weight);
        if (weight.Shape.Rank != 2 || x.Columns != weight.Columns)
        {
            throw new ArgumentException($"A linear map with weight {weight.Shape} takes rows of {weight.Columns} values, not an input of shape {x.Shape}.", nameof(x));
        }

        int rows = x.Rows, inputs = x.Columns, outputs = weight.Shape[0];
        if (residual is not null && residual.Shape != new Shape(rows, outputs))
        {
            throw new ArgumentException($"The residual of a linear map has the shape of its output [{rows}, {outputs}], not {residual.Shape}.", nameof(residual));
        }

        var record = tape.IsRecording && (x.RequiresGradient || weight.RequiresGradient || residual is { RequiresGradient: true });
        if (record)
        {
            RequireTrainable(weight);
        }

        var y = tape.NewOutput(new Shape(rows, outputs), record);
        if (residual is not null)
        {
            tape.Device.Copy(residual.Data, y.Data);
        }

        Multiply(tape.Device, rows, x.Data, weight, y.Data, residual is not null);
        if (record)
        {
            var node = tape.Record<Node>();
            node.X = x;
            node.Weight = weight;
            node.Residual = residual;
            node.Output = y;
        }

        return y;
    }

    /// <summary>y [rows, out] = x [rows, in] W^T, or is added to, with weights in any format.</summary>
    internal static void Multiply(Device device, int rows, DeviceSpan<float> x, Tensor weight, DeviceSpan<float> y, bool accumulate)
    {
        int outputs = weight.Shape[0], inputs = weight.Columns;
        if (weight is Parameter { Format: WeightFormat.Int8, Blocks: var blocks })
        {
            device.MatrixMultiplyInt8(rows, outputs, inputs, x, inputs, blocks, y, outputs, accumulate);
        }
        else
        {
            device.MatrixMultiply(false, true, rows, outputs, inputs, x, inputs, weight.Data, inputs, y, outputs, accumulate);
        }
    }

    /// <summary>Refuses to record an operation whose backward pass would need the exact weights.</summary>
    internal static void RequireTrainable(Tensor weight)
    {
        if (weight is Parameter { Format: WeightFormat.Int8, Name: var name })
        {
            throw new InvalidOperationException($"Parameter {name} was rounded to int8, which is for inference only: train the float32 model.");
        }
    }

    private sealed class Node : TapeNode
    {
        public Tensor X { get; set; } = null!;

        public Tensor Weight { get; set; } = null!;

        public Tensor? Residual { get; set; }

        public override void Backward(Tape tape)
        {
            int rows = X.Rows, inputs = X.Columns, outputs = Output.Columns;
            var dy = Output.Gradient;
            var dw = tape.GradientOf(Weight, out var accumulate);
            if (!dw.IsEmpty)
            {
                // dW [out, in] = dy^T [out, rows] x [rows, in]
                tape.Device.MatrixMultiply(true, false, outputs, inputs, rows, dy, outputs, X.Data, inputs, dw, inputs, accumulate);
            }

            var dx = tape.GradientOf(X, out accumulate);
            if (!dx.IsEmpty)
            {
                // dx [rows, in] = dy [rows, out] W [out, in]
                tape.Device.MatrixMultiply(false, false, rows, inputs, outputs, dy, outputs, Weight.Data, inputs, dx, inputs, accumulate);
            }

            if (Residual is not null)
            {
                tape.PassGradient(Output, Residual);
            }
        }
    }
}
