"""ChatAdapter: fields as `[[ ## name ## ]]` sections, in both directions. The default.

The layout's markers are those of DSPy's ChatAdapter, so prompts and saved demonstrations carry over.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any, ClassVar

from engine.adapters.base import Adapter
from engine.adapters.json import JSONAdapter
from engine.adapters.plan import FieldPlan, Plan, typed
from engine.adapters.scalars import loose_object
from engine.basics.data import JsonObject

_HEADER = re.compile(r"^[ \t>#]*(\*\*)?\[\[ ?## ?(\w+) ?## ?\]\](?(1)\*\*)?", re.MULTILINE)


def chat_values(outputs: Sequence[FieldPlan], text: str, /) -> tuple[JsonObject, bool]:
    """Return the sections of a reply by field, and whether they are JSON values: those of an object sent instead."""
    sections = _plain_sections(text)
    if sections is None:
        sections = _sections(text, ends=all(f.name != "completed" for f in outputs))
    return (sections, False) if sections else object_instead(text)


def object_instead(text: str) -> tuple[JsonObject, bool]:
    """Return the values of a reply that is a JSON object though it was asked for in another layout, and True."""
    if text.lstrip()[:1] in ("{", "`"):
        try:
            return loose_object(text), True
        except ValueError:
            pass
    return {}, False


def _plain_sections(text: str) -> dict[str, str] | None:
    """Return the sections of a reply that keeps to the layout to the letter; None for any other, to be read leniently."""
    first, *parts = text.split("[[ ## ")
    if (first and first[-1] != "\n") or first.count("[[") or not parts or parts.pop() != "completed ## ]]":
        return None
    sections: dict[str, str] = {}
    for part in parts:
        name, mark, value = part.partition(" ## ]]\n")
        if not mark or name in sections or name == "completed" or value[-1:] != "\n" or "[[" in value:
            return None
        sections[name] = value
    return sections


def _sections(text: str, *, ends: bool) -> dict[str, str]:
    """Return a reply's sections by name; the first of a name counts, and the completion marker `ends` the reply."""
    sections: dict[str, str] = {}
    name: str | None = None
    start = 0
    for match in _HEADER.finditer(text):
        if name is not None and name not in sections:
            sections[name] = text[start : match.start()]
        name, start = match[2], match.end()
        if ends and name == "completed":
            return sections
    if name is not None and name not in sections:
        sections[name] = text[start:]
    return sections


class ChatAdapter(Adapter):
    """Marks each field with a header line; reads the reply's sections back as typed values, the first of each name.

    Text before the first header is ignored and the completion marker may be missing. A reply that is a JSON object
    instead is read as one.
    A reply that stays unreadable is asked for once more through JSONAdapter, unless
    `use_json_adapter_fallback` is false. The other settings are those of `Adapter`.

    >>> from engine.signature import Signature
    >>> adapter, signature = ChatAdapter(), Signature("question -> answer: int")
    >>> adapter.parse(signature, "[[ ## answer ## ]]\\n1,234\\n\\n[[ ## completed ## ]]")
    {'answer': 1234}
    >>> print(adapter.answer(signature, {"answer": 7}))
    [[ ## answer ## ]]
    7
    <BLANKLINE>
    [[ ## completed ## ]]
    """

    name = "chat"
    end = "[[ ## completed ## ]]"
    find = staticmethod(chat_values)
    closing: ClassVar[str] = (
        "Now write the output fields, starting with {fields}, and end with `[[ ## completed ## ]]`."
    )

    def __init__(
        self,
        callbacks: Sequence[object] | None = None,
        use_native_function_calling: bool = False,
        native_response_types: Collection[type] | None = None,
        use_json_adapter_fallback: bool = True,
        parallel_tool_calls: bool | None = None,
        **options: Any,
    ) -> None:
        options["parallel_tool_calls"] = parallel_tool_calls
        super().__init__(callbacks, use_native_function_calling, native_response_types, **options)
        self.use_json_adapter_fallback = use_json_adapter_fallback

    def structure(self, plan: Plan) -> str:
        """Return the layout: every field between its marks, the outputs with what they must be."""
        inputs = [(f.name, f"{{{f.name}}}") for f in plan.inputs]
        outputs = [(f.name, self.placeholder(f)) for f in plan.outputs]
        return f"{STRUCTURE_LEAD}\n\n{self.marked([*inputs, *outputs])}"

    def reminder(self, plan: Plan) -> str:
        """Return the closing sentence: the fields' marks in order."""
        mark = self.marks[0].strip()
        return self.closing.format(
            fields=", then ".join(f"`{mark.format(name=f.name)}`{typed(f)}" for f in plan.outputs)
        )

    def fallback(self) -> Adapter | None:
        """Return a JSONAdapter that does not retry (this adapter already has)."""
        return JSONAdapter(retries=0) if self.use_json_adapter_fallback else None


STRUCTURE_LEAD = "Every message is laid out like this, with the words in braces replaced by values:"
