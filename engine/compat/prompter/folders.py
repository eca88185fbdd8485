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
from engine.compat.prompter.confidence import Calibration
from engine.compat.prompter.fields import TextOutput
from engine.errors import EngineError, ProgramFileError, ProgramFileMissingError, first_problem
from engine.signature.nested import nested_fields

_log = logging.getLogger(__name__)

FILE = "prompter.json"
FORMAT = 1
METADATA, STATE, SCHEMA = "dspydantic_metadata.json", "optimized_state.json", "model_schema.json"
"""Files of a folder of DSPydantic."""


@dataclass(frozen=True)
class SavedPrompter:
    """Content of a folder."""

    system_prompt: str | None = None
    """The system prompt as the user gave it; of DSPydantic the tuned one."""
    instruction_prompt: str | None = None
    """The instruction prompt, likewise."""
    descriptions: dict[str, str] = field(default_factory=dict)
    """Tuned descriptions by path, of a folder of DSPydantic."""
    demos: list[dict[str, Any]] = field(default_factory=list)
    """Solved examples, of a folder of DSPydantic."""
    schema: dict[str, Any] | None = None
    """JSON schema of the model; None for text answers."""
    calibration: Calibration | None = None
    """Calibration of the confidence."""
    tuned: dict[str, Any] | None = None
    """The candidate; None in a folder of DSPydantic."""

    @property
    def optimized(self) -> dict[str, Any]:
        """The tuned texts and demos of a folder of DSPydantic, as arguments of a Prompter."""
        return {
            "optimized_descriptions": self.descriptions,
            "optimized_system_prompt": self.system_prompt,
            "optimized_instruction_prompt": self.instruction_prompt,
            "optimized_demos": self.demos,
        }


_CONTENT = TypeAdapter(SavedPrompter)


def write(folder: str | Path, saved: SavedPrompter) -> None:
    """Write a folder, made if it is missing. It contains no key and no model's address."""
    data = {"format": FORMAT, **vars(saved)}
    write_whole(Path(folder) / FILE, orjson.dumps(data, option=orjson.OPT_INDENT_2))


def read(folder: str | Path, model: type[BaseModel] | None) -> SavedPrompter:
    """Return the content of a folder.

    Raises ProgramFileError for one that cannot be read, that a newer version saved, or that does not fit the model.
    """
    path = Path(folder)
    if (path / FILE).is_file():
        data = _json(path / FILE)
        version = data.pop("format", None)
        if not isinstance(version, int) or version > FORMAT:
            raise ProgramFileError(
                f"{str(path)!r} was saved by a newer version (form {version!r}). Update Tuneboard to load it."
            )
        with damage_named(path):
            saved = _CONTENT.validate_python(data)
        if saved.schema is None and model is not None:
            raise ProgramFileError(
                f"{str(path)!r} was saved for answers in text. Load it without {model.__name__}."
            )
    elif (path / METADATA).is_file():
        with damage_named(path):
            saved = _CONTENT.validate_python(_dspydantic_content(path, model))
    else:
        raise ProgramFileMissingError(
            f"There is no saved Prompter in {str(path)!r}: it has neither {FILE} nor {METADATA}."
        )
    _check_class(path, model, saved.schema)
    return saved


@contextmanager
def damage_named(folder: str | Path) -> Iterator[None]:
    """Turn errors of damaged data into a ProgramFileError that names the folder."""
    try:
        yield
    except ProgramFileError:
        raise
    except ValidationError as error:
        where, message = first_problem(error)
        raise ProgramFileError(
            f"The Prompter in {str(folder)!r} is damaged: {where}: {message}. Save it again."
        ) from None
    except (LookupError, TypeError, ValueError, AttributeError, EngineError) as error:
        raise ProgramFileError(
            f"The Prompter in {str(folder)!r} does not fit or is damaged: {error}. Save it again."
        ) from None


def _dspydantic_content(path: Path, model: type[BaseModel] | None) -> dict[str, object]:
    """Read a folder of DSPydantic: another major version is refused, another minor one is read with a warning."""
    state, version = _json(path / STATE), str(_json(path / METADATA).get("version", "0.0.0"))
    major, _, rest = version.partition(".")
    if major != "0":
        raise ProgramFileError(
            f"{str(path)!r} was saved by DSPydantic {version}; folders of version 0 can be read."
        )
    if rest.partition(".")[0] != "1":
        _log.warning("%s was saved by DSPydantic %s and is read as one of 0.1.", path, version)
    descriptions = state.get("optimized_descriptions") or {}
    if model is not None and isinstance(descriptions, Mapping):
        known = {field.path for field in nested_fields(model)}
        if unknown := {str(name) for name in descriptions if name not in known}:
            _log.warning(
                "%s describes fields that %s does not have, which are left out: %s.",
                path,
                model.__name__,
                _listed(unknown),
            )
        descriptions = {name: text for name, text in descriptions.items() if name in known}
    return {
        "system_prompt": state.get("optimized_system_prompt"),
        "instruction_prompt": state.get("optimized_instruction_prompt"),
        "descriptions": descriptions,
        "demos": state.get("optimized_demos") or [],
        "schema": _json(path / SCHEMA) if (path / SCHEMA).is_file() else None,
    }


def _check_class(path: Path, model: type[BaseModel] | None, schema: Mapping[str, Any] | None) -> None:
    """Warn of a class with other fields than the saved one.

    Raises ProgramFileError if no field is the same, and if a class is needed and missing.
    """
    saved = set((schema or {}).get("properties", {}))
    if not saved or (model is None and saved == set(TextOutput.model_fields)):
        return
    title = str((schema or {}).get("title", "")) or "a class"
    if model is None:
        raise ProgramFileError(
            f"{str(path)!r} was saved for records of {title}. Give the class too, as in Prompter.load(folder, {title})."
        )
    fields = set(model.model_json_schema().get("properties", {}))
    if not saved & fields:
        raise ProgramFileError(
            f"{str(path)!r} was saved for records of {title} with the fields {_listed(saved)}, and {model.__name__} has "
            f"none of them. Load it with the class that it was saved with."
        )
    if saved != fields:
        _log.warning(
            "%s was saved with other fields than %s has. Only in the folder: %s. Only in the class: %s.",
            path,
            model.__name__,
            _listed(saved - fields),
            _listed(fields - saved),
        )


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"


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
