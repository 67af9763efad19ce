using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Loci.Formats;

/// <summary>Takes the elements of one tensor on their way into a safetensors file; valid during the callback that received it.</summary>
internal sealed class TensorSink
{
    private readonly Stream _stream;
    private TensorEntry? _entry;
    private long _remaining; // bytes

    internal TensorSink(Stream stream) => _stream = stream;

    /// <summary>Writes the next elements of an <c>F32</c> tensor.</summary>
    /// <param name="values">The elements, row-major; may be a part of the tensor.</param>
    /// <exception cref="InvalidOperationException">The tensor has another element type, or more elements come than its shape has.</exception>
    public void Write(ReadOnlySpan<float> values)
    {
        Require(TensorElementType.Float32);
        WriteWords(MemoryMarshal.Cast<float, int>(values));
    }

    /// <summary>Writes the next elements of an <c>I64</c> tensor.</summary>
    /// <param name="values">The elements, row-major; may be a part of the tensor.</param>
    /// <exception cref="InvalidOperationException">The tensor has another element type, or more elements come than its shape has.</exception>
    public void Write(ReadOnlySpan<long> values)
    {
        Require(TensorElementType.Int64);
        if (BitConverter.IsLittleEndian)
        {
            WriteBytes(values);
            return;
        }

        foreach (long value in values)
        {
            WriteBytes([BinaryPrimitives.ReverseEndianness(value)]);
        }
    }

    /// <summary>Writes the next elements of a <c>U8</c> tensor.</summary>
    /// <param name="values">The elements, row-major; may be a part of the tensor.</param>
    /// <exception cref="InvalidOperationException">The tensor has another element type, or more elements come than its shape has.</exception>
    public void Write(ReadOnlySpan<byte> values)
    {
        Require(TensorElementType.UInt8);
        WriteBytes(values);
    }

    internal void Take(TensorEntry entry)
    {
        _entry = entry;
        _remaining = entry.ByteLength;
        entry.Write(this);
        _entry = null;
        if (_remaining != 0)
        {
            throw new InvalidOperationException(
                $"Tensor '{entry.Name}' of shape {TensorElementTypes.Text(entry.Shape.AsSpan())} ended {_remaining} bytes short of its {entry.ByteLength}.");
        }
    }

    private void WriteWords(ReadOnlySpan<int> words)
    {
        if (BitConverter.IsLittleEndian)
        {
            WriteBytes(words);
            return;
        }

        foreach (int word in words)
        {
            WriteBytes([BinaryPrimitives.ReverseEndianness(word)]);
        }
    }

    private void WriteBytes<T>(ReadOnlySpan<T> values) where T : unmanaged
    {
        // A span's bytes are counted in 32 bits, and large tensors pass that.
        int size = System.Runtime.CompilerServices.Unsafe.SizeOf<T>();
        if ((long)values.Length * size > _remaining)
        {
            throw new InvalidOperationException(
                $"Tensor '{_entry!.Name}' of shape {TensorElementTypes.Text(_entry.Shape.AsSpan())} was given more elements than that.");
        }

        const int Block = 1 << 20;
        while (!values.IsEmpty)
        {
            int count = Math.Min(values.Length, Block);
            _stream.Write(MemoryMarshal.AsBytes(values[..count]));
            _remaining -= (long)count * size;
            values = values[count..];
        }
    }

    private void Require(TensorElementType type)
    {
        if (_entry is null)
        {
            throw new InvalidOperationException("The sink is valid only inside the callback that received it.");
        }

        if (_entry.Type != type)
        {
            throw new InvalidOperationException(
                $"Tensor '{_entry.Name}' is {TensorElementTypes.Name(_entry.Type)} and was given {TensorElementTypes.Name(type)}.");
        }
    }
}
