"""A tuned program as one JSON file: the pipeline, what was tuned in it, and the model it was tuned with.

The file is data, never code, so loading one runs nothing. No key is ever written; only the name of the
environment variable that holds one. `load_program` is `engine.load`.
"""

from __future__ import annotations

import pprint
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import orjson
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_serializer,
    field_validator,
)

from engine import runtime
from engine.adapters import get_adapter
from engine.basics.data import JsonObject
from engine.basics.text import visible
from engine.errors import EngineError, ProgramFileError, ProgramFileMissingError, first_problem
from engine.lm.choice import ModelChoice
from engine.lm.client import make_lm
from engine.modules.state import refuse_pickle
from engine.pipeline.build import build_program
from engine.pipeline.corpora import with_passages
from engine.pipeline.spec import AdapterName, PipelineSpec
from engine.records import Candidate, json_value

if TYPE_CHECKING:
    from engine.lm.base import BaseLM
    from engine.modules.module import Module

FORMAT: Final = "tuneboard.program"
VERSION: Final = 2

LARGEST_INSIDE = 2_000_000
"""Characters of a corpus up to which its passages are written into the file; of a larger one the hash alone."""


class ProgramFile(BaseModel):
    """A whole program file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["tuneboard.program"] = FORMAT
    version: Literal[2] = VERSION
    pipeline: PipelineSpec
    candidate: Candidate
    model: ModelChoice | None = None
    adapter: AdapterName = "chat"
    metadata: JsonObject = Field(default_factory=dict)

    @property
    def title(self) -> str:
        """Its title on one line."""
        return " ".join(str(self.metadata.get("title") or "A program tuned with Tuneboard").split())

    @field_validator("candidate", mode="before")
    @classmethod
    def _without_id(cls, candidate: object) -> object:
        """Return a candidate without its id, which follows from the rest."""
        return {k: v for k, v in candidate.items() if k != "id"} if isinstance(candidate, dict) else candidate

    @field_validator("candidate")
    @classmethod
    def _steps_fit(cls, candidate: Candidate) -> Candidate:
        for path, step in candidate.steps.items():
            if step.nearest < 0:
                raise ValueError(f"'nearest' of the step {path!r} is {step.nearest}; it is 0 or more")
            if step.adapter is not None:
                get_adapter(step.adapter)
        return candidate

    @field_serializer("candidate", mode="wrap")
    def _with_id(self, candidate: Candidate, dump: SerializerFunctionWrapHandler) -> dict[str, object]:
        dumped: JsonObject = dump(candidate)
        for step in dumped["steps"].values():
            if step.get("weights", "") is None:  # older versions know no such key
                del step["weights"]
        return {"id": candidate.id, **dumped}

    @property
    def models(self) -> tuple[ModelChoice, ...]:
        """Every model that it names: the run's, then those of its steps."""
        return (*(() if self.model is None else (self.model,)), *self.pipeline.models)

    def build(self, *, lm: BaseLM | None = None, key_envs: Collection[str] = ()) -> Module:
        """Return the program; see `load_program`. Raises ProgramFileError where its parts do not fit."""
        bare = partial(_with_key, key_envs=key_envs)
        for step in self.pipeline.steps:
            corpus = step.options.corpus
            if corpus.file and not corpus.hash:
                # A file may come from a stranger: it must not make this machine's files part of a prompt.
                raise ProgramFileError(
                    f"The step {step.name!r} searches {corpus.file!r} but does not say which passages it was made with. "
                    "Export the program again where its corpus is."
                )
        try:
            program = build_program(self.pipeline.with_models(bare))
        except EngineError as error:
            raise ProgramFileError(f"The program's pipeline cannot be built: {error}") from error
        known, tuned = set(program.candidate().steps), set(self.candidate.steps)
        if known != tuned:
            path = sorted(known ^ tuned)[0]
            raise ProgramFileError(
                f"The step {path!r} is only in one of 'pipeline' and 'candidate'. They must name the same steps."
            )
        program = program.with_candidate(self.candidate)
        if lm is None and self.model is not None and runtime.current().lm is None:
            lm = make_lm(bare(self.model))
        if lm is not None:
            for predictor in program.predictors():
                predictor.lm = predictor.lm or lm
        if self.adapter != "chat":
            adapter = get_adapter(self.adapter)()
            for predictor in program.predictors():
                predictor.adapter = predictor.adapter or adapter
        return program


