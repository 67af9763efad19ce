using System.Buffers;
using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Loci.Formats;

/// <summary>
/// A file of named tensors in the safetensors format of Hugging Face: eight bytes with the length of a JSON header, little-endian, the header, the data.
/// </summary>
/// <remarks>
/// Opening checks the whole header against the file (every offset, size, overlap and hole), so a file that opens can be read to its end.
/// The data is read straight into the caller's memory. Reading from several threads at once is safe.
/// Format: https://huggingface.co/docs/safetensors.
/// </remarks>
public sealed class SafetensorsFile : IWeightSource, IDisposable
{
    private const int LengthBytes = 8;
    private const int BlockBytes = 1 << 16;

    private readonly SafeFileHandle _handle;
    private readonly Dictionary<string, TensorInfo> _byName;

    private SafetensorsFile(string path, SafeFileHandle handle, List<TensorInfo> tensors, Dictionary<string, string> metadata)
    {
        Path = path;
        _handle = handle;
        Tensors = tensors;
        Metadata = metadata;
        _byName = tensors.ToDictionary(tensor => tensor.Name);
    }

    /// <summary>The path the file was opened by.</summary>
    public string Path { get; }

    /// <summary>All tensors, in the order of their data.</summary>
    internal IReadOnlyList<TensorInfo> Tensors { get; }

    /// <summary>The header's free-form strings (<c>__metadata__</c>).</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; }

