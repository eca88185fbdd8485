"""XMLAdapter: every field between tags of its name, in both directions; structures as nested tags."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from engine.adapters.base import NOT_SUPPLIED
from engine.adapters.chat import ChatAdapter, object_instead
from engine.adapters.content import revived
from engine.adapters.plan import FieldPlan, Plan, plan_of
from engine.adapters.rendered import typed
from engine.adapters.tags import element_of, escaped, is_structure, sections, skeleton, unescaped, value_of
from engine.adapters.values import format_value

if TYPE_CHECKING:
    from engine.signature import Signature


class XMLAdapter(ChatAdapter):
    """Marks each field by `<name>` and `</name>`; lists, dicts and models are tags inside tags.

    Some models keep to tags better than to headers. The settings and the fallback are those of `ChatAdapter`.

    >>> from engine.signature import Signature
    >>> adapter, signature = XMLAdapter(), Signature("text -> label, tags: list[str]")
    >>> adapter.parse(signature, "<label>A &amp; B</label><tags><item>x</item><item>y</item></tags>")
    {'label': 'A & B', 'tags': ['x', 'y']}
    >>> print(adapter.answer(signature, {"label": "ok", "tags": ["x"]}))
    <label>
    ok
    </label>
    <BLANKLINE>
    <tags>
    <item>x</item>
    </tags>
    """

    name = "xml"
    marks = ("<{name}>\n", "\n</{name}>\n\n")

    def structure(self, plan: Plan) -> str:
        """Return the layout: every field's tags with a placeholder, the outputs' with what they must be."""
        inputs = [f"<{f.name}>\n{{{f.name}}}\n</{f.name}>" for f in plan.inputs]
        outputs = [f"<{f.name}>\n{_placeholder(f)}\n</{f.name}>" for f in plan.outputs]
        return "\n\n".join([STRUCTURE_LEAD, *inputs, *outputs])

    def reminder(self, plan: Plan) -> str:
        """Return the closing sentence: the tags in order."""
        return REMINDER.format(tags=", then ".join(f"`<{f.name}>`{typed(f)}" for f in plan.outputs))

    def write(self, plan: Plan, values: Mapping[str, Any]) -> str:
        """Return the outputs between their tags; `&` and `<` in texts are written as XML has them."""
        parts = []
        for f in plan.outputs:
            value = values.get(f.name)
            missing = value is None and not (f.nullable and f.name in values)
            parts.append(f"<{f.name}>\n{NOT_SUPPLIED if missing else _shown(f, value)}\n</{f.name}>")
        return "\n\n".join(parts)

    def parse(self, signature: type[Signature], text: str) -> dict[str, Any]:
        """Return the typed outputs of a reply's tags; the first of a name counts, and text around them is ignored.

        Texts may hold a bare `&` or `<`. A reply that is a JSON object instead is read as one. Raises AdapterParseError.
        """
        plan = plan_of(signature)
        found, decoded = xml_values(plan.outputs, text)
        return plan.read(found, text, decoded=decoded)


def xml_values(outputs: Sequence[FieldPlan], text: str) -> tuple[dict[str, Any], bool]:
    """Return the contents of a reply's tags by field, and whether they are those of a JSON object sent instead."""
    found = sections(text, [(f.name, is_structure(f.annotation)) for f in outputs])
    if not found:
        return object_instead(text)
    return {f.name: tag_value(found[f.name], f.annotation) for f in outputs if f.name in found}, False


def tag_value(text: str, annotation: Any) -> Any:
    """Return the content of a field's tags: JSON values where it is tags itself, else the text."""
    if is_structure(annotation):
        element = element_of(text)
        return text if element is None else value_of(element, annotation)
    return unescaped(text)


def _shown(f: FieldPlan, value: Any) -> str:
    if f.rich:
        value = revived(value, f.annotation)
    return (
        skeleton(value)
        if is_structure(f.annotation) and value is not None
        else escaped(format_value(value, f.annotation))
    )


def _placeholder(f: FieldPlan) -> str:
    if is_structure(f.annotation):
        return skeleton(f.annotation, schema=True)
    return f"{{{f.name}}}{f'        # {f.note}' if f.note else ''}"


STRUCTURE_LEAD = "Every message is laid out like this, with the words in braces replaced by values:"
REMINDER = "Now write the output fields between their tags, in this order: {tags}. Write `&` and `<` in them as `&amp;` and `&lt;`."
