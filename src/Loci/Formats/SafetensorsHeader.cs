using System.Buffers;
using System.Collections.Immutable;
using System.Text.Json;

namespace Loci.Formats;

/// <summary>The JSON header of a safetensors file: written from entries, read and checked into tensor descriptions.</summary>
internal static class SafetensorsHeader
{
    public const string MetadataName = "__metadata__";

    /// <summary>The format's own bound on the length of a header, in bytes.</summary>
    public const long MaximumLength = 100_000_000;

    /// <summary>Header bytes, padded with spaces so that the data begins at a multiple of 8.</summary>
    public static ReadOnlyMemory<byte> Build(IReadOnlyList<TensorEntry> entries, IReadOnlyDictionary<string, string>? metadata)
    {
        ArrayBufferWriter<byte> buffer = new();
        using (Utf8JsonWriter writer = new(buffer))
        {
            writer.WriteStartObject();
            if (metadata is { Count: > 0 })
            {
                writer.WriteStartObject(MetadataName);
                foreach ((string key, string value) in metadata.OrderBy(pair => pair.Key, StringComparer.Ordinal))
                {
                    writer.WriteString(key, value);
                }

                writer.WriteEndObject();
            }

            long offset = 0;
            foreach (TensorEntry entry in entries)
            {
                writer.WriteStartObject(entry.Name);
                writer.WriteString("dtype", TensorElementTypes.Name(entry.Type));
                writer.WriteStartArray("shape");
                foreach (long dimension in entry.Shape)
                {
                    writer.WriteNumberValue(dimension);
                }

                writer.WriteEndArray();
                writer.WriteStartArray("data_offsets");
                writer.WriteNumberValue(offset);
                offset = checked(offset + entry.ByteLength);
                writer.WriteNumberValue(offset);
                writer.WriteEndArray();
                writer.WriteEndObject();
            }

            writer.WriteEndObject();
        }

        int padding = -buffer.WrittenCount & 7;
        buffer.GetSpan(padding + 1)[..padding].Fill((byte)' ');
        buffer.Advance(padding);
        return buffer.WrittenMemory;
    }

    /// <summary>Reads and checks a header.</summary>
    /// <param name="json">The header without its length.</param>
    /// <param name="dataStart">Where the data begins in the file, in bytes.</param>
    /// <param name="dataLength">The bytes of the file after the header.</param>
    /// <returns>The tensors in the order of their data, and the metadata.</returns>
    /// <exception cref="FormatException">Something is wrong; the message is the part of the sentence after "because".</exception>
    public static (List<TensorInfo> Tensors, Dictionary<string, string> Metadata) Parse(ReadOnlySpan<byte> json, long dataStart, long dataLength)
    {
        List<TensorInfo> tensors = [];
        Dictionary<string, string> metadata = [];
        try
        {
            Utf8JsonReader reader = new(json);
            Next(ref reader, JsonTokenType.StartObject, "the header is not a JSON object");
            HashSet<string> names = [];
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                string name = reader.GetString()!;
                if (!names.Add(name))
                {
                    throw new FormatException($"the header names '{Shown(name)}' twice");
                }

                if (name == MetadataName)
                {
                    ReadMetadata(ref reader, metadata);
                }
                else
                {
                    tensors.Add(ReadTensor(ref reader, name, dataStart));
                }
            }

            if (reader.Read())
            {
                throw new FormatException("something follows the header's JSON object");
            }
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            // InvalidOperationException is how the reader reports text that is not valid UTF-8.
            throw new FormatException("the header is not valid JSON", exception);
        }

