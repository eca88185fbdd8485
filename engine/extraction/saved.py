"""Folders that a `Prompter` is saved in, and those of DSPydantic 0.1."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel, TypeAdapter, ValidationError

from engine.basics.home import write_whole
from engine.errors import EngineError, ProgramFileError, ProgramFileMissingError, first_problem
from engine.extraction.confidence import Calibration
from engine.extraction.fields import TextOutput
from engine.signature.nested import nested_fields

_log = logging.getLogger(__name__)

FILE = "prompter.json"
FORMAT = 1
THEIRS = ("dspydantic_metadata.json", "optimized_state.json", "model_schema.json")
THEIR_VERSION = (0, 1)


@dataclass(frozen=True)
class Saved:
    """Content of a folder: prompts, descriptions by path, demos, the model's schema, and how confidence was calibrated."""

    system_prompt: str | None = None
    instruction_prompt: str | None = None
    descriptions: dict[str, str] = field(default_factory=dict)
    demos: list[dict[str, Any]] = field(default_factory=list)
    schema: dict[str, Any] | None = None
    calibration: Calibration | None = None
    tuned: dict[str, Any] | None = None


_SAVED = TypeAdapter(Saved)


def write(folder: str | Path, saved: Saved) -> None:
    """Write a folder, made where it is missing. No key and no model's address is in it."""
    data = {"format": FORMAT, **vars(saved)}
    write_whole(Path(folder) / FILE, orjson.dumps(data, option=orjson.OPT_INDENT_2))


def read(folder: str | Path, model: type[BaseModel] | None) -> Saved:
    """Return what a folder holds. Raises ProgramFileError for one that cannot be read or was saved by a newer version."""
    path = Path(folder)
    if (path / FILE).is_file():
        found = _read_own_form(path)
        if found.schema is None and model is not None:
            raise ProgramFileError(
                f"{str(path)!r} was saved for answers in text. Load it without {model.__name__}."
            )
        check_class(path, model, found.schema)
        return found
    if (path / THEIRS[0]).is_file():
        return _theirs(path, model)
    raise ProgramFileMissingError(
        f"There is no saved Prompter in {str(path)!r}: it has neither {FILE} nor {THEIRS[0]}."
    )


def _read_own_form(path: Path) -> Saved:
    data = _json(path / FILE)
    version = data.pop("format", None)
    if not isinstance(version, int) or version > FORMAT:
        raise ProgramFileError(
            f"{str(path)!r} was saved by a newer version (form {version!r}). Update Tuneboard to load it."
        )
    return _checked(path, data)


def _checked(path: Path, data: Mapping[str, object]) -> Saved:
    with damage_named(path):
        return _SAVED.validate_python(data)


@contextmanager
def damage_named(folder: str | Path) -> Iterator[None]:
    """Turn what damaged data raises into a ProgramFileError that names the folder."""
    try:
        yield
    except ValidationError as error:
        where, message = first_problem(error)
        raise ProgramFileError(
            f"The Prompter in {str(folder)!r} is damaged: {where}: {message}. Save it again."
        ) from None
    except (LookupError, TypeError, ValueError, AttributeError, EngineError) as error:
        raise ProgramFileError(
            f"The Prompter in {str(folder)!r} does not fit or is damaged: {error}. Save it again."
        ) from None


def _theirs(path: Path, model: type[BaseModel] | None) -> Saved:
    """Read a folder of DSPydantic: another major version is refused, another minor one is read with a warning."""
    metadata, state = _json(path / THEIRS[0]), _json(path / THEIRS[1])
    text = str(metadata.get("version", "0.0.0"))
    parts = [int(part) if part.isdigit() else 0 for part in text.split(".")]
    if parts[0] != THEIR_VERSION[0]:
        raise ProgramFileError(
            f"{str(path)!r} was saved by DSPydantic {text}; folders of version 0 can be read."
        )
    if parts[1:2] != [THEIR_VERSION[1]]:
        _log.warning("%s was saved by DSPydantic %s and is read as one of 0.1.", path, text)
    schema = _json(path / THEIRS[2]) if (path / THEIRS[2]).is_file() else None
    check_class(path, model, schema)
    return _checked(
        path,
        {
            "system_prompt": state.get("optimized_system_prompt"),
            "instruction_prompt": state.get("optimized_instruction_prompt"),
            "descriptions": _known_descriptions(path, model, state.get("optimized_descriptions") or {}),
            "demos": state.get("optimized_demos") or [],
            "schema": schema,
        },
    )


def check_class(path: Path, model: type[BaseModel] | None, schema: Mapping[str, Any] | None) -> None:
    """Warn of a class with other fields than the one that a folder was saved with.

    Raises ProgramFileError where no field is the same, and where a class is needed and missing.
    """
    saved = set((schema or {}).get("properties", {}))
    if not saved or (model is None and saved == set(TextOutput.model_fields)):
        return
    title = str((schema or {}).get("title", "")) or "a class"
    if model is None:
        raise ProgramFileError(
            f"{str(path)!r} was saved for records of {title}. Give the class too, as in Prompter.load(folder, {title})."
        )
    own = set(model.model_json_schema().get("properties", {}))
    if not saved & own:
        raise ProgramFileError(
            f"{str(path)!r} was saved for records of {title} with the fields {_listed(saved)}, and {model.__name__} has "
            f"none of them. Load it with the class that it was saved with."
        )
    if saved != own:
        _log.warning(
            "%s was saved with other fields than %s has. Only in the folder: %s. Only in the class: %s.",
            path,
            model.__name__,
            _listed(saved - own),
            _listed(own - saved),
        )


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _known_descriptions(path: Path, model: type[BaseModel] | None, descriptions: Any) -> Any:
    """Return the descriptions of fields that the class has, and warn of the others."""
    if model is None or not isinstance(descriptions, Mapping):
        return descriptions
    known = {one.path for one in nested_fields(model)}
    unknown = {str(name) for name in descriptions if name not in known}
    if unknown:
        _log.warning(
            "%s describes fields that %s does not have, which are left out: %s.",
            path,
            model.__name__,
            _listed(unknown),
        )
    return {name: text for name, text in descriptions.items() if name in known}


def _json(path: Path) -> dict[str, Any]:
    try:
        data = orjson.loads(path.read_bytes())
    except OSError as error:
        raise ProgramFileError(f"{str(path)!r} cannot be read: {error.strerror}.") from None
    except orjson.JSONDecodeError as error:
        raise ProgramFileError(f"{str(path)!r} is not valid JSON: {error}.") from None
    if not isinstance(data, dict):
        raise ProgramFileError(f"{str(path)!r} holds no saved Prompter.")
    return data
