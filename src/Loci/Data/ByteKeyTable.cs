using System.Numerics;
using System.Runtime.InteropServices;

namespace Loci.Data;

/// <summary>Numbers distinct byte strings 0, 1, 2, ... in the order they first come: a hash table whose keys lie in one array.</summary>
internal sealed class ByteKeyTable
{
    private int[] _slots = new int[1024]; // index + 1, or 0; a power of two, at most half full
    private Entry[] _entries = new Entry[512];
    private byte[] _keys = new byte[4096];
    private int _keysLength;

    /// <summary>The number of keys.</summary>
    public int Count { get; private set; }

    /// <summary>The key of a number.</summary>
    public ReadOnlySpan<byte> this[int index] => _keys.AsSpan(_entries[index].Start, _entries[index].Length);

    /// <summary>The number of a key, which is the count before this call if the key is new.</summary>
    public int GetOrAdd(ReadOnlySpan<byte> key)
    {
        uint hash = Hash(key);
        int slot = FindSlot(key, hash);
        if (_slots[slot] == 0)
        {
            Add(key, hash, slot);
            return Count - 1;
        }

        return _slots[slot] - 1;
    }

    /// <summary>The number of a key, or -1. Safe from many threads while no key is added.</summary>
    public int Find(ReadOnlySpan<byte> key) => _slots[FindSlot(key, Hash(key))] - 1;

    /// <summary>Forgets all keys.</summary>
    public void Clear()
    {
        Array.Clear(_slots);
        Count = 0;
        _keysLength = 0;
    }

    private int FindSlot(ReadOnlySpan<byte> key, uint hash)
    {
        int mask = _slots.Length - 1;
        int slot = (int)hash & mask;
        while (_slots[slot] != 0)
        {
            ref readonly Entry entry = ref _entries[_slots[slot] - 1];
            if (entry.Hash == hash && _keys.AsSpan(entry.Start, entry.Length).SequenceEqual(key))
            {
                break;
            }

            slot = (slot + 1) & mask;
        }

        return slot;
    }

    private void Add(ReadOnlySpan<byte> key, uint hash, int slot)
    {
        if (Count == _entries.Length)
        {
            Array.Resize(ref _entries, Count * 2);
        }

        if (key.Length > _keys.Length - _keysLength)
        {
            Array.Resize(ref _keys, (int)Math.Min(Array.MaxLength, Math.Max(_keys.Length * 2L, (long)_keysLength + key.Length)));
        }

        key.CopyTo(_keys.AsSpan(_keysLength));
        _entries[Count] = new Entry(hash, _keysLength, key.Length);
        _keysLength += key.Length;
        Count++;
        _slots[slot] = Count;
        if (Count * 2 > _slots.Length)
        {
            _slots = new int[_slots.Length * 2];
            int mask = _slots.Length - 1;
            for (int i = 0; i < Count; i++)
            {
                int free = (int)_entries[i].Hash & mask;
                while (_slots[free] != 0)
                {
                    free = (free + 1) & mask;
                }

                _slots[free] = i + 1;
            }
        }
    }

    private static uint Hash(ReadOnlySpan<byte> key)
    {
        const ulong Multiplier = 0x9E3779B97F4A7C15;
        ulong hash = (ulong)key.Length * Multiplier;
        while (key.Length >= 8)
        {
            hash = BitOperations.RotateLeft((hash ^ MemoryMarshal.Read<ulong>(key)) * Multiplier, 29);
            key = key[8..];
        }

        if (key.Length >= 4)
        {
            ulong ends = ((ulong)MemoryMarshal.Read<uint>(key) << 32) | MemoryMarshal.Read<uint>(key[^4..]);
            hash = (hash ^ ends) * Multiplier;
        }
        else if (key.Length > 0)
        {
            ulong ends = ((ulong)key[0] << 16) | ((ulong)key[key.Length / 2] << 8) | key[^1];
            hash = (hash ^ ends) * Multiplier;
        }

        hash ^= hash >> 32;
        return (uint)((hash * Multiplier) >> 32);
    }

    private readonly record struct Entry(uint Hash, int Start, int Length);
}
