using Loci.Numerics;

namespace Loci.Sessions;

/// <summary>Sessions as they would be after long texts, without reading any: for measurements of time and space.</summary>
internal static class SessionMeasurement
{
    /// <summary>Makes an unused session's memory as large as if so many tokens had been read, with contents that mean nothing.</summary>
    /// <param name="session">The session.</param>
    /// <param name="tokens">How many.</param>
    /// <exception cref="InvalidOperationException">Something has been read.</exception>
    /// <exception cref="InsufficientMemoryException">The memory would be larger than this machine's.</exception>
    public static void FillForMeasurement(this Session session, int tokens)
    {
        ArgumentNullException.ThrowIfNull(session);
        ArgumentOutOfRangeException.ThrowIfNegative(tokens);
        if (session.Position > 0)
        {
            throw new InvalidOperationException("Only a session that has read nothing can be filled for a measurement.");
        }

        var states = session.States.ToArray();
        long available = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes, needed = states.Sum(state => state.BytesAfter(tokens));
        if (needed > available / 10 * 9)
        {
            throw new InsufficientMemoryException(
                $"The session's memory would take {ByteSize.Format(needed, available)} after {tokens:#,0} tokens, "
                + $"and this machine has {ByteSize.Format(available, needed)}.");
        }

        var device = session.Model.Device;
        var longest = session.Rows.Max(rows => rows.RowLength) + (4L * session.Model.Configuration.Dimension);
        longest = Math.Max(longest, session.Buffers.Select(buffer => buffer.Length).DefaultIfEmpty().Max());
        var noise = device.Allocate<float>(longest + 1024);
        device.CopyFromHost<float>(Noise(longest + 1024), noise);
        foreach (var state in states)
        {
            state.Fill(tokens, noise);
        }

        device.Free(noise);
        session.SkipTo(tokens);
    }

    private static float[] Noise(long count)
    {
        var random = new Random(1);
        var values = new float[count];
        foreach (ref var value in values.AsSpan())
        {
            value = 0.2f * (random.NextSingle() - 0.5f);
        }

        return values;
    }
}
