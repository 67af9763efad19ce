using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using Loci.Data;

namespace Loci.Formats;

public static partial class TokenizerFile
{
    /// <summary>The contents of a <c>tokenizer.json</c> that Hugging Face's tokenizers load. The same tokenizer always gives the same bytes.</summary>
    /// <param name="tokenizer">The tokenizer: a <see cref="BpeTokenizer"/> or <see cref="ByteTokenizer"/>.</param>
    /// <exception cref="ArgumentException">The tokenizer is of another kind.</exception>
    public static byte[] Write(Tokenizer tokenizer)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        (IReadOnlyList<BpeMerge> merges, IReadOnlyList<AddedToken> added, BpeTokenizerOptions options) = tokenizer switch
        {
            BpeTokenizer bpe => (bpe.Merges, bpe.AddedTokens, bpe.Options),
            ByteTokenizer bytes => ([], [new AddedToken(bytes.EndOfTextId, Tokenizer.EndOfText)], new BpeTokenizerOptions()),
            _ => throw new ArgumentException($"A {tokenizer.GetType().Name} has no tokenizer.json.", nameof(tokenizer)),
        };

        // A Split of its own is never needed: ByteLevel divides text by the same pattern.
        ArrayBufferWriter<byte> contents = new();
        using Utf8JsonWriter json = new(contents, new JsonWriterOptions { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
        json.WriteStartObject();
        json.WriteString("version", "1.0");
        json.WriteNull("truncation");
        json.WriteNull("padding");

        json.WriteStartArray("added_tokens");
        foreach (AddedToken token in added.OrderBy(token => token.Id))
        {
            json.WriteStartObject();
            json.WriteNumber("id", token.Id);
            json.WriteString("content", token.Content);
            json.WriteBoolean("single_word", false);
            json.WriteBoolean("lstrip", false);
            json.WriteBoolean("rstrip", false);
            json.WriteBoolean("normalized", false);
            json.WriteBoolean("special", token.IsSpecial);
            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteNull("normalizer");
        WriteByteLevel(json, "pre_tokenizer", options.AddPrefixSpace);
        json.WriteNull("post_processor");
        WriteByteLevel(json, "decoder", addPrefixSpace: true);

        json.WriteStartObject("model");
        json.WriteString("type", "BPE");
        json.WriteNull("dropout");
        json.WriteNull("unk_token");
        json.WriteNull("continuing_subword_prefix");
        json.WriteNull("end_of_word_suffix");
        json.WriteBoolean("fuse_unk", false);
        json.WriteBoolean("byte_fallback", false);
        json.WriteBoolean("ignore_merges", options.IgnoreMerges);
        WriteVocabulary(json, tokenizer, added);
        json.WriteStartArray("merges");
        foreach (BpeMerge merge in merges)
        {
            json.WriteStringValue($"{ByteAlphabet.ToText(tokenizer.GetBytes(merge.Left))} {ByteAlphabet.ToText(tokenizer.GetBytes(merge.Right))}");
        }

        json.WriteEndArray();
        json.WriteEndObject();
        json.WriteEndObject();
        json.Flush();
        return contents.WrittenSpan.ToArray();
    }

    private static void WriteVocabulary(Utf8JsonWriter json, Tokenizer tokenizer, IReadOnlyList<AddedToken> added)
    {
        Dictionary<int, string> contents = added.ToDictionary(token => token.Id, token => token.Content);
        json.WriteStartObject("vocab");
        for (int id = 0; id < tokenizer.VocabularySize; id++)
        {
            json.WriteNumber(contents.TryGetValue(id, out string? content) ? content : ByteAlphabet.ToText(tokenizer.GetBytes(id)), id);
        }

        json.WriteEndObject();
    }

    private static void WriteByteLevel(Utf8JsonWriter json, string property, bool addPrefixSpace)
    {
        json.WriteStartObject(property);
        json.WriteString("type", "ByteLevel");
        json.WriteBoolean("add_prefix_space", addPrefixSpace);
        json.WriteBoolean("trim_offsets", true);
        json.WriteBoolean("use_regex", true);
        json.WriteEndObject();
    }
}
