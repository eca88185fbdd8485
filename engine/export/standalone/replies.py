"""Part of the script that stands alone: a model's reply -> its typed fields, in the layout it was asked to keep to.

The code below the imports is copied into exported scripts, after that of `standalone_reading`; XML's is in
`standalone_tags`, since few programs need it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from engine.export.standalone.values import Kind, UnreadableError, from_json, from_text, loose_object

Fields = dict[str, Kind]
Found = tuple[dict[str, Any], bool]
"""What stands in a reply by field, and whether JSON has decoded it already."""

HEADER = re.compile(r"^[ \t>#]*(\*\*)?\[\[ ?## ?(\w+) ?## ?\]\](?(1)\*\*)?", re.MULTILINE)


class UnusableError(ValueError):
    """A reply that cannot be used, and what is wrong with it."""


def chat_reply(fields: Fields, text: str) -> Found:
    """Return the sections under `[[ ## name ## ]]`; the first of a name counts."""
    sections: dict[str, Any] = {}
    name, start = "", 0
    for match in HEADER.finditer(text):
        if name:
            sections.setdefault(name, text[start : match.start()])
        name, start = match[2], match.end()
        if name == "completed" and name not in fields:
            return sections, False
    if name:
        sections.setdefault(name, text[start:])
    return (sections, False) if sections else object_instead(text)


def object_instead(text: str) -> Found:
    """Return the fields of a reply that is a JSON object though it was asked for something else."""
    if text.lstrip()[:1] in ("{", "`"):
        try:
            return loose_object(text), True
        except ValueError:
            pass
    return {}, False


def json_reply(_fields: Fields, text: str) -> Found:
    """Return the values of a JSON object. Raises UnusableError."""
    try:
        return loose_object(text), True
    except ValueError:
        raise UnusableError(
            "The reply holds no JSON object." if text.strip() else "The reply is empty."
        ) from None


def typed(fields: Fields, text: str, layout: Callable[[Fields, str], Found]) -> dict[str, Any]:
    """Return a reply's fields as values of their types. Raises UnusableError that names all that is wrong."""
    found, decoded = layout(fields, text)
    values: dict[str, Any] = {}
    problems, missing = [], []
    for name, kind in fields.items():
        if name not in found:
            if kind.get("optional"):
                values[name] = None
            else:
                missing.append(repr(name))
            continue
        raw = found[name]
        try:
            if not isinstance(raw, str):
                values[name] = from_json(kind, raw)
            else:
                values[name] = raw if decoded and kind["kind"] == "text" else from_text(kind, raw)
        except UnreadableError as error:
            problems.append(f"Output field {name!r} {error}.")
    if missing:
        said = "The reply has no" if text.strip() else "The reply is empty: no"
        problems.insert(0, f"{said} {', '.join(missing)}.")
    if problems:
        raise UnusableError(" ".join(problems))
    return values


LAYOUTS = {"chat": chat_reply, "json": json_reply}
