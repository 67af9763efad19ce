using Loci.Memory;
using Loci.Memory.Aggregations;
using Loci.Memory.Routing;
using Loci.Memory.Rules;
using Loci.Memory.Rules.Rwkv5;
using Loci.Memory.Rules.Rwkv7;
using Loci.Memory.Segments;
using Loci.Numerics;
using Loci.Reference;
using Xunit;
using Segmentation = Loci.Memory.Segments.Segmentation;
using SegmentStart = Loci.Memory.Segments.SegmentStart;
using Shape = Loci.Numerics.Shape;

namespace Loci.Tests.Caching;

/// <summary>The step forms of RWKV's memories, alone and with cached states, against the equations in double precision.</summary>
public sealed class RwkvMemoryTests
{
    private const int Heads = 2;

    /// <summary>Widths, lengths, and what the gates do: null = anything, otherwise all of them at this end.</summary>
    public static TheoryData<int, int, int, bool?> Shapes()
    {
        var data = new TheoryData<int, int, int, bool?>();
        foreach (var version in (int[])[5, 7])
        {
            foreach (var (width, tokens) in ((int, int)[])[(8, 21), (5, 1), (16, 2), (23, 37), (1, 9), (64, 7)])
            {
                data.Add(version, width, tokens, null);
                data.Add(version, width, tokens, false);
                data.Add(version, width, tokens, true);
            }
        }

        return data;
    }

    private static CacheReader Residual => new AfterTrainingCache { Read = "residual" }.CreateReader(null!, Heads, true);

    [Theory]
    [MemberData(nameof(Shapes))]
    public void StepFormAgreesWithTheReference(int version, int width, int tokens, bool? extreme)
    {
        Case example = new(version, width, tokens, extreme);
        var whole = example.Run(Segmentation.None, new NoCache.Reader(), [tokens]);
        ReferenceCheck.Compare($"RWKV-{version}", example.Reference(int.MaxValue, SegmentStart.Checkpoint), whole, 2e-6);
        for (var split = 1; split < tokens; split++)
        {
            Assert.Equal(whole, example.Run(Segmentation.None, new NoCache.Reader(), [split, tokens - split]));
        }

        Assert.Equal(whole, example.Run(Segmentation.None, new NoCache.Reader(), [.. Enumerable.Repeat(1, tokens)]));
    }

    [Theory]
    [InlineData(5, SegmentStart.Checkpoint)]
    [InlineData(5, SegmentStart.Independent)]
    [InlineData(7, SegmentStart.Checkpoint)]
    [InlineData(7, SegmentStart.Independent)]
    public void ResidualReadsAgreeWithTheReference(int version, SegmentStart start)
    {
        foreach (var (length, tokens) in ((int, int)[])[(4, 23), (1, 6), (7, 14), (30, 23), (23, 23)])
        {
            Case example = new(version, 6, tokens, null);
            Segmentation segmentation = new(SegmentKind.Constant, length, start);
            var whole = example.Run(segmentation, Residual, [tokens]);
            ReferenceCheck.Compare($"RWKV-{version}", example.Reference(length, start), whole, 2e-6);
            Assert.Equal(whole, example.Run(segmentation, Residual, [5, .. Enumerable.Repeat(1, tokens - 5)]));
            if (length >= tokens)
            {
                // One segment is the base model, bit for bit.
                Assert.Equal(example.Run(Segmentation.None, new NoCache.Reader(), [tokens]), whole);
            }
        }
    }

    [Theory]
    [InlineData(5)]
    [InlineData(7)]
    public void LogarithmicSegmentsWithIndependentStartsAreWrittenAsAWhole(int version)
    {
        // After 3 blocks of 2 there are segments of 4 and 2; the seventh token reads both, as independent segments cut there would be read.
        Case example = new(version, 6, 7, null);
        var logarithmic = example.Run(new Segmentation(SegmentKind.Logarithmic, 2, SegmentStart.Independent), Residual, [7]);
        var expected = example.Reference([0, 4, 6], SegmentStart.Independent);
        ReferenceCheck.Compare($"RWKV-{version}", expected[^(6 * Heads)..], logarithmic[^(6 * Heads)..], 2e-6);
    }

    /// <summary>Random inputs of one memory.</summary>
    private sealed class Case
    {
        private readonly int _version;
        private readonly int _width;
        private readonly int _tokens;
        private readonly float[] _q;
        private readonly float[] _k;
        private readonly float[] _v;
        private readonly float[] _logDecay;
        private readonly float[] _ownGain;
        private readonly float[] _removalKeys;
        private readonly float[] _removalRates;

