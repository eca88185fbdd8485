"""A prompt, the messages of a chat, or one plain sentence -> a step. By rules for words alone: no model is asked."""

from __future__ import annotations

import re
from collections.abc import Callable

from engine.basics.data import Values
from engine.basics.text import json_of
from engine.dataset.logged import content_text, messages_of
from engine.errors import PipelineError
from engine.pipeline.check import usable_name
from engine.pipeline.importers.step import Imported, TaskForm, imported_step
from engine.pipeline.spec import FieldSpec

_HOLE = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")
_SINGLE_HOLE = re.compile(r"(?<![{$\w])\{([A-Za-z_]\w*)\}(?!\})")
_LABEL_LINE = re.compile(r"^\W*([A-Za-z][A-Za-z _-]{0,30}?)\W*:\W*$")
_CHOICES = re.compile(
    r"\b(?:one of|either|choose from|options|categories|labels)\b[^:\n]{0,40}:\s*([^\n]+)", re.I
)

# Prompts


def prompt_step(text: str) -> Imported:
    """Return the step of a prompt: its places become inputs; a plain sentence is read by its words."""
    hole = _HOLE if _HOLE.search(text) else _SINGLE_HOLE
    names = list(dict.fromkeys(hole.findall(text)))
    notes: list[str] = []
    if not names and is_sentence(text):
        return sentence_step(text)
    lines = text.splitlines()
    output = ""
    while lines and not lines[-1].strip():
        lines.pop()
    if lines and (label := _LABEL_LINE.match(lines[-1])) and not hole.search(lines[-1]):
        output = usable_name(label[1])
        lines.pop()
    # A line that only hands over an input ("Question: {question}") is what the message layout does by itself.
    shown_lines = [line for line in lines if not _only_hands_over(line, hole)]
    instructions = hole.sub(lambda m: f"`{usable_name(m[1])}`", "\n".join(shown_lines)).strip()
    inputs = [FieldSpec(name=n) for n in dict.fromkeys(usable_name(name) for name in names)]
    if not inputs:
        inputs = [FieldSpec(name="text", description="The text to read")]
        notes.append("The prompt has no places such as {{question}}; what is read is the input 'text'.")
    input_names = [f.name for f in inputs]
    output = output if output and output not in input_names else usable_name("answer", input_names)
    choices = _choices(instructions)
    if choices:
        notes.append(f"The answer is one of the values the prompt lists: {', '.join(choices)}.")
    else:
        notes.append(f"The answer is the text {output!r}. Give it a type or allowed values on the Task page.")
    return imported_step(inputs, [FieldSpec(name=output, choices=choices)], notes, instructions)


def _only_hands_over(line: str, hole: re.Pattern[str]) -> bool:
    if not hole.search(line):
        return False
    left = hole.sub("", line)
    return len(re.findall(r"\w+", left)) <= 3 and (":" in left or not re.search(r"\w", left))


def _choices(text: str) -> tuple[str, ...]:
    """Return the values that a prompt lists after words such as "one of:"; none where they are not plain."""
    match = _CHOICES.search(text)
    return listed(re.split(r"\.(?:\s|$)", match[1])[0]) if match else ()


# Chats


def messages_in(data: object) -> list[Values]:
    """Return the messages of a chat, or of a request to a model; none where it is neither.

    >>> messages_in({"model": "m", "messages": [{"role": "user", "content": "Hi"}]})
    [{'role': 'user', 'content': 'Hi'}]
    """
    messages = messages_of(data)
    return messages if all("content" in message for message in messages) else []


def chat_step(text: str) -> Imported:
    """Return the step of a chat's messages: the system's text and the last user's, where that has places."""
    try:
        messages = messages_in(json_of(text))
    except ValueError:
        messages = []
    by_role = [(str(m["role"]), content_text(m["content"]).strip()) for m in messages]
    system = "\n\n".join(said for role, said in by_role if role in ("system", "developer") and said)
    user = next((said for role, said in reversed(by_role) if role == "user"), "")
    if not system and not user:
        raise PipelineError(
            'There is no message with a text. Paste such as [{"role": "user", "content": "..."}].'
        )
    asks = bool(_HOLE.search(user) or _SINGLE_HOLE.search(user))
    imported = prompt_step("\n\n".join(filter(None, (system, user if asks or not system else ""))))
    notes = list(imported.notes)
    if system and user and not asks:
        notes.append(
            "The user's message is an example of the input; the instruction is the system's message."
        )
    if any(role == "assistant" for role, _ in by_role):
        notes.append("Answers in the chat were left aside. Bring them as rows to learn from.")
    return Imported(imported.step, tuple(notes))


