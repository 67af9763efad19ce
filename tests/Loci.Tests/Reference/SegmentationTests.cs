using FsCheck;
using FsCheck.Fluent;
using Loci.Reference;
using Xunit;

namespace Loci.Tests.ReferenceTests;

public sealed class SegmentationTests
{
    [Fact]
    public void After_37_blocks_the_segments_are_32_4_and_1_blocks()
    {
        foreach (int offset in new[] { 0, 9, 15 })
        {
            VisibleSegments visible = new LogarithmicSegmentation(16).At(37 * 16 + offset);
            Assert.Equal([new Segment(0, 32 * 16), new Segment(32 * 16, 36 * 16), new Segment(36 * 16, 37 * 16)], visible.Past);
            Assert.Equal(37 * 16, visible.OnlineStart);
        }
    }

    [Fact]
    public void Constant_segments_close_when_the_next_token_comes()
    {
        var segmentation = new ConstantSegmentation(4);
        Assert.Empty(segmentation.At(3).Past);
        Assert.Equal([new Segment(0, 4)], segmentation.At(4).Past);
        Assert.Equal([new Segment(0, 4), new Segment(4, 8)], segmentation.At(11).Past);
        Assert.Equal(8, segmentation.At(11).OnlineStart);
    }

    [Fact]
    public void Segments_follow_one_another_and_end_where_the_open_one_starts() =>
        Prop.ForAll(
            Gen.Choose(0, 5000).ToArbitrary(),
            Gen.Choose(1, 70).ToArbitrary(),
            (position, size) =>
            {
                foreach (Segmentation segmentation in new Segmentation[] { new ConstantSegmentation(size), new LogarithmicSegmentation(size) })
                {
                    VisibleSegments visible = segmentation.At(position);
                    int end = 0;
                    foreach (Segment segment in visible.Past)
                    {
                        Assert.Equal(end, segment.Start);
                        Assert.True(segment.End > segment.Start);
                        end = segment.End;
                    }

                    Assert.Equal(end, visible.OnlineStart);
                    Assert.InRange(position - visible.OnlineStart, 0, size - 1);
                }
            }).QuickCheckThrowOnFailure();

    [Fact]
    public void A_finished_block_carries_through_as_a_binary_counter_does()
    {
        const int Block = 3;
        var segmentation = new LogarithmicSegmentation(Block);
        var counter = new List<Segment>();
        for (int block = 0; block < 600; block++)
        {
            VisibleSegments visible = segmentation.At(block * Block + 1);
            Assert.Equal(counter, visible.Past);
            Assert.Equal(System.Numerics.BitOperations.PopCount((uint)block), visible.Past.Count);

            // Equal neighbours merge, youngest first.
            var added = new Segment(block * Block, (block + 1) * Block);
            while (counter.Count > 0 && counter[^1].End - counter[^1].Start == added.End - added.Start)
            {
                added = new Segment(counter[^1].Start, added.End);
                counter.RemoveAt(counter.Count - 1);
            }

            counter.Add(added);
        }
    }
}
