using System.Diagnostics;
using System.Globalization;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;

namespace Loci.Numerics.Kernels;

/// <summary>
/// A pool of threads that runs loops. The calling thread is worker 0 and takes part; indices are claimed one by one,
/// so the caller decides the blocks and results cannot depend on the number of threads.
/// </summary>
/// <remarks>
/// A call allocates no managed memory. Idle threads spin for some tens of microseconds, then sleep. Calls from inside a
/// body run inline on the thread that makes them; so does a call that finds the pool busy with another thread's loop.
/// </remarks>
internal sealed unsafe class Workers : IDisposable
{
    /// <summary>Name of the environment variable that sets the thread count of <see cref="Shared"/>.</summary>
    public const string ThreadsVariable = "LOCI_THREADS";

    private const int MaximumThreads = 1024;

    // Layout of _gate: whether the loop accepts workers, whether its caller sleeps, and how many workers are inside.
    private const int Open = 1 << 30;
    private const int CallerSleeps = 1 << 29;

    private static readonly long s_workerSpin = Stopwatch.Frequency / 20_000; // 50 microseconds
    private static readonly long s_callerSpin = Stopwatch.Frequency / 20_000;
    private static readonly Lock s_sharedLock = new();
    private static Workers? s_shared;
    private static int s_sharedThreadCount;

    [ThreadStatic]
    private static bool t_insideBody;

    [ThreadStatic]
    private static int t_worker;

    private readonly Thread[] _threads;
    private readonly Lock _callerLock = new();
    private readonly SemaphoreSlim _wake = new(0);
    private readonly SemaphoreSlim _callerWake = new(0);

    private delegate*<void*, int, int, void> _body;
    private void* _state;
    private int _count;
    private Exception? _failure;
    private bool _disposed;
    private Counters _counters;

    /// <summary>Starts a pool.</summary>
    /// <param name="threadCount">Threads that run a loop, the caller included; 0 means one per processor.</param>
    /// <exception cref="ArgumentOutOfRangeException">The count is negative or above 1024.</exception>
    public Workers(int threadCount = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(threadCount);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(threadCount, MaximumThreads);
        ThreadCount = threadCount == 0 ? Environment.ProcessorCount : threadCount;
        _threads = new Thread[ThreadCount - 1];
        for (int i = 0; i < _threads.Length; i++)
        {
            int worker = i + 1;
            _threads[i] = new Thread(() => Serve(worker))
            {
                IsBackground = true,
                Name = string.Create(CultureInfo.InvariantCulture, $"Loci worker {worker}"),
            };
            _threads[i].Start();
        }
    }

    /// <summary>The pool of the process, started at first use.</summary>
    public static Workers Shared => Volatile.Read(ref s_shared) ?? StartShared();

