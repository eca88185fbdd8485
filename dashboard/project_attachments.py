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
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from pydantic import BaseModel, ConfigDict

from engine.errors import ConfigurationError, DatasetError
from engine.runs.attachments import attached_path, keep_file, kept_name

if TYPE_CHECKING:
    from engine.dataset import Dataset
    from engine.runs.spec import ProjectDraft

LARGEST: Final = 60 * 2**20
"""Bytes of pictures and other files that a project's file may carry."""

_KEPT = r"[0-9a-f]{12}-[\w.-]{1,60}"
_KINDS = ("Image", "PDF", "File", "Audio")


class AttachedFile(BaseModel):
    """One file inside a project's file: its name in the data folder, its SHA-256 and its bytes as base64."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    sha256: str
    content: str


class Attached(NamedTuple):
    """What a table names: the files that travel, and how many cells name a file that stays on this machine."""

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
        if column in table.columns and any(kind in field.type for kind in _KINDS):
            yield from table.frame[column]


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
