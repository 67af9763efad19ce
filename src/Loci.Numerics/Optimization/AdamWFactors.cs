namespace Loci.Numerics;

/// <summary>The numbers of one AdamW update.</summary>
/// <param name="GradientScale">Multiplies the gradient (clipping).</param>
/// <param name="Decay">The part of the parameter taken off: learning rate times weight decay.</param>
/// <param name="Beta1">Share of the first moment that is kept.</param>
/// <param name="Beta2">Share of the second moment that is kept.</param>
/// <param name="StepSize">Learning rate / (1 - beta1^step).</param>
/// <param name="SecondCorrection">1 / sqrt(1 - beta2^step).</param>
/// <param name="Epsilon">Added to the root.</param>
internal readonly record struct AdamWFactors(
    float GradientScale, float Decay, float Beta1, float Beta2, float StepSize, float SecondCorrection, float Epsilon);
