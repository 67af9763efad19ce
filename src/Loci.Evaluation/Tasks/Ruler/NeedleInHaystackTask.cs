using System.Globalization;
using Loci.Data;

namespace Loci.Evaluation.Tasks.Ruler;

/// <summary>A needle-in-a-haystack task of RULER.</summary>
/// <param name="name">Its name, one of <see cref="NeedleOptions.PresetNames"/>.</param>
/// <param name="title">What people call it.</param>
/// <param name="description">What it asks.</param>
internal sealed class NeedleInHaystackTask(string name, string title, string description) : RulerTask
{
    // RULER's.
    private const int AnswerTokens = 128;

    public override string Name => name;

    public override string Title => title;

    public override string Description => description;

    public override IReadOnlyList<string> SettingNames => ["template", "haystack", "start", "key-kind", "value-kind", "digits", "keys", "values", "queries", "answer-tokens", "measure"];

    /// <summary>The options of the task with the settings.</summary>
    internal NeedleOptions OptionsOf(TaskOptions options)
    {
        NeedleOptions preset = NeedleOptions.Preset(name);
        int queries = RulerSettings.Integer(options, "queries", preset.QueryCount, 1, NeedleGenerator.DepthSteps);
        return TaskOptions.Checked((preset with
        {
            Template = RulerSettings.Choice(options, "template", preset.Template),
            Haystack = RulerSettings.Choice(options, "haystack", preset.Haystack),
            StartsAnywhere = RulerSettings.Choice(options, "start", HaystackStart.First) == HaystackStart.Anywhere,
            Keys = RulerSettings.Choice(options, "key-kind", preset.Keys),
            Values = RulerSettings.Choice(options, "value-kind", preset.Values),
            NumberDigits = RulerSettings.Integer(options, "digits", preset.NumberDigits, 1, 18),
            KeyCount = Math.Max(queries, RulerSettings.Integer(options, "keys", preset.KeyCount, 1, NeedleGenerator.DepthSteps)),
            ValuesPerKey = RulerSettings.Integer(options, "values", preset.ValuesPerKey, 1, NeedleGenerator.DepthSteps),
            QueryCount = queries,
            AnswerTokens = RulerSettings.Integer(options, "answer-tokens", AnswerTokens, 1, 1 << 16),
        }).Validate);
    }

    protected override IEnumerable<EvaluationExample> Generate(Tokenizer tokenizer, TaskOptions options, IReadOnlyList<int> lengths, int samples)
    {
        NeedleOptions needle = OptionsOf(options);
        foreach (double depth in options.Depths)
        {
            if (!(depth >= 0 && depth <= 1))
            {
                throw new LociException(string.Create(CultureInfo.InvariantCulture, $"A depth of {depth} is not possible; use depths from 0 to 1."));
            }
        }

        NeedleGenerator generator = new(needle, tokenizer, needle.Haystack == HaystackKind.Essay ? HaystackText.Open(options.HaystackPath) : null);
        return Examples(generator, options, lengths, samples);
    }

    private IEnumerable<EvaluationExample> Examples(NeedleGenerator generator, TaskOptions options, IReadOnlyList<int> lengths, int samples)
    {
        foreach (int length in lengths)
        {
            for (int depth = 0; depth < options.Depths.Count; depth++)
            {
                string percent = Math.Round(options.Depths[depth] * 100, 2).ToString(CultureInfo.InvariantCulture);
                for (int sample = 0; sample < samples; sample++)
                {
                    yield return Make(options, generator, generator.Next(RandomOf(options, length, sample, depth + 1), length, options.Depths[depth]), length, percent);
                }
            }

            if (options.Depths.Count == 0)
            {
                // By depth, for then the slices come in order.
                bool one = generator.Options.QueryCount * generator.Options.ValuesPerKey == 1;
                IEnumerable<NeedleExample> drawn = Enumerable.Range(0, samples).Select(sample => generator.Next(RandomOf(options, length, sample), length));
                foreach (NeedleExample example in one ? drawn.OrderBy(example => example.Depth) : drawn)
                {
                    yield return Make(options, generator, example, length, one ? Band(example.Depth) : null);
                }
            }
        }
    }

    private static string Band(double depth) => depth switch
    {
        < 0.25 => "0-25",
        < 0.5 => "25-50",
        < 0.75 => "50-75",
        _ => "75-100",
    };

    private static AnswerExample Make(TaskOptions options, NeedleGenerator generator, NeedleExample example, int length, string? depth) =>
        Example(options, example.Input, example.Continuation, example.Answers, generator.Options.AnswerTokens ?? AnswerTokens, length, depth);

    private enum HaystackStart
    {
        First,
        Anywhere,
    }
}
