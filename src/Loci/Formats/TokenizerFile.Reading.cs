using System.Text.Json;
using Loci.Data;

namespace Loci.Formats;

public static partial class TokenizerFile
{
    /// <summary>Reads the parts of a tokenizer.json, and refuses those that would change the tokens as is not supported.</summary>
    private sealed class JsonReader(string name)
    {
        private const string SupportedPreTokenizers = "only ByteLevel, or a Sequence of Split and ByteLevel, is supported";

        public Tokenizer Read(JsonElement root)
        {
            Require(root.ValueKind == JsonValueKind.Object, "the file is not a JSON object");
            return Fields.Read(name, root, "the file", ReadFile);
        }

        public Dictionary<string, int> ReadVocabulary(JsonElement vocabulary, string where)
        {
            Require(vocabulary.ValueKind == JsonValueKind.Object, $"{where} is not an object of tokens and ids");
            Dictionary<string, int> ids = [];
            foreach (var token in vocabulary.EnumerateObject())
            {
                var valid = token.Value.ValueKind == JsonValueKind.Number
                    && token.Value.TryGetInt32(out var id) && id >= 0 && ids.TryAdd(token.Name, id);
                Require(valid, $"the token \"{token.Name}\" is there twice or its id is not a whole number from 0");
            }

            return ids;
        }

        private Tokenizer ReadFile(Fields file)
        {
            Require(file.Text("version") is null or "1.0", "it is not of the version 1.0, which alone is known");
            Require(file.Take("truncation") is null, "it sets \"truncation\", but Loci never cuts text; set it to null to do without");
            Require(file.Take("padding") is null, "it sets \"padding\", but Loci never pads text; set it to null to do without");
            ReadNormalizer(file.Take("normalizer"));
            var addPrefixSpace = ReadPreTokenizer(file.Take("pre_tokenizer"));
            ReadPostProcessor(file.Take("post_processor"));
            ReadDecoder(file.Take("decoder"));
            var added = ReadAddedTokens(file.List("added_tokens"));
            return Fields.Read(name, file.Need("model", "model"), "\"model\"", model => ReadModel(model, added, addPrefixSpace));
        }

        private Tokenizer ReadModel(Fields model, List<AddedToken> added, bool addPrefixSpace)
        {
            var merges = model.Take("merges");
            var type = model.Text("type") ?? (merges is null ? "unknown" : "BPE");
            Require(type == "BPE", $"its model is of type {type}; only BPE is supported");
            Require(IsZero(model.Take("dropout")), "its model has dropout, which is not supported");
            foreach (var affix in (string[])["continuing_subword_prefix", "end_of_word_suffix"])
            {
                Require(string.IsNullOrEmpty(model.Text(affix)), $"its model has \"{affix}\", which byte-level BPE does not have");
            }

            // Every byte has a token, so none is ever unknown.
            model.PassOver("unk_token", "fuse_unk", "byte_fallback");
            var ignoreMerges = model.Flag("ignore_merges");
            var ids = ReadVocabulary(model.Need("vocab", "model.vocab"), "\"model.vocab\"");
            var pairs = ReadMerges(merges ?? model.Need("merges", "model.merges"));
            if (IsZeroEnded(ids, pairs, added) && !addPrefixSpace)
            {
                return new ByteTokenizer(endsWithZero: true);
            }

            var tokenizer = Build(name, ids, pairs, added, new BpeTokenizerOptions(addPrefixSpace, ignoreMerges));
            return IsByteTokenizer(tokenizer) ? new ByteTokenizer() : tokenizer;
        }

        private List<(string, string)> ReadMerges(JsonElement merges)
        {
            Require(merges.ValueKind == JsonValueKind.Array, "\"model.merges\" is not an array");
            List<(string, string)> pairs = new(merges.GetArrayLength());
            foreach (var merge in merges.EnumerateArray())
            {
                string[]? parts = merge.ValueKind switch
                {
                    JsonValueKind.String => merge.GetString()!.Split(' '),
                    JsonValueKind.Array when merge.EnumerateArray().All(part => part.ValueKind == JsonValueKind.String) =>
                        [.. merge.EnumerateArray().Select(part => part.GetString()!)],
                    _ => null,
                };
                Require(parts is { Length: 2 }, $"merge {pairs.Count} is not a pair of tokens");
                pairs.Add((parts![0], parts[1]));
            }

            return pairs;
        }

