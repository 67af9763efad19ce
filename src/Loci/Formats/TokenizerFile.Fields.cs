using System.Text.Json;

namespace Loci.Formats;

public static partial class TokenizerFile
{
    /// <summary>
    /// The properties of an object of the file. Each is taken by its name, and what nobody took is refused in the end, so that nothing of a
    /// file is passed over.
    /// </summary>
    private sealed class Fields
    {
        private readonly string _file;
        private readonly string _where;
        private readonly Dictionary<string, JsonElement> _left = [];

        private Fields(string file, JsonElement json, string where)
        {
            (_file, _where) = (file, where);
            Require(json.ValueKind == JsonValueKind.Object, $"{where} is not an object");
            foreach (var property in json.EnumerateObject())
            {
                Require(_left.TryAdd(property.Name, property.Value), $"{where} has \"{property.Name}\" twice");
            }
        }

        /// <summary>Reads an object.</summary>
        /// <param name="file">What to call the file in messages.</param>
        /// <param name="json">The object.</param>
        /// <param name="where">What to call it in messages.</param>
        /// <param name="read">Takes every property that has a meaning.</param>
        public static T Read<T>(string file, JsonElement json, string where, Func<Fields, T> read)
        {
            Fields fields = new(file, json, where);
            var result = read(fields);
            var unknown = fields._left.Keys.FirstOrDefault();
            fields.Require(unknown is null, $"{where} has \"{unknown}\", which is not known and so not supported");
            return result;
        }

        public static void Read(string file, JsonElement json, string where, Action<Fields> read) => Read(file, json, where, fields =>
        {
            read(fields);
            return true;
        });

        /// <summary>Takes a property; <c>null</c> and a missing one are alike.</summary>
        public JsonElement? Take(string property) =>
            _left.Remove(property, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;

        /// <summary>Takes a property that must be there.</summary>
        public JsonElement Need(string property, string name) => Take(property) ?? throw Refused(_file, $"it has no \"{name}\"");

        public string? Text(string property)
        {
            var value = Take(property);
            Require(value is null or { ValueKind: JsonValueKind.String }, $"\"{property}\" of {_where} is not a text");
            return value?.GetString();
        }

        public bool Flag(string property, bool otherwise = false)
        {
            var value = Take(property);
            Require(
                value is null or { ValueKind: JsonValueKind.True or JsonValueKind.False },
                $"\"{property}\" of {_where} is neither true nor false");
            return value is null ? otherwise : value.Value.ValueKind == JsonValueKind.True;
        }

        /// <summary>Takes a list; none is an empty one.</summary>
        public JsonElement[] List(string property)
        {
            var value = Take(property);
            Require(value is null or { ValueKind: JsonValueKind.Array }, $"\"{property}\" of {_where} is not an array");
            return value is null ? [] : [.. value.Value.EnumerateArray()];
        }

        /// <summary>Takes properties that change neither tokens nor text, whatever they are.</summary>
        public void PassOver(params ReadOnlySpan<string> properties)
        {
            foreach (var property in properties)
            {
                _left.Remove(property);
            }
        }

        private void Require(bool condition, string problem)
        {
            if (!condition)
            {
                throw Refused(_file, problem);
            }
        }
    }

    private static LociException Refused(string file, string problem) => new($"Cannot read {file}: {problem}.");
}
