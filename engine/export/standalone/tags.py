"""Part of the script that stands alone: replies between tags, as programs with the XML layout ask for.

The code below the imports is copied into exported scripts, after that of `standalone_replies`. It reads what
`engine.adapters.tags` reads: a bare `&`, a bare `<` and a tag that is never closed are no errors.
"""

from __future__ import annotations

import re
from typing import Any

from engine.export.standalone.replies import LAYOUTS, Fields, Found, object_instead
from engine.export.standalone.values import Kind

TAG = re.compile(r"""<(/?)([A-Za-z_][\w.-]*)((?:\s+[\w.-]+\s*=\s*(?:"[^"]*"|'[^']*'))*)\s*(/?)>""")
REFERENCE = re.compile(r"&(?:(amp|lt|gt|quot|apos)|#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6}));")
CHARACTERS = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}


def xml_reply(fields: Fields, text: str) -> Found:
    """Return what stands between the tags of each field; the first of a name counts."""
    nested = {name: structure(kind)["kind"] in ("list", "object") for name, kind in fields.items()}
    opening = re.compile(rf"<({'|'.join(map(re.escape, fields))})(?:\s[^<>]*)?(/)?>")
    sections: dict[str, str] = {}
    at = 0
    while len(sections) < len(fields):
        mark = opening.search(text, at)
        if mark is None:
            break
        name, at = mark[1], mark.end()
        if mark[2]:
            sections.setdefault(name, "")
            continue
        end = closing(text, name, at) if nested[name] else text.find(f"</{name}>", at)
        if end < 0:  # never closed: all up to the next field
            end = next((m.start() for m in opening.finditer(text, at) if m[1] != name), len(text))
        sections.setdefault(name, text[at:end])
        at = end
    if not sections:
        return object_instead(text)
    return {n: tree(s, fields[n]) if nested[n] else unescaped(s) for n, s in sections.items()}, False


def structure(kind: Kind) -> Kind:
    """Return an optional type without its option."""
    return structure(kind["of"][0]) if kind["kind"] == "either" and len(kind["of"]) == 1 else kind


def closing(text: str, name: str, start: int) -> int:
    """Return where the tag closes whose content begins at `start`, past tags of its own name inside; -1 for nowhere."""
    depth = 1
    for mark in re.compile(rf"<(/?){re.escape(name)}(?:\s[^<>]*)?(/?)>").finditer(text, start):
        depth += -1 if mark[1] else 0 if mark[2] else 1
        if depth == 0:
            return mark.start()
    return -1


def unescaped(text: str) -> str:
    """Return what a text between tags says."""

    def character(found: re.Match[str]) -> str:
        if found[1]:
            return CHARACTERS[found[1]]
        number = int(found[2]) if found[2] else int(found[3], 16)
        return chr(number) if 0 < number < 0x110000 and not 0xD800 <= number < 0xE000 else found[0]

    return REFERENCE.sub(character, text)


def tree(text: str, kind: Kind) -> Any:
    """Return a text of tags as lists and objects, to be read by its type; another text, such as JSON, as it is."""
    body = text.strip()
    if body and not body.startswith("<"):
        return text
    root: dict[str, Any] = {"name": "", "start": 0, "end": len(body), "inside": []}
    path = [root]
    for tag in TAG.finditer(body):
        if tag[1]:
            depth = next((i for i in range(len(path) - 1, 0, -1) if path[i]["tag"] == tag[2]), 0)
            for left in path[depth:] if depth else ():  # one that was never opened is text
                left["end"] = tag.start()
            del path[depth or len(path) :]
            continue
        key = re.search(r"""\bkey\s*=\s*(?:"([^"]*)"|'([^']*)')""", tag[3])
        name = unescaped(key[1] if key[1] is not None else key[2]) if key else tag[2]
        end = tag.end() if tag[4] else len(body)
        made: dict[str, Any] = {"name": name, "tag": tag[2], "start": tag.end(), "end": end, "inside": []}
        path[-1]["inside"].append(made)
        if not tag[4] and len(path) < 50:
            path.append(made)
    return shaped(body, root, kind)


def shaped(body: str, element: dict[str, Any], kind: Kind) -> Any:
    """Return an element as JSON values in the shape of a type."""
    inside = element["inside"]
    content = unescaped(body[element["start"] : element["end"]].strip())
    if not inside and kind.get("optional") and content.lower() in ("", "null", "none"):
        return None
    kind = structure(kind)
    if kind["kind"] == "list":
        return [shaped(body, one, kind["of"]) for one in inside] or content or []
    if kind["kind"] == "object":
        return {one["name"]: shaped(body, one, kind["of"]) for one in inside} or content or {}
    return guessed(body, element) if inside and kind["kind"] == "anything" else content


def guessed(body: str, element: dict[str, Any]) -> Any:
    """Return an element of no known type: a list of items, or an object; a tag that comes twice is a list too."""
    inside = element["inside"]
    if not inside:
        return unescaped(body[element["start"] : element["end"]].strip())
    if all(one["tag"] == "item" for one in inside):
        return [guessed(body, one) for one in inside]
    made: dict[str, Any] = {}
    for one in inside:
        key, value = one["name"], guessed(body, one)
        if key in made:
            made[key] = [*(made[key] if isinstance(made[key], list) else [made[key]]), value]
        else:
            made[key] = value
    return made


LAYOUTS["xml"] = xml_reply
