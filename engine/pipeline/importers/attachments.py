"""Cells that name a file: a picture or a PDF on this machine becomes the value of an Image, File, PDF or Audio field.

A table may come from anybody, so only what is by its own bytes a picture, a PDF or a sound is read, and texts that
were kept in the data folder: no other file of this machine can be named in a table and sent to a model. Of a table in
an imported project only files of the data folder are read.
"""

from __future__ import annotations

import hashlib
import mimetypes
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from engine.adapters.values import parse_value
from engine.basics.home import data_home, write_whole
from engine.errors import DatasetError
from engine.signature.types.media import PDF, Audio, File, Image, media_type

FOLDER = "files"
LARGEST = 20 * 2**20
TEXT = ".txt"
"""Ending of the texts that are kept."""

_KINDS: tuple[Any, ...] = (Image, File, PDF, Audio)
_ADDRESS = re.compile(r"(?:data|https?|gs):|\s*[{\[]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class GivenFile:
    """A file that a user brings: its name, or its path inside an archive, and its bytes."""

    name: str
    content: bytes

    @property
    def ending(self) -> str:
        """Ending of the name, in small letters."""
        return PurePosixPath(self.name).suffix.lower()

    @property
    def stem(self) -> str:
        """The path without its ending, by which answers are found too."""
        return str(PurePosixPath(self.name).with_suffix("")).casefold()


def parse_cell(text: str, annotation: Any, *, local_files: bool = True) -> object:
    """Return a cell as a value of a type, as `parse_value` does; the path of a picture, PDF or sound is read."""
    if annotation in _KINDS and not _ADDRESS.match(text):
        path = attached_path(text, local_files=local_files)
        if path is None:
            where = "on this machine" if local_files else "among the files that came with this project"
            raise ValueError(f"there is no picture, PDF or sound {text[:80]!r} {where}")
        return annotation.from_path(path)
    return parse_value(text, annotation)


def attached_path(text: str, *, local_files: bool = True) -> Path | None:
    """Return the file that a cell names, where it is a picture, a PDF or a sound; a short name is looked for in the data folder.

    Without `local_files` no other name counts.
    """
    if not text or len(text) > 1000 or "\0" in text or _ADDRESS.match(text):
        return None
    if not local_files and Path(text).name != text:
        return None
    path = Path(text).expanduser()
    in_data_folder = not path.is_absolute()
    if in_data_folder:
        path = data_home() / FOLDER / Path(text).name
    try:
        if not path.is_file() or path.stat().st_size > LARGEST:
            return None
        if in_data_folder and path.suffix == TEXT:
            return path
        with path.open("rb") as file:
            return path if _is_known_kind(file.read(64), path.name) else None
    except OSError:
        return None


def keep_file(name: str, content: bytes) -> str:
    """Keep a picture, a PDF or a text in the data folder; return the text that names it in a cell. Raises DatasetError."""
    file_name = kept_name(name, content)
    write_whole(data_home() / FOLDER / file_name, content)
    return file_name


def kept_name(name: str, content: bytes) -> str:
    """Return the name under which a file is kept: the start of its hash and a plain name; a kept file's is its own.

    Raises DatasetError for a file that is too large, or no picture, PDF, sound or text.

    >>> kept_name("../My dot.gif", b"GIF89a")
    '610f5ae4d76e-My_dot.gif'
    """
    if len(content) > LARGEST:
        raise DatasetError(
            f"{name!r} has {len(content) / 2**20:.0f} MB; at most {LARGEST // 2**20} MB can be used."
        )
    if not (_is_known_kind(content[:64], name) or name.endswith(TEXT)):
        raise DatasetError(
            f"{name!r} is no picture, PDF or sound that is known here. Use PNG, JPEG, GIF, WebP or PDF."
        )
    start = f"{hashlib.sha256(content).hexdigest()[:12]}-"
    plain = re.sub(r"[^\w.-]+", "_", Path(name).name).removeprefix(start).lstrip(".")[-60:] or "file"
    return f"{start}{plain}"


def _is_known_kind(start: bytes, name: str) -> bool:
    sound = (mimetypes.guess_type(name)[0] or "").startswith("audio/") and (
        start[:4] in (b"RIFF", b"OggS", b"fLaC")
        or start[:3] == b"ID3"
        or start[:2] in (b"\xff\xfb", b"\xff\xf3")
        or start[4:8] == b"ftyp"
    )
    return media_type(start) is not None or start.startswith(b"%PDF-") or sound
