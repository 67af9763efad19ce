using Loci.Numerics;

namespace Loci.Sessions;

/// <summary>Keeps sessions within their memory budgets.</summary>
internal static class SessionBudget
{
    /// <summary>Makes room for the next tokens under the memory budget, or says why there is none.</summary>
    public static void Require(Session session, int tokens)
    {
        if (session.Options.MemoryBudget is not { } budget)
        {
            return;
        }

        long added = 0;
        foreach (var state in session.States)
        {
            added += state.BytesAdded(tokens);
        }

        if (session.Position > 0 && added == 0 && tokens > 0)
        {
            return;
        }

        var needed = session.Bytes + added;
        var after = FormattableString.Invariant($"after {session.Position + tokens:#,0} tokens");
        foreach (var state in session.States)
        {
            var all = needed + session.MappedBytes;
            if (state.ReadsEverything && all > budget)
            {
                throw new LociException(
                    ErrorKind.OutOfMemory,
                    $"The session's memory would take {ByteSize.Format(all, budget)} {after}, more than the budget of {ByteSize.Format(budget, all)}, and this model reads "
                    + "all of it for every token: raise the budget, store checkpoints as float16 or int8, or use a model with sparse selective caching, whose checkpoints "
                    + "can stay on the disk.");
            }
        }

        if (needed > budget && session.Path is not null)
        {
            session.LeaveInFile();
            needed = session.Bytes + added;
        }

        if (needed > budget)
        {
            throw new LociException(ErrorKind.OutOfMemory, session.Path is null && session.CachedStates > 0
                ? $"The session's memory would take {ByteSize.Format(needed, budget)} {after}, more than the budget of {ByteSize.Format(budget, needed)}: raise it, or give "
                    + "the session a file, in which its checkpoints can stay."
                : $"The session needs {ByteSize.Format(needed, budget)}, even with all checkpoints on the disk, which is more than the budget of "
                    + $"{ByteSize.Format(budget, needed)}: raise it.");
        }
    }
}
