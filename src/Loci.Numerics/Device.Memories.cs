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
    public DeviceSpan<float> Temperature;        // tau, [H]
    public DeviceSpan<float> OnlineBias;         // [H] or empty
    public DeviceSpan<float> Output;             // y, [rows, H*d]
    public DeviceSpan<float> PooledKeys;         // p of every slot, [slots, H, d]
    public DeviceSpan<float> Scores;             // r, [gates * H]: by group [H, rows, visible + 1], the online one last
    public DeviceSpan<float> Gates;              // g, as Scores
    public DeviceSpan<float> Sums;               // ungated: sum of the visible states, [groups, H, d, d]
    public bool PoolsKeys;                       // whether p is computed here; streams keep it beside their states
    public DeviceSpan<float> InitialKeys;        // streams: sum of the online segment's keys before the first row, [H*d], or empty
    public int InitialCount;                     // streams: number of those keys
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
    public DeviceSpan<float> LogDecay;           // [rows, H], by vectors [rows, H*d], or empty
    public DeviceSpan<float> PreviousGate;       // [rows, H] or empty
    public DeviceSpan<float> WriteGate;          // [rows, H] or empty
    public DeviceSpan<float> Previous;           // scalar only: k, then v, of the row before the first, [2, H*d]; zeros at the start of a sequence
    public bool IsFirstOfSegment;                // the tail starts anew
    public bool WindowReachesBack;               // scalar only: whether the first row's b applies to the row before it
    public DeviceSpan<float> State;              // [H, d, d]
    public DeviceSpan<float> Tail;               // sums of log a since the segment's start, [H]; b of its first row times the later decays, [H]. By vectors: [H*d]. Delta: none
    public DeviceSpan<float> Output;             // M_t q_t, [rows, H*d]; delta: may be empty
}
