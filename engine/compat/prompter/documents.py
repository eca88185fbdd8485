"""Labelled documents: text, pictures or a PDF, and the right record where it is known."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.basics.data import JsonObject
from engine.dataset.documents.paged import PagedDocument, read_document
from engine.errors import DatasetError
from engine.modules.extract import Scan, document_pieces
from engine.records import Example
from engine.signature.types.media import Image

DOCUMENT, PICTURES, PLACEHOLDERS = "document", "pictures", "placeholders"
"""Inputs of the step that reads a document."""

TEXT_KEYS = ("text", "document", "review", "content", "input", "body")
"""Keys of a dict in which its plain text is looked for."""

Source = str | Path
Sources = Source | Sequence[Source] | None
Placeholders = Mapping[str, object]

INCHES = 12
"""Length of a page's longer side: with the resolution it gives the size of its picture."""


@dataclass(frozen=True)
class LabelledDocument:
    """A document and, if known, its right record; `Example` under DSPydantic's name.

    Text and pictures together are one document.

    >>> LabelledDocument(text={"text": "Total: 3", "currency": "EUR"}).document
    'Total: 3'
    """

    text: str | Placeholders | None = None
    """A text, or a dict whose values fill `{placeholders}` in the prompts."""
    image_path: Sources = None
    """One picture file or several."""
    image_base64: str | Sequence[str] | None = None
    """One picture or several, as base 64 or data URIs."""
    pdf_path: Sources = None
    """One PDF file or several."""
    expected_output: Any = None
    """The right record: a dict, an instance of the model, JSON or a text; None where a judge decides."""
    pdf_dpi: int = 150
    """Resolution of pages that are sent as pictures."""
    name: str = field(default="", kw_only=True)
    """A name for the user's own use."""

    def __post_init__(self) -> None:
        if not isinstance(self.text, str | Mapping | None):
            given = "Example" if isinstance(self.text, LabelledDocument) else type(self.text).__name__
            raise DatasetError(f"A document's text is a text or a dict of values, not {given}.")

    @property
    def document(self) -> str:
        """The plain text: of a dict the value of a usual key, else all values joined."""
        if self.text is None or isinstance(self.text, str):
            return self.text or ""
        for key in TEXT_KEYS:
            if isinstance(text := self.text.get(key), str):
                return text
        return "\n".join(f"{key}: {value}" for key, value in self.text.items())

    @property
    def placeholders(self) -> dict[str, str]:
        """Values of `{placeholders}` by name."""
        if self.text is None or isinstance(self.text, str):
            return {"text": self.text} if self.text else {}
        return {str(key): str(value) for key, value in self.text.items()}

    def files(self) -> list[PagedDocument]:
        """Return every picture and PDF as a document of pages, read now. Raises DatasetError for an unusable one."""
        pictures = [_decoded(str(data)) for data in _as_list(self.image_base64)]
        return [_opened(s) for s in (*_as_list(self.image_path), *pictures, *_as_list(self.pdf_path))]

    def inputs(self, files: Sequence[PagedDocument] | None = None) -> JsonObject:
        """Return the values that a step reads: `document`, `pictures` and `placeholders`, without empty ones.

        Files that are not given are read now. Raises DatasetError as `files` does, and for an empty document.
        """
        pieces = list(document_pieces(self.files() if files is None else files))
        texts = [self.document, *(piece.strip() for piece in pieces if isinstance(piece, str))]
        scans = [piece for piece in pieces if isinstance(piece, Scan)]
        inputs: JsonObject = {}
        if text := "\n\n".join(text for text in texts if text.strip()):
            inputs[DOCUMENT] = text
        if scans:
            inputs[PICTURES] = [Image(s.document.picture(s.page, self.pdf_dpi * INCHES)) for s in scans]
        if not inputs:
            raise DatasetError("The document is empty: give text, image_path, image_base64 or pdf_path.")
        if isinstance(self.text, Mapping):
            inputs[PLACEHOLDERS] = self.placeholders
        return inputs


def labelled_document(given: Any, **parts: Any) -> LabelledDocument:
    """Return a text, a dict, an `Example` of either kind or keyword arguments as a document."""
    if parts:
        return LabelledDocument(text=given, **parts)
    if isinstance(given, LabelledDocument):
        return given
    if isinstance(given, Example):
        known = {name: value for name, value in given.items() if name in _INPUT_NAMES}
        return LabelledDocument(**known, expected_output=given.get("expected_output"))
    if isinstance(given, Mapping) and given and given.keys() <= _INPUT_NAMES:
        return LabelledDocument(**given)
    return LabelledDocument(text=given)


_INPUT_NAMES = frozenset({"text", "image_path", "image_base64", "pdf_path", "pdf_dpi"})


def _as_list(given: Any) -> list[Any]:
    if given is None:
        return []
    return [given] if isinstance(given, str | Path) else list(given)


def _opened(source: Source | bytes) -> PagedDocument:
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


def prepare_input_data(*args: Any, **parts: Any) -> JsonObject:
    """Return the values that a step reads of a document; takes the arguments of `Example` without the expected output.

    >>> prepare_input_data("Total: 3")
    {'document': 'Total: 3'}
    """
    return LabelledDocument(*args, **parts).inputs()
