using Loci.Benchmarks;

Dictionary<string, Action<string[]>> benchmarks = new(StringComparer.OrdinalIgnoreCase)
{
    ["gemm"] = _ => MatrixProductBenchmark.Run(),
    ["read"] = CachedReadBenchmark.Run,
    ["layer"] = LayerBenchmark.Run,
    ["overhead"] = CacheOverheadBenchmark.Run,
    ["context"] = ContextBenchmark.Run,
    ["step"] = TrainingStepBenchmark.Run,
    ["session"] = SessionBenchmark.Run,
    ["decode"] = DecodeBenchmark.Run,
    ["row"] = RowProductBenchmark.Run,
    ["threads"] = ThreadBenchmark.Run,
    ["bits"] = BitsBenchmark.Run,
    ["bpe"] = arguments => BpeTrainingBenchmark.Run(arguments),
};

if (args.Length > 0 && benchmarks.TryGetValue(args[0], out Action<string[]>? run))
{
    run(args[1..]);
    return 0;
}

Console.Error.WriteLine($"Name one benchmark: {string.Join(", ", benchmarks.Keys)}.");
return 2;
