using Loci.Numerics.Operations;

namespace Loci.Numerics;

public abstract partial class Device
{
    /// <summary>Writes a chunked matrix memory by one of the rules and reads its online state; see <see cref="ScanArguments"/>.</summary>
    internal abstract void MatrixScan(in ScanArguments arguments);

    /// <summary>Gradients of <see cref="MatrixScan"/>.</summary>
    internal abstract void MatrixScanBackward(in ScanArguments arguments, in ScanGradients gradients);

    /// <summary>The same memory token by token: moves one sequence's state past some rows; see <see cref="StreamArguments"/>.</summary>
    internal abstract void MatrixStream(in StreamArguments arguments);

    /// <summary>y = -stepSize exp(logRate); stepSize, y [rows, columns], logRate [columns].</summary>
    internal abstract void RateDecay(DeviceSpan<float> stepSize, DeviceSpan<float> logRate, int rows, int columns, DeviceSpan<float> y);

    /// <summary>Gradients of <see cref="RateDecay"/>.</summary>
    internal abstract void RateDecayBackward(
        DeviceSpan<float> logRate, DeviceSpan<float> y, DeviceSpan<float> dy, int rows, int columns,
        DeviceSpan<float> dStepSize, bool accumulateStepSize, DeviceSpan<float> dLogRate, bool accumulateLogRate);

    /// <summary>Writes deep memories chunk by chunk and reads their online states; see <see cref="DeepArguments"/>.</summary>
    internal abstract void DeepScan(in DeepArguments arguments);

    /// <summary>Gradients of <see cref="DeepScan"/>.</summary>
    internal abstract void DeepScanBackward(in DeepArguments arguments, in DeepGradients gradients);

    /// <summary>The same memory token by token: moves one sequence's state past some rows; see <see cref="DeepStreamArguments"/>.</summary>
    internal abstract void DeepStream(in DeepStreamArguments arguments);

    /// <summary>
    /// Reads the gated sum of the online and the cached weights of deep memories, layer by layer, after a <see cref="DeepScan"/> that kept records; in a stream, from the
    /// online weights.
    /// </summary>
    internal abstract void DeepSoup(in DeepArguments arguments, in ReadArguments read);

    /// <summary>Gradients of <see cref="DeepSoup"/> and of its scan.</summary>
    internal abstract void DeepSoupBackward(in DeepArguments arguments, in DeepGradients gradients, in ReadArguments read, in ReadGradients readGradients);

    /// <summary>Log-linear attention over merged states; see <see cref="LogLinearArguments"/>.</summary>
    internal abstract void LogLinearRead(in LogLinearArguments arguments);

    /// <summary>Gradients of <see cref="LogLinearRead"/>.</summary>
    internal abstract void LogLinearReadBackward(in LogLinearArguments arguments, in LogLinearGradients gradients);

    /// <summary>Stores a state in fewer bits; <see cref="StoredLength"/> says how many floats that takes.</summary>
    internal abstract void EncodeState(DeviceSpan<float> state, StateFormat format, int width, DeviceSpan<float> stored);

    /// <summary>The values of a stored state.</summary>
    internal abstract void DecodeState(DeviceSpan<float> stored, StateFormat format, int width, DeviceSpan<float> state);

    /// <summary>Floats that a state takes as it is stored.</summary>
    internal static long StoredLength(StateFormat format, long count, int width) => Kernels.StateCodec.StoredLength(format, count, width);

    /// <summary>Puts a router key, [H, d], into an index of keys, [H, capacity, block of <see cref="IndexedSlots"/> slots].</summary>
    internal abstract void IndexKey(DeviceSpan<float> index, int capacity, int slot, DeviceSpan<float> key, int heads);

    /// <summary>Slots of a block of an index of router keys.</summary>
    internal const int IndexedSlots = Kernels.KeyIndex.BlockSlots;

    /// <summary>Floats of a head's block.</summary>
    internal static long IndexBlockLength(int width) => Kernels.KeyIndex.BlockLength(width);

    /// <summary>Reads cached states through a router, or their plain sum; see <see cref="ReadArguments"/>.</summary>
    internal abstract void CachedRead(in ReadArguments arguments);

    /// <summary>Gradients of <see cref="CachedRead"/>.</summary>
    internal abstract void CachedReadBackward(in ReadArguments arguments, in ReadGradients gradients);
}

