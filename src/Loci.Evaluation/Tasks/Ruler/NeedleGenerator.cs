using System.Runtime.InteropServices;
using System.Text;
using Loci.Data;

namespace Loci.Evaluation.Tasks.Ruler;

/// <summary>
/// Makes examples of a needle-in-a-haystack task. What an example holds is decided by the random generator, the options, the tokenizer and the text alone. The tokens of the haystack's parts are counted
/// once, so that an example is nearly as quick as tokenizing it. For one thread at a time.
/// </summary>
internal sealed class NeedleGenerator
{
    /// <summary>RULER draws depths in prose from this many, evenly spaced from 0 to 100 in whole percent, none twice in an example.</summary>
    internal const int DepthSteps = 40;

    private const string Noise = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.";

    // After this many tries only shorter haystacks are tried.
    private const int MaximumGrowths = 4;

    private readonly Func<string, int> _count;
    private readonly HaystackText? _text;
    private readonly int[] _wordTokens = []; // [words + 1], tokens before each word of the text
    private readonly int _lineTokens;
    private readonly StringBuilder _input = new();
    private readonly RandomGenerator _lineRandom = new(0);
    private readonly HashSet<string> _known = new(StringComparer.Ordinal);
    private readonly List<Line> _lines = [];
    private readonly List<Needle> _needles = [];
    private readonly int[] _depths = new int[DepthSteps];
    private int[] _order = [];

    /// <summary>Makes the generator.</summary>
    /// <param name="options">The task.</param>
    /// <param name="countTokens">Counts the tokens of a text.</param>
    /// <param name="text">The prose to hide needles in, where the haystack is an essay; null for the text that ships with Loci.</param>
    /// <exception cref="LociException">The options are out of range.</exception>
    public NeedleGenerator(NeedleOptions options, Func<string, int> countTokens, HaystackText? text = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(countTokens);
        Options = options.Validate();
        _count = countTokens;
        switch (options.Haystack)
        {
            case HaystackKind.Essay:
                _text = text ?? HaystackText.Shipped;
                _wordTokens = CountWords(_text, countTokens);
                break;
            case HaystackKind.Noise:
                _lineTokens = Math.Max(1, countTokens("\n" + Noise));
                break;
        }
    }

    /// <summary>Makes the generator.</summary>
    /// <param name="options">The task.</param>
    /// <param name="tokenizer">Counts tokens.</param>
    /// <param name="text">The prose to hide needles in, where the haystack is an essay; null for the text that ships with Loci.</param>
    /// <exception cref="LociException">The options are out of range.</exception>
    public NeedleGenerator(NeedleOptions options, Tokenizer tokenizer, HaystackText? text = null) : this(options, Counter(tokenizer), text)
    {
    }

    /// <summary>The task.</summary>
    public NeedleOptions Options { get; }

