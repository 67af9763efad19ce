// Freezes what Hugging Face's tokenizers make of many variants of a tokenizer.json: see README.md beside this file.
import { readFileSync, writeFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { createRequire } from "node:module";

const { Tokenizer } = createRequire(process.cwd() + "/")("@anush008/tokenizers");
const here = new URL(".", import.meta.url);
const gpt2Pattern = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const gpt4Pattern = "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+";
const llama3Pattern = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const qwenPattern = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

const texts = [
    "", " ", "  ", "\n", "Hello world", " Hello  world ", "the the\nthe\r\n\r\nthe\t\tthe", "I'm sure they'll say we've done it; it's Bob's, isn't it? I'D",
    "'s 's''s 'S ’s", "a    b     c      d", "x \n y \r\n\r\n  z\t", " \u00a0\u3000\u2028\u0085a\u200bb\ufeffc", "\u001c\u001d\u0000\u0001\u0007\u001b[31mred\u001b[0m\u007f",
    "cafe\u0301 caf\u00e9 \u212bngstr\u00f6m \ufb01ne \u00bd \u2167 x\u00b2", "\u1e9b\u0323 \u0344 \u0958 \u2126", "1234567890 3.14159 1,000,000 0x1F 12a34", "\u0661\u0662\u0663 \u096a\u096b \u2460",
    "日本語のテキスト。全角１２３", "中文，没有空格", "한국어 텍스트", "हिन्दी में लिखा", "مرحبا بالعالم ١٢٣", "שָׁלוֹם", "Привет, мир!", "İstanbul ıi ß ẞ ǅ ΑΣ",
    "\u{1F600}\u{1F601} \u{1F468}\u200d\u{1F469}\u200d\u{1F467} \u{1F1E9}\u{1F1EA} \u{1D49C}\u{1D7D8}", "\u{20000}\u{10FFFF}\uE000\uFFFD", "!!!???--- ... /* code */ if (a==b) { return; }",
    "https://example.org/a_b?c=d&e=%20", "<|endoftext|>", "a<|endoftext|>b", " <|endoftext|> <|endoftext|>\n", "the<|pad|>the", "tokens and token, tok tokyo tokenize xtok", "Größe größe GRÖSSE",
    "hello Hello HELLO hello", "▁a ▁ Ġ Ċ é Ã©", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "a\u0300\u0316\u0301b", "abababab aabbaabb theretherethere", "\u17b4\u180e\u2060\u00ad",
    "\u{1E030}\u{11F50}\u{31350} \uA7D2\uA7DC \u{1CCF0}\u{10D40}",
];

// The bytes, the first merges of GPT-2 and some that join other scripts: small, and every text below meets merges.
function byteAlphabet() {
    const visible = value => (value >= 0x21 && value <= 0x7e) || (value >= 0xa1 && value <= 0xac) || value >= 0xae;
    let next = 256;
    return Array.from({ length: 256 }, (_, value) => String.fromCharCode(visible(value) ? value : next++));
}

function base() {
    const alphabet = byteAlphabet();
    const written = text => [...Buffer.from(text)].map(value => alphabet[value]);
    const merges = gunzipSync(readFileSync(new URL("../gpt2/vocab.bpe.gz", here))).toString("utf8").split("\n").slice(0, 400);
    const vocabulary = ["<|endoftext|>", "<|pad|>", ...[...alphabet].sort((a, b) => a.charCodeAt(0) - b.charCodeAt(0)), ...merges.map(merge => merge.replace(" ", ""))];
    for (const text of ["\u{1F600}", "é", " é", "日本", "語", "の", "한", "الع", "हि", "ив", "\u00a0", "\u3000", "    ", "\r\n", "\n\n", "\t\t", "123", "１", "ß"]) {
        const bytes = written(text);
        for (let length = 2; length <= bytes.length; length++) {
            const [left, right] = [bytes.slice(0, length - 1).join(""), bytes[length - 1]];
            if (!vocabulary.includes(left + right)) {
                merges.push(`${left} ${right}`);
                vocabulary.push(left + right);
            }
        }
    }

    return {
        version: "1.0",
        truncation: null,
        padding: null,
        added_tokens: [added(0, "<|endoftext|>", { special: true }), added(1, "<|pad|>", { special: true })],
        normalizer: null,
        pre_tokenizer: byteLevel(),
        post_processor: null,
        decoder: byteLevel({ add_prefix_space: true }),
        model: {
            type: "BPE", dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null, fuse_unk: false, byte_fallback: false, ignore_merges: false,
            vocab: Object.fromEntries(vocabulary.map((token, id) => [token, id])), merges,
        },
    };
}

const added = (id, content, options = {}) => ({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: false, ...options });
const byteLevel = (options = {}) => ({ type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true, ...options });
const sequence = (property, ...parts) => ({ type: "Sequence", [property]: parts });
const split = (Regex, options = {}) => ({ type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false, ...options });
const template = (single, tokens = {}) => ({
    type: "TemplateProcessing", single, pair: [{ Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 1 } }],
    special_tokens: Object.fromEntries(Object.entries(tokens).map(([id, number]) => [id, { id, ids: [number], tokens: [id] }])),
});
const textA = { Sequence: { id: "A", type_id: 0 } };
const endA = { SpecialToken: { id: "<|endoftext|>", type_id: 0 } };

