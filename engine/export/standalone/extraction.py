"""Records of a user's class out of documents, with a tuned program's prompts; pydantic checks them.

The code is copied into exported modules; see `engine.export.record_module`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from engine.adapters.plan import MISSING, read_fields
from engine.adapters.scalars import UnreadableError
from engine.adapters.values import _validator
from engine.errors import AdapterParseError
from engine.export.standalone.calling import CallError
from engine.export.standalone.runner import Field, Program, attempt_row, place_models

HERE = "engine.export.standalone.extraction"
REPLACED_HERE = {
    "engine.export.standalone.runner.read": f"{HERE}.checked_read",
    "engine.adapters.notes.checkable": f"{HERE}.as_it_is",
}
"""Definitions that replace others where pydantic is installed."""


class RecordError(Exception):
    """A document of which no record could be made."""


class RecordField(Field):
    """An output that is a field of the record's class, which says what it is where a reply leaves it out."""

    def __init__(self, name: str, info: Any) -> None:
        super().__init__(name, info.annotation)
        self.info = info

    def default(self) -> Any:
        """Return the class's own default, or MISSING if the field must be there."""
        return MISSING if self.info.is_required() else self.info.get_default(call_default_factory=True)


class Extractor:
    """A program whose answer is a record of one class; `parts` are what only some programs need."""

    def __init__(self, data: Mapping[str, Any], parts: Mapping[str, Any], record: Any) -> None:
        self.data, self.parts, self.record = data, parts, record
        self.programs: dict[object, Program] = {}

    def extract(self, row: Mapping[str, Any], **asked: str | None) -> Any:
        """Return the record of one document. Raises RecordError."""
        found, problem = attempt_row(self.program(**asked), dict(row))
        if problem:
            raise RecordError(problem)
        return self.record.model_validate(by_key(self.record, found))

    def program(self, model: str | None, base_url: str | None, key_variable: str | None) -> Program:
        """Return the program with the model to ask, made once. Raises RecordError."""
        asked = (model, base_url, key_variable)
        if asked not in self.programs:
            made = Program(self.data, self.parts)
            last = made.steps[-1]
            known = self.record.model_fields
            last.outputs = [
                RecordField(one.name, known[one.name]) if one.name in known else one for one in last.outputs
            ]
            last.record = self.record
            given: Any = SimpleNamespace(model=model, base_url=base_url, key_variable=key_variable)
            try:
                place_models(made, given)
            except CallError as error:
                raise RecordError(str(error)) from None
            self.programs[asked] = made
        return self.programs[asked]


def by_key(record: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record's values by the keys that its class reads: aliases where it has some."""
    made = {}
    for name, info in record.model_fields.items():
        if name in values:
            alias = info.validation_alias
            made[alias if isinstance(alias, str) else name] = values[name]
    return made


def checked_read(step: Any, reply: str) -> dict[str, Any]:
    """Return the typed fields of a reply that also make a record. Raises AdapterParseError that names all that is wrong."""
    found, decoded = step.read(step.outputs, reply)
    values = read_fields(step.outputs, found, reply, decoded=decoded)
    if "record" in vars(step):
        try:
            _validator(step.record)(by_key(step.record, values))
        except UnreadableError as error:
            raise AdapterParseError(f"The record {error}.", reply=reply) from None
    return values


def as_it_is(annotation: Any) -> Any:
    """Return a type as it is."""
    return annotation
