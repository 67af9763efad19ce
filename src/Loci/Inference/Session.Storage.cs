namespace Loci.Inference;

public sealed partial class Session
{
    private int _unchangedTokens;   // at the start, as they are in the file

    private void RequireRoom(int rows)
    {
        _ = rows;
    }

    private void Persist(bool isBoundary)
    {
        _ = isBoundary;
    }

    private void CloseFile()
    {
    }
}
