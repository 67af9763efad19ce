using System.Text.Json;
using Loci.Data;

namespace Loci.Formats;

/// <summary>
/// Tokenizer files: <c>tokenizer.json</c> of Hugging Face's tokenizers, for byte-level BPE with GPT-2's division of text, and the two files of GPT-2
/// itself. A byte tokenizer is written as BPE without merges, which it is.
/// </summary>
public static partial class TokenizerFile
{
    private static readonly string[] EndOfTextContents = [Tokenizer.EndOfText, "<|end_of_text|>", "</s>", "<eos>", "<|eos|>", "[EOS]"];

    /// <summary>Reads a <c>tokenizer.json</c>.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="LociException">The file is missing, damaged, or asks for something that is not supported; the message says what.</exception>
    public static Tokenizer Load(string path) => Read(ReadFile(path), path);

    /// <summary>Reads the contents of a <c>tokenizer.json</c>.</summary>
    /// <param name="utf8">The contents.</param>
    /// <param name="name">What to call it in messages.</param>
    /// <exception cref="LociException">The contents are damaged, or ask for something that is not supported; the message says what.</exception>
    public static Tokenizer Read(ReadOnlyMemory<byte> utf8, string name)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(TextInput.Decode(utf8, name));
            return new JsonReader(name).Read(document.RootElement);
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            throw Damaged(name, exception);
        }
    }

    /// <summary>Reads GPT-2's <c>encoder.json</c> (tokens and ids) and <c>vocab.bpe</c> (merges).</summary>
    /// <param name="encoderPath">The file of tokens, also known as <c>vocab.json</c>.</param>
    /// <param name="mergesPath">The file of merges, also known as <c>merges.txt</c>.</param>
    /// <exception cref="LociException">A file is missing or damaged, or they do not belong together.</exception>
    public static BpeTokenizer LoadGpt2(string encoderPath, string mergesPath) =>
        ReadGpt2(ReadFile(encoderPath), encoderPath, ReadFile(mergesPath), mergesPath);

    /// <summary>Reads the contents of GPT-2's <c>encoder.json</c> and <c>vocab.bpe</c>.</summary>
    /// <param name="encoder">The contents of the file of tokens.</param>
    /// <param name="encoderName">What to call it in messages.</param>
    /// <param name="merges">The contents of the file of merges.</param>
    /// <param name="mergesName">What to call it in messages.</param>
    /// <exception cref="LociException">The contents are damaged, or do not belong together.</exception>
    public static BpeTokenizer ReadGpt2(ReadOnlyMemory<byte> encoder, string encoderName, ReadOnlyMemory<byte> merges, string mergesName)
    {
        Dictionary<string, int> ids;
        try
        {
            using JsonDocument document = JsonDocument.Parse(TextInput.Decode(encoder, encoderName));
            ids = new JsonReader(encoderName).ReadVocabulary(document.RootElement, "the file");
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            throw Damaged(encoderName, exception);
        }

        List<(string, string)> pairs = [];
        int number = 0;
        foreach (ReadOnlySpan<char> lineWithReturn in TextInput.Decode(merges, mergesName).EnumerateLines())
        {
            ReadOnlySpan<char> line = lineWithReturn.TrimEnd('\r');
            number++;
            if (line.IsEmpty || (number == 1 && line.StartsWith("#version")))
            {
                continue;
            }

            int space = line.IndexOf(' ');
            if (space <= 0 || space == line.Length - 1 || line[(space + 1)..].Contains(' '))
            {
                throw new LociException($"Cannot read {mergesName}: line {number} is not two tokens with a space between.");
            }

            pairs.Add((line[..space].ToString(), line[(space + 1)..].ToString()));
        }

        AddedToken[] added = ids.TryGetValue(Tokenizer.EndOfText, out int endOfText) ? [new AddedToken(endOfText, Tokenizer.EndOfText)] : [];
        return Build(encoderName, ids, pairs, added, new BpeTokenizerOptions());
    }

    /// <summary>Writes a <c>tokenizer.json</c>. A file that is there is replaced only when the new one is complete on disk.</summary>
    /// <param name="path">The file.</param>
    /// <param name="tokenizer">The tokenizer: a <see cref="BpeTokenizer"/> or <see cref="ByteTokenizer"/>.</param>
    /// <exception cref="LociException">The file cannot be written.</exception>
    public static void Save(string path, Tokenizer tokenizer)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        var contents = Write(tokenizer);
        AtomicFile.Write(path, stream => stream.Write(contents));
    }

    private static byte[] ReadFile(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        try
        {
            return File.ReadAllBytes(path);
        }
        catch (Exception exception) when (FileFailure.Is(exception))
        {
            throw FileFailure.Reading(path, exception);
        }
    }

    private static LociException Damaged(string name, Exception cause) =>
        new(ErrorKind.Damaged, $"Cannot read {name}: it is not valid JSON, perhaps damaged or cut short; copy or make it again.", cause);

    /// <summary>Makes a tokenizer of what a file holds.</summary>
    /// <param name="name">What to call the file in messages.</param>
    /// <param name="ids">The tokens, in the characters of the byte alphabet, and their ids.</param>
    /// <param name="pairs">The merges, in order.</param>
    /// <param name="added">Added tokens; they may be in the vocabulary too.</param>
    /// <param name="options">Variants.</param>
    private static BpeTokenizer Build(string name, Dictionary<string, int> ids, List<(string Left, string Right)> pairs, IReadOnlyList<AddedToken> added, BpeTokenizerOptions options)
    {
        HashSet<int> addedIds = [.. added.Select(token => token.Id)];
        HashSet<int> distinct = [.. ids.Values, .. addedIds];
        byte[]?[] vocabulary = new byte[]?[distinct.Count];
        foreach (AddedToken token in added)
        {
            if ((uint)token.Id >= (uint)vocabulary.Length || (ids.TryGetValue(token.Content, out int id) && id != token.Id))
            {
                throw new LociException($"Cannot read {name}: the added token \"{token.Content}\" has the id {token.Id}, which leaves a gap in the ids or is not its id in the vocabulary.");
            }

            vocabulary[token.Id] = [];
        }

        foreach ((string text, int id) in ids)
        {
            if ((uint)id >= (uint)vocabulary.Length)
            {
                throw new LociException($"Cannot read {name}: the token ids are not 0 to {vocabulary.Length - 1} without gaps.");
            }

            if (vocabulary[id] is not null && !added.Any(token => token.Id == id && token.Content == text))
            {
                throw new LociException($"Cannot read {name}: the token \"{text}\" has the id {id}, which another token has too.");
            }

            if (!addedIds.Contains(id))
            {
                vocabulary[id] = ByteAlphabet.ToBytes(text)
                    ?? throw new LociException($"Cannot read {name}: the token \"{text}\" is not written in byte-level characters; only byte-level BPE is supported.");
            }
        }

        // Hugging Face's tokenizers number the tokens beside the vocabulary themselves, whatever ids the file gives.
        foreach (var (index, token) in added.Where(token => !ids.ContainsKey(token.Content)).Index())
        {
            if (token.Id != ids.Count + index)
            {
                throw Refused(name, $"the added token \"{token.Content}\" has the id {token.Id}, but behind the vocabulary it is {ids.Count + index}");
            }
        }

        List<BpeMerge> merges = new(pairs.Count);
        foreach ((string left, string right) in pairs)
        {
            if (!ids.TryGetValue(left, out int leftId) || !ids.TryGetValue(right, out int rightId) || !ids.TryGetValue(left + right, out int result))
            {
                throw new LociException($"Cannot read {name}: the merge of \"{left}\" and \"{right}\" needs a token that is not in the vocabulary.");
            }

            merges.Add(new BpeMerge(leftId, rightId, result));
        }

        AddedToken? endOfText = EndOfTextContents.Select(content => added.FirstOrDefault(token => token.IsSpecial && token.Content == content)).FirstOrDefault(token => token is not null);
        if (endOfText is null && added.Count(token => token.IsSpecial) == 1)
        {
            endOfText = added.Single(token => token.IsSpecial);
        }

        if (endOfText is null)
        {
            throw new LociException($"Cannot read {name}: it has no special token {Tokenizer.EndOfText} to separate documents; add one.");
        }

        // Ids that are distinct, as many as the array is long and within it fill it, so no entry is null here.
        byte[][] complete = [.. vocabulary.Select(bytes => bytes!)];
        if (BpeTokenizer.FindProblem(complete, merges, added, endOfText.Id) is string problem)
        {
            throw new LociException($"Cannot read {name}: {char.ToLowerInvariant(problem[0])}{problem[1..]}");
        }

        return new BpeTokenizer(complete, merges, added, endOfText.Id, options);
    }
}
