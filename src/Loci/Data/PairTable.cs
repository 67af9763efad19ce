namespace Loci.Data;

/// <summary>Looks up what two neighbouring tokens merge to. Fixed once made.</summary>
internal sealed class PairTable
{
    private readonly Entry[] _entries; // a power of two, at most half full
    private readonly int _mask;

    /// <summary>Makes the table; of merges of the same pair the last counts, as in Hugging Face's tokenizers.</summary>
    public PairTable(ReadOnlySpan<BpeMerge> merges)
    {
        int capacity = 16;
        while (capacity < merges.Length * 2L)
        {
            capacity *= 2;
        }

        _mask = capacity - 1;
        _entries = new Entry[capacity];
        for (int rank = 0; rank < merges.Length; rank++)
        {
            ulong key = Key(merges[rank].Left, merges[rank].Right);
            int slot = Slot(key) & _mask;
            while (_entries[slot].Key != 0 && _entries[slot].Key != key)
            {
                slot = (slot + 1) & _mask;
            }

            _entries[slot] = new Entry(key, rank, merges[rank].Result);
        }
    }

    /// <summary>The rank of the merge of two tokens, and the token it makes; <see cref="int.MaxValue"/> if they do not merge.</summary>
    public int Find(int left, int right, out int result)
    {
        ulong key = Key(left, right);
        int slot = Slot(key) & _mask;
        while (true)
        {
            ref readonly Entry entry = ref _entries[slot];
            if (entry.Key == key)
            {
                result = entry.Result;
                return entry.Rank;
            }

            if (entry.Key == 0)
            {
                result = -1;
                return int.MaxValue;
            }

            slot = (slot + 1) & _mask;
        }
    }

    // One more than the tokens, so that no pair has the key 0 of an empty entry.
    private static ulong Key(int left, int right) => ((ulong)(uint)left << 32 | (uint)right) + 1;

    private static int Slot(ulong key) => (int)((key * 0x9E3779B97F4A7C15) >> 33);

    private readonly record struct Entry(ulong Key, int Rank, int Result);
}
