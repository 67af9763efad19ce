using System.Buffers;
using System.Globalization;
using System.Text.Json;

namespace Loci.Formats;

/// <summary>
/// A log of a training run with one JSON object a line. Every line reaches the operating system before <see cref="Append"/> returns, so a killed
/// process loses none; a line that was cut off all the same is dropped when the log is read or continued.
/// </summary>
/// <remarks>Numbers are written so that they read back to the same bits; NaN and infinities are written as strings. Not safe for several threads at once.</remarks>
internal sealed class MetricsLog : IDisposable
{
    private static readonly (MetricsKind Kind, JsonEncodedText Name)[] KindNames =
    [
        (MetricsKind.Step, JsonEncodedText.Encode("step")),
        (MetricsKind.SkippedStep, JsonEncodedText.Encode("skipped_step")),
        (MetricsKind.Evaluation, JsonEncodedText.Encode("evaluation")),
        (MetricsKind.Saved, JsonEncodedText.Encode("saved")),
        (MetricsKind.Resumed, JsonEncodedText.Encode("resumed")),
        (MetricsKind.Message, JsonEncodedText.Encode("message")),
    ];

    private readonly FileStream _stream;
    private readonly ArrayBufferWriter<byte> _line = new(512);
    private readonly Utf8JsonWriter _json;

    private MetricsLog(string path, FileStream stream)
    {
        Path = path;
        _stream = stream;
        _json = new Utf8JsonWriter(_line);
    }

    /// <summary>The file.</summary>
    public string Path { get; }

    /// <summary>The step of the last line that was there when the log was opened; 0 where there was none.</summary>
    internal long LastStep { get; private init; }

    /// <summary>Starts a log, replacing an earlier one.</summary>
    /// <param name="path">The file; its folder must exist.</param>
    /// <exception cref="LociException">The file cannot be written.</exception>
    public static MetricsLog Create(string path) => Open(path, FileMode.Create, _ => (0, 0));

