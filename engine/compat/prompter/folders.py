"""Folders that a `Prompter` is saved in, and those of DSPydantic 0.1."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson
from pydantic import BaseModel, TypeAdapter, ValidationError

from engine.basics.data import JsonObject, Values
from engine.basics.home import write_whole
from engine.compat.prompter.confidence import Calibration
from engine.compat.prompter.fields import TextOutput
from engine.compat.prompter.program import OPTIMIZED
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

    arguments: JsonObject = field(default_factory=dict)
    """Prompts, descriptions and demos by the names of a Prompter's arguments."""
    schema: JsonObject | None = None
    """JSON schema of the model; None for text answers."""
    calibration: Calibration | None = None
    """Calibration of the confidence."""
    tuned: JsonObject | None = None
    """The candidate; None in a folder of DSPydantic."""


_CONTENT = TypeAdapter(SavedPrompter)
_ARGUMENTS = TypeAdapter(dict[str, str | None])


def write(folder: str | Path, saved: SavedPrompter) -> None:
    """Write a folder, made if it is missing. It contains no key and no model's address."""
    data = {"format": FORMAT, **vars(saved), **saved.arguments}
    del data["arguments"]
    write_whole(Path(folder) / FILE, orjson.dumps(data, option=orjson.OPT_INDENT_2))


def read(folder: str | Path, model: type[BaseModel] | None) -> SavedPrompter:
    """Return the content of a folder.

    Raises ProgramFileError for one that cannot be read, that a newer version saved, or that does not fit the model.
    """
    path = Path(folder)
    with damage_named(path):
        if (path / FILE).is_file():
            content = _tuneboard_content(path, model)
        elif (path / METADATA).is_file():
            content = _dspydantic_content(path, model)
        else:
            raise ProgramFileMissingError(
                f"There is no saved Prompter in {str(path)!r}: it has neither {FILE} nor {METADATA}."
            )
        saved = _CONTENT.validate_python(content)
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
    except (OSError, LookupError, TypeError, ValueError, AttributeError, EngineError) as error:
        raise ProgramFileError(
            f"The Prompter in {str(folder)!r} does not fit or is damaged: {error}. Save it again."
        ) from None


def _tuneboard_content(path: Path, model: type[BaseModel] | None) -> JsonObject:
    """Read a folder of this library. Raises ProgramFileError for a newer version's, or text answers with a class."""
    data = orjson.loads((path / FILE).read_bytes())
    version = data.get("format")
    if not isinstance(version, int) or version > FORMAT:
        raise ProgramFileError(
            f"{str(path)!r} was saved by a newer version (form {version!r}). Update Tuneboard to load it."
        )
    if data.get("schema") is None and model is not None:
        raise ProgramFileError(
            f"{str(path)!r} was saved for answers in text. Load it without {model.__name__}."
        )
    prompts = {name: data.get(name) for name in ("system_prompt", "instruction_prompt")}
    return {**data, "arguments": _ARGUMENTS.validate_python(prompts)}


def _dspydantic_content(path: Path, model: type[BaseModel] | None) -> JsonObject:
    """Read a folder of DSPydantic: another major version is refused, another minor one is read with a warning."""
    state = orjson.loads((path / STATE).read_bytes())
    version = str(orjson.loads((path / METADATA).read_bytes()).get("version", "0.0.0"))
    major, _, rest = version.partition(".")
    if major != "0":
        raise ProgramFileError(
            f"{str(path)!r} was saved by DSPydantic {version}; folders of version 0 can be read."
        )
    if rest.partition(".")[0] != "1":
        _log.warning("%s was saved by DSPydantic %s and is read as one of 0.1.", path, version)
    arguments = {name: state[name] for name in OPTIMIZED if state.get(name)}
    if model is not None and (descriptions := arguments.get("optimized_descriptions")):
        known = {one.path for one in nested_fields(model)}
        if unknown := descriptions.keys() - known:
            left_out = "%s describes fields that %s does not have, which are left out: %s."
            _log.warning(left_out, path, model.__name__, _listed(unknown))
        arguments["optimized_descriptions"] = {n: text for n, text in descriptions.items() if n in known}
    schema = path / SCHEMA
    return {
        "arguments": arguments,
        "schema": orjson.loads(schema.read_bytes()) if schema.is_file() else None,
    }


def _check_class(path: Path, model: type[BaseModel] | None, schema: Values | None) -> None:
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
        other = "%s was saved with other fields than %s has. Only in the folder: %s. Only in the class: %s."
        _log.warning(other, path, model.__name__, _listed(saved - fields), _listed(fields - saved))


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"
