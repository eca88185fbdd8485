"""`File` and `PDF`: a file in a field."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import model_validator

from engine.types.base import Part, Type, data_uri, decoded, shortened, split_data_uri
from engine.types.download import TIMEOUT, download

_UNKNOWN = "application/octet-stream"


class File(Type):
    """A file by its data (`file_data`, a data URI) or by the id a provider gave it (`file_id`), with a `filename`.

    `File.from_path` reads one, `File.from_bytes` and `File.from_file_id` take what is there, `File.from_url` downloads.

    >>> File.from_bytes(b"a,b", filename="t.csv").format()
    [{'type': 'file', 'file': {'file_data': 'data:text/csv;base64,YSxi', 'filename': 't.csv'}}]
    """

    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_other_forms(cls, value: Any) -> Any:
        if isinstance(value, bytes | bytearray):
            return {"file_data": data_uri(_UNKNOWN, bytes(value))}
        if isinstance(value, str):
            return {"file_data": value}
        return dict(value) if isinstance(value, Mapping) else value

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        if not self.file_data and not self.file_id:
            raise ValueError("A file needs file_data (a data URI) or file_id.")
        if self.file_data:
            parts = split_data_uri(self.file_data)
            if parts is None:
                raise ValueError(
                    f"{shortened(self.file_data)!r} is no data URI. No file is read unasked: use {type(self).__name__}.from_path(...)."
                )
            decoded(parts[1][:64], "The file")
        return self

    @classmethod
    def from_path(cls, path: str | Path, filename: str | None = None, mime_type: str | None = None) -> Self:
        """Read a file now and keep its data."""
        file = Path(path)
        try:
            data = file.read_bytes()
        except OSError as error:
            raise ValueError(f"The file {str(file)!r} cannot be read: {error.strerror}.") from None
        return cls.from_bytes(data, filename or file.name, mime_type)

    @classmethod
    def from_bytes(cls, data: bytes, filename: str | None = None, mime_type: str | None = None) -> Self:
        """Return bytes as a file; the type is guessed from the name where it is not given."""
        kind = mime_type or mimetypes.guess_type(filename or "")[0] or _UNKNOWN
        return cls(file_data=data_uri(kind, data), filename=filename)

    @classmethod
    def from_file_id(cls, file_id: str, filename: str | None = None) -> Self:
        """Return a file that the model's provider holds already."""
        return cls(file_id=file_id, filename=filename)

    @classmethod
    def from_url(cls, url: str, timeout: float = TIMEOUT, *, allow_private: bool = False) -> Self:
        """Download a file now and keep its data."""
        data, kind = download(url, timeout=timeout, allow_private=allow_private)
        return cls.from_bytes(data, url.split("?")[0].rpartition("/")[2] or None, kind)

    def format(self) -> list[Part]:
        """Return the file as a part of a message."""
        return [{"type": "file", "file": self.model_dump(exclude_none=True)}]

    def __repr__(self) -> str:
        shown = self.filename or self.file_id or shortened(self.file_data or "")
        return f"{type(self).__name__}({shown!r})"

    __str__ = __repr__


class PDF(File):
    """A PDF document. Raises ValueError when the data is none.

    >>> PDF.from_bytes(b"%PDF-1.7 ...", "a.pdf")
    PDF('a.pdf')
    """

    @model_validator(mode="after")
    def _is_a_pdf(self) -> Self:
        parts = split_data_uri(self.file_data or "")
        if parts is not None and not decoded(parts[1][:64], "The file").startswith(b"%PDF-"):
            raise ValueError("The file is no PDF: its data does not begin with %PDF-.")
        return self

    @classmethod
    def from_bytes(cls, data: bytes, filename: str | None = None, mime_type: str | None = None) -> Self:
        """Return bytes as a PDF."""
        return super().from_bytes(data, filename, mime_type or "application/pdf")
