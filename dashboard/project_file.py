"""A project as one file: its set-up, examples, pictures and PDFs, to keep, to send, to open elsewhere. No runs, no keys.

A file may come from anybody, so it is data that is checked, and the names of variables that hold keys are left
out: an address written in a file must not be sent a key that the file itself names. Texts to search travel inside;
the name of a file to search is left out, so that nobody's file can name one of this machine. No Streamlit in here.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from dashboard.project_attachments import AttachedFile, checked
from engine.errors import ConfigurationError, EngineError
from engine.lm.choice import ModelChoice
from engine.pipeline.spec import CorpusSpec, PipelineSpec
from engine.runs.spec import ProjectDraft
from engine.store.rows import DatasetRow

FORMAT: Final = "tuneboard.project"
MODELS = ("model", "prompt_model", "teacher_model")
LARGEST_CORPUS = 20_000_000
"""Characters of texts to search that a project's file may carry."""


class _Examples(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    content: str


class _ProjectFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["tuneboard.project"] = FORMAT
    version: Literal[1, 2] = 1
    name: str
    draft: ProjectDraft
    examples: _Examples | None = None
    files: tuple[AttachedFile, ...] = ()


class Unpacked(NamedTuple):
    """What a project's file holds; `examples` is the file's name and its bytes, None where there were none.

    `files` are what its rows name, as (name, bytes): checked, and not kept yet.
    """

    name: str
    draft: ProjectDraft
    examples: tuple[str, bytes] | None
    files: tuple[tuple[str, bytes], ...] = ()


def pack(
    name: str, draft: ProjectDraft, examples: DatasetRow | None, files: Sequence[AttachedFile] = ()
) -> bytes:
    """Return a project's file, with the files that its rows name.

    >>> unpack(pack("Mine", ProjectDraft(seed=3), None)).draft.seed
    3
    """
    table = (
        _Examples(name=examples.name, content=base64.b64encode(examples.content).decode())
        if examples
        else None
    )
    file = _ProjectFile(
        version=2 if files else 1,
        name=name,
        draft=_without_keys(_with_passages(draft)),
        examples=table,
        files=tuple(files),
    )
    # What has no files can be opened by versions that knew none.
    without = None if files else {"files"}
    return orjson.dumps(file.model_dump(mode="json", exclude=without), option=orjson.OPT_INDENT_2) + b"\n"


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
    if data.get("version") not in (1, 2):
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
    return Unpacked(file.name, _without_keys(_without_files(file.draft)), table, checked(file.files))


def _without_keys(draft: ProjectDraft) -> ProjectDraft:
    def bare(choice: ModelChoice) -> ModelChoice:
        return choice.model_copy(update={"key_env": "" if choice.base_url else None})

    changes: dict[str, Any] = {
        name: bare(choice) for name in MODELS if (choice := getattr(draft, name)) is not None
    }
    if draft.pipeline is not None:
        changes["pipeline"] = draft.pipeline.with_models(bare)
    return draft.model_copy(update=changes)


def _with_passages(draft: ProjectDraft) -> ProjectDraft:
    """Put the texts to search in the place of their file's name, as far as the file is there and not too long."""
    from engine.pipeline.corpora import pinned

    def packed(corpus: CorpusSpec) -> CorpusSpec:
        if not corpus.file or _shipped(corpus):
            return corpus
        try:
            return pinned(corpus, LARGEST_CORPUS)
        except EngineError:
            return corpus

    return _with_corpora(draft, packed)


def _without_files(draft: ProjectDraft) -> ProjectDraft:
    return _with_corpora(draft, lambda c: c if not c.file or _shipped(c) else CorpusSpec())


def _with_corpora(draft: ProjectDraft, change: Callable[[CorpusSpec], CorpusSpec]) -> ProjectDraft:
    if draft.pipeline is None:
        return draft
    steps = tuple(
        s.model_copy(update={"options": s.options.model_copy(update={"corpus": change(s.options.corpus)})})
        for s in draft.pipeline.steps
    )
    return draft.model_copy(update={"pipeline": PipelineSpec(steps=steps)})


def _shipped(corpus: CorpusSpec) -> bool:
    """Whether a corpus is one of those installed with Tuneboard."""
    from engine.pipeline.corpora import SHIPPED

    return corpus.file.startswith(SHIPPED) and ".." not in corpus.file
