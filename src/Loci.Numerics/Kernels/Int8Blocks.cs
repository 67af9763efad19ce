using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Loci.Numerics.Kernels;

/// <summary>
/// A matrix of weights [outputs, inputs] in eight-bit integers, each block of 32 consecutive inputs of an output with one scale: weight = scale * integer.
/// </summary>
/// <remarks>
/// In memory 64 outputs make a panel and a panel is its blocks in order: the block's 64 scales in bfloat16, then 32 steps of one integer per output, so that a
/// product with one row reads memory from front to back. Outputs and inputs are filled up with zeros. A scale is max |w| / 127 rounded up to bfloat16.
/// </remarks>
/// <param name="memory">The first panel; null where there is none.</param>
/// <param name="inputs">Inputs of the whole matrix.</param>
internal readonly unsafe struct Int8Blocks(byte* memory, int inputs)
{
    /// <summary>Inputs that share a scale.</summary>
    public const int Length = 32;

    /// <summary>Outputs that lie side by side.</summary>
    public const int PanelColumns = 64;

    private const int ScaleBytes = PanelColumns * sizeof(ushort);

    /// <summary>Bytes of the blocks of a panel for the same inputs.</summary>
    private const int BlockBytes = ScaleBytes + (Length * PanelColumns);

    private readonly int _firstInput;
    private readonly int _firstOutput;

    private Int8Blocks(byte* memory, int inputs, int firstInput, int firstOutput) : this(memory, inputs)
    {
        _firstInput = firstInput;
        _firstOutput = firstOutput;
    }

    /// <summary>The first panel of the whole matrix.</summary>
    public byte* Memory => memory;

    private int BlocksPerPanel => (inputs + Length - 1) / Length;

    /// <summary>Bytes of a matrix.</summary>
    public static long ByteCount(int outputs, int inputs) =>
        (outputs + PanelColumns - 1L) / PanelColumns * ((inputs + Length - 1L) / Length) * BlockBytes;

    /// <summary>The part of the matrix that begins at an input and an output.</summary>
    public Int8Blocks From(int input, int output) => new(memory, inputs, _firstInput + input, _firstOutput + output);

    /// <summary>The block of the panel that begins with an output, from an input on that begins a block.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public byte* BlockAt(int input, int output)
    {
        input += _firstInput;
        output += _firstOutput;
        return memory + ((((long)(output / PanelColumns) * BlocksPerPanel) + (input / Length)) * BlockBytes);
    }

    /// <summary>The integers of a block, [32 inputs, 64 outputs].</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static sbyte* Integers(byte* block) => (sbyte*)(block + ScaleBytes);

    /// <summary>The block of the next inputs.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static byte* Next(byte* block) => block + BlockBytes;

    /// <summary>Rounds the 64 outputs of one panel.</summary>
    /// <param name="weights">[outputs, inputs], row-major and finite.</param>
    /// <param name="outputs">Outputs of the whole matrix.</param>
    /// <param name="panel">Which panel.</param>
    public void Pack(float* weights, int outputs, int panel)
    {
        var first = panel * PanelColumns;
        for (var p = 0; p < inputs; p += Length)
        {
            var block = BlockAt(p, first);
            new Span<byte>(block, BlockBytes).Clear();
            var steps = Math.Min(Length, inputs - p);
            for (var j = 0; j < Math.Min(PanelColumns, outputs - first); j++)
            {
                var row = weights + ((long)(first + j) * inputs) + p;
                var largest = 0f;
                for (var i = 0; i < steps; i++)
                {
                    largest = Math.Max(largest, Math.Abs(row[i]));
                }

                // Rounded up, so that the largest weight is not above 127 scales.
                var bits = BitConverter.SingleToUInt32Bits(largest / 127);
                var half = (ushort)((bits + 0xFFFF) >> 16);
                var scale = BitConverter.UInt32BitsToSingle((uint)half << 16);
                ((ushort*)block)[j] = half;
                for (var i = 0; scale > 0 && i < steps; i++)
                {
                    Integers(block)[(i * PanelColumns) + j] = (sbyte)Math.Clamp(MathF.Round(row[i] / scale), -127, 127);
                }
            }
        }
    }

    /// <summary>The weights of one output, [inputs].</summary>
    public void UnpackOutput(int output, float* target)
    {
        var lane = output % PanelColumns;
        var block = BlockAt(0, output - lane);
        for (var p = 0; p < inputs; p += Length, block = Next(block))
        {
            var scale = BitConverter.UInt32BitsToSingle((uint)((ushort*)block)[lane] << 16);
            var steps = Math.Min(Length, inputs - p);
            for (var i = 0; i < steps; i++)
            {
                target[p + i] = Integers(block)[(i * PanelColumns) + lane] * scale;
            }
        }
    }

    /// <summary>Weights of <paramref name="width"/> outputs side by side, target [steps, width]; width is one or two vectors, and the first output a multiple of it.</summary>
    [SkipLocalsInit]
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Unpack(int firstInput, int steps, int firstOutput, int width, float* target)
    {
        var lane = (_firstOutput + firstOutput) % PanelColumns;
        for (var done = 0; done < steps;)
        {
            var within = (_firstInput + firstInput + done) % Length;
            var count = Math.Min(Length - within, steps - done);
            var block = BlockAt(firstInput + done, firstOutput);
            var scales = (ushort*)block + lane;
            var integers = Integers(block) + (within * PanelColumns) + lane;
            if (Vector512.IsHardwareAccelerated && width == 32)
            {
                Vector512<float> left = Scales512(scales), right = Scales512(scales + 16);
                for (var i = 0; i < count; i++, integers += PanelColumns, target += width)
                {
                    (Integers512(integers) * left).Store(target);
                    (Integers512(integers + 16) * right).Store(target + 16);
                }
            }
            else if (Vector256.IsHardwareAccelerated && width == 16)
            {
                Vector256<float> left = Scales256(scales), right = Scales256(scales + 8);
                for (var i = 0; i < count; i++, integers += PanelColumns, target += width)
                {
                    (Integers256(integers) * left).Store(target);
                    (Integers256(integers + 8) * right).Store(target + 8);
                }
            }
            else
            {
                for (var i = 0; i < count; i++, integers += PanelColumns, target += width)
                {
                    for (var j = 0; j < width; j += 4)
                    {
                        (Integers128(integers + j) * Scales128(scales + j)).Store(target + j);
                    }
                }
            }

            done += count;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Scales512(ushort* scales) => (Vector512.WidenLower(Vector256.Load(scales).ToVector512Unsafe()) << 16).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Scales256(ushort* scales) => (Vector256.WidenLower(Vector128.Load(scales).ToVector256Unsafe()) << 16).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Scales128(ushort* scales) => (Vector128.WidenLower(Vector64.Load(scales).ToVector128Unsafe()) << 16).AsSingle();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<float> Integers512(sbyte* integers) => Vector512.ConvertToSingle(Avx512F.ConvertToVector512Int32(Vector128.Load(integers)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Integers256(sbyte* integers) => Vector256.ConvertToSingle(Avx2.ConvertToVector256Int32(integers));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<float> Integers128(sbyte* integers) => Sse41.IsSupported
        ? Vector128.ConvertToSingle(Sse41.ConvertToVector128Int32(integers))
        : Vector128.ConvertToSingle(Vector128.WidenLower(Vector128.WidenLower(Vector128.CreateScalarUnsafe(*(int*)integers).AsSByte())));
}