    /// <summary>Continues a log after a resumed step: everything from the first line past that step on is cut away, and so is a torn last line.</summary>
    /// <param name="path">The file; its folder must exist. A missing file is created.</param>
    /// <param name="resumedStep">The step the run continues after; lines with this step stay.</param>
    /// <exception cref="LociException">The file cannot be written or holds something other than a metrics log.</exception>
    public static MetricsLog Resume(string path, long resumedStep)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(resumedStep);
        return Open(path, FileMode.OpenOrCreate, stream => LengthUpTo(path, stream, resumedStep));
    }

    /// <summary>Reads a log, for a report; the log may be being written at the same time.</summary>
    /// <param name="path">The file.</param>
    /// <returns>Its records, in order; a torn last line is left out.</returns>
    /// <exception cref="LociException">The file is missing or holds something other than a metrics log.</exception>
    public static IReadOnlyList<MetricsRecord> Read(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        try
        {
            using FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            List<MetricsRecord> records = [];
            Scan(path, stream, (record, _) => records.Add(record));
            return records;
        }
        catch (Exception exception) when (FileFailure.Is(exception))
        {
            throw FileFailure.Reading(path, exception);
        }
    }

    /// <summary>Adds one line.</summary>
    /// <param name="record">What happened.</param>
    /// <exception cref="LociException">The disk is full or failing.</exception>
    public void Append(in MetricsRecord record)
    {
        _line.ResetWrittenCount();
        _json.Reset();
        _json.WriteStartObject();
        _json.WriteString("kind"u8, KindNames[(int)record.Kind].Name);
        _json.WriteString("time"u8, (record.Time ?? DateTimeOffset.UtcNow).UtcDateTime);
        _json.WriteNumber("step"u8, record.Step);
        if (record.Tokens is { } tokens)
        {
            _json.WriteNumber("tokens"u8, tokens);
        }

        WriteNumber("loss"u8, record.Loss);
        WriteNumber("learning_rate"u8, record.LearningRate);
        WriteNumber("gradient_norm"u8, record.GradientNorm);
        WriteNumber("tokens_per_second"u8, record.TokensPerSecond);
        WriteText("name"u8, record.Name);
        WriteText("text"u8, record.Text);
        if (record.Values is { Count: > 0 } values)
        {
            _json.WriteStartObject("values"u8);
            foreach ((string name, double value) in values)
            {
                _json.WritePropertyName(name);
                WriteNumberValue(value);
            }

            _json.WriteEndObject();
        }

        _json.WriteEndObject();
        _json.Flush();
        _line.GetSpan(1)[0] = (byte)'\n';
        _line.Advance(1);
        long start = _stream.Position;
        try
        {
            _stream.Write(_line.WrittenSpan);
        }
        catch (IOException exception)
        {
            // Half a line must not become the beginning of the next one.
            _stream.SetLength(start);
            _stream.Seek(start, SeekOrigin.Begin);
            throw FileFailure.Writing(Path, exception);
        }
    }

    /// <summary>Forces the lines to the disk; call it before saving the checkpoint that they lead up to.</summary>
    /// <exception cref="LociException">The disk is full or failing.</exception>
    public void Flush()
    {
        try
        {
            _stream.Flush(flushToDisk: true);
        }
        catch (IOException exception)
        {
            throw FileFailure.Writing(Path, exception);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _json.Dispose();
        _stream.Dispose();
    }

    private static MetricsLog Open(string path, FileMode mode, Func<FileStream, (long Length, long Step)> keep)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        FileStream? stream = null;
        try
        {
            // No buffer: each line is one write to the operating system.
            stream = new FileStream(path, mode, FileAccess.ReadWrite, FileShare.Read | FileShare.Delete, bufferSize: 0);
            var (length, lastStep) = keep(stream);
            stream.SetLength(length);
            stream.Seek(0, SeekOrigin.End);
            MetricsLog log = new(path, stream) { LastStep = lastStep };
            stream = null;
            return log;
        }
        catch (Exception exception) when (FileFailure.Is(exception))
        {
            throw FileFailure.Writing(path, exception);
        }
        finally
        {
            stream?.Dispose();
        }
    }

    private static (long Length, long Step) LengthUpTo(string path, FileStream stream, long step)
    {
        long length = 0;
        long lastStep = 0;
        bool past = false;
        Scan(path, stream, (record, end) =>
        {
            past |= record.Step > step;
            if (!past)
            {
                length = end;
                lastStep = record.Step;
            }
        });
        return (length, lastStep);
    }

    /// <summary>Calls back with every record and the position after its line.</summary>
    private static void Scan(string path, FileStream stream, Action<MetricsRecord, long> found)
    {
        BufferedStream input = new(stream, 1 << 16); // not disposed: that would close the stream, which is the caller's
        byte[] content = new byte[4096];
        int length = 0;
        long position = 0;
        int line = 0;
        int unreadable = 0; // the line that could not be read; an error only if a good one follows
        for (int next; (next = input.ReadByte()) >= 0;)
        {
            position++;
            if (next != '\n')
            {
                if (length == content.Length)
                {
                    if (length >= MaximumLine)
                    {
                        throw NotALog(path, line + 1);
                    }

                    Array.Resize(ref content, length * 2);
                }

                content[length++] = (byte)next;
                continue;
            }

            line++;
            if (!TryParse(content.AsSpan(0, length), out MetricsRecord record))
            {
                unreadable = unreadable == 0 ? line : unreadable;
            }
            else if (unreadable != 0)
            {
                throw NotALog(path, unreadable);
            }
            else
            {
                found(record, position);
            }

            length = 0;
        }

        // A torn end is at most one line, and a torn beginning still begins like a line; anything else is some other file, not to be cut.
        if (unreadable != 0 && (unreadable < line || unreadable == 1))
        {
            throw NotALog(path, unreadable);
        }

        if (line == 0 && length > 0 && content[0] is not ((byte)'{' or 0))
        {
            throw NotALog(path, 1);
        }
    }

    private const int MaximumLine = 1 << 24;

    private static LociException NotALog(string path, int line) =>
        new($"Line {line} of '{path}' is not a line of a metrics log; move the file away or remove that line.");

    private static bool TryParse(ReadOnlySpan<byte> line, out MetricsRecord record)
    {
        record = default;
        try
        {
            Utf8JsonReader reader = new(line);
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
            {
                return false;
            }

            MetricsKind? kind = null;
            long step = -1;
            DateTimeOffset? time = null;
            long? tokens = null;
            double? loss = null, learningRate = null, gradientNorm = null, tokensPerSecond = null;
            string? name = null, text = null;
            Dictionary<string, double>? values = null;
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                string property = reader.GetString()!;
                reader.Read();
                switch (property)
                {
                    case "kind":
                        kind = ParseKind(ref reader);
                        break;
                    case "time":
                        time = reader.GetDateTimeOffset();
                        break;
                    case "step":
                        step = reader.GetInt64();
                        break;
                    case "tokens":
                        tokens = reader.GetInt64();
                        break;
                    case "loss":
                        loss = ParseNumber(ref reader);
                        break;
                    case "learning_rate":
                        learningRate = ParseNumber(ref reader);
                        break;
                    case "gradient_norm":
                        gradientNorm = ParseNumber(ref reader);
                        break;
                    case "tokens_per_second":
                        tokensPerSecond = ParseNumber(ref reader);
                        break;
                    case "name":
                        name = reader.GetString();
                        break;
                    case "text":
                        text = reader.GetString();
                        break;
                    case "values":
                        values = ParseValues(ref reader);
                        break;
                    default:
                        // A later version may say more.
                        reader.Skip();
                        break;
                }
            }

            if (kind is null || step < 0 || reader.TokenType != JsonTokenType.EndObject || reader.Read())
            {
                return false;
            }

            record = new MetricsRecord(kind.Value, step)
            {
                Time = time,
                Tokens = tokens,
                Loss = loss,
                LearningRate = learningRate,
                GradientNorm = gradientNorm,
                TokensPerSecond = tokensPerSecond,
                Name = name,
                Text = text,
                Values = values,
            };
            return true;
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException or FormatException)
        {
            return false;
        }
    }

    private static MetricsKind? ParseKind(ref Utf8JsonReader reader)
    {
        foreach ((MetricsKind kind, JsonEncodedText name) in KindNames)
        {
            if (reader.TokenType == JsonTokenType.String && reader.ValueTextEquals(name.EncodedUtf8Bytes))
            {
                return kind;
            }
        }

        return null;
    }

    private static Dictionary<string, double> ParseValues(ref Utf8JsonReader reader)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            throw new FormatException();
        }

        Dictionary<string, double> values = [];
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string name = reader.GetString()!;
            reader.Read();
            values[name] = ParseNumber(ref reader);
        }

        return values;
    }

    private static double ParseNumber(ref Utf8JsonReader reader) => reader.TokenType == JsonTokenType.String
        ? reader.GetString() switch
        {
            "NaN" => double.NaN,
            "Infinity" => double.PositiveInfinity,
            "-Infinity" => double.NegativeInfinity,
            _ => throw new FormatException(),
        }
        : reader.GetDouble();

    private void WriteNumber(ReadOnlySpan<byte> name, double? value)
    {
        if (value is { } number)
        {
            _json.WritePropertyName(name);
            WriteNumberValue(number);
        }
    }

    private void WriteNumberValue(double value)
    {
        if (double.IsFinite(value))
        {
            _json.WriteNumberValue(value);
        }
        else
        {
            _json.WriteStringValue(value.ToString(CultureInfo.InvariantCulture));
        }
    }

    private void WriteText(ReadOnlySpan<byte> name, string? text)
    {
        if (text is not null)
        {
            _json.WriteString(name, text);
        }
    }
}