        private List<AddedToken> ReadAddedTokens(JsonElement[] tokens)
        {
            List<AddedToken> found = [];
            List<AddedToken> foundFirst = [];
            foreach (var (index, token) in tokens.Index())
            {
                Fields.Read(name, token, $"added token {index}", fields =>
                {
                    var content = fields.Text("content");
                    var id = -1;
                    var isComplete = content is not null
                        && fields.Take("id") is { ValueKind: JsonValueKind.Number } number && number.TryGetInt32(out id);
                    Require(isComplete, $"added token {index} has no content or id");
                    foreach (var option in (string[])["single_word", "lstrip", "rstrip"])
                    {
                        Require(!fields.Flag(option), $"the added token \"{content}\" has the option {option}, which is not supported");
                    }

                    AddedToken read = new(id, content!, fields.Flag("special"));
                    found.Add(read);
                    if (!fields.Flag("normalized", otherwise: !read.IsSpecial))
                    {
                        foundFirst.Add(read);
                    }
                });
            }

            RequireOneSearch(foundFirst, [.. found.Except(foundFirst)]);
            return found;
        }

        /// <summary>Normalized tokens are found in what the others leave: refuses those for which one search would find others.</summary>
        private void RequireOneSearch(List<AddedToken> foundFirst, List<AddedToken> foundLater)
        {
            foreach (var later in foundLater)
            {
                var first = foundFirst.FirstOrDefault(token => CanTakeFrom(later.Content, token.Content));
                Require(
                    first is null,
                    $"the added tokens \"{first?.Content}\" and \"{later.Content}\" overlap and only one is normalized, which is not "
                    + "supported");
            }
        }

        /// <summary>Whether the one can stand in a text where the other begins in it, or with it and is shorter.</summary>
        private static bool CanTakeFrom(string content, string other)
        {
            for (var start = content.Length > other.Length ? 0 : 1; start < content.Length; start++)
            {
                var shared = Math.Min(content.Length - start, other.Length);
                if (content.AsSpan(start, shared).SequenceEqual(other.AsSpan(0, shared)))
                {
                    return true;
                }
            }

            return false;
        }

        private void ReadNormalizer(JsonElement? normalizer)
        {
            foreach (var part in Parts(normalizer, "normalizer", "normalizers"))
            {
                var type = TypeOf(part, "normalizer");
                throw Refused(name, $"its normalizer is {type}, which is not supported: decoding could not give back what it changes");
            }
        }

        /// <returns>Whether a space is put before the text.</returns>
        private bool ReadPreTokenizer(JsonElement? preTokenizer)
        {
            var parts = Parts(preTokenizer, "pre_tokenizer", "pretokenizers").ToArray();
            string[] types = [.. parts.Select(part => TypeOf(part, "pre_tokenizer"))];
            switch (types)
            {
                case ["ByteLevel"]:
                    var (addPrefixSpace, useRegex) = ReadByteLevel(parts[0], "its pre_tokenizer");
                    Require(useRegex, "its pre_tokenizer does not divide text into words, which is not supported");
                    return addPrefixSpace;
                case ["Split", "ByteLevel"]:
                    Fields.Read(name, parts[0], "its pre_tokenizer's Split", ReadSplit);

                    // GPT-2's pattern divides its own pieces no further, so use_regex changes nothing; a space before every piece would.
                    var prefixesPieces = ReadByteLevel(parts[1], "its pre_tokenizer").AddPrefixSpace;
                    Require(!prefixesPieces, "its pre_tokenizer puts a space before every piece, which is not supported");
                    return false;
                case []:
                    throw Refused(name, $"its pre_tokenizer is missing or empty; {SupportedPreTokenizers}");
                case [var type]:
                    throw Refused(name, $"its pre_tokenizer is {type}; {SupportedPreTokenizers}");
                default:
                    var named = string.Join(", ", types);
                    throw Refused(name, $"its pre_tokenizer is a Sequence of other parts than Split and ByteLevel: {named}");
            }
        }

        private void ReadSplit(Fields split)
        {
            split.PassOver("type");
            var regex = Fields.Read(name, split.Need("pattern", "pre_tokenizer's pattern"), "its pre_tokenizer's pattern", pattern =>
            {
                pattern.PassOver("String");
                return pattern.Text("Regex");
            });
            Require(regex == Gpt2PreTokenizer.Pattern, "its pre_tokenizer splits by another pattern than GPT-2's, which is not supported");

            // With this pattern every character belongs to a match: what becomes of the rest does not matter unless matches are dropped.
            var behavior = split.Text("behavior");
            var isInverted = split.Flag("invert");
            var keepsMatches = behavior == "Isolated" || (behavior == "Removed" && isInverted);
            Require(keepsMatches, "its pre_tokenizer's Split is not of the behavior Isolated, which alone is supported");
        }

