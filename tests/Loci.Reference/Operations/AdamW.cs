namespace Loci.Reference;

/// <summary>Adam with decoupled weight decay (Loshchilov and Hutter, 1711.05101), in the order and with the epsilon of PyTorch.</summary>
public sealed class AdamW(double beta1 = 0.9, double beta2 = 0.95, double epsilon = 1e-8)
{
    private double[][]? first;
    private double[][]? second;

    /// <summary>Steps taken.</summary>
    public int Steps { get; private set; }

    /// <summary>Changes the parameters in place.</summary>
    /// <param name="parameters">One array per parameter tensor.</param>
    /// <param name="gradients">Shaped as the parameters.</param>
    /// <param name="learningRate">Of this step.</param>
    /// <param name="weightDecay">One per tensor.</param>
    public void Step(double[][] parameters, double[][] gradients, double learningRate, double[] weightDecay)
    {
        first ??= Array.ConvertAll(parameters, tensor => new double[tensor.Length]);
        second ??= Array.ConvertAll(parameters, tensor => new double[tensor.Length]);
        Steps++;
        for (int tensor = 0; tensor < parameters.Length; tensor++)
        {
            for (int i = 0; i < parameters[tensor].Length; i++)
            {
                double gradient = gradients[tensor][i];
                first[tensor][i] = beta1 * first[tensor][i] + (1 - beta1) * gradient;
                second[tensor][i] = beta2 * second[tensor][i] + (1 - beta2) * gradient * gradient;
                double mean = first[tensor][i] / (1 - Math.Pow(beta1, Steps));
                double square = second[tensor][i] / (1 - Math.Pow(beta2, Steps));
                parameters[tensor][i] -= learningRate * weightDecay[tensor] * parameters[tensor][i];
                parameters[tensor][i] -= learningRate * mean / (Math.Sqrt(square) + epsilon);
            }
        }
    }

    /// <summary>Scales all gradients in place so that their common norm is at most the limit; gives the norm before.</summary>
    public static double ClipGlobalNorm(double[][] gradients, double limit)
    {
        double squares = 0;
        foreach (double[] tensor in gradients)
        {
            foreach (double gradient in tensor)
            {
                squares += gradient * gradient;
            }
        }

        double norm = Math.Sqrt(squares);
        if (norm > limit)
        {
            foreach (double[] tensor in gradients)
            {
                for (int i = 0; i < tensor.Length; i++)
                {
                    tensor[i] *= limit / norm;
                }
            }
        }

        return norm;
    }
}
