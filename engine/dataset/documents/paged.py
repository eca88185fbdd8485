"""One document as pages: their text, the boxes of its characters, and pictures that are drawn when they are asked for.

PDFs are read by pdfium, which is no friend of threads: one lock is held around it.
"""

from __future__ import annotations

import io
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from engine.dataset.reading import decode
from engine.errors import DatasetError
from engine.signature.types.media import media_type

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

PAGE_BREAK = "\f"
LARGEST = 50 * 2**20
"""Bytes of a file."""

MOST_PAGES = 2000
MOST_CHARACTERS = 20_000_000
"""Characters of a document's text."""

MOST_PIXELS = 200_000_000
"""Pixels of a picture that is opened at all; what is sent to a model is scaled down to LONGEST_SIDE."""

LONGEST_SIDE = 2000
"""Pixels of the longer side of a page's picture."""

_LONGEST_PAGE = 4 * LONGEST_SIDE
_PDFIUM = threading.Lock()

Form = Literal["text", "pdf", "picture"]


class Box(NamedTuple):
    """A rectangle on a page, in shares (0 to 1) of its width and height from the upper left corner."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its number (from 1) and its text, lines between newlines; "" for a picture of text.

    `blank` says that there is nothing to see on it either, such as the back of a sheet.

    >>> Page(1, "Invoice 7\\nTotal 12.50").line_at(12)
    2
    """

    number: int
    text: str
    blank: bool = False

    @property
    def lines(self) -> list[str]:
        """The text line by line."""
        return self.text.split("\n")

    def line_at(self, character: int) -> int:
        """Return the number (from 1) of the line that holds a character of the text."""
        return self.text.count("\n", 0, character) + 1


class PagedDocument:
    """A text, a PDF or a picture as pages. Made by `read_document`.

    `pages` hold the text, `notes` what was done to read it (a picture scaled down). `picture(page)` draws a page, and
    `boxes(page, start, end)` are the places of characters on it: of a PDF with text, else none.
    """

    def __init__(
        self, name: str, form: Form, data: bytes, pages: tuple[Page, ...], notes: tuple[str, ...]
    ) -> None:
        self.name = name
        self.form = form
        self.data = data
        self.pages = pages
        self.notes = notes

    @property
    def text(self) -> str:
        """All pages' texts, with a form feed between two pages."""
        return PAGE_BREAK.join(page.text for page in self.pages)

    @property
    def has_text(self) -> bool:
        """True if there is text to read: False for a scan or a photograph."""
        return any(page.text.strip() for page in self.pages)

    @property
    def scans(self) -> tuple[int, ...]:
        """The numbers of the pages that can be read only by looking at them: pictures of text, not blank pages."""
        if self.form == "text":
            return ()
        bare = [page for page in self.pages if not page.text.strip()]
        return tuple(page.number for page in bare if not (page.blank and self.has_text))

    def picture(self, page: int, longest_side: int = LONGEST_SIDE) -> bytes:
        """Return a page (from 1) drawn as a PNG. Raises DatasetError for a text, which has no picture."""
        self._check_page(page)
        if self.form == "text":
            raise DatasetError(f"{self.name!r} is a text: it has no pictures of pages.")
        longest_side = max(16, min(longest_side, _LONGEST_PAGE))
        if self.form == "pdf":
            return _drawn_page(self.name, self.data, page, longest_side)
        with _opened_picture(self.data, self.name) as picture:
            picture.seek(page - 1)
            return _png(_scaled(picture, longest_side))

    def pictures(self, longest_side: int = LONGEST_SIDE) -> Iterator[bytes]:
        """Iterate over the pages' pictures, each drawn when its turn comes."""
        return (self.picture(page.number, longest_side) for page in self.pages)

    def boxes(self, page: int, start: int, end: int) -> tuple[Box, ...]:
        """Return the rectangles, one a line, around some characters of a page's text; () where none are known."""
        self._check_page(page)
        if self.form != "pdf" or start >= end:
            return ()
        return _text_boxes(self.name, self.data, page, start, end)

    def _check_page(self, page: int) -> None:
        if not 1 <= page <= len(self.pages):
            raise DatasetError(f"{self.name!r} has no page {page}: it has {len(self.pages)}.")

    def __repr__(self) -> str:
        return f"PagedDocument({self.name!r}, {self.form!r}, pages={len(self.pages)})"


