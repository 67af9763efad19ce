using System.Text.Json;
using Loci.Data;

namespace Loci.Formats;

public static partial class TokenizerFile
{
    /// <summary>Reads the parts of a tokenizer.json, and refuses those that would change the tokens in a way that is not supported.</summary>
    private sealed class JsonReader(string name)
    {
        public Tokenizer Read(JsonElement root)
        {
            Require(root.ValueKind == JsonValueKind.Object, "the file is not a JSON object");
            Require(IsNull(root, "normalizer"), "it has a normalizer, which is not supported because encoding would lose what it changes");
            bool addPrefixSpace = ReadPreTokenizer(Get(root, "pre_tokenizer", "pre_tokenizer"));
            ReadDecoder(root);

            JsonElement model = Get(root, "model", "model");
            Require(model.ValueKind == JsonValueKind.Object, "\"model\" is not an object");
            string type = TryGetString(model, "type") ?? (model.TryGetProperty("merges", out _) ? "BPE" : "unknown");
            Require(type == "BPE", $"its model is of type {type}; only BPE is supported");
            Require(IsNull(model, "dropout") || (model.GetProperty("dropout").ValueKind == JsonValueKind.Number && model.GetProperty("dropout").GetDouble() == 0), "its model has dropout, which is not supported");
            Require(IsNullOrEmpty(model, "continuing_subword_prefix"), "its model has a continuing_subword_prefix, which byte-level BPE does not have");
            Require(IsNullOrEmpty(model, "end_of_word_suffix"), "its model has an end_of_word_suffix, which byte-level BPE does not have");

            Dictionary<string, int> ids = ReadVocabulary(Get(model, "vocab", "model.vocab"), "\"model.vocab\"");
            List<(string, string)> merges = ReadMerges(Get(model, "merges", "model.merges"));
            List<AddedToken> added = ReadAddedTokens(root);
            if (IsZeroEnded(ids, merges, added) && !addPrefixSpace)
            {
                return new ByteTokenizer(endsWithZero: true);
            }

            BpeTokenizer tokenizer = Build(name, ids, merges, added, new BpeTokenizerOptions(addPrefixSpace, IsTrue(model, "ignore_merges")));
            return IsByteTokenizer(tokenizer) ? new ByteTokenizer() : tokenizer;
        }

        public Dictionary<string, int> ReadVocabulary(JsonElement vocabulary, string where)
        {
            Require(vocabulary.ValueKind == JsonValueKind.Object, $"{where} is not an object of tokens and ids");
            Dictionary<string, int> ids = [];
            foreach (JsonProperty token in vocabulary.EnumerateObject())
            {
                bool valid = token.Value.ValueKind == JsonValueKind.Number && token.Value.TryGetInt32(out int id) && id >= 0 && ids.TryAdd(token.Name, id);
                Require(valid, $"the token \"{token.Name}\" is there twice or its id is not a whole number from 0");
            }

            return ids;
        }

        private List<(string, string)> ReadMerges(JsonElement merges)
        {
            Require(merges.ValueKind == JsonValueKind.Array, "\"model.merges\" is not an array");
            List<(string, string)> pairs = new(merges.GetArrayLength());
            foreach (JsonElement merge in merges.EnumerateArray())
            {
                string[]? parts = merge.ValueKind switch
                {
                    JsonValueKind.String => merge.GetString()!.Split(' '),
                    JsonValueKind.Array when merge.EnumerateArray().All(part => part.ValueKind == JsonValueKind.String) => [.. merge.EnumerateArray().Select(part => part.GetString()!)],
                    _ => null,
                };
                Require(parts is { Length: 2 }, $"merge {pairs.Count} is not a pair of tokens");
                pairs.Add((parts![0], parts[1]));
            }

            return pairs;
        }

        private List<AddedToken> ReadAddedTokens(JsonElement root)
        {
            List<AddedToken> added = [];
            if (IsNull(root, "added_tokens"))
            {
                return added;
            }

            JsonElement tokens = root.GetProperty("added_tokens");
            Require(tokens.ValueKind == JsonValueKind.Array, "\"added_tokens\" is not an array");
            foreach (JsonElement token in tokens.EnumerateArray())
            {
                string? content = token.ValueKind == JsonValueKind.Object ? TryGetString(token, "content") : null;
                int id = -1;
                Require(content is not null && token.TryGetProperty("id", out JsonElement number) && number.ValueKind == JsonValueKind.Number && number.TryGetInt32(out id), $"added token {added.Count} has no content or id");
                foreach (string option in (string[])["single_word", "lstrip", "rstrip"])
                {
                    Require(!IsTrue(token, option), $"the added token \"{content}\" has the option {option}, which is not supported");
                }

                added.Add(new AddedToken(id, content!, IsTrue(token, "special")));
            }

            return added;
        }

