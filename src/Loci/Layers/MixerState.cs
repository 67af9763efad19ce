using Loci.Memory;
using Loci.Memory.Store;
using Loci.Numerics;

namespace Loci.Layers;

/// <summary>What one block remembers of the tokens that one sequence has had so far.</summary>
internal abstract class MixerState : IDisposable
{
    /// <summary>Number of tokens read.</summary>
    public int Position { get; set; }

    /// <summary>Bytes of memory that the sequence needs: online state, cached states and the last few inputs; what forks share counts for each.</summary>
    public abstract long Bytes { get; }

    /// <summary>The memory with its cache, where there is one.</summary>
    public virtual CachedMemoryState? Memory => null;

    /// <summary>Bytes that reading so many tokens adds, which end no segment before the last of them.</summary>
    public virtual long BytesAdded(int tokens) => tokens >= TokensToBoundary ? Memory!.BytesPerSegment : 0;

    /// <summary>Whether every token reads everything that is kept.</summary>
    public virtual bool ReadsEverything => Memory?.ReadsAllStates ?? false;

    /// <summary>Number of cached states.</summary>
    public int CachedStates => Memory?.Count ?? 0;

    /// <summary>Tokens until the state is next at the end of a segment; int.MaxValue if it never is.</summary>
    public virtual int TokensToBoundary => int.MaxValue;

    /// <summary>Everything that changes from token to token.</summary>
    public abstract IEnumerable<DeviceSpan<float>> Buffers { get; }

    /// <summary>Everything that grows by rows, which are not changed once they are there.</summary>
    public abstract IEnumerable<SharedRows> Rows { get; }

    /// <summary>Called after a step that ended with a segment: keeps what is needed to come back here.</summary>
    public virtual void KeepBoundary()
    {
    }

    /// <summary>The last position, at or before a given one, that <see cref="GoBack"/> can go to.</summary>
    public abstract int LastReturn(int position);

    /// <summary>Goes back to a position that <see cref="LastReturn"/> gave.</summary>
    public abstract void GoBack(int position);

    /// <summary>The same state; what is read into either later is not seen by the other.</summary>
    public abstract MixerState Fork();

    /// <summary>The numbers that go with buffers and rows.</summary>
    public virtual void Save(List<int> numbers) => numbers.Add(Position);

    /// <summary>Takes the numbers back, after buffers and rows.</summary>
    public virtual void Load(ref ReadOnlySpan<int> numbers)
    {
        Position = numbers[0];
        numbers = numbers[1..];
    }

    /// <summary>Bytes of memory after so many tokens, about.</summary>
    public virtual long BytesAfter(int tokens) => Bytes + (Memory?.BytesAfter(tokens) ?? 0);

    /// <summary>Makes the state as large as if so many tokens had been read: for measurements.</summary>
    public virtual void Fill(int tokens, DeviceSpan<float> noise)
    {
        Memory?.Fill(tokens, noise);
        Position = tokens;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Frees the state's memory.</summary>
    protected abstract void Dispose(bool disposing);
}