    /// <summary>
    /// Thread count of <see cref="Shared"/>: what was set here, else the environment variable LOCI_THREADS, else one per processor.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The count is below 1 or above 1024.</exception>
    /// <exception cref="InvalidOperationException">Set after the shared pool was started with another count.</exception>
    public static int SharedThreadCount
    {
        get
        {
            lock (s_sharedLock)
            {
                return s_shared?.ThreadCount ?? ConfiguredThreadCount();
            }
        }

        set
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(value, 1);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(value, MaximumThreads);
            lock (s_sharedLock)
            {
                if (s_shared is not null && s_shared.ThreadCount != value)
                {
                    throw new InvalidOperationException(
                        $"The shared workers already run with {s_shared.ThreadCount} threads; set the thread count before the first computation.");
                }

                s_sharedThreadCount = value;
            }
        }
    }

    /// <summary>Threads that run a loop, the caller included.</summary>
    public int ThreadCount { get; }

    /// <summary>Threads that sleep until the next loop; the others spin or work.</summary>
    public int SleepingThreads => Volatile.Read(ref _counters.Sleepers);

    /// <summary>Runs <paramref name="body"/> once for each index in [0, count), in no fixed order, and returns when all have finished.</summary>
    /// <param name="count">Number of indices; nothing happens when it is 0 or less.</param>
    /// <param name="body">
    /// Called with <paramref name="state"/>, the index, and the number of the running worker in [0, <see cref="ThreadCount"/>);
    /// within one call no two threads have the same number.
    /// </param>
    /// <param name="state">Handed to the body unchanged.</param>
    /// <exception cref="ObjectDisposedException">The pool was disposed.</exception>
    /// <remarks>An exception thrown by the body is thrown here, the first one if there are several; indices not yet begun are skipped.</remarks>
    public void For(int count, delegate*<void*, int, int, void> body, void* state)
    {
        ObjectDisposedException.ThrowIf(Volatile.Read(ref _disposed), this);
        if (count <= 1 || _threads.Length == 0 || t_insideBody || !_callerLock.TryEnter())
        {
            RunInline(count, body, state);
            return;
        }

        try
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            RunShared(count, body, state);
        }
        finally
        {
            _callerLock.Exit();
        }
    }

    /// <summary>Stops the threads, after the loop that runs now if there is one.</summary>
    public void Dispose()
    {
        lock (_callerLock)
        {
            if (_disposed)
            {
                return;
            }

            Volatile.Write(ref _disposed, true);
            Interlocked.Increment(ref _counters.Epoch);
            _wake.Release(Math.Max(1, _threads.Length));
        }

        foreach (Thread thread in _threads)
        {
            thread.Join();
        }

        _wake.Dispose();
        _callerWake.Dispose();
    }

    private static Workers StartShared()
    {
        lock (s_sharedLock)
        {
            return s_shared ??= new Workers(ConfiguredThreadCount());
        }
    }

    private static int ConfiguredThreadCount()
    {
        if (s_sharedThreadCount > 0)
        {
            return s_sharedThreadCount;
        }

        string? text = Environment.GetEnvironmentVariable(ThreadsVariable);
        if (string.IsNullOrWhiteSpace(text))
        {
            return Environment.ProcessorCount;
        }

        return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int count) && count is >= 1 and <= MaximumThreads
            ? count
            : throw new InvalidOperationException(
                $"The environment variable {ThreadsVariable} is '{text}'; set it to a number of threads from 1 to {MaximumThreads}, or remove it.");
    }

    private static void RunInline(int count, delegate*<void*, int, int, void> body, void* state)
    {
        bool outer = t_insideBody;
        int worker = t_worker;
        t_insideBody = true;
        try
        {
            for (int i = 0; i < count; i++)
            {
                body(state, i, worker);
            }
        }
        finally
        {
            t_insideBody = outer;
        }
    }

    private void RunShared(int count, delegate*<void*, int, int, void> body, void* state)
    {
        _body = body;
        _state = state;
        _count = count;
        _failure = null;
        _counters.Next = 0;
        Volatile.Write(ref _counters.Gate, Open);
        Interlocked.Increment(ref _counters.Epoch);
        WakeSleepers(count - 1);

        Claim(0);

        if ((Interlocked.And(ref _counters.Gate, ~Open) & ~Open) != 0)
        {
            WaitForWorkers();
        }

        if (_failure is { } failure)
        {
            _failure = null;
            ExceptionDispatchInfo.Throw(failure);
        }
    }

    private void WakeSleepers(int wanted)
    {
        int sleepers = Volatile.Read(ref _counters.Sleepers);
        while (sleepers > 0)
        {
            int woken = Math.Min(sleepers, wanted);
            int seen = Interlocked.CompareExchange(ref _counters.Sleepers, sleepers - woken, sleepers);
            if (seen == sleepers)
            {
                _wake.Release(woken);
                return;
            }

            sleepers = seen;
        }
    }

    private void WaitForWorkers()
    {
        long deadline = Stopwatch.GetTimestamp() + s_callerSpin;
        while (Stopwatch.GetTimestamp() < deadline)
        {
            if (Volatile.Read(ref _counters.Gate) == 0)
            {
                return;
            }

            Thread.SpinWait(8);
        }

        if (Interlocked.Or(ref _counters.Gate, CallerSleeps) != 0)
        {
            _callerWake.Wait();
        }

        Volatile.Write(ref _counters.Gate, 0);
    }

    private void Claim(int worker)
    {
        t_insideBody = true;
        t_worker = worker;
        try
        {
            long index;
            while ((index = Interlocked.Increment(ref _counters.Next) - 1) < _count)
            {
                _body(_state, (int)index, worker);
            }
        }
#pragma warning disable CA1031 // Whatever the body throws belongs to the caller of For.
        catch (Exception failure)
#pragma warning restore CA1031
        {
            Interlocked.CompareExchange(ref _failure, failure, null);
            Interlocked.Exchange(ref _counters.Next, _count);
        }
        finally
        {
            t_insideBody = false;
            t_worker = 0;
        }
    }

    private void Serve(int worker)
    {
        int served = 0;
        while (true)
        {
            served = WaitForEpochAfter(served);
            if (Volatile.Read(ref _disposed))
            {
                return;
            }

            if (TryEnterLoop())
            {
                // A newer loop may have replaced the one that was announced; inside, it cannot be replaced again.
                served = Volatile.Read(ref _counters.Epoch);
                Claim(worker);
                if (Interlocked.Decrement(ref _counters.Gate) == CallerSleeps)
                {
                    _callerWake.Release();
                }
            }
        }
    }

    private bool TryEnterLoop()
    {
        int gate = Volatile.Read(ref _counters.Gate);
        while ((gate & Open) != 0)
        {
            int seen = Interlocked.CompareExchange(ref _counters.Gate, gate + 1, gate);
            if (seen == gate)
            {
                return true;
            }

            gate = seen;
        }

        return false;
    }

    private int WaitForEpochAfter(int served)
    {
        int epoch;
        long deadline = Stopwatch.GetTimestamp() + s_workerSpin;
        do
        {
            if ((epoch = Volatile.Read(ref _counters.Epoch)) != served)
            {
                return epoch;
            }

            Thread.SpinWait(8);
        }
        while (Stopwatch.GetTimestamp() < deadline);

        // Announce the sleep, then look once more: a caller either sees the sleeper or is seen here.
        Interlocked.Increment(ref _counters.Sleepers);
        if (Volatile.Read(ref _counters.Epoch) == served || !TryCancelSleep())
        {
            _wake.Wait();
        }

        return Volatile.Read(ref _counters.Epoch);
    }

    private bool TryCancelSleep()
    {
        int sleepers = Volatile.Read(ref _counters.Sleepers);
        while (sleepers > 0)
        {
            int seen = Interlocked.CompareExchange(ref _counters.Sleepers, sleepers - 1, sleepers);
            if (seen == sleepers)
            {
                return true;
            }

            sleepers = seen;
        }

        return false;
    }

    /// <summary>What several threads write, each on cache lines of its own.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 640)]
    private struct Counters
    {
        /// <summary>Number of loops begun.</summary>
        [FieldOffset(128)]
        public int Epoch;

        /// <summary>Threads asleep or about to be, for which no wake-up was sent yet.</summary>
        [FieldOffset(256)]
        public int Sleepers;

        /// <summary>Workers inside the loop, with the flags Open and CallerSleeps.</summary>
        [FieldOffset(384)]
        public int Gate;

        /// <summary>The next index to claim.</summary>
        [FieldOffset(512)]
        public long Next;
    }
}
