using System.Reflection;
using System.Text.RegularExpressions;
using Loci.Data;
using Loci.Formats;
using Loci.Models;
using Loci.Numerics;
using Loci.Tests.Formats;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Xunit;

namespace Loci.Tests;

/// <summary>The working directory is the whole process's: nothing else runs meanwhile.</summary>
[CollectionDefinition(nameof(DocumentationTests), DisableParallelization = true)]
public sealed class DocumentationCollection;

/// <summary>The C# of every document, its blocks one after another as one program, compiles and runs where the models it names are there.</summary>
[Collection(nameof(DocumentationTests))]
public sealed partial class DocumentationTests
{
    private const string ImplicitUsings = """
        global using System;
        global using System.Collections.Generic;
        global using System.IO;
        global using System.Linq;
        global using System.Net.Http;
        global using System.Threading;
        global using System.Threading.Tasks;
        """;

    public static TheoryData<string> Documents()
    {
        TheoryData<string> documents = [];
        foreach (var path in Directory.GetFiles(ArchitectureTests.Root(), "*.md", SearchOption.AllDirectories).Order(StringComparer.Ordinal))
        {
            if (!path.Contains("/bin/", StringComparison.Ordinal) && !path.Contains("/obj/", StringComparison.Ordinal) && Block().IsMatch(File.ReadAllText(path)))
            {
                documents.Add(Path.GetRelativePath(ArchitectureTests.Root(), path).Replace('\\', '/'));
            }
        }

        return documents;
    }

    [Theory]
    [MemberData(nameof(Documents))]
    public void CodeCompilesAndRuns(string document)
    {
        var blocks = string.Join("\n", Block().Matches(File.ReadAllText(Path.Combine(ArchitectureTests.Root(), document))).Select(match => match.Groups[1].Value));
        var usings = string.Concat(Using().Matches(blocks).Select(match => match.Value).Distinct());
        var program = Compile(ImplicitUsings + "\n" + usings + Using().Replace(blocks, ""));
        using TemporaryFolder folder = new();
        MakeModels(folder);
        var (before, output) = (Directory.GetCurrentDirectory(), Console.Out);
        using StringWriter shown = new();
        try
        {
            Directory.SetCurrentDirectory(folder.Path);
            Console.SetOut(shown);
            var entry = program.EntryPoint!;
            entry.Invoke(null, entry.GetParameters().Length == 0 ? [] : [Array.Empty<string>()]);
        }
        finally
        {
            Console.SetOut(output);
            Directory.SetCurrentDirectory(before);
        }

        Assert.NotEqual("", shown.ToString().Trim()); // all of it shows something
    }

    [Fact]
    public void TheReadmeHasCode() => Assert.Contains("README.md", Documents().Select(row => row.Data));

    private static Assembly Compile(string source)
    {
        var platform = ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!).Split(Path.PathSeparator);
        var compilation = CSharpCompilation.Create(
            "Document",
            [CSharpSyntaxTree.ParseText(source, new CSharpParseOptions(LanguageVersion.Latest))],
            platform.Select(path => MetadataReference.CreateFromFile(path)),
            new CSharpCompilationOptions(OutputKind.ConsoleApplication, nullableContextOptions: NullableContextOptions.Enable));
        using MemoryStream image = new();
        var result = compilation.Emit(image);
        Assert.True(result.Success, string.Join("\n", result.Diagnostics.Where(diagnostic => diagnostic.Severity == DiagnosticSeverity.Error)));
        return Assembly.Load(image.ToArray());
    }

    /// <summary>Small models of random weights under the names that the documents use.</summary>
    private static void MakeModels(TemporaryFolder folder)
    {
        using CpuDevice device = new(1);
        foreach (var (name, aggregation) in (ReadOnlySpan<(string, string)>)[("grm", "grm"), ("ssc", "ssc"), ("base", "none")])
        {
            using LanguageModel model = new(
                new ModelConfiguration
                {
                    VocabularySize = new ByteTokenizer().VocabularySize,
                    Dimension = 8,
                    Layers = 1,
                    Heads = 2,
                    Mixers = [new() { Memory = "gated-linear", Cache = new() { Aggregation = aggregation, SegmentLength = 64 } }],
                },
                device);
            model.Save(Path.Combine(folder.Path, "runs", name));
            TokenizerFile.Save(Path.Combine(folder.Path, "runs", name, "tokenizer.json"), new ByteTokenizer());
        }
    }

    [GeneratedRegex("^```csharp\n(.*?)^```", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Block();

    [GeneratedRegex(@"^using [\w.]+;\n", RegexOptions.Multiline)]
    private static partial Regex Using();
}
