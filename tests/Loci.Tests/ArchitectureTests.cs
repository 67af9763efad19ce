using System.Text.RegularExpressions;
using Xunit;

namespace Loci.Tests;

/// <summary>Folders depend one way: read off the sources' usings.</summary>
public sealed partial class ArchitectureTests
{
    // Lowest first; what is in one place may use each other.
    private static readonly string[] s_projects = ["Loci.Numerics", "Loci.Memory", "Loci", "Loci.Evaluation", "Loci.Cli"];

    private static readonly string[][] s_folders = [["Data", "Formats"], ["Models", "Layers"], ["Sessions"], ["Training"]];

    [Fact]
    public void ProjectsUseOnlyThoseBelow()
    {
        foreach (var (file, used) in Usings("src"))
        {
            var own = Array.IndexOf(s_projects, file.Split('/')[1]);
            var longest = s_projects.Where(name => used == name || used.StartsWith(name + ".", StringComparison.Ordinal)).MaxBy(name => name.Length);
            var other = Array.IndexOf(s_projects, longest);
            Assert.True(own >= 0, $"{file} is in a project that this test does not know: add it where it belongs.");
            Assert.True(other <= own, $"{file} uses {used}, which lies above it.");
        }
    }

    [Fact]
    public void FoldersOfTheLibraryUseOnlyThoseBelow()
    {
        foreach (var (file, used) in Usings("src/Loci"))
        {
            var (own, other) = (file.Split('/')[2], used.Split('.').ElementAtOrDefault(1) ?? "");
            var (from, to) = (PlaceOf(own), PlaceOf(other));
            if (file.Split('/').Length > 3 && to >= 0)
            {
                Assert.True(from >= 0, $"{file} is in a folder that this test does not know: add it where it belongs.");
                Assert.True(to <= from, $"{file} uses {used}, which lies above it.");
            }
        }
    }

    [Fact]
    public void TheEngineKnowsNoMemory()
    {
        foreach (var file in Sources("src/Loci.Numerics"))
        {
            Assert.DoesNotContain("Loci.Memory", WithoutComments(File.ReadAllText(file.Path)), StringComparison.Ordinal);
        }
    }

    [Fact]
    public void OnlyEngineAndMemoriesAreUnsafe()
    {
        var projects = Directory.GetFiles(Path.Combine(Root(), "src"), "*.csproj", SearchOption.AllDirectories);
        Assert.Equal(
            ["Loci.Memory.csproj", "Loci.Numerics.csproj"],
            projects.Where(path => File.ReadAllText(path).Contains("AllowUnsafeBlocks", StringComparison.Ordinal)).Select(Path.GetFileName).Order());
    }

    [Fact]
    public void EveryRuleHasItsEquationAndDerivationInItsFolder()
    {
        var folders = Directory.GetDirectories(Path.Combine(Root(), "src/Loci.Memory/Rules"));
        Assert.Equal(6, folders.Length);
        foreach (var folder in folders)
        {
            Assert.NotEmpty(Directory.GetFiles(folder, "*.md"));
            Assert.NotEmpty(Directory.GetFiles(folder, "*Plain.cs"));
            Assert.NotEmpty(Directory.GetFiles(folder, "*Step.cs"));
        }
    }

    private static int PlaceOf(string folder) => Array.FindIndex(s_folders, place => place.Contains(folder));

    private static IEnumerable<(string File, string Used)> Usings(string folder) => Sources(folder).SelectMany(
        file => Using().Matches(File.ReadAllText(file.Path)).Select(match => (file.Name, match.Groups[1].Value)));

    private static (string Name, string Path)[] Sources(string folder)
    {
        var files = Directory.GetFiles(Path.Combine(Root(), folder), "*.cs", SearchOption.AllDirectories)
            .Select(path => (Name: Path.GetRelativePath(Root(), path).Replace('\\', '/'), Path: path))
            .Where(file => !file.Name.Contains("/obj/", StringComparison.Ordinal) && !file.Name.EndsWith("Plain.cs", StringComparison.Ordinal))
            .ToArray();
        Assert.NotEmpty(files);
        return files;
    }

    private static string WithoutComments(string source) => Comment().Replace(source, "");

    internal static string Root()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(folder.FullName, "Loci.slnx")))
        {
            folder = folder.Parent ?? throw new InvalidOperationException("The tests do not run inside a checkout.");
        }

        return folder.FullName;
    }

    [GeneratedRegex(@"^using (?:static |\w+ = )?(Loci[\w.]*)", RegexOptions.Multiline)]
    private static partial Regex Using();

    [GeneratedRegex("//[^\n]*")]
    private static partial Regex Comment();
}
