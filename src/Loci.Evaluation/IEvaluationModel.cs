using Loci.Data;

namespace Loci.Evaluation;

/// <summary>
/// What a task needs of a model: three methods, which are those of the lm-evaluation-harness (Gao et al., github.com/EleutherAI/lm-evaluation-harness). Responses come in the order of the requests.
/// </summary>
public interface IEvaluationModel
{
    /// <summary>What the model is called in results.</summary>
    string Name { get; }

    /// <summary>Turns text into tokens; null for a model that only knows token ids.</summary>
    Tokenizer? Tokenizer { get; }

    /// <summary>Token ids are below this.</summary>
    int VocabularySize { get; }

    /// <summary>How likely continuations are. Requests that share the beginning of their contexts are quickest one after the other.</summary>
    /// <param name="requests">The requests.</param>
    /// <param name="progress">Is told the number of requests done; null for no one.</param>
    /// <param name="cancellationToken">Stops it.</param>
    /// <exception cref="OperationCanceledException">It was stopped.</exception>
    IReadOnlyList<LogLikelihood> LogLikelihoods(IReadOnlyList<LogLikelihoodRequest> requests, IProgress<int>? progress = null, CancellationToken cancellationToken = default);

    /// <summary>How likely whole texts are.</summary>
    /// <param name="requests">The requests.</param>
    /// <param name="progress">Is told the number of requests done; null for no one.</param>
    /// <param name="cancellationToken">Stops it.</param>
    /// <exception cref="OperationCanceledException">It was stopped.</exception>
    IReadOnlyList<RollingLogLikelihood> RollingLogLikelihoods(IReadOnlyList<RollingRequest> requests, IProgress<int>? progress = null, CancellationToken cancellationToken = default);

    /// <summary>What the model writes, always the most likely token.</summary>
    /// <param name="requests">The requests.</param>
    /// <param name="progress">Is told the number of requests done; null for no one.</param>
    /// <param name="cancellationToken">Stops it.</param>
    /// <exception cref="OperationCanceledException">It was stopped.</exception>
    IReadOnlyList<Generation> GenerateUntil(IReadOnlyList<GenerationRequest> requests, IProgress<int>? progress = null, CancellationToken cancellationToken = default);
}
