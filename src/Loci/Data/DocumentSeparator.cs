namespace Loci.Data;

/// <summary>What divides a text file into documents.</summary>
public enum DocumentSeparator
{
    /// <summary>Nothing: a file is a document.</summary>
    File,

    /// <summary>Blank lines: a paragraph, without its last line end, is a document.</summary>
    BlankLine,

    /// <summary>Line ends: a line that is not blank, without its end, is a document.</summary>
    Line,

    /// <summary>The text <c>&lt;|endoftext|&gt;</c>; line ends around it belong to no document.</summary>
    EndOfText,

    /// <summary>
    /// WikiText's articles: one starts with the line <c> = Title = </c> (one sign each side) between blank lines. Every byte of the file belongs to a document.
    /// </summary>
    WikiText,
}