/// <summary>How a matrix memory is updated.</summary>
internal enum MatrixRule
{
    /// <summary>M_t = a_t M_{t-1} + b_t v_{t-1} k_{t-1}^T + l_t v_t k_t^T. An empty gate span stands for a = 1, b = 0 and l = 1.</summary>
    Scalar,

    /// <summary>M_t = a_t M_{t-1} (I - l_t k_t k_t^T) + l_t v_t k_t^T. An empty decay stands for a = 1; no b.</summary>
    Delta,

    /// <summary>M_t = M_{t-1} diag(a_t) + v_t k_t^T with a decay for every key dimension; no b, no l.</summary>
    Vector,

    /// <summary>M_t = M_{t-1} diag(a) + v_t k_t^T, read as (M_{t-1} + v_t k_t^T diag(u)) q_t; the same a for all tokens. In streams only.</summary>
    Rwkv5,

    /// <summary>M_t = M_{t-1} (diag(a_t) - c_t (e_t o c_t)^T) + v_t k_t^T with removal keys c and their rates e. In streams only.</summary>
    Rwkv7,
}

/// <summary>A matrix memory over the chunks of a plan. States are stored transposed, [d_k, d_v].</summary>
internal struct ScanArguments
{
    public MemoryPlan Plan;
    public MatrixRule Rule;
    public int Heads;
    public int Width;                            // d
    public DeviceSpan<float> Queries;            // [rows, H*d]
    public DeviceSpan<float> Keys;               // [rows, H*d]
    public DeviceSpan<float> Values;             // [rows, H*d]
    public DeviceSpan<float> LogDecay;           // log a, [rows, H], by vectors [rows, H*d], or empty
    public DeviceSpan<float> PreviousGate;       // b, [rows, H] or empty
    public DeviceSpan<float> WriteGate;          // l, [rows, H] or empty
    public DeviceSpan<float> Output;             // M_t q_t, [rows, H*d]
    public DeviceSpan<float> States;             // cached, [slots, H, d, d]
    public DeviceSpan<float> ChunkStates;        // before every chunk, [chunks, H, d, d], or empty
}

/// <summary>Gradients of a matrix scan. Empty: not wanted. The flags say whether to add to what is there.</summary>
internal struct ScanGradients
{
    public DeviceSpan<float> Output;
    public DeviceSpan<float> States;             // of the cached states, or empty; used as scratch when states were merged
    public DeviceSpan<float> Queries;
    public bool AddQueries;
    public DeviceSpan<float> Keys;
    public bool AddKeys;
    public DeviceSpan<float> Values;
    public bool AddValues;
    public DeviceSpan<float> LogDecay;
    public bool AddLogDecay;
    public DeviceSpan<float> PreviousGate;
    public bool AddPreviousGate;
    public DeviceSpan<float> WriteGate;
    public bool AddWriteGate;
}

/// <summary>
/// A read of cached states. Gated: y_t = g_t^(s) o_t + sum_i g_t^(i) M^(i) q_t with a softmax over the scores of the segments taking part (all, or the
/// top k of the past and the online one). Ungated: the plain sum.
/// </summary>
internal struct ReadArguments
{
    public MemoryPlan Plan;
    public CachedReadOptions Options;
    public int Width;                            // d
    public bool IsGated;
    public DeviceSpan<float> Online;             // o, [rows, H*d]
    public DeviceSpan<float> Queries;            // q, [rows, H*d]
    public DeviceSpan<float> Routing;            // u, [rows, H*d]; gated only, as are all that follow but Output
    public DeviceSpan<float> Keys;               // k, [rows, H*d]
    public DeviceSpan<float> States;             // [slots, H, d, d]
    public PagedRows StatePages;                 // streams: the states in their place, a row a slot
    public StateFormat StateFormat;              // of StatePages
    public DeviceSpan<float> Temperature;        // tau, [H]
    public DeviceSpan<float> OnlineBias;         // [H] or empty
    public DeviceSpan<float> Output;             // y, [rows, H*d]
    public DeviceSpan<float> PooledKeys;         // p of every slot, [slots, H, d]
    public PagedRows KeyPages;                   // streams: the same in their place, a row a slot
    public DeviceSpan<float> Index;              // streams: the same in few bits, [H, capacity, block of 64 slots], or empty
    public int IndexCapacity;
    public DeviceSpan<float> Scores;             // r, [gates * H]: by group [H, rows, visible + 1], the online one last
    public DeviceSpan<float> Gates;              // g, as Scores
    public DeviceSpan<float> Sums;               // ungated: sum of the visible states, [groups, H, d, d]
    public bool PoolsKeys;                       // whether p is computed here; streams keep it beside their states
    public DeviceSpan<float> InitialKeys;        // streams: sum of the online segment's keys before the first row, [H*d], or empty
    public int InitialCount;                     // streams: number of those keys
    public DeepMemoryOptions? Network;           // deep memories: their network, and States is [slots, H, P]
    public DeviceSpan<float> Gain;               // of LN, [H*d]
}

