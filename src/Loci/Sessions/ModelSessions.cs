using Loci.Models;

namespace Loci.Sessions;

/// <summary>Sessions of a language model.</summary>
public static class ModelSessions
{
    /// <summary>Starts reading one sequence.</summary>
    /// <param name="model">The model; it outlives its sessions.</param>
    /// <param name="options">How its memory is kept; none takes the defaults.</param>
    /// <exception cref="LociException">The options do not go with this model.</exception>
    public static Session CreateSession(this LanguageModel model, SessionOptions? options = null) => new(model, options ?? new SessionOptions());
}
