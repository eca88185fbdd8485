"""Bytes to text, whatever wrote them: UTF-8 with or without a mark, UTF-16, UTF-32, Windows-1252.

Knows no file format. What had to be guessed or repaired is told in notes.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from engine.errors import DatasetError

_MARKS = (
    # The UTF-32 marks begin with the UTF-16 ones, so they are tried first.
    (codecs.BOM_UTF32_LE, "utf-32-le", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32-be", "UTF-32"),
    (codecs.BOM_UTF8, "utf-8", ""),
    (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16"),
)
_CONTROLS = tuple(bytes([c]) for c in range(1, 32) if c not in b"\t\n\r\v\f\x1b")


@dataclass(frozen=True, slots=True)
class Decoded:
    """Text, and notes on how it was read. `utf8` is the text's UTF-8 when the bytes already were that."""

    text: str
    notes: tuple[str, ...] = ()
    utf8: bytes | None = None


def decode(data: bytes, name: str) -> Decoded:
    """Read bytes as text. Raises DatasetError when they are not text.

    >>> decode("café".encode("cp1252"), "menu.csv").text
    'café'
    >>> decode("café".encode("utf-16"), "menu.csv").notes
    ('The file is encoded in UTF-16 and was read as such.',)
    """
    for mark, codec, title in _MARKS:
        if data.startswith(mark):
            return _marked(data[len(mark) :], codec, title, name)
    sample = data[:4096]
    if sample.count(0) > len(sample) // 5:
        order = _unmarked_utf16(sample)
        if order is None:
            raise _not_text(name)
        return _marked(data, order, "UTF-16", name)
    if sum(sample.count(c) for c in _CONTROLS) > max(8, len(sample) // 50):
        raise _not_text(name)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return _not_utf8(data, error)
    return _without_nuls(text, data, ())


def _marked(data: bytes, codec: str, title: str, name: str) -> Decoded:
    notes: tuple[str, ...] = (f"The file is encoded in {title} and was read as such.",) if title else ()
    try:
        text = data.decode(codec)
    except UnicodeDecodeError:
        text = data.decode(codec, "replace")
        if text.count("\ufffd") > max(10, len(text) // 100):
            raise _not_text(name) from None
        notes += ("Some characters are damaged and are shown as \ufffd.",)
    return _without_nuls(text, data if codec == "utf-8" and "\ufffd" not in text else None, notes)


def _unmarked_utf16(sample: bytes) -> str | None:
    """Return the byte order of UTF-16 without a mark: Latin letters leave every other byte 0."""
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    half = len(sample) // 2
    if odd > half * 0.4 and even < half * 0.1:
        return "utf-16-le"
    if even > half * 0.4 and odd < half * 0.1:
        return "utf-16-be"
    return None


def _not_utf8(data: bytes, error: UnicodeDecodeError) -> Decoded:
    replaced = data.decode("utf-8", "replace")
    damaged = replaced.count("\ufffd")
    fine = sum(not c.isascii() for c in replaced) - damaged
    if fine > damaged * 4:
        line = data.count(b"\n", 0, error.start) + 1
        note = (
            f"{damaged:,} character{'s are' if damaged > 1 else ' is'} damaged and shown as \ufffd, "
            f"the first in line {line:,}."
        )
        return _without_nuls(replaced, None, (note,))
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    note = (
        "The file is not in UTF-8; it was read as Windows-1252 (Western European). "
        "If accented letters look wrong, save it again as 'CSV UTF-8' and upload that."
    )
    return _without_nuls(text, None, (note,))


def _without_nuls(text: str, utf8: bytes | None, notes: tuple[str, ...]) -> Decoded:
    count = text.count("\0")
    if not count:
        return Decoded(text, notes, utf8)
    note = f"{count:,} NUL character{'s were' if count > 1 else ' was'} removed."
    return Decoded(text.replace("\0", ""), (*notes, note))


def _not_text(name: str) -> DatasetError:
    return DatasetError(
        f"{name!r} is not a text file. Save the table as CSV, Excel (.xlsx), JSON or Parquet and upload that."
    )
