using Loci.Numerics.Kernels;

namespace Loci.Numerics;

public sealed unsafe partial class CpuDevice
{
    internal override long Int8Bytes(int outputs, int inputs) => Int8Blocks.ByteCount(outputs, inputs);

    internal override void RoundToInt8(DeviceSpan<float> weights, int outputs, int inputs, DeviceSpan<byte> blocks)
    {
        var state = new Int8State { Weights = Pointer(weights), Rows = outputs, Columns = inputs, Blocks = (byte*)blocks.Address };
        _workers.For(Blocks(outputs, Int8Blocks.PanelColumns), &Body, &state);

        static void Body(void* pointer, int index, int worker)
        {
            var state = (Int8State*)pointer;
            new Int8Blocks(state->Blocks, state->Columns).Pack(state->Weights, state->Rows, index);
        }
    }

    internal override void MatrixMultiplyInt8(
        int m, int n, int k, DeviceSpan<float> a, int strideA, DeviceSpan<byte> blocks, DeviceSpan<float> c, int strideC, bool accumulate) =>
        MatrixProduct.MultiplyInt8(m, n, k, Pointer(a), strideA, (byte*)blocks.Address, Pointer(c), strideC, accumulate, _workers);

    internal override void EmbedInt8(DeviceSpan<int> ids, DeviceSpan<byte> blocks, int columns, DeviceSpan<float> y)
    {
        var state = new Int8State { Ids = Pointer(ids), Rows = checked((int)ids.Length), Columns = columns, Blocks = (byte*)blocks.Address, Weights = Pointer(y) };
        _workers.For(state.Rows, &Body, &state);

        static void Body(void* pointer, int index, int worker)
        {
            var state = (Int8State*)pointer;
            new Int8Blocks(state->Blocks, state->Columns).UnpackOutput(state->Ids[index], state->Weights + ((long)index * state->Columns));
        }
    }

    private struct Int8State
    {
        public int* Ids;
        public float* Weights;
        public int Rows;
        public int Columns;
        public byte* Blocks;
    }
}
