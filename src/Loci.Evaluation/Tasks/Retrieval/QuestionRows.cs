using System.Text.Json;
using Loci.Evaluation.Tasks.Files;

namespace Loci.Evaluation.Tasks.Retrieval;

/// <summary>
/// Questions with answers, in whatever published form: the sets hazyresearch/based-* (beginnings of sentences to complete), the documents of SQuAD 1.1 and DROP, rows with a passage and a question,
/// and rows without a passage.
/// </summary>
internal static class QuestionRows
{
    private static readonly string[] PassageFields = ["context", "passage"];
    private static readonly string[] AnswerFields = ["answers", "answer", "value", "aliases"];
    private static readonly string[] TextFields = ["text", "value", "aliases"];
    private static readonly string[] DateFields = ["day", "month", "year"];

    /// <summary>The items of a row: one, or all of a published document.</summary>
    public static IEnumerable<RetrievalItem> Read(TaskRow row)
    {
        if (row.Find("data") is { ValueKind: JsonValueKind.Array } data)
        {
            return Squad(row, data);
        }

        return IsDrop(row.Json) ? Drop(row) : [Item(row)];
    }

    private static RetrievalItem Item(TaskRow row)
    {
        if (row.Has("text") && row.Has("value"))
        {
            var value = row.Text("value");
            return new RetrievalItem
            {
                Form = PromptForm.Completion,
                Document = row.Text("text"),
                Question = "",
                Introduction = row.Has("question") && row.Has("context") ? row.Text("question") : null,
                Passage = row.Has("context") ? row.Text("context").Split("Question:")[0] : null,
                Answers = [new GoldAnswer(value.Length > 0 ? value : throw row.Wrong("has an empty value"))],
                Around = [value],
            };
        }

        var answers = Answers(row);
        if (!row.Has("question"))
        {
            // A closed book in the form of llm-foundry: the question stands where the passage would.
            return Closed(row.Text("context"), answers);
        }

        var question = row.Text("question");
        var original = row.Has("orig_question") ? row.Text("orig_question") : null;
        return Passage(row) is { } passage
            ? new RetrievalItem
            {
                Form = original is null ? PromptForm.Question : PromptForm.Cloze,
                Document = passage,
                Question = question,
                Introduction = original ?? question,
                Answers = answers,
                Around = answers[0].Parts,
            }
            : Closed($"Q: {question}?\nA:", answers);
    }

    private static RetrievalItem Closed(string prompt, IReadOnlyList<GoldAnswer> answers) =>
        new() { Form = PromptForm.Closed, Document = "", Question = prompt, Introduction = "", Answers = answers, Slices = [("passage", "none")] };

    private static IEnumerable<RetrievalItem> Squad(TaskRow row, JsonElement data)
    {
        foreach (var article in data.EnumerateArray())
        {
            foreach (var json in List(row, article, "paragraphs"))
            {
                var paragraph = row.Inside(json);
                foreach (var question in List(paragraph, json, "qas"))
                {
                    var asked = row.Inside(question);
                    if (asked.Find("answers") is { ValueKind: JsonValueKind.Array } none && none.GetArrayLength() == 0)
                    {
                        continue; // SQuAD 2 has questions without an answer.
                    }

                    yield return Ask(paragraph.Text("context"), asked.Text("question"), Answers(asked));
                }
            }
        }
    }

    /// <summary>A passage by its name, and nothing else.</summary>
    private static bool IsDrop(JsonElement json) =>
        json.ValueKind == JsonValueKind.Object && json.GetPropertyCount() > 0
        && json.EnumerateObject().All(field => field.Value.ValueKind == JsonValueKind.Object && field.Value.TryGetProperty("qa_pairs", out _));

    private static IEnumerable<RetrievalItem> Drop(TaskRow row)
    {
        foreach (var field in row.Json.EnumerateObject())
        {
            var passage = row.Inside(field.Value);
            foreach (var json in List(passage, field.Value, "qa_pairs"))
            {
                var pair = row.Inside(json);
                var answers = new List<GoldAnswer>();
                if (pair.Find("answer") is { } first)
                {
                    AddDrop(row.Inside(first), answers);
                }

                if (pair.Find("validated_answers") is { ValueKind: JsonValueKind.Array } validated)
                {
                    foreach (var other in validated.EnumerateArray())
                    {
                        AddDrop(row.Inside(other), answers);
                    }
                }

                if (answers.Count == 0)
                {
                    throw pair.Wrong("has a question without an answer");
                }

                yield return Ask(passage.Text("passage"), pair.Text("question"), answers);
            }
        }
    }

    /// <summary>An answer of DROP is a number, a date or one or several parts of the passage.</summary>
    private static void AddDrop(TaskRow answer, List<GoldAnswer> answers)
    {
        if (answer.Has("number") && answer.Text("number") is { Length: > 0 } number)
        {
            answers.Add(new GoldAnswer(number));
        }
        else if (answer.Has("spans") && answer.Texts("spans").Where(span => span.Length > 0).ToList() is { Count: > 0 } spans)
        {
            answers.Add(new GoldAnswer(spans));
        }
        else if (answer.Find("date") is { } json)
        {
            var date = answer.Inside(json);
            var text = string.Join(' ', DateFields.Where(date.Has).Select(date.Text).Where(part => part.Length > 0));
            if (text.Length > 0)
            {
                answers.Add(new GoldAnswer(text));
            }
        }
    }

    private static RetrievalItem Ask(string passage, string question, List<GoldAnswer> answers) => new()
    {
        Form = PromptForm.Question,
        Document = passage,
        Question = question,
        Introduction = question,
        Answers = answers,
        Around = answers[0].Parts,
    };

    private static JsonElement.ArrayEnumerator List(TaskRow row, JsonElement json, string field) =>
        row.Inside(json).Find(field) is { ValueKind: JsonValueKind.Array } list ? list.EnumerateArray() : throw row.Wrong($"has no list '{field}'");

    /// <summary>The passage of a row, or its passages one after another (rows of retrieved passages have the field <c>ctxs</c>); null where there is none.</summary>
    private static string? Passage(TaskRow row)
    {
        if (row.Find("ctxs") is { ValueKind: JsonValueKind.Array } passages)
        {
            return string.Join('\n', passages.EnumerateArray().Select(passage => row.Inside(passage).Text("text")));
        }

        return PassageFields.Where(row.Has).Select(row.Text).FirstOrDefault();
    }

    private static List<GoldAnswer> Answers(TaskRow row)
    {
        var texts = new List<string>();
        foreach (var field in AnswerFields)
        {
            if (row.Find(field) is { } json)
            {
                AddTexts(json, texts);
            }
        }

        var answers = texts.Where(text => text.Length > 0).Distinct().Select(text => new GoldAnswer(text)).ToList();
        if (answers.Count == 0 && row.Find("answers_spans") is { } spans)
        {
            answers.Add(new GoldAnswer(row.Inside(spans).Texts("spans")));
        }

        return answers.Count > 0 ? answers : throw row.Wrong("has no answer in the fields 'answers', 'answer' or 'value'");
    }

    private static void AddTexts(JsonElement json, List<string> texts)
    {
        switch (json.ValueKind)
        {
            case JsonValueKind.String:
                texts.Add(json.GetString()!);
                break;
            case JsonValueKind.Array:
                foreach (var item in json.EnumerateArray())
                {
                    AddTexts(item, texts);
                }

                break;
            case JsonValueKind.Object:
                foreach (var field in TextFields)
                {
                    if (json.TryGetProperty(field, out var inside))
                    {
                        AddTexts(inside, texts);
                    }
                }

                break;
        }
    }
}