        CheckLayout(tensors, dataStart, dataLength);
        return (tensors, metadata);
    }

    private static void ReadMetadata(ref Utf8JsonReader reader, Dictionary<string, string> metadata)
    {
        Next(ref reader, JsonTokenType.StartObject, "the metadata is not a JSON object");
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string key = reader.GetString()!;
            Next(ref reader, JsonTokenType.String, $"the metadata '{Shown(key)}' is not a string");
            if (!metadata.TryAdd(key, reader.GetString()!))
            {
                throw new FormatException($"the metadata names '{Shown(key)}' twice");
            }
        }
    }

    private static TensorInfo ReadTensor(ref Utf8JsonReader reader, string name, long dataStart)
    {
        string what = $"tensor '{Shown(name)}'";
        Next(ref reader, JsonTokenType.StartObject, $"the description of {what} is not a JSON object");
        string? typeName = null;
        List<long>? shape = null;
        List<long>? offsets = null;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (reader.ValueTextEquals("dtype"u8))
            {
                Once(typeName, what, "dtype");
                Next(ref reader, JsonTokenType.String, $"the dtype of {what} is not a string");
                typeName = reader.GetString()!;
            }
            else if (reader.ValueTextEquals("shape"u8))
            {
                Once(shape, what, "shape");
                shape = ReadNumbers(ref reader, $"the shape of {what}");
            }
            else if (reader.ValueTextEquals("data_offsets"u8))
            {
                Once(offsets, what, "data_offsets");
                offsets = ReadNumbers(ref reader, $"the data_offsets of {what}");
            }
            else
            {
                reader.Skip();
            }
        }

        if (typeName is null || shape is null || offsets is null)
        {
            throw new FormatException($"{what} lacks its {(typeName is null ? "dtype" : shape is null ? "shape" : "data_offsets")}");
        }

        if (TensorElementTypes.Parse(typeName) is not { } type)
        {
            throw new FormatException($"{what} has the unknown dtype '{Shown(typeName)}'");
        }

        if (offsets.Count != 2 || offsets[1] < offsets[0])
        {
            throw new FormatException($"the data_offsets of {what} are not a beginning and an end");
        }

        Int128 elements = 1;
        foreach (long dimension in shape)
        {
            elements *= dimension;
            if (elements > long.MaxValue / 8)
            {
                throw new FormatException($"the shape of {what} is too large");
            }
        }

        long length = offsets[1] - offsets[0];
        if ((long)elements * type.Size != length)
        {
            throw new FormatException(
                $"{what} takes {length} bytes where its shape {TensorElementTypes.Text(CollectionsSpan(shape))} of {typeName} needs {(long)elements * type.Size}");
        }

        if (offsets[1] > long.MaxValue - dataStart)
        {
            throw new FormatException($"the data of {what} lies past the end of the file");
        }

        return new TensorInfo(name, type.Type, typeName, [.. shape], (long)elements, dataStart + offsets[0], length);
    }

    private static List<long> ReadNumbers(ref Utf8JsonReader reader, string what)
    {
        Next(ref reader, JsonTokenType.StartArray, $"{what} is not a list");
        List<long> numbers = [];
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt64(out long number) || number < 0)
            {
                throw new FormatException($"{what} holds something other than whole numbers from 0");
            }

            numbers.Add(number);
        }

        return numbers;
    }

    private static void CheckLayout(List<TensorInfo> tensors, long dataStart, long dataLength)
    {
        tensors.Sort((a, b) => (a.Position, a.Position + a.ByteLength).CompareTo((b.Position, b.Position + b.ByteLength)));
        long end = dataStart;
        foreach (TensorInfo tensor in tensors)
        {
            if (tensor.Position != end)
            {
                throw new FormatException(tensor.Position < end
                    ? $"the data of tensor '{Shown(tensor.Name)}' overlaps another tensor's"
                    : $"{tensor.Position - end} bytes before the data of tensor '{Shown(tensor.Name)}' belong to no tensor");
            }

            end += tensor.ByteLength;
        }

        long present = dataStart + dataLength;
        if (end > present)
        {
            throw new FormatException($"it is cut short: its header describes {end} bytes and the file has {present}");
        }

        if (end < present)
        {
            throw new FormatException($"{present - end} bytes at its end belong to no tensor");
        }
    }

    private static void Once(object? earlier, string what, string field)
    {
        if (earlier is not null)
        {
            throw new FormatException($"{what} has two fields '{field}'");
        }
    }

    private static void Next(ref Utf8JsonReader reader, JsonTokenType expected, string otherwise)
    {
        if (!reader.Read() || reader.TokenType != expected)
        {
            throw new FormatException(otherwise);
        }
    }

    private static ReadOnlySpan<long> CollectionsSpan(List<long> values) => System.Runtime.InteropServices.CollectionsMarshal.AsSpan(values);

    /// <summary>A name from a file that may be hostile, fit for a one-line message.</summary>
    public static string Shown(string name)
    {
        string text = name.Length <= 80 ? name : string.Concat(name.AsSpan(0, 77), "...");
        return text.Any(char.IsControl) ? string.Concat(text.Select(c => char.IsControl(c) ? '?' : c)) : text;
    }
}
