using Loci.Caching;
using Loci.Layers;
using Loci.Models;
using Loci.Numerics;

namespace Loci.Inference;

/// <summary>A session as it was at some moment. It shares cached states with the session and its forks, none of which can change it.</summary>
public sealed class SessionSnapshot : IDisposable
{
    internal SessionSnapshot(LanguageModel model, SessionOptions options, MixerState[] states, int[] tokens, SharedRows ends, int[] endPositions, float[] hidden)
    {
        Model = model;
        Options = options;
        States = states;
        Tokens = tokens;
        Ends = ends;
        EndPositions = endPositions;
        Hidden = hidden;
    }

    /// <summary>Number of tokens read.</summary>
    public int Position => Tokens.Length;

    internal LanguageModel Model { get; }

    internal SessionOptions Options { get; }

    internal MixerState[] States { get; }

    internal int[] Tokens { get; }

    internal SharedRows Ends { get; }

    internal int[] EndPositions { get; }

    internal float[] Hidden { get; }

    internal bool IsDisposed { get; private set; }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (!IsDisposed)
        {
            IsDisposed = true;
            Ends.Dispose();
            foreach (var state in States)
            {
                state.Dispose();
            }
        }
    }
}