/// <summary>Gradients of a cached read. Empty: not wanted. The flags say whether to add to what is there.</summary>
internal struct ReadGradients
{
    public DeviceSpan<float> Output;
    public DeviceSpan<float> Online;
    public bool AddOnline;
    public DeviceSpan<float> Queries;
    public bool AddQueries;
    public DeviceSpan<float> Routing;
    public bool AddRouting;
    public DeviceSpan<float> Keys;
    public bool AddKeys;
    public DeviceSpan<float> States;             // always written
    public DeviceSpan<float> Temperature;
    public bool AddTemperature;
    public DeviceSpan<float> OnlineBias;
    public bool AddOnlineBias;
    public DeviceSpan<float> Logits;             // scratch, as Scores
    public DeviceSpan<float> PooledKeys;         // scratch, [slots, H, d]
    public DeviceSpan<float> Partials;           // scratch, [groups, H, 2]
    public DeviceSpan<float> Gain;               // deep memories
    public bool AddGain;
    public DeviceSpan<float> GainPartials;       // scratch, [sequences or chunks, H, d]
}

/// <summary>The next rows of one sequence, written and read one after another from a state that is updated in place.</summary>
internal struct StreamArguments
{
    public MatrixRule Rule;
    public int Rows;
    public int Heads;
    public int Width;                            // d
    public DeviceSpan<float> Queries;            // [rows, H*d]
    public DeviceSpan<float> Keys;               // [rows, H*d]
    public DeviceSpan<float> Values;             // [rows, H*d]
    public DeviceSpan<float> LogDecay;           // [rows, H], by vectors and RWKV-7 [rows, H*d], RWKV-5 [H*d], or empty
    public DeviceSpan<float> PreviousGate;       // [rows, H] or empty
    public DeviceSpan<float> WriteGate;          // [rows, H] or empty
    public DeviceSpan<float> OwnGain;            // RWKV-5: u, [H*d]
    public DeviceSpan<float> RemovalKeys;        // RWKV-7: c, [rows, H*d]
    public DeviceSpan<float> RemovalRates;       // RWKV-7: e, [rows, H*d]
    public DeviceSpan<float> Previous;           // scalar only: k, then v, of the row before the first, [2, H*d]; zeros at the start of a sequence
    public bool IsFirstOfSegment;                // the tail starts anew
    public bool WindowReachesBack;               // scalar only: whether the first row's b applies to the row before it
    public DeviceSpan<float> State;              // [H, d, d]
    public DeviceSpan<float> Tail;               // sums of log a since the segment's start, [H]; b of its first row times the later decays, [H]. By vectors: [H*d]. Others: none
    public DeviceSpan<float> Output;             // M_t q_t, [rows, H*d]; delta and RWKV: may be empty
}

/// <summary>
/// A deep memory over the chunks of a plan. P is the number of weights of a head's network; with momentum the recurrence carries as much again.
/// </summary>
internal struct DeepArguments
{
    public MemoryPlan Plan;
    public DeepMemoryOptions Options;
    public int KeptEvery;                        // chunks between states kept for the backward pass
    public DeviceSpan<float> Queries;            // [rows, H*d]
    public DeviceSpan<float> Keys;               // [rows, H*d]
    public DeviceSpan<float> Values;             // [rows, H*d]
    public DeviceSpan<float> LearningRate;       // e, [rows, H]
    public DeviceSpan<float> LogDecay;           // [rows, H] or empty
    public DeviceSpan<float> Momentum;           // h, [rows, H] or empty
    public DeviceSpan<float> Weights;            // M_0, [H, P]
    public DeviceSpan<float> Gain;               // of LN, [H*d]
    public DeviceSpan<float> Output;             // M_t(q_t), [rows, H*d]; empty where a soup reads
    public DeviceSpan<float> States;             // cached, [slots, H, P]
    public DeviceSpan<float> Kept;               // states before chunks, see KeptLength, or empty
    public DeviceSpan<float> Records;            // soup: directions and hidden inputs of the keys, [rows, H, R]
    public DeviceSpan<float> Preactivations;     // soup: the mixed ends of the layers, [rows, H, outputs]
    public DeviceSpan<float> OnlineWeights;      // soup in a stream: the online weights, [H, P]

