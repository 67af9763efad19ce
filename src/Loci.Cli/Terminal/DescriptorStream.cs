using System.Runtime.InteropServices;

namespace Loci.Cli.Terminal;

/// <summary>
/// Writes to standard output or standard error. The console's own streams take a closed pipe for success, which here is a failure as any
/// other; the first one is kept.
/// </summary>
/// <param name="descriptor">1 or 2.</param>
/// <param name="isOpen">Whether the process was given it.</param>
/// <param name="onFailure">Is told of every write that fails.</param>
internal sealed class DescriptorStream(int descriptor, bool isOpen, Action<OutputException> onFailure) : Stream
{
    private const int Interrupted = 4;
    private static readonly int s_wouldBlock = OperatingSystem.IsMacOS() ? 35 : 11;
    private static readonly TimeSpan WaitForReader = TimeSpan.FromMilliseconds(5);

    private readonly Stream? _console =
        !OperatingSystem.IsWindows() ? null : descriptor == 1 ? Console.OpenStandardOutput() : Console.OpenStandardError();

    /// <summary>Why it cannot be written to any more; null as long as it can.</summary>
    public OutputException? Failure { get; private set; }

    public override bool CanRead => false;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override void Write(ReadOnlySpan<byte> buffer)
    {
        Failure ??= isOpen ? TryWrite(buffer) : new OutputException($"{Name} is closed: send it to a terminal, a file or a pipe.");
        if (Failure is not null)
        {
            onFailure(Failure);
        }
    }

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override void Flush()
    {
    }

    /// <summary>Makes sure of what has been written: some file systems only now say that they have no room for it.</summary>
    public void Complete()
    {
        if (isOpen && Failure is null && !Descriptor.TryComplete(descriptor))
        {
            Failure = Failed(Marshal.GetLastPInvokeError());
        }

        if (Failure is not null)
        {
            onFailure(Failure);
        }
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    private string Name => descriptor == 1 ? "Standard output" : "Standard error";

    private OutputException? TryWrite(ReadOnlySpan<byte> bytes)
    {
        if (_console is not null)
        {
            return TryWriteToConsole(_console, bytes);
        }

        while (!bytes.IsEmpty)
        {
            var written = Descriptor.Write(descriptor, bytes);
            if (written >= 0)
            {
                bytes = bytes[(int)written..];
                continue;
            }

            var error = Marshal.GetLastPInvokeError();
            if (error == s_wouldBlock)
            {
                Thread.Sleep(WaitForReader);
            }
            else if (error != Interrupted)
            {
                return Failed(error);
            }
        }

        return null;
    }

    private OutputException? TryWriteToConsole(Stream console, ReadOnlySpan<byte> bytes)
    {
        try
        {
            console.Write(bytes);
            return null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return new OutputException($"{Name} cannot be written: {exception.Message}", exception);
        }
    }

    private OutputException Failed(int error) =>
        new($"{Name} cannot be written: {Marshal.GetPInvokeErrorMessage(error)}; send it elsewhere, or make room.")
        {
            IsClosedPipe = error == Descriptor.BrokenPipe,
        };
}