def read_document(source: bytes | str | Path, name: str = "") -> PagedDocument:
    """Return a text (str or bytes), a PDF or a picture (bytes), or a file (a path), as a document.

    What it is, is seen from its first bytes. Pages of a text are divided by form feeds. Raises DatasetError with one
    sentence for what cannot be used: an empty or too large file, an encrypted or broken PDF, a HEIC picture.

    >>> document = read_document("Invoice 7\\fTotal 12.50", "bill.txt")
    >>> len(document.pages), document.pages[1].text, document.has_text
    (2, 'Total 12.50', True)
    """
    if isinstance(source, Path):
        name = name or source.name
        source = _file_bytes(source)
    name = name or "The document"
    data = source.encode("utf-8", "replace") if isinstance(source, str) else source
    if len(data) > LARGEST:
        raise DatasetError(
            f"{name!r} has {len(data) / 2**20:.0f} MB; at most {LARGEST // 2**20} MB can be read. Divide it."
        )
    if not data.strip(b" \t\r\n\f\0\xef\xbb\xbf\xff\xfe"):
        raise DatasetError(f"{name!r} is empty: there is nothing to read in it.")
    if isinstance(source, str):
        return _read_text(source, data, name)
    if b"%PDF-" in data[:1024]:
        return _read_pdf(data, name)
    kind = media_type(data[:32])
    if kind == "image/heic":
        raise DatasetError(f"{name!r} is a HEIC picture, which cannot be read here. Save it as JPEG or PNG.")
    if kind is not None:
        return _read_picture(data, name)
    try:
        text, _, _ = decode(data, name)
    except DatasetError:
        raise DatasetError(
            f"{name!r} is no text, no PDF and no picture that is known here. Save it as one of these."
        ) from None
    return _read_text(text, data, name)


def _file_bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST:
            raise DatasetError(
                f"{path.name!r} has {path.stat().st_size / 2**20:.0f} MB; at most {LARGEST // 2**20} MB can be read. Divide it."
            )
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{str(path)!r} cannot be read: {error.strerror}.") from None


def _read_text(text: str, data: bytes, name: str) -> PagedDocument:
    if len(text) > MOST_CHARACTERS:
        raise DatasetError(
            f"{name!r} has {len(text):,} characters; at most {MOST_CHARACTERS:,} are read. Divide it."
        )
    parts = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "").split(PAGE_BREAK)
    if len(parts) > MOST_PAGES:
        raise _too_many_pages(name, len(parts))
    return PagedDocument(name, "text", data, tuple(Page(n, part) for n, part in enumerate(parts, 1)), ())


def _too_many_pages(name: str, number: int) -> DatasetError:
    return DatasetError(f"{name!r} has {number:,} pages; at most {MOST_PAGES:,} are read. Divide it.")


# PDFs


@contextmanager
def _opened_pdf(data: bytes, name: str) -> Iterator[Any]:
    """Open a PDF under the lock. Raises DatasetError for one that is encrypted or broken, also while it is in use."""
    import pypdfium2

    with _PDFIUM:
        try:
            pdf = pypdfium2.PdfDocument(data)
        except pypdfium2.PdfiumError as error:
            if "password" in str(error).casefold():
                raise DatasetError(
                    f"{name!r} is an encrypted PDF. Save it without a password and try again."
                ) from None
            raise DatasetError(f"{name!r} is a broken PDF: it cannot be opened. Save it again.") from None
        try:
            yield pdf
        except pypdfium2.PdfiumError as error:
            raise DatasetError(
                f"{name!r} is a broken PDF: a page cannot be read ({error}). Save it again."
            ) from None
        finally:
            pdf.close()


def _read_pdf(data: bytes, name: str) -> PagedDocument:
    pages: list[Page] = []
    characters = 0
    with _opened_pdf(data, name) as pdf:
        if not len(pdf):
            raise DatasetError(f"{name!r} is a PDF without pages.")
        if len(pdf) > MOST_PAGES:
            raise _too_many_pages(name, len(pdf))
        for number in range(1, len(pdf) + 1):
            page = pdf[number - 1]
            words = page.get_textpage()
            text = _plain(words.get_text_range())
            words.close()
            blank = not text.strip() and _is_blank(page)
            page.close()
            characters += len(text)
            if characters > MOST_CHARACTERS:
                raise DatasetError(
                    f"{name!r} has more than {MOST_CHARACTERS:,} characters, which is the most that is read. Divide it."
                )
            pages.append(Page(number, text, blank))
    return PagedDocument(name, "pdf", data, tuple(pages), ())


def _is_blank(page: Any) -> bool:
    """Return whether a PDF's page without text shows nothing to read: no picture, and a few strokes at most."""
    import pypdfium2.raw as pdfium

    if pdfium.FPDFPage_GetAnnotCount(page.raw):
        return False
    strokes = 0
    for one in page.get_objects():
        strokes += one.type == pdfium.FPDF_PAGEOBJ_PATH
        if strokes > _FEW_STROKES or one.type in (pdfium.FPDF_PAGEOBJ_IMAGE, pdfium.FPDF_PAGEOBJ_SHADING):
            return False
    return True


_FEW_STROKES = 20
"""Lines and areas of a page that are taken for its frame; letters drawn as outlines are more."""