        /// <returns>Whether a space is put before the text.</returns>
        private bool ReadPreTokenizer(JsonElement pre)
        {
            string? type = pre.ValueKind == JsonValueKind.Object ? TryGetString(pre, "type") : null;
            if (type == "ByteLevel")
            {
                Require(IsTrue(pre, "use_regex", otherwise: true), "its pre_tokenizer does not divide text into words, which is not supported");
                return IsTrue(pre, "add_prefix_space", otherwise: true);
            }

            Require(type == "Sequence", $"its pre_tokenizer is {type ?? "missing"}; only ByteLevel, or a Sequence of Split and ByteLevel, is supported");
            JsonElement parts = Get(pre, "pretokenizers", "pre_tokenizer.pretokenizers");
            bool isPair = parts.ValueKind == JsonValueKind.Array && parts.GetArrayLength() == 2
                && parts.EnumerateArray().All(part => part.ValueKind == JsonValueKind.Object)
                && TryGetString(parts[0], "type") == "Split" && TryGetString(parts[1], "type") == "ByteLevel";
            Require(isPair, "its pre_tokenizer is a Sequence of other parts than Split and ByteLevel");
            JsonElement pattern = Get(parts[0], "pattern", "pre_tokenizer's pattern");
            string? regex = pattern.ValueKind == JsonValueKind.Object ? TryGetString(pattern, "Regex") : null;
            Require(regex == Gpt2PreTokenizer.Pattern, "its pre_tokenizer splits by another pattern than GPT-2's, which is not supported");

            // With this pattern every character belongs to a match, so that what becomes of the rest does not matter unless matches are dropped.
            string? behaviour = TryGetString(parts[0], "behavior");
            bool keepsMatches = behaviour == "Isolated" || (behaviour == "Removed" && IsTrue(parts[0], "invert"));
            Require(keepsMatches, "its pre_tokenizer's Split is not of the behavior Isolated, which alone is supported");

            // GPT-2's pattern divides its own pieces no further, so use_regex changes nothing; a space before every piece would.
            Require(!IsTrue(parts[1], "add_prefix_space", otherwise: true), "its pre_tokenizer puts a space before every piece, which is not supported");
            return false;
        }

        private void ReadDecoder(JsonElement root)
        {
            if (!IsNull(root, "decoder"))
            {
                JsonElement decoder = root.GetProperty("decoder");
                bool byteLevel = decoder.ValueKind == JsonValueKind.Object && TryGetString(decoder, "type") == "ByteLevel";
                Require(byteLevel, "its decoder is not ByteLevel, which alone is supported");
            }
        }

        private static bool IsByteTokenizer(BpeTokenizer tokenizer)
        {
            bool hasForm = tokenizer is { VocabularySize: 257, EndOfTextId: 256, Merges.Count: 0, AddedTokens: [{ Content: Tokenizer.EndOfText }], Options.AddPrefixSpace: false };
            for (int id = 0; id < 256 && hasForm; id++)
            {
                hasForm = tokenizer.GetBytes(id) is [byte value] && value == id;
            }

            return hasForm;
        }

        /// <summary>Whether these are the bytes from 1, and the end of text in place of the byte 0; as BPE it would not be complete.</summary>
        private static bool IsZeroEnded(Dictionary<string, int> ids, List<(string, string)> merges, List<AddedToken> added)
        {
            bool hasForm = ids.Count == 256 && merges.Count == 0 && added is [{ Id: 0, Content: Tokenizer.EndOfText, IsSpecial: true }];
            for (int id = 1; id < 256 && hasForm; id++)
            {
                hasForm = ids.TryGetValue(ByteAlphabet.ToText([(byte)id]), out int found) && found == id;
            }

            return hasForm;
        }

        private JsonElement Get(JsonElement parent, string property, string where)
        {
            Require(parent.TryGetProperty(property, out JsonElement value), $"it has no \"{where}\"");
            return value;
        }

        private static string? TryGetString(JsonElement parent, string property) =>
            parent.TryGetProperty(property, out JsonElement value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

        private static bool IsTrue(JsonElement parent, string property, bool otherwise = false) =>
            parent.TryGetProperty(property, out JsonElement value) && value.ValueKind is JsonValueKind.True or JsonValueKind.False ? value.ValueKind == JsonValueKind.True : otherwise;

        private static bool IsNull(JsonElement parent, string property) =>
            !parent.TryGetProperty(property, out JsonElement value) || value.ValueKind == JsonValueKind.Null;

        private static bool IsNullOrEmpty(JsonElement parent, string property) =>
            IsNull(parent, property) || TryGetString(parent, property)?.Length == 0;

        private void Require(bool condition, string problem)
        {
            if (!condition)
            {
                throw new LociException($"Cannot read {name}: {problem}.");
            }
        }
    }
}
