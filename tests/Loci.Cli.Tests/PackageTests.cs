using System.Diagnostics;
using System.IO.Compression;
using System.Xml.Linq;
using Xunit;

namespace Loci.Cli.Tests;

/// <summary>The packages as their users get them: from a folder, into a place of their own.</summary>
public sealed class PackageTests(PackageTests.Packages packages) : IClassFixture<PackageTests.Packages>
{
    [Fact]
    public void EveryPackageSaysWhatItIs()
    {
        Assert.Equal(
            ["Loci", "Loci.Cli", "Loci.Evaluation", "Loci.Memory", "Loci.Numerics"],
            Directory.GetFiles(packages.Folder, "*.nupkg").Select(path => Path.GetFileName(path)[..^(Packages.Version.Length + ".nupkg".Length + 1)]).Order(StringComparer.Ordinal));
        foreach (var path in Directory.GetFiles(packages.Folder, "*.nupkg"))
        {
            using var archive = ZipFile.OpenRead(path);
            Assert.NotNull(archive.GetEntry("README.md"));
            using var stream = archive.Entries.Single(entry => entry.FullName.EndsWith(".nuspec", StringComparison.Ordinal)).Open();
            var metadata = XDocument.Load(stream).Root!.Elements().Single(element => element.Name.LocalName == "metadata");
            string Of(string name) => metadata.Elements().Single(element => element.Name.LocalName == name).Value;
            Assert.Equal("MIT", Of("license"));
            Assert.Equal("README.md", Of("readme"));
            Assert.Contains("language-model", Of("tags"), StringComparison.Ordinal);
            Assert.NotEmpty(Of("description"));
            var depends = metadata.Descendants().Where(element => element.Name.LocalName == "dependency").Select(element => element.Attribute("id")!.Value);
            Assert.All(depends, id => Assert.StartsWith("Loci", id, StringComparison.Ordinal)); // nothing else comes along
            if (!path.Contains("Loci.Cli", StringComparison.Ordinal))
            {
                Assert.True(File.Exists(Path.ChangeExtension(path, ".snupkg")), $"{path} has no symbols.");
            }
        }
    }

    [Fact]
    public void TheToolTrainsAndWrites()
    {
        var tools = Path.Combine(packages.Root, "tools");
        packages.Run("dotnet", "tool", "install", "Loci.Cli", "--tool-path", tools, "--version", Packages.Version, "--configfile", packages.NuGetConfig);
        var loci = Path.Combine(tools, OperatingSystem.IsWindows() ? "loci.exe" : "loci");
        Assert.Contains(Packages.Version, packages.Run(loci, "--version"), StringComparison.Ordinal);
        var text = Path.Combine(packages.Root, "text.txt");
        File.WriteAllText(text, string.Concat(Enumerable.Range(0, 300).Select(i => $"Line {i} of a text to learn. ")));
        var run = Path.Combine(packages.Root, "run");
        packages.Run(
            loci, "train", "--data", text, "--tokenizer", "byte", "--out", run, "--dimension", "16", "--layers", "1", "--heads", "2", "--context", "192", "--batch", "2",
            "--steps", "3", "--memory", "gated-delta-net", "--aggregation", "ssc", "--segment-length", "64", "--threads", "1");
        Assert.StartsWith("Line", packages.Run(loci, "generate", "--model", run, "--prompt", "Line", "--tokens", "8", "--seed", "1", "--threads", "1"), StringComparison.Ordinal);
    }

    [Fact]
    public void AProgramUsesTheLibrary()
    {
        var folder = Directory.CreateDirectory(Path.Combine(packages.Root, "program")).FullName;
        File.WriteAllText(Path.Combine(folder, "program.csproj"), $"""
            <Project Sdk="Microsoft.NET.Sdk">
              <PropertyGroup>
                <OutputType>Exe</OutputType>
                <TargetFramework>net10.0</TargetFramework>
                <ImplicitUsings>enable</ImplicitUsings>
                <NuGetAudit>false</NuGetAudit>
              </PropertyGroup>
              <ItemGroup>
                <PackageReference Include="Loci.Evaluation" Version="{Packages.Version}" />
              </ItemGroup>
            </Project>
            """);
        File.WriteAllText(Path.Combine(folder, "Program.cs"), """
            using Loci.Data;
            using Loci.Evaluation;
            using Loci.Models;
            using Loci.Numerics;
            using Loci.Sessions;

            using var device = new CpuDevice(1);
            var tokenizer = new ByteTokenizer();
            using var model = new LanguageModel(new ModelConfiguration { VocabularySize = tokenizer.VocabularySize, Dimension = 8, Layers = 1, Heads = 1 }, device);
            using var session = model.CreateSession();
            session.Read(tokenizer.Encode("To be"));
            await foreach (var piece in new TextGenerator(session, tokenizer).GenerateAsync(new GenerationOptions { MaximumTokens = 3 }))
            {
                Console.Write(piece.Text);
            }

            Console.WriteLine($"{session.Position} tokens, {EvaluationTasks.All.Count > 10}");
            """);
        packages.Run("dotnet", "restore", folder, "--configfile", packages.NuGetConfig);
        packages.Run("dotnet", "build", folder, "--no-restore", "-v", "quiet");
        Assert.EndsWith("8 tokens, True", packages.Run("dotnet", Path.Combine(folder, "bin", "Debug", "net10.0", "program.dll")).TrimEnd(), StringComparison.Ordinal);
    }

    /// <summary>What <c>dotnet pack</c> makes of what has been built.</summary>
    public sealed class Packages : IDisposable
    {
        public Packages()
        {
            NuGetConfig = Path.Combine(Root, "nuget.config");
            File.WriteAllText(NuGetConfig, $"""
                <configuration>
                  <packageSources>
                    <clear />
                    <add key="folder" value="{Folder}" />
                  </packageSources>
                </configuration>
                """);
            Run("dotnet", "pack", Path.Combine(Repository, "Loci.slnx"), "--no-build", "-c", Configuration, "-o", Folder, "-v", "quiet");
        }

        public static string Version { get; } = typeof(CommandLine).Assembly.GetName().Version!.ToString(3);

        public string Root { get; } = Directory.CreateTempSubdirectory("loci-packages-").FullName;

        public string Folder => Path.Combine(Root, "packages");

        public string NuGetConfig { get; }

        // .../tests/Loci.Cli.Tests/bin/<configuration>/net10.0/
        private static string Configuration => new DirectoryInfo(AppContext.BaseDirectory).Parent!.Name;

        private static string Repository => Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "..", "..", "..", "..", ".."));

        public string Run(string program, params string[] arguments)
        {
            ProcessStartInfo information = new(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = Root };
            information.Environment["NUGET_PACKAGES"] = Path.Combine(Root, "nuget");
            information.Environment["DOTNET_CLI_HOME"] = Root;
            information.Environment["DOTNET_NOLOGO"] = "1";
            using var process = Process.Start(information)!;
            var error = process.StandardError.ReadToEndAsync();
            var output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            Assert.True(process.ExitCode == 0, $"{program} {string.Join(" ", arguments)} ended with {process.ExitCode}:\n{output}\n{error.Result}");
            return output;
        }

        public void Dispose() => Directory.Delete(Root, recursive: true);
    }
}