# Sentences

LONGEST_SENTENCE = 300
_TO_THE_MODEL = re.compile(r"^\W*(you are|you're|you will|act as|your (task|job)|given)\b", re.I)


def is_sentence(text: str) -> bool:
    """Return whether a text without places says in a sentence or two what is wanted.

    >>> is_sentence("Sort mails into billing and shipping."), is_sentence("You are a clerk. Sort the mail.")
    (True, False)
    """
    text = text.strip()
    short = len(text) <= LONGEST_SENTENCE and "\n" not in text
    return short and not _TO_THE_MODEL.match(text) and len(re.findall(r"[.!?](?:\s|$)", text)) <= 2


def sentence_step(text: str) -> Imported:
    """Return the step that a sentence asks for, by its first verb and the words around it.

    >>> step = sentence_step("Sort customer mails into billing, shipping or other").step
    >>> step.inputs[0].name, step.outputs[0].name, step.outputs[0].choices
    ('mail', 'category', ('billing', 'shipping', 'other'))
    """
    plain = " ".join(text.split()).rstrip(".!? ")
    asked = re.sub(_POLITE, "", plain, flags=re.I)
    for pattern, make in _SENTENCES:
        if found := re.match(pattern, asked, re.I):
            inputs, outputs, thinks = make(found)
            break
    else:
        inputs, outputs, thinks = [FieldSpec(name="text")], [FieldSpec(name="answer")], False
    names = [f.name for f in inputs]
    outputs = [f.model_copy(update={"name": usable_name(f.name, names)}) for f in outputs]
    imported = imported_step(inputs, outputs, [BY_WORDS], f"{asked[:1].upper()}{asked[1:]}.")
    strategy = "chain_of_thought" if thinks else "predict"
    return Imported(imported.step.model_copy(update={"strategy": strategy}), imported.notes)


BY_WORDS = "Drafted by the words of the sentence, without a model. Look at the fields before you go on."
"""Note on every task made of a sentence."""

Sides = tuple[list[FieldSpec], list[FieldSpec], bool]
"""Inputs, outputs, and whether to think first."""


def _sorted(found: re.Match[str]) -> Sides:
    values = listed(found["into"])
    name = "category" if values else _noun(found["into"], "category")
    return [_field(found["what"])], [FieldSpec(name=name, choices=values)], False


def _yes_or_no(found: re.Match[str]) -> Sides:
    subject = re.match(
        r"(?:a|an|the|this|each|every)\s+(.+?)\s+(?:is|are|was|has|have|needs?|mentions?|contains?)\b",
        found["claim"],
        re.I,
    )
    name = _noun(subject[1], "text") if subject else "text"
    return [FieldSpec(name=name)], [FieldSpec(name="answer", choices=("yes", "no"))], False


def _extracted(found: re.Match[str]) -> Sides:
    outputs = [_typed(part) for part in re.split(r",|;|\band\b|&", found["what"]) if part.strip(" ,")]
    return [_field(found["source"])], outputs or [FieldSpec(name="answer")], False


def _rated(found: re.Match[str]) -> Sides:
    low, high = int(found["low"] or 1), int(found["high"] or 5)
    values = tuple(map(str, range(low, high + 1))) if 0 < high - low <= 10 else ()
    return (
        [_field(found["what"])],
        [FieldSpec(name="rating", type="str" if values else "int", choices=values)],
        False,
    )


def _one_output(output: str, *, kind: str = "str", thinks: bool = False) -> Callable[[re.Match[str]], Sides]:
    """Return what makes one input of the words after the verb, and one output with this name."""
    return lambda found: ([_field(found["what"])], [FieldSpec(name=output, type=kind)], thinks)


def _written_output(found: re.Match[str]) -> Sides:
    return [_field(found["what"])], [FieldSpec(name=_noun(found["out"], "answer"))], False