    public readonly long StateLength => (Momentum.IsEmpty ? 1L : 2L) * Options.WeightCount * Options.Heads;

    public readonly long KeptLength => Kernels.DeepScan.Work.KeptCount(Plan.ChunkCount, Plan.ItemCount, KeptEvery) * StateLength;
}

/// <summary>Gradients of a deep scan. Empty: not wanted. The flags say whether to add to what is there.</summary>
internal struct DeepGradients
{
    public DeviceSpan<float> Output;
    public DeviceSpan<float> States;             // of the cached states, or empty
    public DeviceSpan<float> Queries;
    public bool AddQueries;
    public DeviceSpan<float> Keys;
    public bool AddKeys;
    public DeviceSpan<float> Values;
    public bool AddValues;
    public DeviceSpan<float> LearningRate;
    public bool AddLearningRate;
    public DeviceSpan<float> LogDecay;
    public bool AddLogDecay;
    public DeviceSpan<float> Momentum;
    public bool AddMomentum;
    public DeviceSpan<float> Weights;
    public bool AddWeights;
    public DeviceSpan<float> Gain;
    public bool AddGain;
    public DeviceSpan<float> GainPartials;       // scratch, [items, H, d]
    public DeviceSpan<float> Reads;              // soup: scratch, as Preactivations
}

/// <summary>The next rows of one sequence, written and read one after another from a state that is updated in place.</summary>
internal struct DeepStreamArguments
{
    public DeepMemoryOptions Options;
    public int Rows;
    public int ChunkLength;
    public int Position;                         // of the first row in its segment
    public DeviceSpan<float> Queries;            // [rows, H*d]
    public DeviceSpan<float> Keys;               // [rows, H*d]
    public DeviceSpan<float> Values;             // [rows, H*d]
    public DeviceSpan<float> LearningRate;       // [rows, H]
    public DeviceSpan<float> LogDecay;           // [rows, H] or empty
    public DeviceSpan<float> Momentum;           // [rows, H] or empty
    public DeviceSpan<float> Gain;               // [H*d]
    public DeviceSpan<float> Weights;            // [H, P]
    public DeviceSpan<float> Start;              // weights that the chunk started with, [H, P]
    public DeviceSpan<float> Steps;              // momentum, [H, P] or empty
    public DeviceSpan<float> Output;             // M_t(q_t), [rows, H*d], or empty
}

/// <summary>A log-linear read of the merged states of independent logarithmic segments and of the open block.</summary>
internal struct LogLinearArguments
{
    public MemoryPlan Plan;
    public int Heads;
    public int Width;                            // d
    public int Levels;
    public DeviceSpan<float> Queries;            // [rows, H*d]
    public DeviceSpan<float> Keys;               // [rows, H*d]
    public DeviceSpan<float> Values;             // [rows, H*d]
    public DeviceSpan<float> Lambda;             // [rows, H*levels]
    public DeviceSpan<float> LogDecay;           // [rows, H] or empty
    public DeviceSpan<float> WriteGate;          // [rows, H] or empty
    public DeviceSpan<float> States;             // [slots, H, d, d]
    public PagedRows StatePages;                 // streams: the states in their place, a row a slot
    public DeviceSpan<float> Output;             // [rows, H*d]
    public DeviceSpan<float> SlotDecay;          // streams: sum of log a between each slot's end and the block's first row, [slots, H]
    public int FirstRow;                         // streams: first row of the block that is read
}

/// <summary>Gradients of a log-linear read. Empty: not wanted. The flags say whether to add to what is there.</summary>
internal struct LogLinearGradients
{
    public DeviceSpan<float> Output;
    public DeviceSpan<float> States;
    public DeviceSpan<float> Queries;
    public bool AddQueries;
    public DeviceSpan<float> Keys;
    public bool AddKeys;
    public DeviceSpan<float> Values;
    public bool AddValues;
    public DeviceSpan<float> Lambda;
    public bool AddLambda;
    public DeviceSpan<float> LogDecay;
    public bool AddLogDecay;
    public DeviceSpan<float> WriteGate;
    public bool AddWriteGate;
}