def _plain(text: str) -> str:
    """Return a PDF's text with one character for each line's end, and without those that stand for nothing."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\ufffe", "-").replace("\0", " ")


def _drawn_page(name: str, data: bytes, number: int, longest_side: int) -> bytes:
    with _opened_pdf(data, name) as pdf:
        page = pdf[number - 1]
        longest = max(*page.get_size(), 1.0)
        # Very long and thin pages come out small rather than huge.
        drawn = page.render(scale=min(longest_side / longest, 8.0)).to_pil()
        page.close()
    return _png(drawn)


def _text_boxes(name: str, data: bytes, number: int, start: int, end: int) -> tuple[Box, ...]:
    import ctypes

    import pypdfium2.raw as pdfium

    boxes: list[Box] = []
    with _opened_pdf(data, name) as pdf:
        page = pdf[number - 1]
        words = page.get_textpage()
        raw = words.get_text_range()
        # Two characters end a line in pdfium, one in a Page; some of its characters have no letter at all.
        first, last = (_raw_place(raw, place) for place in (start, end - 1))
        first, last = (
            pdfium.FPDFText_GetCharIndexFromTextIndex(words.raw, place) if place < len(raw) else -1
            for place in (first, last)
        )
        if 0 <= first <= last:
            across, down = ctypes.c_int(), ctypes.c_int()

            def share(x: float, y: float) -> tuple[float, float]:
                """Return a point of the page, turned as it is shown, in shares of its sides."""
                pdfium.FPDF_PageToDevice(page.raw, 0, 0, _FINE, _FINE, 0, x, y, across, down)
                return tuple(min(1.0, max(0.0, one.value / _FINE)) for one in (across, down))  # type: ignore[return-value]

            for at in range(words.count_rects(first, last - first + 1)):
                left, bottom, right, top = words.get_rect(at)
                (a, b), (c, d) = share(left, top), share(right, bottom)
                boxes.append(Box(min(a, c), min(b, d), max(a, c), max(b, d)))
        words.close()
        page.close()
    return tuple(boxes)


_FINE = 100_000


def _raw_place(raw: str, place: int) -> int:
    """Return the place in pdfium's text of a character of the plain one."""
    at = 0
    for _ in range(place):
        at += 2 if raw.startswith("\r\n", at) else 1
    return at


# Pictures


@contextmanager
def _opened_picture(data: bytes, name: str) -> Iterator[Picture]:
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of pictures with damaged notes, and large ones: the size is checked below
            opened = Image.open(io.BytesIO(data))
        if opened.width * opened.height > MOST_PIXELS:
            raise Image.DecompressionBombError
        with opened:
            yield opened
    except Image.DecompressionBombError:
        raise DatasetError(
            f"{name!r} has more than {MOST_PIXELS // 1_000_000} million pixels. Scale it down and try again."
        ) from None
    except (UnidentifiedImageError, *_BROKEN):
        raise DatasetError(
            f"{name!r} is a broken picture, or of a kind not known here. Save it as JPEG or PNG."
        ) from None


_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    MemoryError,
    TypeError,
    LookupError,
    OverflowError,
    struct.error,
)
"""Errors of Pillow's readers for damaged files of one kind or another."""


def _read_picture(data: bytes, name: str) -> PagedDocument:
    with _opened_picture(data, name) as picture:
        # A fax is a TIFF with pages; the frames of a GIF are a film.
        number = getattr(picture, "n_frames", 1) if picture.format == "TIFF" else 1
        if number > MOST_PAGES:
            raise _too_many_pages(name, number)
        longest = max(picture.size)
        millions = picture.width * picture.height / 1e6
        picture.draft(None, (LONGEST_SIDE, LONGEST_SIDE))
        picture.load()  # a picture that ends early is noticed now, not when it is sent
    notes = (
        (
            f"{name!r} has {millions:.0f} million pixels and is scaled down to {LONGEST_SIDE} on the longer side.",
        )
        if longest > LONGEST_SIDE
        else ()
    )
    return PagedDocument(name, "picture", data, tuple(Page(n, "") for n in range(1, number + 1)), notes)


def _scaled(picture: Picture, longest_side: int) -> Picture:
    """Return a picture as it is to be looked at: upright, in plain colours, no larger than asked for."""
    from PIL import ImageOps

    picture.draft(
        "RGB", (longest_side, longest_side)
    )  # a JPEG is decoded at a half or less: memory stays small
    small: Picture = picture
    if max(small.size) > longest_side:
        small = small.copy()
        small.thumbnail((longest_side, longest_side))
    small = ImageOps.exif_transpose(small)
    return small if small.mode in ("1", "L", "RGB", "RGBA", "P") else small.convert("RGB")


def _png(picture: Picture) -> bytes:
    out = io.BytesIO()
    picture.save(out, format="PNG", compress_level=1)  # a tenth of the time for a fifth more bytes
    return out.getvalue()