_POLITE = r"^(?:please|i want to|i'd like to|i would like to|i need to|we want to|we need to|help me(?: to)?|can you|could you)\s+"
_SENTENCES: tuple[tuple[str, Callable[[re.Match[str]], Sides]], ...] = (
    (
        r"(?:sort|classify|categori[sz]e|route|label|assign|tag|triage|file|group)\s+(?P<what>.+?)\s+(?:into|as|to|by|under|with)\s+(?P<into>.+)$",
        _sorted,
    ),
    (
        r"(?:decide|tell|check|say|find out|detect|predict|determine|judge)\s+(?:me\s+)?(?:if|whether)\s+(?P<claim>.+)$",
        _yes_or_no,
    ),
    (r"(?:detect|flag|spot)\s+(?P<claim>.+)$", _yes_or_no),
    (
        r"(?:rate|score|grade)\s+(?P<what>.+?)(?:\s+(?:from|on a scale (?:of|from))\s+(?P<low>\d+)\s*(?:to|-)\s*(?P<high>\d+).*)?$",
        _rated,
    ),
    (
        r"(?:extract|read|pull|get|find(?: out)?|collect|list)\s+(?P<what>.+?)\s+(?:out of|from|in)\s+(?P<source>.+)$",
        _extracted,
    ),
    (r"(?:summari[sz]e|sum up|condense|shorten)\s+(?P<what>.+)$", _one_output("summary")),
    (r"translate\s+(?P<what>.+?)\s+(?:in)?to\s+.+$", _one_output("translation")),
    (
        r"(?:solve|calculate|compute|work out)\s+(?P<what>.+)$",
        _one_output("answer", kind="float", thinks=True),
    ),
    (r"(?:answer|reply to|respond to)\s+(?P<what>.+)$", _one_output("answer")),
    (
        r"(?:write|draft|compose|generate|suggest|create)\s+(?P<out>.+?)\s+(?:for|to|about|from|based on)\s+(?P<what>.+)$",
        _written_output,
    ),
)
"""What a sentence begins with -> its fields."""


def _field(words: str) -> FieldSpec:
    return FieldSpec(name=_noun(words, "text"))


def _noun(words: str, otherwise: str) -> str:
    """Return the thing that some words name, in the singular, as a field's name.

    >>> _noun("the incoming customer mails of a shop", "text"), _noun("stories", "text")
    ('mail', 'story')
    """
    head = re.split(
        r"\b(?:of|for|in|by|with|about|that|which|from|to|on|and|into|per)\b|[,;:(]", words, maxsplit=1
    )[0]
    words_found = re.findall(r"[A-Za-z]+", head)
    words_found = [
        w
        for w in words_found
        if w.lower() not in ("a", "an", "the", "our", "my", "their", "its", "each", "every", "all", "right")
    ]
    if not words_found:
        return otherwise
    word = words_found[-1].lower()
    if word.endswith("ies") and len(word) > 4:
        word = f"{word[:-3]}y"
    elif word.endswith(("sses", "xes", "ches", "shes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        word = word[:-1]
    return usable_name(word)


_AMOUNT = re.compile(r"\b(amount|total|price|cost|sum|vat|tax|fee|salary|weight)\b", re.I)
_COUNT = re.compile(r"\b(number of|count|quantity|age|how many)\b", re.I)
_SEVERAL = re.compile(r"\b(items|lines|articles|names|keywords|topics|tags|products|skills)\b", re.I)


def _typed(words: str) -> FieldSpec:
    """Return a field that is read out, named by all its words, with a type by what they mean."""
    plain = re.sub(r"^\W*(?:the|a|an|its|their|all|both)\s+", "", words.strip(), flags=re.I)
    counted = re.sub(r"^(?:number of|how many)\s+", "", plain, flags=re.I)
    several = bool(_SEVERAL.search(plain)) and not _COUNT.search(plain)
    kind = (
        "int"
        if _COUNT.search(plain)
        else "list[str]"
        if several
        else "float"
        if _AMOUNT.search(plain)
        else "str"
    )
    return FieldSpec(name=usable_name("_".join(re.findall(r"\w+", counted)[:4]) or "answer"), type=kind)


def listed(text: str) -> tuple[str, ...]:
    """Return the values that a list in words names; none where it names fewer than two, or they are not short.

    >>> listed("one of: billing, shipping or other"), listed("the right team")
    (('billing', 'shipping', 'other'), ())
    """
    text = re.sub(
        r"^(?:one of|either|these|the following|categories|classes|labels|:|\s)+", "", text, flags=re.I
    )
    values = [v.strip(" '\"`*.()[]:") for v in re.split(r",|;|\||/|\bor\b|\band\b", text)]
    values = [v for v in dict.fromkeys(values) if v]
    plain = all(len(v) <= 40 and len(v.split()) <= 4 for v in values)
    return tuple(values) if 2 <= len(values) <= 30 and plain else ()


CHAT = TaskForm(
    "chat",
    "the messages of a chat",
    "Reads the instruction of a chat, or of a request to a model.",
    chat_step,
)
PROMPT = TaskForm(
    "prompt", "a prompt", "Reads a text whose places, such as {{mail}}, become the inputs.", prompt_step
)
SENTENCE = TaskForm(
    "sentence",
    "a description in your own words",
    "Drafts the fields by the words of a sentence.",
    sentence_step,
)
