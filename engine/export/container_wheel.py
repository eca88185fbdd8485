"""A wheel of exactly this Tuneboard, made in memory of the files that run here, installed editable or as a wheel alike.

Format: the binary distribution format of the Python Packaging Authority, version 1.0. It knows packages, no programs.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from engine.errors import ProgramFileError

PACKAGES = ("engine", "dashboard", "sample_data")
TOP = """\
Wheel-Version: 1.0
Generator: tuneboard
Root-Is-Purelib: true
Tag: py3-none-any
"""
_STAMP = (1980, 1, 1, 0, 0, 0)
"""The oldest time that a zip can say: the same files give the same bytes."""


class Wheel(NamedTuple):
    """A wheel's file name, and its bytes."""

    name: str
    content: bytes


@lru_cache(maxsize=1)
def wheel() -> Wheel:
    """Return the wheel, made once a process. Raises ProgramFileError where Tuneboard is not installed as a package.

    >>> wheel().name.startswith("tuneboard-")
    True
    """
    try:
        known = distribution("tuneboard")
    except PackageNotFoundError as error:
        raise ProgramFileError(
            "No package can be made of this Tuneboard, because it is not installed as one. Install it with pip, editable or not."
        ) from error
    named = f"tuneboard-{known.version}"
    files = {**dict(_modules()), **dict(_about(known, f"{named}.dist-info"))}
    record = "".join(f"{path},sha256={_digest(data)},{len(data)}\n" for path, data in files.items())
    files[f"{named}.dist-info/RECORD"] = f"{record}{named}.dist-info/RECORD,,\n".encode()
    return Wheel(f"{named}-py3-none-any.whl", zipped(files))


def zipped(files: dict[str, bytes]) -> bytes:
    """Return files by path as a zip. The same files give the same bytes; what is a zip itself is not pressed again."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for path, data in files.items():
            entry = zipfile.ZipInfo(path, _STAMP)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_STORED if path.endswith(".whl") else zipfile.ZIP_DEFLATED
            made.writestr(entry, data)
    return out.getvalue()


def _modules() -> Iterator[tuple[str, bytes]]:
    """Every file of the packages, where they lie now."""
    for package in PACKAGES:
        found = find_spec(package)
        for folder in (found.submodule_search_locations or ()) if found else ():
            for path in sorted(Path(folder).rglob("*")):
                inside = path.relative_to(folder)
                if path.is_file() and "__pycache__" not in inside.parts and path.suffix != ".pyc":
                    yield f"{package}/{inside.as_posix()}", path.read_bytes()


def _about(known: Distribution, folder: str) -> Iterator[tuple[str, bytes]]:
    """What the package says of itself: its dependencies, its command and its licence."""
    yield f"{folder}/METADATA", (known.read_text("METADATA") or "").encode()
    yield f"{folder}/WHEEL", TOP.encode()
    yield f"{folder}/entry_points.txt", (known.read_text("entry_points.txt") or "").encode()
    if licence := known.read_text("licenses/LICENSE"):
        yield f"{folder}/licenses/LICENSE", licence.encode()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
