namespace Loci.Data;

/// <summary>A document, or a part of a large one, cut where words and pre-tokens end.</summary>
/// <param name="Utf8">The text of the part.</param>
/// <param name="IsStart">Whether the part begins its document.</param>
/// <param name="IsEnd">Whether the part ends its document.</param>
/// <param name="SourcePosition">How far into the source of the corpus the part reaches.</param>
internal sealed record TextPart(ReadOnlyMemory<byte> Utf8, bool IsStart, bool IsEnd, long SourcePosition)
{
    private const int GroupLength = 1 << 18;

    /// <summary>Reads a corpus part by part, works on the parts on all cores and hands over the results on this thread, in order.</summary>
    /// <param name="corpus">The documents.</param>
    /// <param name="length">The length of a part in bytes: it ends at the first place after it where text may be cut.</param>
    /// <param name="work">Done on any thread.</param>
    /// <param name="collect">Done on this thread, in the order of the corpus.</param>
    /// <param name="cancellationToken">Stops the work.</param>
    public static void ProcessAll<TResult>(Corpus corpus, int length, Func<TextPart, TResult> work, Action<TextPart, TResult> collect, CancellationToken cancellationToken)
    {
        Queue<(List<TextPart> Parts, Task<TResult[]> Work)> running = new();
        try
        {
            // Small documents go together: a task for each line of a file would cost more than its work.
            List<TextPart> group = [];
            long grouped = 0;
            foreach (TextPart part in Cut(corpus, length))
            {
                group.Add(part);
                grouped += part.Utf8.Length;
                if (grouped >= Math.Min(length, GroupLength))
                {
                    Start(group);
                    group = [];
                    grouped = 0;
                }
            }

            Start(group);
            while (running.Count > 0)
            {
                CollectFirst();
            }
        }
        finally
        {
            // After a failure the rest must not run on behind the caller's back.
            foreach ((_, Task<TResult[]> task) in running)
            {
                ((IAsyncResult)task).AsyncWaitHandle.WaitOne();
            }
        }

        void Start(List<TextPart> parts)
        {
            if (running.Count >= 4 * Environment.ProcessorCount)
            {
                CollectFirst();
            }

            running.Enqueue((parts, Task.Run(() => parts.Select(work).ToArray(), CancellationToken.None)));
        }

        void CollectFirst()
        {
            cancellationToken.ThrowIfCancellationRequested();
            (List<TextPart> parts, Task<TResult[]> task) = running.Dequeue();
            TResult[] results = task.GetAwaiter().GetResult();
            for (int i = 0; i < results.Length; i++)
            {
                collect(parts[i], results[i]);
            }
        }
    }

    private static IEnumerable<TextPart> Cut(Corpus corpus, int length)
    {
        long position = 0;
        foreach (Document document in corpus.ReadDocuments())
        {
            ReadOnlyMemory<byte> text = document.Utf8;
            int begin = 0;
            while (begin < text.Length)
            {
                int end = text.Length - begin <= length ? text.Length : TextScan.FindCut(text.Span, begin + length);
                long reached = position + (long)((document.SourcePosition - position) * ((double)end / text.Length));
                yield return new TextPart(text[begin..end], begin == 0, end == text.Length, reached);
                begin = end;
            }

            position = document.SourcePosition;
        }
    }
}