    /// <summary>Opens a file and checks all of its header.</summary>
    /// <param name="path">The file.</param>
    /// <returns>The open file; dispose it to close it.</returns>
    /// <exception cref="LociException">The file is missing, unreadable, cut short, or not in the format.</exception>
    public static SafetensorsFile Open(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        SafeFileHandle? handle = null;
        try
        {
            handle = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete);
            (List<TensorInfo> tensors, Dictionary<string, string> metadata) = ReadHeader(handle);
            SafetensorsFile file = new(path, handle, tensors, metadata);
            handle = null;
            return file;
        }
        catch (FormatException exception)
        {
            throw new LociException(
                ErrorKind.Damaged,
                $"'{path}' is not a usable safetensors file because {exception.Message}; fetch or save it again.", exception);
        }
        catch (Exception exception) when (FileFailure.Is(exception))
        {
            throw FileFailure.Reading(path, exception);
        }
        finally
        {
            handle?.Dispose();
        }
    }

    /// <summary>Writes a file, aside first and then over the old one (<see cref="AtomicFile"/>).</summary>
    /// <param name="path">The file to create or replace; its folder must exist.</param>
    /// <param name="tensors">The tensors; types with larger elements are laid out first so that all data stays aligned, otherwise the order is kept.</param>
    /// <param name="metadata">Free-form strings for the header, or null.</param>
    /// <exception cref="ArgumentException">Two tensors have the same name, or the header passes the format's 100 MB.</exception>
    /// <exception cref="LociException">The disk is full or the folder cannot be written to.</exception>
    internal static void Write(string path, IEnumerable<TensorEntry> tensors, IReadOnlyDictionary<string, string>? metadata = null)
    {
        ArgumentNullException.ThrowIfNull(tensors);
        List<TensorEntry> entries = [.. tensors.OrderByDescending(entry => TensorElementTypes.Size(entry.Type))];
        HashSet<string> names = [];
        foreach (TensorEntry entry in entries)
        {
            if (!names.Add(entry.Name))
            {
                throw new ArgumentException($"Two tensors are named '{entry.Name}'.", nameof(tensors));
            }
        }

        ReadOnlyMemory<byte> header = SafetensorsHeader.Build(entries, metadata);
        if (header.Length > SafetensorsHeader.MaximumLength)
        {
            throw new ArgumentException($"The header takes {header.Length} bytes; the format allows {SafetensorsHeader.MaximumLength}.", nameof(tensors));
        }

        AtomicFile.Write(path, stream =>
        {
            Span<byte> length = stackalloc byte[LengthBytes];
            BinaryPrimitives.WriteInt64LittleEndian(length, header.Length);
            stream.Write(length);
            stream.Write(header.Span);
            TensorSink sink = new(stream);
            foreach (TensorEntry entry in entries)
            {
                sink.Take(entry);
            }
        });
    }

    /// <inheritdoc/>
    public void Require(IReadOnlyList<WeightShape> tensors)
    {
        ArgumentNullException.ThrowIfNull(tensors);
        foreach (var (name, shape) in tensors)
        {
            _ = Find(name, shape.ToExtents());
        }

        var known = tensors.Select(tensor => tensor.Name).ToHashSet();
        if (Tensors.FirstOrDefault(tensor => !known.Contains(tensor.Name)) is { } unknown)
        {
            throw new LociException(
                ErrorKind.OtherModel,
                $"The weights {Path} hold the tensor {unknown.Name}, which this model does not have: use the configuration that was saved with them.");
        }
    }

    /// <inheritdoc/>
    public void Read(WeightShape tensor, Span<float> values)
    {
        ReadFloat(tensor.Name, values);
        RequireFinite(tensor.Name);
    }

    /// <summary>Whether the file has a tensor of that name.</summary>
    /// <param name="name">The name.</param>
    public bool Contains(string name) => _byName.ContainsKey(name);

    /// <summary>The description of a tensor.</summary>
    /// <param name="name">Its name.</param>
    /// <exception cref="LociException">The file has no tensor of that name.</exception>
    internal TensorInfo Find(string name) => _byName.TryGetValue(name, out TensorInfo? tensor)
        ? tensor
        : throw new LociException(ErrorKind.OtherModel, $"'{Path}' has no tensor '{name}'; it belongs to another model or version, so choose a matching file.");

    /// <summary>The description of a tensor that must have a given shape.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="shape">The shape wanted.</param>
    /// <exception cref="LociException">The file has no tensor of that name, or it has another shape.</exception>
    internal TensorInfo Find(string name, ReadOnlySpan<long> shape)
    {
        TensorInfo tensor = Find(name);
        return tensor.Shape.AsSpan().SequenceEqual(shape)
            ? tensor
            : throw new LociException(
                $"Tensor '{name}' in '{Path}' has shape {TensorElementTypes.Text(tensor.Shape.AsSpan())} where {TensorElementTypes.Text(shape)} is needed; "
                + "use the configuration the file was saved with.");
    }

    /// <summary>Reads a tensor as floats, whatever its element type; wider types are rounded to the nearest float.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="destination">Receives the elements, row-major; must have exactly as many.</param>
    /// <exception cref="LociException">There is no such tensor, it has another number of elements, a type Loci does not read, or the disk fails.</exception>
    public void ReadFloat(string name, Span<float> destination)
    {
        TensorInfo tensor = Find(name);
        RequireCount(tensor, destination.Length);
        RequireReadable(tensor);
        if (tensor.Type == TensorElementType.Float32)
        {
            ReadFloats(tensor, 0, destination);
            return;
        }

        byte[] buffer = ArrayPool<byte>.Shared.Rent(BlockBytes);
        try
        {
            int size = TensorElementTypes.Size(tensor.Type);
            for (int done = 0; done < destination.Length;)
            {
                int count = Math.Min(BlockBytes / size, destination.Length - done);
                ReadExactly(tensor, (long)done * size, buffer.AsSpan(0, count * size));
                Convert(tensor.Type, buffer.AsSpan(0, count * size), destination.Slice(done, count));
                done += count;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>Reads a tensor of a given shape as floats, whatever its element type.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="shape">The shape it must have.</param>
    /// <param name="destination">Receives the elements, row-major.</param>
    /// <exception cref="LociException">There is no such tensor, it has another shape, a type Loci does not read, or the disk fails.</exception>
    public void ReadFloat(string name, ReadOnlySpan<long> shape, Span<float> destination)
    {
        _ = Find(name, shape);
        ReadFloat(name, destination);
    }

    /// <summary>Reads an <c>I64</c>, <c>I32</c> or <c>U8</c> tensor exactly.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="destination">Receives the elements, row-major; must have exactly as many.</param>
    /// <exception cref="LociException">There is no such tensor, it has another number of elements or another type, or the disk fails.</exception>
    public void ReadInt64(string name, Span<long> destination)
    {
        TensorInfo tensor = Find(name);
        RequireCount(tensor, destination.Length);
        if (tensor.Type is not (TensorElementType.Int64 or TensorElementType.Int32 or TensorElementType.UInt8))
        {
            throw WrongType(tensor, "I64, I32 or U8");
        }

        byte[] buffer = ArrayPool<byte>.Shared.Rent(BlockBytes);
        try
        {
            int size = TensorElementTypes.Size(tensor.Type);
            for (int done = 0; done < destination.Length;)
            {
                int count = Math.Min(BlockBytes / size, destination.Length - done);
                ReadOnlySpan<byte> bytes = buffer.AsSpan(0, count * size);
                ReadExactly(tensor, (long)done * size, buffer.AsSpan(0, count * size));
                for (int i = 0; i < count; i++)
                {
                    destination[done + i] = size switch
                    {
                        8 => BinaryPrimitives.ReadInt64LittleEndian(bytes[(i * 8)..]),
                        4 => BinaryPrimitives.ReadInt32LittleEndian(bytes[(i * 4)..]),
                        _ => bytes[i],
                    };
                }

                done += count;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>Reads a <c>U8</c> tensor.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="destination">Receives the elements, row-major; must have exactly as many.</param>
    /// <exception cref="LociException">There is no such tensor, it has another number of elements or another type, or the disk fails.</exception>
    public void ReadBytes(string name, Span<byte> destination)
    {
        TensorInfo tensor = Find(name);
        RequireCount(tensor, destination.Length);
        if (tensor.Type != TensorElementType.UInt8)
        {
            throw WrongType(tensor, "U8");
        }

        ReadExactly(tensor, 0, destination);
    }

    /// <summary>Checks that every element of a tensor is a finite float, without holding the tensor in memory.</summary>
    /// <param name="name">Its name.</param>
    /// <exception cref="LociException">An element is NaN or infinite, there is no such tensor, or it has a type Loci does not read.</exception>
    public void RequireFinite(string name)
    {
        TensorInfo tensor = Find(name);
        RequireReadable(tensor);
        byte[] bytes = ArrayPool<byte>.Shared.Rent(BlockBytes);
        float[] values = ArrayPool<float>.Shared.Rent(BlockBytes);
        try
        {
            int size = TensorElementTypes.Size(tensor.Type);
            for (long done = 0; done < tensor.ElementCount;)
            {
                int count = (int)Math.Min(BlockBytes / size, tensor.ElementCount - done);
                ReadExactly(tensor, done * size, bytes.AsSpan(0, count * size));
                Convert(tensor.Type, bytes.AsSpan(0, count * size), values.AsSpan(0, count));
                for (int i = 0; i < count; i++)
                {
                    if (!float.IsFinite(values[i]))
                    {
                        throw new LociException(
                            $"Tensor '{name}' in '{Path}' holds {values[i]} at {TensorElementTypes.Text(Index(tensor.Shape, done + i))}; "
                            + "the run that saved it diverged, so use an earlier checkpoint.");
                    }
                }

                done += count;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(bytes);
            ArrayPool<float>.Shared.Return(values);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _handle.Dispose();

    private static (List<TensorInfo> Tensors, Dictionary<string, string> Metadata) ReadHeader(SafeFileHandle handle)
    {
        long fileLength = RandomAccess.GetLength(handle);
        Span<byte> prefix = stackalloc byte[LengthBytes];
        if (fileLength < LengthBytes || !TryReadExactly(handle, 0, prefix))
        {
            throw new FormatException($"it has {fileLength} bytes, too few for a header");
        }

        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(prefix);
        if (length > SafetensorsHeader.MaximumLength)
        {
            throw new FormatException($"it gives its header {length} bytes where the format allows {SafetensorsHeader.MaximumLength}");
        }

        if (length > (ulong)(fileLength - LengthBytes))
        {
            throw new FormatException($"it is cut short: its header alone takes {length} bytes and the file has {fileLength}");
        }

        byte[] json = new byte[(int)length];
        if (!TryReadExactly(handle, LengthBytes, json))
        {
            throw new FormatException("it became shorter while it was read");
        }

        // As the format requires, and so that a file of another kind is recognised by its first byte.
        if (json is not [(byte)'{', ..])
        {
            throw new FormatException("its header does not begin with '{'");
        }

        long dataStart = LengthBytes + (long)length;
        return SafetensorsHeader.Parse(json, dataStart, fileLength - dataStart);
    }

    private void ReadFloats(TensorInfo tensor, long offset, Span<float> destination)
    {
        const int Block = 1 << 28; // a span's bytes are counted in 32 bits
        while (!destination.IsEmpty)
        {
            Span<float> part = destination[..Math.Min(destination.Length, Block)];
            ReadExactly(tensor, offset, MemoryMarshal.AsBytes(part));
            if (!BitConverter.IsLittleEndian)
            {
                Span<int> words = MemoryMarshal.Cast<float, int>(part);
                BinaryPrimitives.ReverseEndianness(words, words);
            }

            offset += (long)part.Length * sizeof(float);
            destination = destination[part.Length..];
        }
    }

    private void ReadExactly(TensorInfo tensor, long offset, Span<byte> destination)
    {
        bool complete;
        try
        {
            complete = TryReadExactly(_handle, tensor.Position + offset, destination);
        }
        catch (Exception exception) when (FileFailure.Is(exception))
        {
            throw FileFailure.Reading(Path, exception);
        }

        if (!complete)
        {
            throw new LociException($"'{Path}' became shorter while it was read; fetch or save it again.");
        }
    }

    private static bool TryReadExactly(SafeFileHandle handle, long position, Span<byte> destination)
    {
        while (!destination.IsEmpty)
        {
            int count = RandomAccess.Read(handle, destination, position);
            if (count == 0)
            {
                return false;
            }

            position += count;
            destination = destination[count..];
        }

        return true;
    }

    private static void Convert(TensorElementType type, ReadOnlySpan<byte> source, Span<float> destination)
    {
        for (int i = 0; i < destination.Length; i++)
        {
            destination[i] = type switch
            {
                TensorElementType.Float32 => BinaryPrimitives.ReadSingleLittleEndian(source[(i * 4)..]),
                TensorElementType.Float16 => (float)BinaryPrimitives.ReadHalfLittleEndian(source[(i * 2)..]),
                TensorElementType.BFloat16 => BitConverter.Int32BitsToSingle(BinaryPrimitives.ReadUInt16LittleEndian(source[(i * 2)..]) << 16),
                TensorElementType.Float64 => (float)BinaryPrimitives.ReadDoubleLittleEndian(source[(i * 8)..]),
                TensorElementType.Int32 => BinaryPrimitives.ReadInt32LittleEndian(source[(i * 4)..]),
                TensorElementType.Int64 => BinaryPrimitives.ReadInt64LittleEndian(source[(i * 8)..]),
                TensorElementType.UInt8 => source[i],
                _ => throw new ArgumentOutOfRangeException(nameof(type), type, "The type has no conversion."),
            };
        }
    }

    private static long[] Index(ImmutableArray<long> shape, long element)
    {
        long[] index = new long[shape.Length];
        for (int i = shape.Length - 1; i >= 0; i--)
        {
            (element, index[i]) = Math.DivRem(element, shape[i]);
        }

        return index;
    }

    private void RequireCount(TensorInfo tensor, int count)
    {
        if (tensor.ElementCount != count)
        {
            throw new LociException(
                $"Tensor '{tensor.Name}' in '{Path}' has shape {TensorElementTypes.Text(tensor.Shape.AsSpan())}, {tensor.ElementCount} elements, "
                + $"where {count} are needed; use the configuration the file was saved with.");
        }
    }

    private void RequireReadable(TensorInfo tensor)
    {
        if (tensor.Type == TensorElementType.Unsupported)
        {
            throw WrongType(tensor, "F32, F16, BF16, F64, I32, I64 or U8");
        }
    }

    private LociException WrongType(TensorInfo tensor, string needed) =>
        new($"Tensor '{tensor.Name}' in '{Path}' is {tensor.TypeName} where {needed} is needed; convert the file first.");
}
