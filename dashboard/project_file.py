"""A project as one file: its set-up and its examples, to keep, to send, and to open elsewhere. No runs, no keys.

A file may come from anybody, so it is data that is checked, and the names of variables that hold keys are left
out: an address written in a file must not be sent a key that the file itself names. No Streamlit in here.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final, Literal, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from engine.errors import ConfigurationError
from engine.runs.spec import ProjectDraft
from engine.store.rows import DatasetRow

FORMAT: Final = "tuneboard.project"
MODELS = ("model", "prompt_model", "teacher_model")


class _Examples(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    content: str


class _ProjectFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["tuneboard.project"] = FORMAT
    version: Literal[1] = 1
    name: str
    draft: ProjectDraft
    examples: _Examples | None = None


class Unpacked(NamedTuple):
    """What a project's file holds; `examples` is the file's name and its bytes, None where there were none."""

    name: str
    draft: ProjectDraft
    examples: tuple[str, bytes] | None


def pack(name: str, draft: ProjectDraft, examples: DatasetRow | None) -> bytes:
    """Return a project's file.

    >>> unpack(pack("Mine", ProjectDraft(seed=3), None)).draft.seed
    3
    """
    table = (
        _Examples(name=examples.name, content=base64.b64encode(examples.content).decode())
        if examples
        else None
    )
    file = _ProjectFile(name=name, draft=_without_keys(draft), examples=table)
    return orjson.dumps(file.model_dump(mode="json"), option=orjson.OPT_INDENT_2) + b"\n"


def unpack(content: bytes) -> Unpacked:
    """Read a project's file. Raises ConfigurationError with a sentence."""
    try:
        data: Any = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise ConfigurationError(
            f"This file is not a project: it is not JSON (line {error.lineno}). Choose a file that Tuneboard exported."
        ) from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ConfigurationError("This file is not a project. Choose a project file that Tuneboard exported.")
    if data.get("version") != 1:
        raise ConfigurationError(
            "This project was exported by another version of Tuneboard. Update Tuneboard."
        )
    try:
        file = _ProjectFile.model_validate(data)
        table = (
            (file.examples.name, base64.b64decode(file.examples.content, validate=True))
            if file.examples
            else None
        )
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "the whole file"
        raise ConfigurationError(
            f"This project file is damaged at {where!r}: {error.errors()[0]['msg']}."
        ) from error
    except binascii.Error as error:
        raise ConfigurationError("This project file is damaged: its examples cannot be read.") from error
    return Unpacked(file.name, _without_keys(file.draft), table)


def _without_keys(draft: ProjectDraft) -> ProjectDraft:
    changes = {
        name: choice.model_copy(update={"key_env": None})
        for name in MODELS
        if (choice := getattr(draft, name)) is not None
    }
    return draft.model_copy(update=changes)
