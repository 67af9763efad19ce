using FsCheck;
using FsCheck.Fluent;
using Loci.Memory.Store;
using Loci.Numerics;
using Xunit;

namespace Loci.Tests.Caching;

/// <summary>Rows that forks share, against lists.</summary>
public sealed class SharedRowsTests
{
    /// <summary>Whatever is appended, cut, written or forked, no one sees what another wrote, and the pages that kernels follow are the rows.</summary>
    [Theory]
    [InlineData(3, false)]       // many rows a page
    [InlineData(3, true)]        // one row a page
    [InlineData(6000, false)]    // two rows a page
    [InlineData(20000, false)]   // larger than a page
    public void ForksDoNotSeeEachOther(int length, bool isAlone)
    {
        var histories = Gen.ListOf(Gen.Zip(Gen.Choose(0, 4), Gen.Choose(0, 1000)), 40);
        Prop.ForAll(histories.ToArbitrary(), history =>
        {
            using var device = new CpuDevice(1);
            List<(SharedRows Rows, List<float> Values)> all = [(new SharedRows(device, length, isAlone), [])];
            var next = 0f;
            foreach (var (kind, value) in history)
            {
                var (rows, values) = all[value % all.Count];
                switch (kind)
                {
                    case 0 or 1:
                        device.Fill(rows.Append(), ++next);
                        values.Add(next);
                        break;
                    case 2 when all.Count < 5:
                        all.Add((rows.Fork(), [.. values]));
                        break;
                    case 3 when values.Count > 0:
                        device.Fill(rows.Writable(value % values.Count), ++next);
                        values[value % values.Count] = next;
                        break;
                    case 4:
                        var kept = values.Count - Math.Min(values.Count, value % 4);
                        rows.Truncate(kept);
                        values.RemoveRange(kept, values.Count - kept);
                        break;
                    default:
                        break;
                }

                foreach (var (one, expected) in all)
                {
                    Assert.Equal(expected.Count, one.Count);
                    for (var row = 0; row < expected.Count; row++)
                    {
                        Assert.Equal((expected[row], expected[row]), Ends(device, one[row]));
                    }

                    Assert.Equal(expected, ThroughPages(one.Pages, one.Count));
                }
            }

            foreach (var (rows, _) in all)
            {
                rows.Dispose();
            }
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(30));
    }

    [Fact]
    public void WhatChangedIsKnown()
    {
        using var device = new CpuDevice(1);
        using SharedRows rows = new(device, 4);
        for (var i = 0; i < 10; i++)
        {
            device.Fill(rows.Append(), i);
        }

        rows.Unchanged = 10;
        device.Fill(rows.Append(), 11);
        Assert.Equal(10, rows.Unchanged);
        using var fork = rows.Fork();
        Assert.Equal(11, fork.CommonWith(rows));
        rows.Truncate(7);
        Assert.Equal(7, rows.Unchanged);
        Assert.Equal(7, fork.CommonWith(rows));
        device.Fill(rows.Writable(2), 0);
        Assert.Equal(2, rows.Unchanged);
        Assert.Equal(0, fork.CommonWith(rows)); // their page is no longer the same
        Assert.Throws<ArgumentOutOfRangeException>(() => rows[7]);
        Assert.Throws<ArgumentOutOfRangeException>(() => rows.Truncate(8));
    }

    private static (float First, float Last) Ends(CpuDevice device, DeviceSpan<float> row)
    {
        var values = new float[row.Length];
        device.CopyToHost(row, values);
        return (values[0], values[^1]);
    }

    private static unsafe List<float> ThroughPages(PagedRows pages, int count)
    {
        var table = new Loci.Numerics.Kernels.RowPages(pages);
        List<float> values = [];
        for (var row = 0; row < count; row++)
        {
            values.Add(*table.At(row));
        }

        return values;
    }
}
