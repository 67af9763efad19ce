namespace Loci.Numerics;

/// <summary>
/// A kernel that its project brings along and a device runs by its type, see <see cref="Device.Launch{TKernel, TArguments}"/>. Written as a
/// struct without fields, so that the call is compiled for each kernel.
/// </summary>
/// <typeparam name="TArguments">What the kernel reads and writes.</typeparam>
internal interface IKernel<TArguments>
{
    /// <summary>Runs the kernel on the processor.</summary>
    static abstract void Run(CpuDevice device, in TArguments arguments);
}
