using System.Text;
using Loci.Data;
using Loci.Memory.Segments;
using Loci.Sessions;

namespace Loci.Evaluation.Tasks.Ruler;

/// <summary>A needle example as a model reads it: the beginning of a document, the prompt and the answer.</summary>
/// <param name="Tokens">The tokens.</param>
/// <param name="Answer">Position of the answer's first token.</param>
/// <param name="Needles">The tokens that hold part of each needle asked for.</param>
internal sealed record NeedleTokens(int[] Tokens, int Answer, IReadOnlyList<SegmentSpan> Needles)
{
    /// <summary>The stream of random numbers that examples to report on are drawn from.</summary>
    public const ulong TestStream = 0x6E65_6564_6C65_0003;

    /// <summary>A task of RULER as models are trained on and measured here: as long as the length allows, from anywhere in the prose.</summary>
    public static NeedleOptions TaskOf(string name, NeedleTemplate template, int digits, NeedleKind? keys) =>
        NeedleOptions.Preset(name) with { Template = template, NumberDigits = digits, Keys = keys ?? NeedleOptions.Preset(name).Keys, AnswerTokens = null, StartsAnywhere = true };

    /// <summary>What decides the examples of one length and depth.</summary>
    public static RandomGenerator RandomFor(ulong seed, ulong stream, int length, double depth) =>
        new(RandomGenerator.Hash(seed, stream), ((ulong)length * 1000) + (ulong)Math.Round(depth * 100));

    /// <summary>Encodes an example, which takes one token more than the generator counts.</summary>
    public static NeedleTokens Encode(Tokenizer tokenizer, NeedleExample example)
    {
        List<int> tokens = [tokenizer.EndOfTextId];
        tokenizer.Encode(example.Input, tokens);
        var answer = tokens.Count;
        tokenizer.Encode(example.Continuation, tokens); // begins with a space, at which tokens divide

        // Tokens stand for bytes, so that places are found by counting them.
        var ends = new int[answer];
        for (var i = 1; i < answer; i++)
        {
            ends[i] = ends[i - 1] + tokenizer.GetByteLength(tokens[i]);
        }

        var needles = new SegmentSpan[example.Needles.Count];
        for (var i = 0; i < needles.Length; i++)
        {
            var (offset, length) = example.Needles[i].GetOffsetAndLength(example.Input.Length);
            var from = Encoding.UTF8.GetByteCount(example.Input.AsSpan(0, offset));
            var to = from + Encoding.UTF8.GetByteCount(example.Input.AsSpan(offset, length));
            var first = 1;
            while (first < answer - 1 && ends[first] <= from)
            {
                first++;
            }

            var last = first;
            while (last < answer - 1 && ends[last] < to)
            {
                last++;
            }

            needles[i] = new SegmentSpan(first, last - first + 1);
        }

        return new NeedleTokens([.. tokens], answer, needles);
    }
}
