using Loci.Memory.Aggregations;
using Loci.Memory.Segments;


namespace Loci.Sessions;

/// <summary>
/// Collects what tokens read: give <see cref="Add"/> to a session's <see cref="Session.ReadHandler"/>. All gates are kept, 4 bytes for every head, token and segment that it could read; for long texts
/// set the handler for the tokens of interest only.
/// </summary>
public sealed class SegmentReadTable
{
    private readonly SortedDictionary<int, List<Part>> _layers = [];

    /// <summary>Whether anything has been read through gates.</summary>
    public bool HasGates => _layers.Count > 0;

    /// <summary>Numbers of the blocks whose cached states were read through gates.</summary>
    public IReadOnlyList<int> Layers => [.. _layers.Keys];

    /// <summary>Adds what some tokens read. Where a session has gone back, what it reads again takes the place of what it had read.</summary>
    /// <param name="read">What they read; without gates, it is left out.</param>
    public void Add(SegmentRead read)
    {
        if (read.Gates.IsEmpty)
        {
            return;
        }

        if (!_layers.TryGetValue(read.Layer, out var parts))
        {
            _layers.Add(read.Layer, parts = []);
        }

        var position = read.Position;
        parts.RemoveAll(part => part.Position >= position);
        if (parts is [.., var last] && last.Position + last.Tokens > position)
        {
            parts[^1] = last with { Tokens = position - last.Position };
        }

        var segments = new SegmentSpan[read.Segments.Count];
        var start = 0;
        for (var i = 0; i < segments.Length; i++)
        {
            segments[i] = new SegmentSpan(start, read.Segments[i]);
            start += read.Segments[i];
        }

        parts.Add(new Part(position, read.Tokens, read.Tokens, read.Heads, segments, read.Gates.ToArray()));
    }

    /// <summary>What the tokens read in one block.</summary>
    /// <param name="layer">Its number, one of <see cref="Layers"/>.</param>
    /// <exception cref="ArgumentException">Nothing was read through gates there.</exception>
    public SegmentReads Of(int layer)
    {
        if (!_layers.TryGetValue(layer, out var parts))
        {
            throw new ArgumentException($"Nothing was read through gates in block {layer}.", nameof(layer));
        }

        SegmentSpan[] segments = [.. parts.SelectMany(part => part.Segments).Distinct().Order()];
        var columns = segments.Length + 1;
        var (from, to) = (parts[0].Position, parts[^1].Position + parts[^1].Tokens);
        var gates = new float[checked((to - from) * columns)];
        gates.AsSpan().Fill(float.NaN);
        var (readers, chosen, largest) = (new long[columns], new long[columns], new long[columns]);
        foreach (var part in parts)
        {
            var width = part.Segments.Length + 1;
            int[] places = [.. part.Segments.Select(segment => Array.BinarySearch(segments, segment)), columns - 1];
            for (var token = 0; token < part.Tokens; token++)
            {
                var row = gates.AsSpan((part.Position + token - from) * columns, columns);
                foreach (var place in places)
                {
                    row[place] = 0;
                    readers[place] += part.Heads;
                }

                for (var head = 0; head < part.Heads; head++)
                {
                    var read = part.Gates.AsSpan(((head * part.Rows) + token) * width, width);
                    var most = 0;
                    for (var i = 0; i < width; i++)
                    {
                        row[places[i]] += read[i] / part.Heads;
                        chosen[places[i]] += read[i] > 0 ? 1 : 0;
                        most = i < width - 1 && read[i] > read[most] ? i : most;
                    }

                    if (width > 1 && read[most] > 0)
                    {
                        largest[places[most]]++;
                    }
                }
            }
        }

        return new SegmentReads(layer, from, segments, gates, [.. readers.Select((count, i) => count == 0 ? (double.NaN, double.NaN) : ((double)chosen[i] / count, (double)largest[i] / count))]);
    }

    /// <summary>The mean over all blocks with gates; null where they cut the text into different segments, so that there is none.</summary>
    /// <exception cref="InvalidOperationException">Nothing was read through gates.</exception>
    public SegmentReads? Mean()
    {
        if (!HasGates)
        {
            throw new InvalidOperationException("Nothing was read through gates.");
        }

        SegmentReads[] layers = [.. Layers.Select(Of)];
        var first = layers[0];
        if (layers.Any(layer => layer.Start != first.Start || layer.Tokens != first.Tokens || !layer.Segments.SequenceEqual(first.Segments)))
        {
            return null;
        }

        var gates = new float[first.Gates.Length];
        foreach (var layer in layers)
        {
            for (var i = 0; i < gates.Length; i++)
            {
                gates[i] += layer.Gates[i] / layers.Length; // NaN stays NaN
            }
        }

        return new SegmentReads(null, first.Start, first.Segments, gates, [.. first.Shares.Select((_, i) => (layers.Average(layer => layer.Shares[i].Chosen), layers.Average(layer => layer.Shares[i].Largest)))]);
    }

    /// <param name="Position">Of the first token.</param>
    /// <param name="Tokens">How many tokens count.</param>
    /// <param name="Rows">How many tokens the gates are of.</param>
    /// <param name="Heads">H.</param>
    /// <param name="Segments">Those that the tokens could read.</param>
    /// <param name="Gates">[H, rows, segments + 1].</param>
    private sealed record Part(int Position, int Tokens, int Rows, int Heads, SegmentSpan[] Segments, float[] Gates);
}