        private void ReadPostProcessor(JsonElement? processor)
        {
            foreach (var part in Parts(processor, "post_processor", "processors"))
            {
                switch (TypeOf(part, "post_processor"))
                {
                    case "ByteLevel":
                        ReadByteLevel(part, "its post_processor");
                        break;
                    case "TemplateProcessing":
                        Fields.Read(name, part, "its post_processor", ReadTemplate);
                        break;
                    case var type:
                        throw Refused(
                            name,
                            $"its post_processor is {type}, which may add tokens to texts, but Loci adds none; "
                            + "set \"post_processor\" to null to do without");
                }
            }
        }

        private void ReadTemplate(Fields template)
        {
            // Texts are never encoded in pairs, and the tokens listed are only what a template may name.
            template.PassOver("type", "pair", "special_tokens");
            var isTextAlone = template.List("single") is [var only] && Fields.Read(name, only, "its post_processor's template", IsText);
            Require(
                isTextAlone,
                "its post_processor is a TemplateProcessing that adds tokens to texts, but Loci adds none; set \"post_processor\" to null "
                + "to do without");
        }

        private bool IsText(Fields piece)
        {
            piece.PassOver("SpecialToken");
            return piece.Take("Sequence") is JsonElement text && Fields.Read(name, text, "its post_processor's template", sequence =>
            {
                sequence.PassOver("type_id");
                return sequence.Text("id") == "A";
            });
        }

        private void ReadDecoder(JsonElement? decoder)
        {
            // Without a decoder, too, the tokens are bytes.
            if (decoder is not null)
            {
                var parts = Parts(decoder, "decoder", "decoders").ToArray();
                var types = string.Join(", ", parts.Select(part => TypeOf(part, "decoder")));
                Require(types == "ByteLevel", $"its decoder is {(types.Length == 0 ? "empty" : types)}; only ByteLevel is supported");
                ReadByteLevel(parts[0], "its decoder");
            }
        }

        private (bool AddPrefixSpace, bool UseRegex) ReadByteLevel(JsonElement part, string where) =>
            Fields.Read(name, part, where, fields =>
            {
                fields.PassOver("type", "trim_offsets");
                return (fields.Flag("add_prefix_space", otherwise: true), fields.Flag("use_regex", otherwise: true));
            });

        /// <summary>The parts of a component in their order: itself, or those of its sequences, nested or empty.</summary>
        private IEnumerable<JsonElement> Parts(JsonElement? component, string where, string list)
        {
            if (component is not JsonElement part)
            {
                return [];
            }

            return TypeOf(part, where) != "Sequence" ? [part] : Fields.Read(name, part, $"its {where}", sequence =>
            {
                sequence.PassOver("type");
                return sequence.List(list).SelectMany(inner => Parts(inner, where, list));
            });
        }

        private string TypeOf(JsonElement part, string where) =>
            part.ValueKind == JsonValueKind.Object && part.TryGetProperty("type", out var type) && type.ValueKind == JsonValueKind.String
                ? type.GetString()!
                : throw Refused(name, $"its {where} has a part without a type");

        private static bool IsByteTokenizer(BpeTokenizer tokenizer)
        {
            var hasForm = tokenizer is { VocabularySize: 257, EndOfTextId: 256, Merges.Count: 0, Options.AddPrefixSpace: false }
                && tokenizer.AddedTokens is [{ Content: Tokenizer.EndOfText }];
            for (var id = 0; id < 256 && hasForm; id++)
            {
                hasForm = tokenizer.GetBytes(id) is [byte value] && value == id;
            }

            return hasForm;
        }

        /// <summary>Whether these are the bytes from 1, and the end of text in place of the byte 0: not complete as BPE.</summary>
        private static bool IsZeroEnded(Dictionary<string, int> ids, List<(string, string)> merges, List<AddedToken> added)
        {
            var hasForm = ids.Count == 256 && merges.Count == 0 && added is [{ Id: 0, Content: Tokenizer.EndOfText, IsSpecial: true }];
            for (var id = 1; id < 256 && hasForm; id++)
            {
                hasForm = ids.TryGetValue(ByteAlphabet.ToText([(byte)id]), out var found) && found == id;
            }

            return hasForm;
        }

        private static bool IsZero(JsonElement? value) =>
            value is null || (value is { ValueKind: JsonValueKind.Number } number && number.GetDouble() == 0);

        private void Require(bool condition, string problem)
        {
            if (!condition)
            {
                throw Refused(name, problem);
            }
        }
    }
}
