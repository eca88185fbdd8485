"""A signature's wording as JSON values, by field name; and back, onto the signature that the code declares."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from pydantic.fields import FieldInfo

from engine.signature.fields import typed
from engine.signature.type_text import type_text

_log = logging.getLogger(__name__)

Fields = Mapping[str, FieldInfo]


def dumped(instructions: str, fields: Fields) -> dict[str, Any]:
    """Return instructions, and label, description and type by field name."""
    saved = {
        name: {
            "prefix": _extra(field)["prefix"],
            "description": _extra(field)["desc"],
            "type": type_text(field.annotation),
        }
        for name, field in fields.items()
    }
    return {"instructions": instructions, "fields": saved}


def loaded(signature: str, fields: Fields, state: Mapping[str, Any]) -> dict[str, FieldInfo]:
    """Return fields with saved labels and descriptions; a type that is another by now is warned of and kept."""
    given = state.get("fields", {})
    named = given.items() if isinstance(given, Mapping) else zip(fields, given, strict=False)
    made = dict(fields)
    for name, words in named:
        if name not in made:
            continue
        field = made[name]
        was, now = words.get("type"), type_text(field.annotation)
        if was not in (None, now):
            _log.warning("%s.%s was saved as %s and is %s now.", signature, name, was, now)
        info = typed(name, field, field.annotation)
        new = {"desc": words.get("description") or f"${{{name}}}", "prefix": words.get("prefix")}
        info.json_schema_extra = {**_extra(info), **{key: value for key, value in new.items() if value}}
        made[name] = info
    return made


def _extra(field: FieldInfo) -> dict[str, Any]:
    return dict(field.json_schema_extra) if isinstance(field.json_schema_extra, dict) else {}
