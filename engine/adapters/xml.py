"""XMLAdapter: fields as nested tags, in both directions."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, get_args, get_origin
from xml.sax.saxutils import quoteattr

from engine.adapters.chat import ChatAdapter, object_instead
from engine.adapters.notes import output_note, rules_in_words
from engine.adapters.plan import FieldPlan
from engine.adapters.values import format_value, jsonable, revived
from engine.signature.grammar import type_text, without_none
from engine.signature.nested import below, fields_inside, is_record

_SEQUENCES = (list, tuple, set, frozenset)
_NAME = re.compile(r"[A-Za-z_][\w.-]*")
_TAG = re.compile(r"""<(/?)([A-Za-z_][\w.-]*)((?:\s+[\w.-]+\s*=\s*(?:"[^"]*"|'[^']*'))*)\s*(/?)>""")
_KEY = re.compile(r"""\bkey\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_REFERENCE = re.compile(r"&(?:(amp|lt|gt|quot|apos)|#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6}));")
_CHARACTERS = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_NOTHING: Mapping[str, str] = {}
_DEEPEST = 6
_DEEPEST_READ = 50


def escaped(text: str) -> str:
    """Return a text as it is written between tags."""
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _leaf(text: str) -> str:
    """Return a text for a tag; white space at its ends is written so that it survives being laid out."""
    inner = text.strip()
    if len(inner) == len(text):
        return escaped(text)
    at = text.find(inner) if inner else len(text)
    ends = ("".join(f"&#{ord(char)};" for char in part) for part in (text[:at], text[at + len(inner) :]))
    return escaped(inner).join(ends)


def unescaped(text: str) -> str:
    """Return what a text between tags says.

    >>> unescaped("a &lt; b &amp;amp; c & d")
    'a < b &amp; c & d'
    """
    return _REFERENCE.sub(_character, text) if "&" in text else text


def _character(found: re.Match[str]) -> str:
    if found[1]:
        return _CHARACTERS[found[1]]
    number = int(found[2]) if found[2] else int(found[3], 16)
    return chr(number) if 0 < number < 0x110000 and not 0xD800 <= number < 0xE000 else found[0]


def is_structure(annotation: object) -> bool:
    """Return whether a type's values are tags inside tags: lists, dicts, models.

    >>> is_structure(list[int]), is_structure(str), is_structure(int | None)
    (True, False, False)
    """
    plain, _ = without_none(annotation)
    kind = get_origin(plain) or plain
    return kind in (*_SEQUENCES, dict) or is_record(kind)


def fields_of(kind: object, nested: Mapping[str, str] = _NOTHING) -> dict[str, tuple[Any, str, str]]:
    """Return a record's fields: name -> (type, description, rules); `nested` are descriptions by path."""
    return {
        name: (field.annotation, nested.get(name) or field.description or "", rules_in_words(field.metadata))
        for name, field in fields_inside(kind).items()
    }


# Writing


def skeleton(
    value: object, *, schema: bool = False, level: int = 0, nested: Mapping[str, str] = _NOTHING
) -> str:
    """Return a value as nested tags; with `schema` the value is a type, and words in braces say what belongs where.

    `nested` are descriptions by path that replace those of the type.

    >>> print(skeleton({"a": [1, 2], "b c": True}))
    <a>
      <item>1</item>
      <item>2</item>
    </a>
    <entry key="b c">True</entry>
    >>> print(skeleton(dict[str, list[int]], schema=True))
    <entry key="{name}">
      <item>{a single whole number}</item>
      ...
    </entry>
    ...
    """
    indent = "  " * level
    lines = []
    tags = _type_tags(value, nested) if schema else _value_tags(jsonable(value))
    for opening, closing, leaf, inside, deeper in tags:
        if inside is None or (schema and level >= _DEEPEST):
            lines.append(f"{indent}{opening}{leaf}{closing}")
        else:
            body = skeleton(inside, schema=schema, level=level + 1, nested=deeper)
            lines.append(f"{indent}{opening}\n{body}\n{indent}{closing}")
    return "\n".join(lines)


_Tag = tuple[str, str, str, Any, Mapping[str, str]]
"""The opening and the closing tag, the text between them, what is tags itself there, or None, and descriptions inside that."""


def _value_tags(value: object) -> list[_Tag]:
    pairs: list[tuple[str, str, object]] = []
    if isinstance(value, list):
        pairs = [("<item>", "</item>", one) for one in value]
    elif isinstance(value, dict):
        pairs = [(*_tags(str(key)), one) for key, one in value.items()]
    return [
        (opening, closing, "", one, _NOTHING)
        if one and isinstance(one, dict | list)
        else (opening, closing, _leaf("" if one in ([], {}) else format_value(one)), None, _NOTHING)
        for opening, closing, one in pairs
    ]


def _tags(key: str) -> tuple[str, str]:
    if _NAME.fullmatch(key) and key not in ("item", "entry"):
        return f"<{key}>", f"</{key}>"
    return f"<entry key={quoteattr(key)}>", "</entry>"


def _type_tags(annotation: object, nested: Mapping[str, str]) -> list[_Tag]:
    plain, _ = without_none(annotation)
    kind = get_origin(plain) or plain
    args = get_args(plain)

    def tag(
        marks: tuple[str, str],
        deeper: Mapping[str, str],
        inside: object,
        description: str = "",
        rules: str = "",
    ) -> _Tag:
        words = _words(inside, description, rules)
        return *marks, words, inside if is_structure(inside) else None, deeper

    more = ("", "", "...", None, nested)
    if kind in _SEQUENCES:
        fixed = kind is tuple and len(args) > 0 and args[-1] is not Ellipsis
        some = [tag(("<item>", "</item>"), nested, arg) for arg in (args if fixed else args[:1] or (str,))]
        return some if fixed else [*some, more]
    if kind is dict:
        return [tag(('<entry key="{name}">', "</entry>"), nested, args[1] if len(args) == 2 else Any), more]
    known = fields_of(kind, nested).items()
    return [tag((f"<{name}>", f"</{name}>"), below(nested, name), *field) for name, field in known]


def _words(annotation: object, description: str = "", rules: str = "") -> str:
    note = "" if is_structure(annotation) else output_note(annotation).removeprefix("must be ")
    parts = [type_text(annotation) if not note or note.startswith("JSON") else note, rules, description]
    return f"{{{', '.join(part for part in parts if part)}}}"


# Reading


def sections(text: str, wanted: Sequence[tuple[str, bool]]) -> dict[str, str]:
    """Return the text between the tags of each name; for one that nests (True), up to the tag that closes the first.

    A tag inside another wanted one is part of that. Without its closing tag a name holds all up to the next wanted one.

    >>> sections("so <a>x <b>0</b></a> <b><b>1</b></b>", [("a", False), ("b", True)])
    {'a': 'x <b>0</b>', 'b': '<b>1</b>'}
    """
    nests = dict(wanted)
    opening = _opening(tuple(nests))
    ends = {name: _closings(text, name) for name, nested in wanted if nested and f"<{name}" in text}
    unclosed: set[str] = set()
    contents: dict[str, str] = {}
    at = 0
    while len(contents) < len(nests) and (mark := opening.search(text, at)) is not None:
        name, start = mark[1], mark.end()
        if mark[2]:
            contents.setdefault(name, "")
            at = start
            continue
        if nests[name]:
            end = ends[name].get(start, -1)
        else:
            end = -1 if name in unclosed else text.find(f"</{name}>", start)
        if end < 0:
            unclosed.add(name)
            end = next((m.start() for m in opening.finditer(text, start) if m[1] != name), len(text))
        contents.setdefault(name, text[start:end])
        at = end
    return contents


@lru_cache(maxsize=256)
def _opening(names: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"<({'|'.join(map(re.escape, names))})(?:\s[^<>]*)?(/)?>")


def _closings(text: str, name: str) -> dict[int, int]:
    """Return where the content of each tag of a name begins -> where it ends, for those that are closed."""
    ends: dict[int, int] = {}
    path: list[int] = []
    for mark in re.compile(rf"<(/?){re.escape(name)}(?:\s[^<>]*)?(/?)>").finditer(text):
        if mark[1]:
            if path:
                ends[path.pop()] = mark.start()
        elif not mark[2]:
            path.append(mark.end())
    return ends


@dataclasses.dataclass(slots=True)
class Element:
    """One tag: its name, its key (of an `<entry>`), where its content lies in the text, and the tags in it."""

    text: str
    name: str = ""
    key: str | None = None
    start: int = 0
    end: int = -1
    children: list[Element] = dataclasses.field(default_factory=list)

    @property
    def content(self) -> str:
        """The content, as a text."""
        return unescaped(self.text[self.start : self.end].strip())

    @property
    def called(self) -> str:
        """The key if it has one, else the name."""
        return self.name if self.key is None else self.key


def element_of(text: str) -> Element | None:
    """Return a text of tags as an element around them; None for another text, such as JSON.

    >>> [child.called for child in element_of('<a>1 & 2</a> <entry key="b c">x').children]
    ['a', 'b c']
    """
    body = text.strip()
    if body and not body.startswith("<"):
        return None
    root = Element(body, end=len(body))
    path = [root]
    for tag in _TAG.finditer(body):
        if tag[1]:
            depth = next((i for i in range(len(path) - 1, 0, -1) if path[i].name == tag[2]), 0)
            if depth:  # a closing tag that was never opened is text
                for left in path[depth:]:
                    left.end = tag.start()
                del path[depth:]
            continue
        key = _KEY.search(tag[3])
        named = None if key is None else unescaped(key[1] if key[1] is not None else key[2])
        element = Element(body, tag[2], named, tag.end(), tag.end() if tag[4] else -1)
        path[-1].children.append(element)
        if not tag[4] and len(path) < _DEEPEST_READ:
            path.append(element)
    for left in path[1:]:
        left.end = len(body)
    return root


def value_of(element: Element, annotation: object) -> object:
    """Return an element as JSON values in the shape of a type, to be read by its reader."""
    plain, optional = without_none(annotation)
    kind = get_origin(plain) or plain
    args = get_args(plain)
    children = element.children
    if not children and optional and element.content.lower() in ("", "null", "none"):
        return None
    if kind in _SEQUENCES:
        fixed = args if kind is tuple and len(args) > 1 and args[-1] is not Ellipsis else ()
        kinds = fixed or (args[0] if args else Any,) * len(children)
        read = [value_of(child, inside) for child, inside in zip(children, kinds, strict=False)]
        return read or element.content or []
    if kind is dict or is_record(kind):
        known = {} if kind is dict else fields_of(kind)
        other = args[1] if len(args) == 2 else Any
        values = {c.called: value_of(c, known[c.called][0] if c.called in known else other) for c in children}
        return values or element.content or {}
    return _guessed(element) if children and kind is Any else element.content


def _guessed(element: Element) -> object:
    """Return an element of no known type: a list of items, or a dict; a tag that comes twice is a list too."""
    children = element.children
    if not children:
        return element.content
    if all(child.name == "item" for child in children):
        return [_guessed(child) for child in children]
    values: dict[str, list[object]] = {}
    for child in children:
        values.setdefault(child.called, []).append(_guessed(child))
    return {key: several if len(several) > 1 else several[0] for key, several in values.items()}


def xml_values(outputs: Sequence[FieldPlan], text: str, /) -> tuple[dict[str, object], bool]:
    """Return the contents of a reply's tags by field, and whether they are those of a JSON object sent instead."""
    contents = sections(text, [(f.name, is_structure(f.annotation)) for f in outputs])
    if not contents:
        return object_instead(text)
    return {f.name: tag_value(contents[f.name], f.annotation) for f in outputs if f.name in contents}, False


def tag_value(text: str, annotation: object) -> object:
    """Return the content of a field's tags: JSON values where it is tags itself, else the text."""
    if is_structure(annotation):
        element = element_of(text)
        return text if element is None else value_of(element, annotation)
    return unescaped(text)


class XMLAdapter(ChatAdapter):
    """Marks each field by `<name>` and `</name>`; lists, dicts and models are tags inside tags.

    Some models keep to tags better than to headers. The first tag of a name counts, text around the tags is
    ignored, and texts may hold a bare `&` or `<`. The settings and the fallback are those of `ChatAdapter`.

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
    end = ""
    find = staticmethod(xml_values)
    closing = "Now write the output fields between their tags, in this order: {fields}. Write `&` and `<` in them as `&amp;` and `&lt;`."

    def placeholder(self, one: FieldPlan) -> str:
        """Return an output's placeholder in the layout: tags inside tags where its values are such."""
        if is_structure(one.annotation):
            return skeleton(one.annotation, schema=True, nested=one.nested)
        return super().placeholder(one)

    def value_text(self, one: FieldPlan, value: object) -> str:
        """Return an output's value as tags, or as text with `&` and `<` written as XML has them."""
        if is_structure(one.annotation) and value is not None:
            return skeleton(revived(value, one.annotation) if one.rich else value)
        return escaped(super().value_text(one, value))