    /// <summary>Makes an example.</summary>
    /// <param name="random">Decides what it holds.</param>
    /// <param name="length">The most tokens of the input and the answer together (see <see cref="NeedleOptions.AnswerTokens"/>); the haystack is as long as they allow.</param>
    /// <param name="depth">
    /// Where in the haystack the needle of the first key asked for stands (one of them if it has many), from 0 to 1; null to draw it as RULER does. All other needles are drawn.
    /// </param>
    /// <exception cref="LociException">The length is too short for the prompt.</exception>
    public NeedleExample Next(RandomGenerator random, int length, double? depth = null)
    {
        ArgumentNullException.ThrowIfNull(random);
        if (depth is < 0 or > 1 or double.NaN)
        {
            throw new ArgumentOutOfRangeException(nameof(depth), depth, "A depth must be from 0 to 1.");
        }

        string[] keys = DrawNeedles(random);
        int[] queries = Sample(random, Options.KeyCount, Options.QueryCount);
        int wanted = queries[0] * Options.ValuesPerKey;
        (string before, string after) = Wording([.. queries.Select(query => keys[query])]);
        _lineRandom.Reset(random.NextUInt64());
        int firstSentence = Options is { Haystack: HaystackKind.Essay, StartsAnywhere: true } ? random.NextInt32(_text!.SentenceCount) : 0;
        RandomState placement = random.State;

        int space = length - (Options.AnswerTokens ?? _count(Continuation(queries))) - _count(before + after);
        foreach (Needle needle in _needles)
        {
            space -= _count(Separator + needle.Text);
        }

        int minimum = Options.Haystack == HaystackKind.Essay ? 1 : _needles.Count;
        int units = Math.Max(minimum, UnitsIn(space, firstSentence));
        for (int attempt = 0; ; attempt++)
        {
            random.State = placement;
            double at = Place(random, units, firstSentence, wanted, depth);
            string input = Build(before, after, units, firstSentence);
            int tokens = _count(input);
            int free = length - tokens - (Options.AnswerTokens ?? _count(Continuation(queries)));
            if (free >= 0)
            {
                int more = attempt < MaximumGrowths ? UnitsIn(TokensOf(units, firstSentence) + free, firstSentence) : units;
                if (more <= units)
                {
                    Range[] places = [.. Asked(queries).Select(needle => needle.Start..(needle.Start + needle.Text.Length))];
                    return new NeedleExample(input, Continuation(queries), [.. Asked(queries).Select(needle => needle.Value)], places, at, tokens);
                }

                units = more;
            }
            else if (units > minimum)
            {
                units = Math.Clamp(UnitsIn(TokensOf(units, firstSentence) + free, firstSentence), minimum, units - 1);
                attempt = Math.Max(attempt, MaximumGrowths - 1);
            }
            else
            {
                throw new LociException($"{length} tokens are too few for this needle task, which needs {length - free} with the shortest haystack; use a longer length or the short template.");
            }
        }
    }

