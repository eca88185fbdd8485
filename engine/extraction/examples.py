"""`Example`: a document, as text, pictures or a PDF, and the right record where it is known."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import DatasetError
from engine.records import Example as Row
from engine.types.media import Image

TEXT_KEYS = ("text", "document", "review", "content", "input", "body")
"""Keys of a dict in which its plain text is looked for."""

Source = str | Path
Sources = Source | Sequence[Source] | None
Placeholders = Mapping[str, Any]

MOST_PAGES = 1000
LARGEST_PICTURE = 64_000_000
"""Pixels of a page that is drawn."""


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

    def inputs(self) -> dict[str, Any]:
        """Return what a step reads of it: `document`, `pictures` and `placeholders`, those that there are.

        Files are read now. Raises DatasetError, naming the file, for one that cannot be used, and where there is nothing.
        """
        text, pictures = [self.document] if self.document else [], list[Image]()
        for path in several(self.image_path):
            pictures.append(_picture(path))
        for data in several(self.image_base64):
            pictures.append(_picture_of(str(data)))
        for path in several(self.pdf_path):
            words, pages = pdf_parts(path, self.pdf_dpi)
            text += [words] if words else []
            pictures += pages
        if not text and not pictures:
            raise DatasetError("The document is empty: give text, image_path, image_base64 or pdf_path.")
        found: dict[str, Any] = {"document": "\n\n".join(text)} if text else {}
        if pictures:
            found["pictures"] = pictures
        if isinstance(self.text, Mapping):
            found["placeholders"] = self.placeholders
        return found


def several(given: Any) -> list[Any]:
    """Return one source, several or none as a list."""
    if given is None:
        return []
    return [given] if isinstance(given, str | Path) else list(given)


def _picture(path: Source) -> Image:
    try:
        return Image.from_path(path)
    except ValueError as error:
        raise DatasetError(f"The picture {str(path)!r} cannot be used: {_reason(error)}") from None


def _picture_of(data: str) -> Image:
    try:
        return Image(data if data.startswith("data:") else base64.b64decode(data, validate=True))
    except ValueError as error:
        raise DatasetError(f"A picture in base 64 cannot be used: {_reason(error)}") from None


def _reason(error: ValueError) -> str:
    errors = getattr(error, "errors", None)
    return str(errors()[0]["msg"]).removeprefix("Value error, ") if callable(errors) else str(error)


def pdf_parts(path: Source, dpi: int) -> tuple[str, list[Image]]:
    """Return the text of a PDF's pages, and pictures of the pages that have none. Raises DatasetError."""
    import pypdfium2

    try:
        pdf = pypdfium2.PdfDocument(str(path))
    except FileNotFoundError:
        raise DatasetError(f"The PDF {str(path)!r} does not exist.") from None
    except pypdfium2.PdfiumError as error:
        what = (
            "is encrypted: remove its password"
            if "password" in str(error).lower()
            else "is broken: no page can be read"
        )
        raise DatasetError(f"The PDF {str(path)!r} {what}.") from None
    with pdf:
        if len(pdf) > MOST_PAGES:
            raise DatasetError(
                f"The PDF {str(path)!r} has {len(pdf):,} pages; at most {MOST_PAGES:,} are read."
            )
        texts, pictures = [], []
        for number in range(len(pdf)):
            page = pdf[number]
            words = page.get_textpage().get_text_bounded().strip()
            if words:
                texts.append(f"[Page {number + 1}]\n{words}" if len(pdf) > 1 else words)
            else:
                pictures.append(Image(_drawn(page, dpi)))
            page.close()
    return "\n\n".join(texts), pictures


def _drawn(page: Any, dpi: int) -> bytes:
    """Return a page as a PNG, at a lower resolution where it would be too large."""
    width, height = page.get_size()
    scale = min(dpi / 72, (LARGEST_PICTURE / max(1.0, width * height)) ** 0.5)
    out = io.BytesIO()
    page.render(scale=scale).to_pil().save(out, format="PNG")
    return out.getvalue()


def image_to_base64(path: Source) -> str:
    """Return a picture file as base 64. Raises DatasetError."""
    return _picture(path).url.partition(";base64,")[2]


def pdf_to_base64_images(path: Source, dpi: int = 150) -> list[str]:
    """Return every page of a PDF as a PNG in base 64. Raises DatasetError."""
    import pypdfium2

    pdf_parts(path, 36)  # says what is wrong with the file
    with pypdfium2.PdfDocument(str(path)) as pdf:
        return [base64.b64encode(_drawn(page, dpi)).decode() for page in pdf]


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


def example_of(given: Any) -> Example:
    """Return what a user gives as a document, a text, a dict or an Example, as an Example."""
    if isinstance(given, Example):
        return given
    if isinstance(given, Row):
        known = {name: value for name, value in given.items() if name in _NAMES}
        return Example(**known, expected_output=given.get("expected_output"))
    if isinstance(given, Mapping) and given and given.keys() <= _NAMES:
        return Example(**given)
    return Example(text=given)


_NAMES = frozenset({"text", "image_path", "image_base64", "pdf_path", "pdf_dpi"})