const file = base();
const size = Object.keys(file.model.vocab).length;
const ends = file.added_tokens;
const outside = (...tokens) => [...ends, ...tokens.map(([content, options], index) => added(size + index, content, options))];
const withoutPad = { ...file.model.vocab };
delete withoutPad["<|pad|>"];
const spelled = ids => Object.fromEntries(Object.entries(file.model.vocab).filter(([token]) => !token.startsWith("<|")).map(([token, id]) => [token, ids(id)]));

// What of the file a variant sets, by its path.
const variants = {
    "as it is": {},
    // Pre-tokenizers.
    "prefix space": { pre_tokenizer: byteLevel({ add_prefix_space: true }) },
    "offsets not trimmed": { pre_tokenizer: byteLevel({ trim_offsets: false }) },
    "byte level without regex": { pre_tokenizer: byteLevel({ use_regex: false }) },
    "byte level in a sequence": { pre_tokenizer: sequence("pretokenizers", byteLevel({ add_prefix_space: true })) },
    "byte level in nested sequences": { pre_tokenizer: sequence("pretokenizers", sequence("pretokenizers"), sequence("pretokenizers", byteLevel())) },
    "empty pre-tokenizer sequence": { pre_tokenizer: sequence("pretokenizers") },
    "no pre-tokenizer": { pre_tokenizer: null },
    "two byte levels": { pre_tokenizer: sequence("pretokenizers", byteLevel(), byteLevel()) },
    "split as GPT-2": { pre_tokenizer: sequence("pretokenizers", split(gpt2Pattern), byteLevel({ use_regex: false })) },
    "split as GPT-2 and regex": { pre_tokenizer: sequence("pretokenizers", split(gpt2Pattern), byteLevel()) },
    "split as GPT-2, inverted": { pre_tokenizer: sequence("pretokenizers", split(gpt2Pattern, { invert: true }), byteLevel({ use_regex: false })) },
    "split as GPT-2, matches kept": { pre_tokenizer: sequence("pretokenizers", split(gpt2Pattern, { behavior: "Removed", invert: true }), byteLevel({ use_regex: false })) },
    "split as GPT-2, matches dropped": { pre_tokenizer: sequence("pretokenizers", split(gpt2Pattern, { behavior: "Removed" }), byteLevel({ use_regex: false })) },
    "split as GPT-2, contiguous": { pre_tokenizer: sequence("pretokenizers", split(gpt2Pattern, { behavior: "Contiguous" }), byteLevel({ use_regex: false })) },
    "split as GPT-2, merged with previous": { pre_tokenizer: sequence("pretokenizers", split(gpt2Pattern, { behavior: "MergedWithPrevious" }), byteLevel({ use_regex: false })) },
    "split as GPT-2, merged with next": { pre_tokenizer: sequence("pretokenizers", split(gpt2Pattern, { behavior: "MergedWithNext" }), byteLevel({ use_regex: false })) },
    "split as GPT-2, prefix space": { pre_tokenizer: sequence("pretokenizers", split(gpt2Pattern), byteLevel({ use_regex: false, add_prefix_space: true })) },
    "split as GPT-2 after byte level": { pre_tokenizer: sequence("pretokenizers", byteLevel({ use_regex: false }), split(gpt2Pattern)) },
    "split as GPT-4": { pre_tokenizer: sequence("pretokenizers", split(gpt4Pattern), byteLevel({ use_regex: false })) },
    "split as Llama 3": { pre_tokenizer: sequence("pretokenizers", split(llama3Pattern), byteLevel({ use_regex: false })) },
    "split as Qwen": { pre_tokenizer: sequence("pretokenizers", split(qwenPattern), byteLevel({ use_regex: false })) },
    "split at a string": { pre_tokenizer: sequence("pretokenizers", split("", { pattern: { String: " " } }), byteLevel()) },
    "digits one by one": { pre_tokenizer: sequence("pretokenizers", { type: "Digits", individual_digits: true }, byteLevel()) },
    "digits together": { pre_tokenizer: sequence("pretokenizers", { type: "Digits", individual_digits: false }, byteLevel()) },
    "white space": { pre_tokenizer: sequence("pretokenizers", { type: "Whitespace" }, byteLevel()) },
    "white space split": { pre_tokenizer: sequence("pretokenizers", { type: "WhitespaceSplit" }, byteLevel()) },
    "punctuation": { pre_tokenizer: sequence("pretokenizers", { type: "Punctuation", behavior: "Isolated" }, byteLevel()) },
    "metaspace": { pre_tokenizer: { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true }, decoder: { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true } },
    "delimiter": { pre_tokenizer: sequence("pretokenizers", { type: "CharDelimiterSplit", delimiter: "-" }, byteLevel()) },
    "scripts": { pre_tokenizer: sequence("pretokenizers", { type: "UnicodeScripts" }, byteLevel()) },
    "fixed length": { pre_tokenizer: sequence("pretokenizers", { type: "FixedLength", length: 3 }, byteLevel()) },
    "as BERT": { pre_tokenizer: sequence("pretokenizers", { type: "BertPreTokenizer" }, byteLevel()) },
    // Normalizers.
    "empty normalizer sequence": { normalizer: sequence("normalizers") },
    "nested empty normalizer sequences": { normalizer: sequence("normalizers", sequence("normalizers"), sequence("normalizers")) },
    "NFC": { normalizer: { type: "NFC" } },
    "NFD": { normalizer: { type: "NFD" } },
    "NFKC": { normalizer: { type: "NFKC" } },
    "NFKD": { normalizer: { type: "NFKD" } },
    "lower case": { normalizer: { type: "Lowercase" } },
    "NFC in a sequence": { normalizer: sequence("normalizers", { type: "NFC" }) },
    "replaced": { normalizer: { type: "Replace", pattern: { String: " " }, content: "▁" } },
    "prepended": { normalizer: { type: "Prepend", prepend: "▁" } },
    "stripped": { normalizer: { type: "Strip", strip_left: true, strip_right: true } },
    "accents stripped": { normalizer: sequence("normalizers", { type: "NFD" }, { type: "StripAccents" }) },
    "normalized as BERT": { normalizer: { type: "BertNormalizer", clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase: true } },
    "NMT": { normalizer: { type: "Nmt" } },
    "byte-level normalizer": { normalizer: { type: "ByteLevel" }, pre_tokenizer: split(gpt2Pattern) },
    // Added tokens.
    "no pad": { added_tokens: ends.slice(0, 1), "model.vocab": withoutPad, renumber: true },
    "ordinary added tokens": { added_tokens: outside(["tok"], ["token"], ["zz"]) },
    "ordinary added tokens, normalized": { added_tokens: outside(["tok", { normalized: true }], ["token", { normalized: true }], ["日本", { normalized: true }]) },
    "overlapping, the longer one normalized": { added_tokens: outside(["tok"], ["token", { normalized: true }]) },
    "overlapping, the shorter one normalized": { added_tokens: outside(["tok", { normalized: true }], ["token"]) },
    "overlapping, end on beginning": { added_tokens: outside(["ken", { normalized: true }], ["toke"]) },
    "overlapping, beginning on end": { added_tokens: outside(["ken"], ["toke", { normalized: true }]) },
    "special ones normalized": { added_tokens: ends.map(token => ({ ...token, normalized: true })) },
    "some normalized, apart": { added_tokens: outside(["  ", { normalized: true }], ["日本"]) },
    "with a prefix space": { added_tokens: outside(["tok"], ["日本", { normalized: true }]), pre_tokenizer: byteLevel({ add_prefix_space: true }) },
    "single word": { added_tokens: outside(["tok", { single_word: true }]) },
    "strip left": { added_tokens: outside(["tok", { lstrip: true }]) },
    "strip right": { added_tokens: outside(["tok", { rstrip: true }]) },
    "special strip left": { added_tokens: ends.map(token => ({ ...token, lstrip: true })) },
    "special single word": { added_tokens: ends.map(token => ({ ...token, single_word: true })) },
    "added in another order": { added_tokens: outside(["tok"], ["zz"]).reverse() },
    "added with a gap": { added_tokens: [...ends, added(size + 1, "tok")] },
    "added before the vocabulary": { added_tokens: ends.slice(0, 2), "model.vocab": spelled(id => id) },
    "added in the vocabulary as an ordinary token": { added_tokens: [...ends, added(file.model.vocab["he"], "he")] },
    "pad as an ordinary token": { added_tokens: [ends[0], added(1, "<|pad|>")] },
    "added twice": { added_tokens: [...ends, added(size, "tok"), added(size, "tok")] },
    "a special one more": { added_tokens: outside(["tok", { special: true }]) },
    "empty content": { added_tokens: [...ends, added(size, "")] },
    "added tokens that do not begin with the vocabulary's size": { added_tokens: outside(["zz"]).map(token => ({ ...token, id: token.content === "zz" ? size + 5 : token.id })) },
    // The model.
    "ignoring merges": { "model.ignore_merges": true },
    "ignoring merges, none there": { "model.ignore_merges": true, "model.merges": [] },
    "ignoring merges, a token that none makes": { "model.ignore_merges": true, "model.vocab": { ...file.model.vocab, Hello: size } },
    "a token that no merge makes": { "model.vocab": { ...file.model.vocab, Hello: size } },
    "merges as pairs": { "model.merges": file.model.merges.map(merge => merge.split(" ")) },
    "a merge twice": { "model.merges": [...file.model.merges, file.model.merges[0], file.model.merges[20]] },
    "no merges": { "model.merges": [] },
    "merges in reverse": { "model.merges": [...file.model.merges].reverse() },
    "byte fallback": { "model.byte_fallback": true },
    "unknown token": { "model.unk_token": "<|endoftext|>", "model.fuse_unk": true },
    "empty prefix and suffix": { "model.continuing_subword_prefix": "", "model.end_of_word_suffix": "" },
    "suffix": { "model.end_of_word_suffix": "</w>" },
    // Not "continuing_subword_prefix": with merges of bytes the library ends in a panic.
    "dropout of zero": { "model.dropout": 0.0 },
    "word level": { model: { type: "WordLevel", vocab: { "<|endoftext|>": 0, "<|pad|>": 1, Hello: 2 }, unk_token: "<|pad|>" } },
    "word piece": { model: { type: "WordPiece", vocab: { "<|endoftext|>": 0, "<|pad|>": 1, Hello: 2 }, unk_token: "<|pad|>", continuing_subword_prefix: "##", max_input_chars_per_word: 100 } },
    "unigram": { model: { type: "Unigram", unk_id: 1, vocab: [["<|endoftext|>", 0], ["<|pad|>", 0], ["H", -1], ["e", -2]], byte_fallback: false } },
    "a byte is missing": { "model.vocab": Object.fromEntries(Object.entries(file.model.vocab).filter(([, id]) => id !== 257)), renumber: true },
    // Post-processors.
    "byte-level processor": { post_processor: byteLevel({ trim_offsets: false }) },
    "byte-level processor with a prefix space": { post_processor: byteLevel({ add_prefix_space: true }) },
    "empty processor sequence": { post_processor: sequence("processors") },
    "byte-level processors in a sequence": { post_processor: sequence("processors", byteLevel(), byteLevel()) },
    "template of the text alone": { post_processor: template([textA]) },
    "template of the text alone, with tokens for pairs": { post_processor: template([textA], { "<|endoftext|>": 0 }) },
    "template with a beginning": { post_processor: template([endA, textA], { "<|endoftext|>": 0 }) },
    "template with an end": { post_processor: template([textA, endA], { "<|endoftext|>": 0 }) },
    "template in a sequence": { post_processor: sequence("processors", byteLevel({ trim_offsets: false }), template([endA, textA], { "<|endoftext|>": 0 })) },
    "processed as BERT": { post_processor: { type: "BertProcessing", sep: ["<|endoftext|>", 0], cls: ["<|pad|>", 1] } },
    "processed as RoBERTa": { post_processor: { type: "RobertaProcessing", sep: ["<|endoftext|>", 0], cls: ["<|pad|>", 1], trim_offsets: true, add_prefix_space: false } },
    // Truncation and padding.
    "truncation": { truncation: { direction: "Right", max_length: 4, strategy: "LongestFirst", stride: 0 } },
    "truncation beyond these texts": { truncation: { direction: "Right", max_length: 4096, strategy: "LongestFirst", stride: 0 } },
    "padding to a length": { padding: { strategy: { Fixed: 8 }, direction: "Right", pad_to_multiple_of: null, pad_id: 1, pad_type_id: 0, pad_token: "<|pad|>" } },
    "padding of batches": { padding: { strategy: "BatchLongest", direction: "Right", pad_to_multiple_of: null, pad_id: 1, pad_type_id: 0, pad_token: "<|pad|>" } },
    // Decoders.
    "decoder in a sequence": { decoder: sequence("decoders", byteLevel()) },
    "no decoder": { decoder: null },
    "byte-level and fused": { decoder: sequence("decoders", byteLevel(), { type: "Fuse" }) },
    "byte fallback decoder": { decoder: sequence("decoders", { type: "ByteFallback" }, byteLevel()) },
    "stripping decoder": { decoder: sequence("decoders", byteLevel(), { type: "Strip", content: " ", start: 1, stop: 0 }) },
    "replacing decoder": { decoder: sequence("decoders", { type: "Replace", pattern: { String: "▁" }, content: " " }, byteLevel()) },
    "BPE decoder": { decoder: { type: "BPEDecoder", suffix: "</w>" } },
    "CTC decoder": { decoder: { type: "CTC", pad_token: "<|pad|>", word_delimiter_token: "|", cleanup: true } },
    "word piece decoder": { decoder: { type: "WordPiece", prefix: "##", cleanup: true } },
};

