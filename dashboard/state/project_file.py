"""Pictures, PDFs and sounds uploaded for rows, as part of a project's file: taken along, checked, kept again.

Only files of the data folder travel, under the names given there when they were uploaded, which begin with the hash
of what is in them: a table that names another file of this machine takes nothing along, and a file from elsewhere
can be written nowhere else and over nothing else. No Streamlit in here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from engine.errors import ConfigurationError, DatasetError, EngineError
from engine.lm.choice import ModelChoice
from engine.pipeline.spec import CorpusSpec, PipelineSpec
from engine.runs.attachments import attached_path, keep_file, kept_name
from engine.runs.spec import ProjectDraft
from engine.store.rows import DatasetRow

if TYPE_CHECKING:
    from engine.dataset import Dataset
    from engine.runs.spec import ProjectDraft


LARGEST: Final = 60 * 2**20
"""Bytes of pictures and other files that a project's file may carry."""

_KEPT = r"[0-9a-f]{12}-[\w.-]{1,60}"
_KINDS = {"Image", "PDF", "File", "Audio"}


class AttachedFile(BaseModel):
    """One file inside a project's file: its name in the data folder, its SHA-256 and its bytes as base64."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    sha256: str
    content: str


class Attached(NamedTuple):
    """Files a table names: those that travel, and the number of cells whose file stays on this machine."""

    files: tuple[AttachedFile, ...]
    stay: int = 0


def attached(draft: ProjectDraft, table: Dataset) -> Attached:
    """Return the files that a project's rows name. Raises ConfigurationError where they are too large together."""
    names = dict.fromkeys(cell for column in table.columns for cell in _kept(table, column))
    paths = [path for name in names if (path := attached_path(name)) is not None]
    size = sum(path.stat().st_size for path in paths)
    if size > LARGEST:
        raise ConfigurationError(
            f"The pictures and files of this project have {size / 2**20:.0f} MB; a project's file carries at most "
            f"{LARGEST // 2**20} MB. Use fewer or smaller files, or save the project without them."
        )
    files = [(path.name, path.read_bytes()) for path in paths]
    return Attached(
        tuple(
            AttachedFile(name=name, sha256=_hash(content), content=base64.b64encode(content).decode())
            for name, content in files
            if kept_name(name, content) == name
        ),
        sum(1 for cell in _cells(draft, table) if cell not in names and attached_path(cell) is not None),
    )


def checked(files: Sequence[AttachedFile]) -> tuple[tuple[str, bytes], ...]:
    """Return the names and bytes of a project file's files. Raises ConfigurationError where one is not what it says."""
    if sum(len(file.content) for file in files) > LARGEST * 4 // 3 + 4 * len(files):
        raise ConfigurationError(
            f"The pictures and files in this project file have more than {LARGEST // 2**20} MB together. "
            "Save the project with fewer of them."
        )
    found = []
    for file in files:
        try:
            content = base64.b64decode(file.content, validate=True)
        except binascii.Error as error:
            raise ConfigurationError(
                f"This project file is damaged: its file {file.name[:80]!r} cannot be read."
            ) from error
        if _hash(content) != file.sha256 or _plain(file.name, content) != file.name:
            raise ConfigurationError(
                f"This project file is damaged: its file {file.name[:80]!r} is not the one it was saved with."
            )
        found.append((file.name, content))
    return tuple(found)


def keep(files: Sequence[tuple[str, bytes]]) -> None:
    """Put checked files into the data folder, each under its name. Raises DatasetError for what is no such file."""
    for name, content in files:
        keep_file(name, content)


def _plain(name: str, content: bytes) -> str:
    """Return the name under which a file would be kept; "" where it is none that can be kept."""
    if not re.fullmatch(_KEPT, name):
        return ""
    try:
        return kept_name(name, content)
    except DatasetError:
        return ""


def _kept(table: Dataset, column: str) -> list[str]:
    """Return the cells of a column that read like the name of a file of the data folder."""
    cells = table.frame[column]
    return list(cells[cells.str.fullmatch(_KEPT).to_numpy(dtype=bool, na_value=False)])


def _cells(draft: ProjectDraft, table: Dataset) -> Iterator[str]:
    """Yield the cells that fill a field of pictures, PDFs or sounds."""
    if draft.pipeline is None:
        return
    for field in (*draft.pipeline.inputs, *draft.pipeline.outputs):
        column = draft.mapping.get(field.name)
        if column in table.columns and field.parsed_type.names & _KINDS:
            yield from table.frame[column]


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


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
    """Content of a project's file; `examples` is the file's name and its bytes, None where there were none.

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
    """Read a project's file. Raises ConfigurationError."""
    try:
        data: object = orjson.loads(content)
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

    changes: dict[str, object] = {
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
    """Return whether a corpus is one of those installed with Tuneboard."""
    from engine.pipeline.corpora import SHIPPED

    return corpus.file.startswith(SHIPPED) and ".." not in corpus.file
