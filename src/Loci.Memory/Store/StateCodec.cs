using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Loci.Numerics;
using static Loci.Numerics.CpuDevice;

namespace Loci.Memory.Store;

/// <summary>
/// Cached states in fewer bits. A stored state has, for each group of d values, a scale (all scales come first) and the values divided by
/// it, in half precision or as whole numbers of eight bits.
/// </summary>
internal static unsafe class StateCodec
{
    private const float LargestHalf = 65504;

    /// <summary>Stores a state.</summary>
    internal readonly struct Encoding : IKernel<StateArguments>
    {
        public static void Run(CpuDevice device, in StateArguments arguments)
        {
            if (arguments.Format == StateFormat.Float32)
            {
                device.Copy(arguments.State, arguments.Stored);
                return;
            }

            Encode(arguments.Format, Pointer(arguments.State), arguments.State.Length, arguments.Width, Pointer(arguments.Stored));
        }
    }

    /// <summary>The values of a stored state.</summary>
    internal readonly struct Decoding : IKernel<StateArguments>
    {
        public static void Run(CpuDevice device, in StateArguments arguments)
        {
            var (format, width, count) = (arguments.Format, arguments.Width, arguments.State.Length);
            if (format == StateFormat.Float32)
            {
                device.Copy(arguments.Stored, arguments.State);
                return;
            }

            Decode(format, Pointer(arguments.Stored), count, width, 0, count, Pointer(arguments.State));
        }
    }

    private static void Encode(StateFormat format, float* state, long count, int width, float* stored)
    {
        var groups = count / width;
        var values = (byte*)(stored + groups);
        for (long group = 0; group < groups; group++)
        {
            var x = state + (group * width);
            var largest = 0f;
            for (var i = 0; i < width; i++)
            {
                largest = MathF.Max(largest, MathF.Abs(x[i])); // NaN stays: it must show when it is read
            }

            if (format == StateFormat.Float16)
            {
                stored[group] = largest <= LargestHalf ? 1 : MathF.ScaleB(1, MathF.ILogB(largest) - 14);
                var half = (ushort*)values + (group * width);
                var scale = 1 / stored[group];
                for (var i = 0; i < width; i++)
                {
                    half[i] = BitConverter.HalfToUInt16Bits((Half)(x[i] * scale));
                }
            }
            else
            {
                // What is too small to divide by is nothing.
                stored[group] = largest < 1e-35f ? 0 : largest / 127;
                var whole = (sbyte*)values + (group * width);
                var scale = largest < 1e-35f ? 0 : 127 / largest;
                for (var i = 0; i < width; i++)
                {
                    whole[i] = (sbyte)MathF.Round(x[i] * scale);
                }
            }
        }
    }

    /// <summary>
    /// Values first.. of a stored state of <paramref name="total"/> values; both ends of the range are multiples of the width.
    /// </summary>
    public static void Decode(StateFormat format, float* stored, long total, int width, long first, long count, float* state)
    {
        var groups = total / width;
        var values = (byte*)(stored + groups);
        for (long group = first / width; group < (first + count) / width; group++)
        {
            var y = state + ((group * width) - first);
            if (format == StateFormat.Float16)
            {
                DecodeHalf((ushort*)values + (group * width), stored[group], y, width);
            }
            else
            {
                DecodeWhole((sbyte*)values + (group * width), stored[group], y, width);
            }
        }
    }

    private static void DecodeWhole(sbyte* source, float scale, float* y, int count)
    {
        var i = 0;
        if (Vector512.IsHardwareAccelerated)
        {
            for (; i <= count - 16; i += 16)
            {
                var bytes = Vector128.Load(source + i).ToVector256Unsafe().ToVector512Unsafe();
                Vector512.Store(Vector512.ConvertToSingle(Vector512.WidenLower(Vector512.WidenLower(bytes))) * scale, y + i);
            }
        }
        else if (Vector256.IsHardwareAccelerated)
        {
            for (; i <= count - 8; i += 8)
            {
                var bytes = Vector64.Load(source + i).ToVector128Unsafe().ToVector256Unsafe();
                Vector256.Store(Vector256.ConvertToSingle(Vector256.WidenLower(Vector256.WidenLower(bytes))) * scale, y + i);
            }
        }

        for (; i < count; i++)
        {
            y[i] = source[i] * scale;
        }
    }

    private static void DecodeHalf(ushort* source, float scale, float* y, int count)
    {
        // Exponent and mantissa move to where a float has them, which leaves a number 2^112 too small: exact for all halves, denormal ones
        // too, but infinities, which are never stored.
        var rebias = BitConverter.UInt32BitsToSingle(0x77800000u);
        var i = 0;
        for (; i <= count - Vector<ushort>.Count; i += Vector<ushort>.Count)
        {
            Vector.Widen(Vector.Load(source + i), out var low, out var high);
            (Unhalf(low, rebias) * scale).Store(y + i);
            (Unhalf(high, rebias) * scale).Store(y + i + Vector<uint>.Count);
        }

        for (; i < count; i++)
        {
            y[i] = (float)BitConverter.UInt16BitsToHalf(source[i]) * scale;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector<float> Unhalf(Vector<uint> bits, float rebias)
    {
        var number = Vector.AsVectorSingle((bits & new Vector<uint>(0x7fff)) << 13) * rebias;
        return Vector.AsVectorSingle(Vector.AsVectorUInt32(number) | ((bits & new Vector<uint>(0x8000)) << 16));
    }
}