// Numbers a vocabulary anew where a token was taken out.
function renumbered(change) {
    if (change.renumber) {
        delete change.renumber;
        change["model.vocab"] = Object.fromEntries(Object.entries(change["model.vocab"]).sort(([, a], [, b]) => a - b).map(([token], id) => [token, id]));
    }

    return change;
}

function apply(change) {
    const changed = structuredClone(file);
    for (const [path, value] of Object.entries(change)) {
        const steps = path.split(".");
        const last = steps.pop();
        steps.reduce((at, step) => at[step], changed)[last] = value;
    }

    return changed;
}

const seen = new Map();
const lines = [];
for (const [name, unnumbered] of Object.entries(variants)) {
    const change = renumbered(unnumbered);
    const result = { name, change };
    try {
        const tokenizer = Tokenizer.fromString(JSON.stringify(apply(change)));
        const ids = [];
        const decoded = [];
        for (const text of texts) {
            const encoding = await tokenizer.encode(text, null, { addSpecialTokens: true });
            ids.push(encoding.getIds());
            decoded.push(await tokenizer.decode(encoding.getIds(), true));
        }

        // Most variants give what another gives: then its name stands for it.
        for (const [property, value] of [["ids", ids], ["decoded", decoded]]) {
            const key = JSON.stringify(value);
            result[property] = seen.get(property + key) ?? value;
            seen.set(property + key, seen.get(property + key) ?? name);
        }
    } catch (error) {
        result.refused = String(error.message).split("\n")[0];
    }

    lines.push(JSON.stringify(result));
}

const version = "tokenizers 0.22.2";
const body = [`"made with": ${JSON.stringify(version)}`, `"texts": ${JSON.stringify(texts)}`, `"file": ${JSON.stringify(file)}`, `"variants": [\n${lines.join(",\n")}\n]`];
writeFileSync(new URL("variants.json", here), `{\n${body.join(",\n")}\n}\n`);
console.log(`${lines.length} variants, ${texts.length} texts`);
