using System.Runtime.InteropServices;
using Loci.Numerics.Kernels;
using Xunit;

namespace Loci.Numerics.Tests;

public sealed unsafe class WorkersTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(8)]
    public void EveryIndexRunsExactlyOnce(int threads)
    {
        using Workers workers = new(threads);
        Assert.Equal(threads, workers.ThreadCount);
        int[] runs = new int[1000];
        fixed (int* pointer = runs)
        {
            foreach (int count in (int[])[-1, 0, 1, 2, 3, 17, 1000])
            {
                for (int round = 0; round < 50; round++)
                {
                    Array.Clear(runs);
                    workers.For(count, &Count, pointer);
                    for (int i = 0; i < runs.Length; i++)
                    {
                        Assert.Equal(i < count ? 1 : 0, runs[i]);
                    }
                }
            }
        }
    }

    [Fact]
    public void SleepingThreadsWakeForALoopThatNeedsThemAll()
    {
        // Every body waits for all the others, so this ends only if each thread runs exactly one of them.
        using Workers workers = new(3);
        for (int round = 0; round < 20; round++)
        {
            Thread.Sleep(round % 4);
            int arrived = 0;
            workers.For(3, &MeetOthers, &arrived);
            Assert.Equal(3, arrived);
        }
    }

    [Fact]
    public void WorkerNumbersAreDistinctAndInRange()
    {
        using Workers workers = new(3);
        int* seen = stackalloc int[4];
        for (int round = 0; round < 20; round++)
        {
            new Span<int>(seen, 4).Clear();
            workers.For(3, &MeetOthersAndMark, seen);
            Assert.Equal([1, 1, 1], new ReadOnlySpan<int>(seen + 1, 3).ToArray());
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void AnExceptionInABodyReachesTheCallerAndThePoolSurvives(int threads)
    {
        using Workers workers = new(threads);
        for (int round = 0; round < 20; round++)
        {
            int bad = round * 5;
            InvalidDataException thrown = Assert.Throws<InvalidDataException>(() => workers.For(100, &ThrowAt, (void*)(nint)bad));
            Assert.Equal($"index {bad}", thrown.Message);
        }

        EveryIndexRunsOnce(workers, 100);
    }

    [Fact]
    public void NestedLoopsRunInlineWithTheWorkerNumberOfTheirThread()
    {
        using Workers workers = new(3);
        int* sums = stackalloc int[20];
        new Span<int>(sums, 20).Clear();
        GCHandle handle = GCHandle.Alloc(workers);
        Nested nested = new() { Workers = GCHandle.ToIntPtr(handle), Sums = sums };
        workers.For(20, &RunNested, &nested);
        handle.Free();
        for (int i = 0; i < 20; i++)
        {
            Assert.Equal(10 * 9 / 2, sums[i]);
        }

        Assert.Equal(0, nested.Mistakes);
    }

    [Fact]
    public void SeveralCallersAtOnceEachGetTheirOwnLoop()
    {
        using Workers workers = new(2);
        Exception? failure = null;
        Thread[] callers = new Thread[4];
        for (int caller = 0; caller < callers.Length; caller++)
        {
            callers[caller] = new Thread(() =>
            {
                try
                {
                    for (int round = 0; round < 200; round++)
                    {
                        EveryIndexRunsOnce(workers, 64);
                    }
                }
                catch (Exception caught)
                {
                    failure = caught;
                }
            });
            callers[caller].Start();
        }

        foreach (Thread caller in callers)
        {
            caller.Join();
        }

        Assert.Null(failure);
    }

    [Fact]
    public void ALoopAllocatesNoManagedMemory()
    {
        using Workers workers = new(2);
        int* runs = stackalloc int[100];
        for (int round = 0; round < 10; round++)
        {
            workers.For(100, &Count, runs);
        }

        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int round = 0; round < 100; round++)
        {
            workers.For(100, &Count, runs);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Fact]
    public void IdleThreadsSleep()
    {
        using Workers workers = new(4);
        Assert.True(SpinWait.SpinUntil(() => workers.SleepingThreads == 3, TimeSpan.FromSeconds(30)));
        EveryIndexRunsOnce(workers, 100);
        Assert.True(SpinWait.SpinUntil(() => workers.SleepingThreads == 3, TimeSpan.FromSeconds(30)));
    }

    [Fact]
    public void MisuseIsRefused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new Workers(-1));
        Assert.Throws<ArgumentOutOfRangeException>(() => new Workers(1025));
        Assert.Throws<ArgumentOutOfRangeException>(() => Workers.SharedThreadCount = 0);
        Workers disposed = new(2);
        disposed.Dispose();
        disposed.Dispose();
        Assert.Throws<ObjectDisposedException>(() => disposed.For(5, &Count, null));
    }

    [Fact]
    public void TheSharedPoolKeepsItsThreadCount()
    {
        Workers shared = Workers.Shared;
        Assert.Same(shared, Workers.Shared);
        Assert.Equal(shared.ThreadCount, Workers.SharedThreadCount);
        Workers.SharedThreadCount = shared.ThreadCount;
        Assert.Throws<InvalidOperationException>(() => Workers.SharedThreadCount = shared.ThreadCount + 1);
    }

    private static void EveryIndexRunsOnce(Workers workers, int count)
    {
        int[] runs = new int[count];
        fixed (int* pointer = runs)
        {
            workers.For(count, &Count, pointer);
        }

        Assert.All(runs, run => Assert.Equal(1, run));
    }

    private static void Count(void* state, int index, int worker) => Interlocked.Increment(ref ((int*)state)[index]);

    private static void MeetOthers(void* state, int index, int worker)
    {
        Interlocked.Increment(ref *(int*)state);
        SpinWait.SpinUntil(() => Volatile.Read(ref *(int*)state) == 3);
    }

    private static void MeetOthersAndMark(void* state, int index, int worker)
    {
        Interlocked.Increment(ref ((int*)state)[1 + worker]);
        MeetOthers(state, index, worker);
    }

    private static void ThrowAt(void* state, int index, int worker)
    {
        if (index == (nint)state)
        {
            throw new InvalidDataException($"index {index}");
        }
    }

    private static void RunNested(void* state, int index, int worker)
    {
        Nested* nested = (Nested*)state;
        Workers workers = (Workers)GCHandle.FromIntPtr(nested->Workers).Target!;
        Inner inner = new() { Nested = nested, Index = index, Worker = worker, Thread = Environment.CurrentManagedThreadId };
        workers.For(10, &RunInner, &inner);
    }

    private static void RunInner(void* state, int index, int worker)
    {
        Inner* inner = (Inner*)state;
        inner->Nested->Sums[inner->Index] += index;
        if (worker != inner->Worker || Environment.CurrentManagedThreadId != inner->Thread)
        {
            Interlocked.Increment(ref inner->Nested->Mistakes);
        }
    }

    private struct Nested
    {
        public nint Workers;
        public int* Sums;
        public int Mistakes;
    }

    private struct Inner
    {
        public Nested* Nested;
        public int Index;
        public int Worker;
        public int Thread;
    }
}