def program_file(
    spec: PipelineSpec,
    candidate: Candidate,
    *,
    model: Mapping[str, object] | None = None,
    adapter: AdapterName = "chat",
    metadata: Mapping[str, object] | None = None,
) -> ProgramFile:
    """Return the file's content. `model` holds a ModelChoice's values; other keys are left out.

    Passages that steps search are in it, of a large corpus its hash, by which it is recognized. Raises PipelineError
    for a corpus that is gone.
    """
    known = (
        None
        if model is None
        else {k: model.get(k) for k in ModelChoice.model_fields if model.get(k) is not None}
    )
    return ProgramFile(
        pipeline=with_passages(spec, LARGEST_INSIDE),
        candidate=candidate,
        model=None if not known else ModelChoice.model_validate(known),
        adapter=adapter,
        metadata=dict(metadata or {}),
    )


def quotable(title: str) -> str:
    """Return a title as it can stand in a docstring, before a full stop.

    >>> quotable('The "best" one.')
    "The 'best' one"
    """
    return visible(title).replace("\\", "/").replace('"', "'").rstrip(".")


def literal(value: object) -> str:
    """Return JSON values as Python source, for scripts."""
    return pprint.pformat(json_value(value), width=100, sort_dicts=False)


def to_text(program: ProgramFile) -> str:
    """Return the file's text, in the order of the format."""
    return json_text(program.model_dump(mode="json", exclude_none=True))


def json_text(value: object) -> str:
    """Return indented JSON."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode() + "\n"


def load_program(path: str | Path, *, lm: BaseLM | None = None, key_envs: Collection[str] = ()) -> Module:
    """Return the program in a file that Tuneboard exported.

    It runs on `lm` where one is given, else on the model that `engine.configure` or `engine.context` has
    set by now, else on the model it was tuned with. An address that the file names gets no key, unless you name
    the key's environment variable, too, in `key_envs`: a file may come from a stranger. Raises ProgramFileError with
    the line or the key that is wrong.
    """
    return read_program(path).build(lm=lm, key_envs=key_envs)


def read_program(path: str | Path) -> ProgramFile:
    """Return a program file's content, brought forward to today's version. Raises ProgramFileError."""
    file = Path(path)
    refuse_pickle(file)
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise ProgramFileMissingError(
            f"There is no file {str(file)!r}. Give the path of an exported program."
        ) from None
    except OSError as error:
        raise ProgramFileError(
            f"The file {str(file)!r} cannot be read: {error.strerror or error}."
        ) from error
    return parse_program(data, file.name)


def parse_program(text: bytes | str, name: str = "program.json") -> ProgramFile:
    """Return the content of a program file's text. Raises ProgramFileError naming the line or the key."""
    if not text.strip():
        raise ProgramFileError(f"The file {name!r} is empty. Export the program again.")
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ProgramFileError(
            f"The file {name!r} is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}. "
            "It may be cut off; export the program again."
        ) from error
    try:
        return ProgramFile.model_validate(_checked(data, name))
    except ValidationError as error:
        key, message = first_problem(error, "the whole file")
        unknown = error.errors()[0]["type"] in ("unexpected_keyword_argument", "extra_forbidden")
        what = "no program file has this key" if unknown else message
        raise ProgramFileError(f"The file {name!r} is damaged at {key!r}: {what.rstrip('.')}.") from error


def _checked(data: object, name: str) -> dict[str, object]:
    """Return a program file's JSON value as one of today's version. Raises ProgramFileError."""
    if isinstance(data, dict) and isinstance(data.get("metadata"), dict) and "format" not in data:
        raise ProgramFileError(
            f"The file {name!r} holds the state of a program's steps, as program.save() writes it. Make the program, then "
            f"program.load({name!r})."
        )
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ProgramFileError(
            f"The file {name!r} is not a Tuneboard program: its key 'format' should be {FORMAT!r}."
        )
    version = data.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ProgramFileError(
            f"The file {name!r} is damaged at 'version': it should be a whole number from 1."
        )
    if version > VERSION:
        raise ProgramFileError(
            f"The file {name!r} has version {version}, written by a newer Tuneboard (this one reads up to {VERSION}). "
            "Update Tuneboard."
        )
    # Version 2 added searches, tools, conditions, lists and steps' own layouts: without them a file reads the same.
    return {**data, "version": VERSION}


def _with_key(choice: ModelChoice, key_envs: Collection[str]) -> ModelChoice:
    """Return a model without its key's variable, unless that is among `key_envs`: a stranger's file may name any address."""
    if choice.base_url is None or choice.key_env in key_envs:
        return choice
    return choice.model_copy(update={"key_env": ""})
