namespace Loci.Evaluation.Tasks.Babi;

/// <summary>The prompts of BABILong (github.com/booydar/babilong, Apache License 2.0), which are a part of its definition: to the letter, faults and all.</summary>
internal static class BabiLongPrompts
{
    private const string Persons = "I will give you context with the facts about people and their locations hidden in some random text and a question. You need to answer the question based only on the information from the facts. "
        + "If a person was in different locations, use the latest location the person was in to answer the question.";

    private const string Objects = "I will give you context with the facts about people and objects they carry, hidden in some random text and a question. You need to answer the question based only on the information from the facts.";

    private const string OneWord = "Your answer should contain only one word";

    private static readonly Prompt[] Prompts =
    [
        new(
            "I will give you context with the facts about positions of different persons hidden in some random text and a question. You need to answer the question based only on the information from the facts. "
            + "If a person was in different locations, use the latest location to answer the question.",
            Join("\n\n",
                ("Charlie went to the hallway. Judith come back to the kitchen. Charlie travelled to balcony. Where is Charlie?", "The most recent location of Charlie is balcony."),
                ("Alan moved to the garage. Charlie went to the beach. Alan went to the shop. Rouse travelled to balcony. Where is Alan?", "The most recent location of Alan is shop.")),
            "Always return your answer in the following format: The most recent location of ’person’ is ’location’. Do not write anything else after that."),
        new(
            "I give you context with the facts about locations and actions of different persons hidden in some random text and a question.You need to answer the question based only on the information from the facts.\n"
            + "If a person got an item in the first location and travelled to the second location the item is also in the second location. "
            + "If a person dropped an item in the first location and moved to the second location the item remains in the first location.",
            Join("\n",
                ("Charlie went to the kitchen. Charlie got a bottle. Charlie moved to the balcony. Where is the bottle?", "The bottle is in the balcony."),
                ("Alan moved to the garage. Alan got a screw driver. Alan moved to the kitchen. Where is the screw driver?", "The screw driver is in the kitchen.")),
            "Always return your answer in the following format: The ’item’ is in ’location’. Do not write anything else after that."),
        new(
            "I give you context with the facts about locations and actions of different persons hidden in some random text and a question. You need to answer the question based only on the information from the facts.\n"
            + "If a person got an item in the first location and travelled to the second location the item is also in the second location. "
            + "If a person dropped an item in the first location and moved to the second location the item remains in the first location.",
            Join("\n",
                ("John journeyed to the bedroom. Mary grabbed the apple. Mary went back to the bathroom. Daniel journeyed to the bedroom. Daniel moved to the garden. Mary travelled to the kitchen. "
                    + "Where was the apple before the kitchen?", "Before the kitchen the apple was in the bathroom."),
                ("John went back to the bedroom. John went back to the garden. John went back to the kitchen. Sandra took the football. Sandra travelled to the garden. Sandra journeyed to the bedroom. "
                    + "Where was the football before the bedroom?", "Before the bedroom the football was in the garden.")),
            "Always return your answer in the following format: Before the $location_1$ the $item$ was in the $location_2$. Do not write anything else after that."),
        new(
            "I will give you context with the facts about different people, their location and actions, hidden in some random text and a question. You need to answer the question based only on the information from the facts.",
            Join("\n",
                ("The hallway is south of the kitchen. The bedroom is north of the kitchen. What is the kitchen south of?", "bedroom"),
                ("The garden is west of the bedroom. The bedroom is west of the kitchen. What is west of the bedroom?", "garden")),
            OneWord + " - location. Do not write anything else after that."),
        new(
            "I will give you context with the facts about locations and their relations hidden in some random text and a question. You need to answer the question based only on the information from the facts.",
            Join("\n",
                ("Mary picked up the apple there. Mary gave the apple to Fred. Mary moved to the bedroom. Bill took the milk there. Who did Mary give the apple to?", "Fred"),
                ("Jeff took the football there. Jeff passed the football to Fred. Jeff got the milk there. Bill travelled to the bedroom. Who gave the football?", "Jeff"),
                ("Fred picked up the apple there. Fred handed the apple to Bill. Bill journeyed to the bedroom. Jeff went back to the garden. What did Fred give to Bill?", "apple")),
            OneWord + ". Do not write anything else after that. Do not explain your answer."),
        new(
            Persons,
            Join("\n",
                ("John travelled to the hallway. John travelled to the garden. Is John in the garden?", "yes"),
                ("Mary went to the office. Daniel journeyed to the hallway. Mary went to the bedroom. Sandra went to the garden. Is Mary in the office?", "no")) + "\n",
            OneWord + " - $yes$ or $no$. Do not write anything else after that. Do not explain your answer."),
        new(
            Objects,
            Join("\n",
                ("Daniel went to the bedroom. Daniel got the apple there. How many objects is Daniel carrying?", "one"),
                ("Mary grabbed the apple there. Mary gave the apple to John. How many objects is Mary carrying?", "none"),
                ("Sandra travelled to the hallway. Sandra picked up the milk there. Sandra took the apple there. Mary travelled to the garden. How many objects is Sandra carrying?", "two")) + "\n",
            OneWord + " - $none$ or $number_of_objects$. Do not write anything else after that. Do not explain your answer."),
        new(
            Objects,
            Join("\n",
                ("Sandra travelled to the garden. Mary grabbed the milk there. What is Mary carrying?", "milk"),
                ("Mary travelled to the kitchen. Sandra travelled to the office. John travelled to the office. Sandra discarded the milk there. What is Sandra carrying?", "nothing"),
                ("Daniel grabbed the apple there. Mary went to the office. Daniel moved to the garden. Daniel grabbed the milk there. Mary went to the kitchen. What is Daniel carrying?", "apple,milk")) + "\n",
            "Your answer should contain only one or two words: $nothing$ or $object$ or $object_1$, $object_2$. Do not write anything else. Do not explain your answer."),
        new(
            Persons,
            Join("\n",
                ("John is not in the bathroom. Sandra is not in the bedroom. Is John in the bathroom?", "no"),
                ("Mary journeyed to the kitchen. John is in the bedroom. Sandra is not in the garden. Is Mary in the kitchen?", "yes")) + "\n",
            OneWord + " - $yes$ or $no$. Do not write anything else. Do not explain your answer."),
        new(
            Persons,
            Join("\n",
                ("Bill is in the kitchen. Julie is either in the school or the cinema. Is Bill in the bedroom?", "no"),
                ("Fred is in the bedroom. Mary is either in the school or the cinema. Is Mary in the school?", "maybe"),
                ("Fred is either in the kitchen or the park. Bill moved to the cinema. Is Bill in the cinema?", "yes")) + "\n<context>\n",
            OneWord + " - $yes$ or $no$ or $maybe$. Do not write anything else. Do not explain your answer."),
    ];

    /// <summary>The number of tasks that have prompts.</summary>
    public static int Count => Prompts.Length;

    /// <summary>What stands before the context and after it.</summary>
    /// <param name="task">The task, from 1.</param>
    /// <param name="question">The question.</param>
    public static (string Before, string After) Of(int task, string question)
    {
        Prompt prompt = Prompts[task - 1];
        return ($"{prompt.Instruction}\n\n{prompt.Examples}\n\n{prompt.Format}\n\n<context>\n", $"\n</context>\n\nQuestion: {question}\nAnswer:");
    }

    private static string Join(string separator, params (string Story, string Answer)[] examples) =>
        string.Join(separator, examples.Select(example => $"<example>\n{example.Story}\nAnswer: {example.Answer}\n</example>"));

    private sealed record Prompt(string Instruction, string Examples, string Format);
}