    private static Func<string, int> Counter(Tokenizer tokenizer)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        List<int> ids = [];
        return text =>
        {
            ids.Clear();
            tokenizer.Encode(text, ids);
            return ids.Count;
        };
    }

    private static int[] CountWords(HaystackText text, Func<string, int> count)
    {
        Dictionary<string, int> known = new(StringComparer.Ordinal);
        Dictionary<string, int>.AlternateLookup<ReadOnlySpan<char>> words = known.GetAlternateLookup<ReadOnlySpan<char>>();
        int[] tokens = new int[text.WordCount + 1];
        for (int word = 0; word < text.WordCount; word++)
        {
            ReadOnlySpan<char> characters = text.Words(word, 1);
            ref int counted = ref CollectionsMarshal.GetValueRefOrAddDefault(words, characters, out bool exists);
            if (!exists)
            {
                counted = count($" {characters}");
            }

            tokens[word + 1] = tokens[word] + counted;
        }

        return tokens;
    }

    // Distinct numbers below a bound in random order.
    private static int[] Sample(RandomGenerator random, int bound, int count)
    {
        int[] numbers = [.. Enumerable.Range(0, bound)];
        for (int i = 0; i < count; i++)
        {
            int other = i + random.NextInt32(bound - i);
            (numbers[i], numbers[other]) = (numbers[other], numbers[i]);
        }

        return numbers[..count];
    }

    private string Separator => Options.Haystack == HaystackKind.Essay ? " " : "\n";

    private string[] DrawNeedles(RandomGenerator random)
    {
        _known.Clear();
        _needles.Clear();
        _lines.Clear();
        string[] keys = new string[Options.KeyCount];
        for (int key = 0; key < keys.Length; key++)
        {
            keys[key] = DrawNew(random, Options.Keys);
            for (int i = 0; i < Options.ValuesPerKey; i++)
            {
                string value = DrawNew(random, Options.Values);
                _needles.Add(new Needle(NeedleText(keys[key], value), value));
            }
        }

        return keys;
    }

    private string DrawNew(RandomGenerator random, NeedleKind kind)
    {
        while (true)
        {
            string drawn = RulerWords.Next(random, kind, Options.NumberDigits);
            if (_known.Add(drawn))
            {
                return drawn;
            }
        }
    }

    private string NeedleText(string key, string value) => Options.Template == NeedleTemplate.Ruler
        ? $"One of the special magic {KindName(false)} for {key} is: {value}."
        : $"The {KindName(true)} for {key} is {value}.";

    private string KindName(bool single) => (Options.Values, single) switch
    {
        (NeedleKind.Numbers, true) => "number",
        (NeedleKind.Numbers, false) => "numbers",
        (NeedleKind.Words, true) => "word",
        (NeedleKind.Words, false) => "words",
        (_, true) => "uuid",
        _ => "uuids",
    };

    private (string Before, string After) Wording(string[] keys)
    {
        bool single = Options.QueryCount * Options.ValuesPerKey == 1;
        (string name, string query, string verb) = (KindName(single), List(keys), single ? "is" : "are");
        return Options.Template == NeedleTemplate.Ruler
            ? ($"{(single ? "A" : "Some")} special magic {name} {verb} hidden within the following text. Make sure to memorize it. I will quiz you about the {name} afterwards.\n",
               $"\nWhat {(single ? "is" : "are all")} the special magic {name} for {query} mentioned in the provided text? The special magic {name} for {query} mentioned in the provided text {verb}")
            : ("", $"\nThe {name} for {query} {verb}");
    }

    private static string List(string[] items) => items.Length == 1 ? items[0] : $"{string.Join(", ", items.SkipLast(1))}, and {items[^1]}";

    private string Continuation(int[] queries) => " " + List([.. Asked(queries).Select(needle => needle.Value)]);

    // The needles of each key asked for, in the order of the text.
    private IEnumerable<Needle> Asked(int[] queries) =>
        queries.SelectMany(query => _needles.Skip(query * Options.ValuesPerKey).Take(Options.ValuesPerKey).OrderBy(needle => needle.Start));

    // A unit is a word of an essay, or a line.
    private int UnitsIn(int tokens, int firstSentence)
    {
        if (tokens <= 0)
        {
            return 0;
        }

        switch (Options.Haystack)
        {
            case HaystackKind.Noise:
                return tokens / _lineTokens;
            case HaystackKind.Needles:
                int lines = 0;
                while (LineAt(lines).Tokens <= tokens)
                {
                    tokens -= _lines[lines++].Tokens;
                }

                return lines;
            default:
                int first = _text!.SentenceStart(firstSentence);
                int all = _wordTokens[^1];
                int units = 0;
                if (all <= 0)
                {
                    return 0;
                }

                units += tokens / all * _text.WordCount;
                int end = _wordTokens[first] + (tokens % all);
                if (end >= all)
                {
                    units += _text.WordCount - first;
                    end -= all;
                    first = 0;
                }

                int found = Array.BinarySearch(_wordTokens, end);
                return units + (found >= 0 ? found : ~found - 1) - first;
        }
    }

    private int TokensOf(int units, int firstSentence)
    {
        switch (Options.Haystack)
        {
            case HaystackKind.Noise:
                return units * _lineTokens;
            case HaystackKind.Needles:
                int tokens = 0;
                for (int line = 0; line < units; line++)
                {
                    tokens += LineAt(line).Tokens;
                }

                return tokens;
            default:
                int first = _text!.SentenceStart(firstSentence);
                int end = first + units;
                return (end / _text.WordCount * _wordTokens[^1]) + _wordTokens[end % _text.WordCount] - _wordTokens[first];
        }
    }

    private Line LineAt(int index)
    {
        while (_lines.Count <= index)
        {
            string text = NeedleText(DrawNew(_lineRandom, Options.Keys), DrawNew(_lineRandom, Options.Values));
            _lines.Add(new Line(text, Math.Max(1, _count("\n" + text))));
        }

        return _lines[index];
    }

    // Gives each needle the sentence or line that it stands before, and returns the depth of the one that is wanted.
    private double Place(RandomGenerator random, int units, int firstSentence, int wanted, double? depth)
    {
        int places = Options.Haystack == HaystackKind.Essay ? SentencesIn(units, firstSentence) : units;
        double at = 0;
        if (Options.Haystack == HaystackKind.Essay)
        {
            for (int i = 0; i < DepthSteps; i++)
            {
                _depths[i] = (int)Math.Round(i * 100.0 / (DepthSteps - 1));
            }

            random.Shuffle(_depths);
            for (int i = 0; i < _needles.Count; i++)
            {
                _needles[i].Place = places * _depths[i] / 100;
            }

            at = _depths[wanted] / 100.0;
        }
        else
        {
            // Distinct lines (Floyd, 1987), then in random order, for only few of many are needed.
            HashSet<int> taken = [];
            int[] drawn = new int[_needles.Count];
            for (int i = 0; i < drawn.Length; i++)
            {
                int bound = places - drawn.Length + i;
                int line = random.NextInt32(bound + 1);
                drawn[i] = taken.Add(line) ? line : bound;
                taken.Add(drawn[i]);
            }

            random.Shuffle(drawn);
            for (int i = 0; i < drawn.Length; i++)
            {
                _needles[i].Place = drawn[i];
            }

            at = (double)drawn[wanted] / places;
        }

        if (depth is { } given)
        {
            _needles[wanted].Place = (int)(places * given);
            at = given;
        }

        if (_order.Length != _needles.Count)
        {
            _order = new int[_needles.Count];
        }

        for (int i = 0; i < _order.Length; i++)
        {
            _order[i] = i;
        }

        Array.Sort(_order, (left, right) => _needles[left].Place != _needles[right].Place ? _needles[left].Place.CompareTo(_needles[right].Place) : left.CompareTo(right));
        return at;
    }

    private int SentencesIn(int words, int firstSentence)
    {
        int last = _text!.SentenceStart(firstSentence) + words - 1;
        return (last / _text.WordCount * _text.SentenceCount) + _text.SentenceOf(last % _text.WordCount) - firstSentence + 1;
    }

    private string Build(string before, string after, int units, int firstSentence)
    {
        _input.Clear().Append(before);
        int start = _input.Length;
        int done = 0;
        foreach (int index in _order)
        {
            Needle needle = _needles[index];
            AppendHaystack(start, ref done, needle.Place, units, firstSentence);
            Separate(start);
            needle.Start = _input.Length;
            _input.Append(needle.Text);
        }

        AppendHaystack(start, ref done, int.MaxValue, units, firstSentence);
        return _input.Append(after).ToString();
    }

    // Appends what stands before a sentence or line.
    private void AppendHaystack(int start, ref int done, int place, int units, int firstSentence)
    {
        if (Options.Haystack != HaystackKind.Essay)
        {
            for (; done < Math.Min(place, units); done++)
            {
                Separate(start);
                _input.Append(Options.Haystack == HaystackKind.Noise ? Noise : LineAt(done).Text);
            }

            return;
        }

        int first = _text!.SentenceStart(firstSentence);
        int end = first + units;
        if (place < SentencesIn(units, firstSentence))
        {
            int sentence = firstSentence + place;
            end = (sentence / _text.SentenceCount * _text.WordCount) + _text.SentenceStart(sentence % _text.SentenceCount);
        }

        for (int word = first + done; word < end;)
        {
            int inText = word % _text.WordCount;
            int count = Math.Min(end - word, _text.WordCount - inText);
            Separate(start);
            _input.Append(_text.Words(inText, count));
            word += count;
            done += count;
        }
    }

    private void Separate(int start)
    {
        if (_input.Length > start)
        {
            _input.Append(Separator);
        }
    }

    private readonly record struct Line(string Text, int Tokens);

    private sealed class Needle(string text, string value)
    {
        public string Text { get; } = text;

        public string Value { get; } = value;

        // The sentence or line that it stands before.
        public int Place { get; set; }

        // Where in the input it stands.
        public int Start { get; set; }
    }
}
