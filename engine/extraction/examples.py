"""`Example`: a document, as text, pictures or a PDF, and the right record where it is known."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.dataset.documents.paged import PagedDocument, read_document
from engine.errors import DatasetError
from engine.modules.extract import Scan, document_pieces
from engine.records import Example as Row
from engine.signature.types.media import Image

TEXT_KEYS = ("text", "document", "review", "content", "input", "body")
"""Keys of a dict in which its plain text is looked for."""

Source = str | Path
Sources = Source | Sequence[Source] | None
Placeholders = Mapping[str, Any]

INCHES = 12
"""Length of a page's longer side: with the resolution it gives the size of its picture."""


@dataclass(frozen=True)
class Example:
    """A document and, if known, its right record.

    `text` is a text, or a dict whose values fill `{placeholders}` in the prompts; pictures and PDFs come from files or as
    base 64, several of each as a list; text and pictures together are one document. `expected_output` is a dict, an instance
    of the model, a text, or None where a judge decides.

    >>> Example(text={"text": "Total: 3", "currency": "EUR"}).document
    'Total: 3'
    """

    text: str | Placeholders | None = None
    image_path: Sources = None
    image_base64: str | Sequence[str] | None = None
    pdf_path: Sources = None
    expected_output: Any = None
    pdf_dpi: int = 150
    name: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.text, str | Mapping | None):
            raise DatasetError(
                f"A document's text is a text or a dict of values, not {type(self.text).__name__}."
            )

    @property
    def document(self) -> str:
        """The plain text: of a dict the value of a usual key, else all values joined."""
        if self.text is None or isinstance(self.text, str):
            return self.text or ""
        for key in TEXT_KEYS:
            if isinstance(found := self.text.get(key), str):
                return found
        return "\n".join(f"{key}: {value}" for key, value in self.text.items())

    @property
    def placeholders(self) -> dict[str, str]:
        """Values of `{placeholders}` by name."""
        if self.text is None or isinstance(self.text, str):
            return {"text": self.text} if self.text else {}
        return {str(key): str(value) for key, value in self.text.items()}

    def _files(self) -> list[PagedDocument]:
        coded = [_decoded(str(data)) for data in several(self.image_base64)]
        return [opened(one) for one in (*several(self.image_path), *coded, *several(self.pdf_path))]

    def documents(self) -> list[PagedDocument]:
        """Return the text and every file as documents of pages, read now. Raises DatasetError."""
        text = [read_document(self.document)] if self.document.strip() else []
        return text + self._files()

    def inputs(self) -> dict[str, Any]:
        """Return what a step reads of it: `document`, `pictures` and `placeholders`, those that there are.

        Files are read now. Raises DatasetError, naming the file, for one that cannot be used, and where there is nothing.
        """
        pieces = list(document_pieces(self._files()))
        texts = [self.document, *(piece.strip() for piece in pieces if isinstance(piece, str))]
        scans = [piece for piece in pieces if isinstance(piece, Scan)]
        found: dict[str, Any] = {"document": "\n\n".join(text for text in texts if text.strip())}
        if scans:
            found["pictures"] = [Image(s.document.picture(s.page, self.pdf_dpi * INCHES)) for s in scans]
        if isinstance(self.text, Mapping):
            found["placeholders"] = self.placeholders
        if not found["document"]:
            del found["document"]
            if not scans:
                raise DatasetError("The document is empty: give text, image_path, image_base64 or pdf_path.")
        return found


def several(given: Any) -> list[Any]:
    """Return one source, several or none as a list."""
    if given is None:
        return []
    return [given] if isinstance(given, str | Path) else list(given)


def opened(source: Source | bytes) -> PagedDocument:
    """Return a file, or a picture's bytes, as a document of pages. Raises DatasetError."""
    name = "A picture in base 64" if isinstance(source, bytes) else ""
    return read_document(Path(source) if isinstance(source, str) else source, name)


def _decoded(data: str) -> bytes:
    try:
        return base64.b64decode(data.partition(";base64,")[2] or data, validate=True)
    except ValueError:
        raise DatasetError(f"A picture in base 64 cannot be used: it begins with {data[:20]!r}.") from None


def image_to_base64(path: Source) -> str:
    """Return a picture file as a PNG in base 64. Raises DatasetError."""
    return pdf_to_base64_images(path)[0]


def pdf_to_base64_images(path: Source, dpi: int = 150) -> list[str]:
    """Return every page of a PDF, or a picture, as a PNG in base 64. Raises DatasetError."""
    return [base64.b64encode(page).decode() for page in read_document(Path(path)).pictures(dpi * INCHES)]


def prepare_input_data(
    text: str | Placeholders | None = None,
    image_path: Sources = None,
    image_base64: str | Sequence[str] | None = None,
    pdf_path: Sources = None,
    pdf_dpi: int = 150,
) -> dict[str, Any]:
    """Return what a step reads of a document; see `Example.inputs`.

    >>> prepare_input_data("Total: 3")
    {'document': 'Total: 3'}
    """
    return Example(text, image_path, image_base64, pdf_path, pdf_dpi=pdf_dpi).inputs()


def example_of(given: Any, **parts: Any) -> Example:
    """Return what a user gives as a document, a text, a dict or an Example, as an Example; `parts` are more of its arguments."""
    if parts:
        return Example(text=given, **parts)
    if isinstance(given, Example):
        return given
    if isinstance(given, Row):
        known = {name: value for name, value in given.items() if name in _NAMES}
        return Example(**known, expected_output=given.get("expected_output"))
    if isinstance(given, Mapping) and given and given.keys() <= _NAMES:
        return Example(**given)
    return Example(text=given)


_NAMES = frozenset({"text", "image_path", "image_base64", "pdf_path", "pdf_dpi"})
