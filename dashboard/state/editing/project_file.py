"""A project as a file: its draft, its examples, and the pictures, PDFs and sounds uploaded for them.

Only files of the data folder travel, under the names given there when they were uploaded, which begin with the hash
of what is in them: a table that names another file of this machine takes nothing along, and a file from elsewhere
can be written nowhere else and over nothing else. No Streamlit in here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Final, Literal

import orjson
from pydantic import BeforeValidator, PlainSerializer, ValidationError, field_validator, model_validator

from engine.errors import ConfigurationError, DatasetError, EngineError, first_problem
from engine.pipeline.importers.attachments import attached_path, kept_name
from engine.pipeline.spec import CorpusSpec
from engine.runs.spec import Frozen, ProjectDraft
from engine.runs.trust import harmless, is_shipped, with_corpora, without_keys
from engine.store.rows import DatasetRow

if TYPE_CHECKING:
    from engine.dataset import Dataset


FORMAT: Final = "tuneboard.project"
LARGEST: Final = 60 * 2**20
"""Bytes of pictures and other files that a project's file may carry."""

LARGEST_CORPUS = 20_000_000
"""Characters of texts to search that a project's file may carry."""

_KEPT = r"[0-9a-f]{12}-[\w.-]{1,60}"
_KINDS = {"Image", "PDF", "File", "Audio"}


def _decoded(content: object) -> object:
    try:
        return base64.b64decode(content, validate=True) if isinstance(content, str) else content
    except binascii.Error as error:
        raise ConfigurationError(
            "This project file is damaged: its examples or its files cannot be read."
        ) from error


Base64 = Annotated[
    bytes, BeforeValidator(_decoded), PlainSerializer(lambda data: base64.b64encode(data).decode())
]
"""Bytes, in JSON as base64."""


class _Table(Frozen):
    name: str
    content: Base64


class AttachedFile(Frozen):
    """One file inside a project's file: its name in the data folder, its SHA-256 and its bytes."""

    name: str
    sha256: str
    content: Base64

    @model_validator(mode="after")
    def _check(self) -> AttachedFile:
        """Raise ConfigurationError for a file that is not what it says."""
        if _hash(self.content) != self.sha256 or _plain(self.name, self.content) != self.name:
            raise ConfigurationError(
                f"This project file is damaged: its file {self.name[:80]!r} is not the one it was saved with."
            )
        return self


class ProjectFile(Frozen):
    """Content of a project's file: its draft, its table of examples, and the files that the table's rows name."""

    format: Literal["tuneboard.project"] = FORMAT
    version: Literal[1, 2] = 1
    name: str
    draft: ProjectDraft
    examples: _Table | None = None
    files: tuple[AttachedFile, ...] = ()

    @field_validator("files", mode="before")
    @classmethod
    def _check_size(cls, files: object) -> object:
        """Raise ConfigurationError for files that are too large together; base64 takes four characters for three bytes."""
        known = [f for f in files if isinstance(f, dict)] if isinstance(files, list) else []
        if sum(len(str(f.get("content", ""))) * 3 // 4 for f in known) > LARGEST:
            raise ConfigurationError(
                f"The pictures and files in this project file have more than {LARGEST // 2**20} MB together. "
                "Save the project with fewer of them."
            )
        return files


def attached(draft: ProjectDraft, table: Dataset) -> tuple[tuple[AttachedFile, ...], int]:
    """Return the files that travel with a project's rows, and the number of cells whose file stays on this machine.

    Raises ConfigurationError where they are too large together.
    """
    names = dict.fromkeys(cell for column in table.columns for cell in _kept(table, column))
    paths = [path for name in names if (path := attached_path(name)) is not None]
    size = sum(path.stat().st_size for path in paths)
    if size > LARGEST:
        raise ConfigurationError(
            f"The pictures and files of this project have {size / 2**20:.0f} MB; a project's file carries at most "
            f"{LARGEST // 2**20} MB. Use fewer or smaller files, or save the project without them."
        )
    files = [(path.name, path.read_bytes()) for path in paths]
    travel = tuple(
        AttachedFile(name=name, sha256=_hash(content), content=content)
        for name, content in files
        if kept_name(name, content) == name
    )
    cells = _cells(draft, table)
    return travel, sum(1 for cell in cells if cell not in names and attached_path(cell) is not None)


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


def pack(
    name: str, draft: ProjectDraft, examples: DatasetRow | None, files: Sequence[AttachedFile] = ()
) -> bytes:
    """Return a project's file, with the files that its rows name.

    >>> unpack(pack("Mine", ProjectDraft(seed=3), None)).draft.seed
    3
    """
    file = ProjectFile(
        version=2 if files else 1,
        name=name,
        draft=without_keys(_with_passages(draft)),
        examples=None if examples is None else _Table(name=examples.name, content=examples.content),
        files=tuple(files),
    )
    # What has no files can be opened by versions that knew none.
    without = None if files else {"files"}
    return orjson.dumps(file.model_dump(mode="json", exclude=without), option=orjson.OPT_INDENT_2) + b"\n"


def unpack(content: bytes) -> ProjectFile:
    """Read a project's file; its files are checked, and not kept yet. Raises ConfigurationError."""
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
        file = ProjectFile.model_validate(data)
    except ValidationError as error:
        caused = error.errors()[0].get("ctx", {}).get("error")
        if isinstance(caused, ConfigurationError):
            raise caused from None
        where, message = first_problem(error, "the whole file")
        raise ConfigurationError(f"This project file is damaged at {where!r}: {message}.") from error
    return file.model_copy(update={"draft": harmless(file.draft)})


def _with_passages(draft: ProjectDraft) -> ProjectDraft:
    """Put the texts to search in the place of their file's name, as far as the file is there and not too long."""
    from engine.pipeline.corpora import pinned

    def packed(corpus: CorpusSpec) -> CorpusSpec:
        if not corpus.file or is_shipped(corpus):
            return corpus
        try:
            return pinned(corpus, LARGEST_CORPUS)
        except EngineError:
            return corpus

    return with_corpora(draft, packed)
