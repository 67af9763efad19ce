using System.Text.Json;
using System.Text.Json.Serialization;
using Loci.Memory.Aggregations;
using Loci.Memory.Store;
using Loci.Numerics;

namespace Loci.Sessions;

/// <summary>What a session's file says of the session beside its memory.</summary>
internal sealed record SessionMetadata
{
    /// <summary>The model, by a digest of its configuration and weights.</summary>
    public required string Model { get; init; }

    /// <summary>How cached states are stored.</summary>
    public StateFormat Checkpoints { get; init; }

    /// <summary>Whether the ends of segments can be returned to.</summary>
    public bool KeepsReturns { get; init; }

    /// <summary>A cache for a model that was trained without one.</summary>
    public AfterTrainingCache? AfterTraining { get; init; }

    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this, SessionJson.Default.SessionMetadata);

    /// <exception cref="LociException">It is not the metadata of a session.</exception>
    public static SessionMetadata Parse(ReadOnlySpan<byte> bytes, string path)
    {
        try
        {
            var metadata = JsonSerializer.Deserialize(bytes, SessionJson.Default.SessionMetadata) ?? throw new JsonException();
            _ = metadata.AfterTraining?.Validate();
            return Enum.IsDefined(metadata.Checkpoints) ? metadata : throw new JsonException();
        }
        catch (LociException exception)
        {
            throw new LociException(ErrorKind.Damaged, $"The file '{path}' is not the memory of a Loci session: {exception.Message}", exception);
        }
        catch (JsonException exception)
        {
            throw new LociException(ErrorKind.Damaged, $"The file '{path}' is not the memory of a Loci session, or of one that this version does not know.", exception);
        }
    }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UseStringEnumConverter = true)]
[JsonSerializable(typeof(SessionMetadata))]
internal sealed partial class SessionJson : JsonSerializerContext;
