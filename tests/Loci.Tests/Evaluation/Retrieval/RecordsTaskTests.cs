using Loci.Evaluation;
using Loci.Tests.Data;
using Xunit;
using static Loci.Tests.Evaluation.TaskFixture;

namespace Loci.Tests.Evaluation.Retrieval;

public sealed class RecordsTaskTests
{
    private static readonly TaskOptions Options = new() { Lengths = [400, 2000], Samples = 20, Seed = 7 };

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void RecordsFillTheLength(bool gpt2)
    {
        var model = gpt2 ? new AnsweringModel((_, _) => new LogLikelihood(0, true, 1), _ => "", TestFiles.Gpt2) : Silent;
        var examples = Load("records", Options, model);
        Assert.Equal(40, examples.Count);
        foreach (var example in examples)
        {
            var length = int.Parse(example.Slices[0].Value);
            var (prompt, answer) = Texts(example)[1];
            Assert.InRange(model.Tokenizer!.Encode(prompt).Length, length - 200, length);

            // The end repeats a name and a key; what stands after them before is the answer.
            var lines = prompt.Split('\n');
            var (name, key) = (lines[^2], lines[^1]);
            var record = Assert.Single(prompt.Split("\n\n"), part => part.StartsWith(name + "\n", StringComparison.Ordinal) && part.Contains(key + answer, StringComparison.Ordinal));
            Assert.Equal(7, record.Split('\n').Length);
            Assert.Equal(("key", key[..^1]), example.Slices[2]);
        }
    }

    [Fact]
    public void TheSeedDecides()
    {
        var first = Load("records", Options).Select(example => Texts(example)[1]).ToList();
        Assert.Equal(first, Load("records", Options).Select(example => Texts(example)[1]));
        Assert.Empty(first.Intersect(Load("records", Options with { Seed = 8 }).Select(example => Texts(example)[1])));
        Assert.Equal(first.Count, first.Distinct().Count());
    }

    [Fact]
    public void DepthsPlaceTheRecord()
    {
        var examples = Load("records", Options with { Lengths = [1000], Depths = [0, 1], Samples = 5 });
        foreach (var example in examples)
        {
            var prompt = Texts(example)[0].Context;
            var records = prompt.Split("\n\n");
            var name = records[^1].Split('\n')[0] + "\n";
            Assert.StartsWith(name, example.Slices[1] == ("depth", "0") ? records[0] : records[^2], StringComparison.Ordinal);
        }

        Assert.Equal([5, 5], examples.GroupBy(example => example.Slices[1]).Select(group => group.Count()));
    }

    [Fact]
    public void WhoKnowsIsRightAndWhoIsSilentIsNot()
    {
        var examples = Load("records", Options);
        Assert.Equal(1, Run(Oracle(examples), "records", examples)["contains"]);
        Assert.Equal(0, Run(Silent, "records", examples)["contains"]);
        Assert.Equal(2, Run(Silent, "records", examples)["answer_loss"]);
    }

    [Fact]
    public void WhatDoesNotFitIsNamed()
    {
        Assert.Equal(
            "A length of 100 tokens is too short for the task records: two records do not fit; give a greater length.",
            Assert.Throws<LociException>(() => Load("records", Options with { Lengths = [100] })).Message);
        Assert.Equal("A depth of 1.5 is outside the context: give depths from 0 to 1.", Assert.Throws<LociException>(() => Load("records", Options with { Depths = [0, 1.5] })).Message);
        Assert.Equal("0 samples are too few: ask for at least 1.", Assert.Throws<LociException>(() => Load("records", Options with { Samples = 0 })).Message);
    }
}
