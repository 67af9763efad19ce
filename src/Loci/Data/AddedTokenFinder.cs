using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace Loci.Data;

/// <summary>Finds the contents of added tokens in text: the leftmost, and of those that begin there the longest.</summary>
internal sealed class AddedTokenFinder
{
    private readonly (AddedToken Token, byte[] Utf8)[] _tokens;

    public AddedTokenFinder(IEnumerable<AddedToken> tokens) =>
        _tokens = [.. tokens.Select(token => (Token: token, Utf8: Encoding.UTF8.GetBytes(token.Content))).OrderByDescending(token => token.Utf8.Length)];

    public bool IsEmpty => _tokens.Length == 0;

    /// <summary>Begins the search of one text.</summary>
    public Cursor Start() => new(this);

    /// <summary>The search of one text, from left to right.</summary>
    public readonly struct Cursor
    {
        private readonly AddedTokenFinder _finder;
        private readonly int[] _places; // where each token is next, so that a rare one is not looked for again and again

        internal Cursor(AddedTokenFinder finder)
        {
            _finder = finder;
            _places = new int[finder._tokens.Length];
            Array.Fill(_places, -1);
        }

        /// <summary>Finds the next token at or after <paramref name="begin"/>, which never goes back.</summary>
        public bool FindNext(ReadOnlySpan<byte> utf8, int begin, out int index, [NotNullWhen(true)] out AddedToken? token, out int length)
        {
            index = int.MaxValue;
            token = null;
            length = 0;
            for (int i = 0; i < _places.Length; i++)
            {
                (AddedToken candidate, byte[] content) = _finder._tokens[i];
                if (_places[i] < begin)
                {
                    int place = utf8[begin..].IndexOf(content);
                    _places[i] = place >= 0 ? begin + place : int.MaxValue;
                }

                if (_places[i] < index)
                {
                    (index, token, length) = (_places[i], candidate, content.Length);
                }
            }

            return token is not null;
        }
    }
}
