using Loci.Sessions;

namespace Loci.Evaluation;

/// <summary>
/// Reads many contexts and hands over a session at the end of each. What contexts begin with in common is read once: they are taken in the order of their tokens, so that those with a common beginning
/// are neighbours, and sessions are kept where later ones branch off. Sessions and their forks give the same bits however a text is split, so that nothing depends on what is shared.
/// </summary>
/// <param name="start">Makes a session that has read nothing.</param>
/// <param name="read">Reads tokens.</param>
internal sealed class PrefixReader(Func<Session> start, Action<Session, ReadOnlyMemory<int>> read)
{
    private const int LeastShared = 8; // shorter beginnings are quicker read than copied

    /// <summary>Reads contexts.</summary>
    /// <param name="contexts">Their tokens; none is empty.</param>
    /// <param name="visit">
    /// Gets the index of a context, the session at its end, and whether the session is still needed: then it must be left as it is, and otherwise it is the receiver's.
    /// </param>
    public void Read(IReadOnlyList<int[]> contexts, Action<int, Session, bool> visit)
    {
        int[] order = [.. Enumerable.Range(0, contexts.Count)];
        Array.Sort(order, (one, other) => contexts[one].AsSpan().SequenceCompareTo(contexts[other]) is var sign && sign != 0 ? sign : one - other);
        var shared = new int[order.Length]; // by place in the order: tokens in common with the one before
        for (var i = 1; i < order.Length; i++)
        {
            var common = contexts[order[i - 1]].AsSpan().CommonPrefixLength(contexts[order[i]]);
            shared[i] = common < LeastShared ? 0 : common;
        }

        Stack<Session> kept = new();
        try
        {
            for (var i = 0; i < order.Length; i++)
            {
                while (kept.TryPeek(out var top) && top.Position > shared[i])
                {
                    kept.Pop().Dispose();
                }

                var context = contexts[order[i]];
                var from = kept.TryPeek(out var nearest) ? nearest.Position : 0;
                var branches = Branches(shared, i, from);
                var isKept = branches.Contains(context.Length);
                var session = nearest is null ? start() : !branches.Contains(from) ? kept.Pop() : from == context.Length ? nearest : nearest.Fork();
                var isOwned = session != nearest || kept.Count == 0 || kept.Peek() != session;
                try
                {
                    foreach (var branch in branches.Where(branch => branch > from))
                    {
                        read(session, context.AsMemory(session.Position..branch));
                        isOwned = branch < context.Length;
                        kept.Push(isOwned ? session.Fork() : session);
                    }

                    read(session, context.AsMemory(session.Position..));
                }
                catch
                {
                    if (isOwned)
                    {
                        session.Dispose();
                    }

                    throw;
                }

                visit(order[i], session, isKept);
            }
        }
        finally
        {
            foreach (var session in kept)
            {
                session.Dispose();
            }
        }
    }

    /// <summary>Where later contexts branch off from the one at a place, from the nearest on, ascending.</summary>
    private static List<int> Branches(int[] shared, int place, int from)
    {
        List<int> branches = [];
        var least = int.MaxValue;
        for (var i = place + 1; i < shared.Length && least > from; i++)
        {
            if (shared[i] < least)
            {
                least = shared[i];
                if (least >= from && least > 0)
                {
                    branches.Insert(0, least);
                }
            }
        }

        return branches;
    }
}