        public Case(int version, int width, int tokens, bool? extreme)
        {
            (_version, _width, _tokens) = (version, width, tokens);
            Random random = new((1000 * version) + (10 * width) + tokens);
            int count = tokens * Heads * width, gates = version == 5 ? Heads * width : count;
            (_q, _k, _v) = (ReferenceCheck.Values(random, count), ReferenceCheck.Values(random, count), ReferenceCheck.Values(random, count));
            _logDecay = [.. Enumerable.Range(0, gates).Select(_ => extreme switch { null => -(float)random.NextDouble(), true => -104, false => 0 })];
            _ownGain = ReferenceCheck.Values(random, Heads * width);
            _removalRates = [.. Enumerable.Range(0, count).Select(_ => extreme switch { null => (float)random.NextDouble(), true => 1, false => 0 })];
            _removalKeys = ReferenceCheck.Values(random, count);
            for (var head = 0; head < tokens * Heads; head++)
            {
                var key = _removalKeys.AsSpan(head * width, width);
                var norm = 0f;
                foreach (var value in key)
                {
                    norm += value * value;
                }

                for (var i = 0; i < width; i++)
                {
                    key[i] /= MathF.Sqrt(norm);
                }
            }
        }

        /// <summary>Reads the tokens in pieces and returns y, [tokens, H*d].</summary>
        public float[] Run(Segmentation segmentation, CacheReader reader, int[] pieces)
        {
            using var device = new CpuDevice(2);
            using var tape = new Tape(device) { IsRecording = false };
            RecurrentMemory memory = _version == 5
                ? new RecurrentRwkv5Memory(device, segmentation, Heads, _width, Rows(_logDecay, 0, 1), Rows(_ownGain, 0, 1))
                : new RecurrentRwkv7Memory(device, segmentation, Heads, _width);
            using CachedMemoryState cache = new(device, memory, reader, segmentation, Heads, _width);
            List<float> read = [];
            var first = 0;
            foreach (var rows in pieces)
            {
                if (memory is RecurrentRwkv7Memory gated)
                {
                    gated.Gates = new Rwkv7Gates(Rows(_logDecay, first, rows), Rows(_removalKeys, first, rows), Rows(_removalRates, first, rows));
                }

                Tensor q = Rows(_q, first, rows), k = Rows(_k, first, rows);
                read.AddRange(tape.ToHost(cache.Advance(tape, q, q, k, Rows(_v, first, rows), new RouterInputs(q, k))));
                first += rows;
            }

            return [.. read];

            Tensor Rows(float[] values, int first, int rows) => tape.FromHost(new Shape(rows, Heads * _width), values.AsSpan(first * Heads * _width, rows * Heads * _width));
        }

        /// <summary>The same in double precision, with the states at the ends of the segments added to what is read.</summary>
        public double[] Reference(int length, SegmentStart start) =>
            Reference([.. Enumerable.Range(0, ((_tokens - 1) / length) + 1).Select(segment => segment * length)], start);

        public double[] Reference(int[] starts, SegmentStart start)
        {
            var y = new double[_tokens * Heads * _width];
            for (var head = 0; head < Heads; head++)
            {
                Real[][] q = Rows(_q, head), k = Rows(_k, head), v = Rows(_v, head);
                var rwkv5 = _version == 5 ? new Rwkv5Memory(k, v, Rows(_logDecay, head)[0], Rows(_ownGain, head)[0]) : null;
                var memory = rwkv5 ?? (PlainMemory)new Rwkv7Memory(k, v, Rows(_logDecay, head), Rows(_removalKeys, head), Rows(_removalRates, head));
                List<MemoryState> past = [];
                var state = memory.Initial;
                for (var t = 0; t < _tokens; t++)
                {
                    if (t > 0 && starts.Contains(t))
                    {
                        past.Add(state);
                        state = start == SegmentStart.Independent ? memory.Initial : state;
                    }

                    var before = state;
                    state = memory.Write(state, t);
                    var read = rwkv5?.ReadOnline(before, t, q[t]) ?? memory.Read(state.Weights, q[t]);
                    for (var i = 0; i < _width; i++)
                    {
                        y[(((t * Heads) + head) * _width) + i] = read[i].Value + past.Sum(cached => memory.Read(cached.Weights, q[t])[i].Value);
                    }
                }
            }

            return y;
        }

        private Real[][] Rows(float[] values, int head) =>
        [
            .. Enumerable.Range(0, values.Length / (Heads * _width)).Select(row => values.AsSpan(((row * Heads) + head) * _width, _width).ToArray().Select(value => (Real)value).ToArray()),
        ];
    }
}
