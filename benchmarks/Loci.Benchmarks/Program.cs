using Loci.Benchmarks;

Dictionary<string, Action> benchmarks = new(StringComparer.OrdinalIgnoreCase)
{
    ["gemm"] = MatrixProductBenchmark.Run,
    ["step"] = TrainingStepBenchmark.Run,
};

if (args.Length == 1 && benchmarks.TryGetValue(args[0], out Action? run))
{
    run();
    return 0;
}

Console.Error.WriteLine($"Name one benchmark: {string.Join(", ", benchmarks.Keys)}.");
return 2;
