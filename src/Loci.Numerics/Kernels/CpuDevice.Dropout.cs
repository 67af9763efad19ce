using System.Numerics;
using System.Runtime.CompilerServices;
using Loci.Numerics.Kernels;

namespace Loci.Numerics;

public sealed unsafe partial class CpuDevice
{
    internal override void Dropout(DeviceSpan<float> x, DeviceSpan<float> residual, float probability, ulong key, DeviceSpan<float> y)
    {
        var state = new DropoutState
        {
            X = Pointer(x),
            Residual = Pointer(residual),
            Count = x.Length,
            Y = Pointer(y),
            Key = key,
            Threshold = (uint)Math.Min(uint.MaxValue, probability * 4294967296.0),
            Scale = 1 / (1 - probability),
        };
        _workers.For(ElementBlocks(x.Length), &Body, &state);

        static void Body(void* pointer, int index, int worker)
        {
            var state = (DropoutState*)pointer;
            var count = BlockAt(state->Count, index, out var first);
            var low = new Vector<uint>((uint)state->Key ^ (uint)(first >> 32));
            var high = new Vector<uint>((uint)(state->Key >> 32));
            var threshold = new Vector<uint>(state->Threshold);
            var scale = new Vector<float>(state->Scale);
            for (var i = 0; i < count; i += Lanes.Count)
            {
                var element = Vector<uint>.Indices + new Vector<uint>((uint)(first + i));
                var random = Mix(Mix(element ^ low) ^ high);
                var kept = Vector.AsVectorSingle(Vector.GreaterThanOrEqual(random, threshold));
                var value = Vector.ConditionalSelect(Vector.AsVectorInt32(kept), Lanes.Load(state->X + first + i, count - i) * scale, Vector<float>.Zero);
                if (state->Residual != null)
                {
                    value += Lanes.Load(state->Residual + first + i, count - i);
                }

                Lanes.Store(value, state->Y + first + i, count - i);
            }
        }

        // A bijection of 32-bit numbers with little bias between any input and output bit (C. Wellons, "lowbias32").
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        static Vector<uint> Mix(Vector<uint> value)
        {
            value ^= Vector.ShiftRightLogical(value, 16);
            value *= new Vector<uint>(0x7feb352d);
            value ^= Vector.ShiftRightLogical(value, 15);
            value *= new Vector<uint>(0x846ca68b);
            return value ^ Vector.ShiftRightLogical(value, 16);
        }
    }

    private struct DropoutState
    {
        public float* X;
        public float* Residual;
        public long Count;
        public float* Y;
        public ulong Key;
        public uint Threshold;
        public float Scale;
    }
}
