"""Documents as pages: texts, PDFs, pictures, and the sentences for those that cannot be read."""

from __future__ import annotations

import io
import zlib
from contextlib import suppress

import pypdfium2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.dataset.documents import read_document
from engine.errors import DatasetError
from sample_data.invoices import Paper, file_of, papers

PAPERS = tuple(papers())
TWO_PAGES = next(p for p in PAPERS if "\f" in p.text)


def png(size: tuple[int, int], mode: str = "L") -> bytes:
    out = io.BytesIO()
    Image.new(mode, size).save(out, format="PNG")
    return out.getvalue()


def pdf_of(pages: list[str]) -> bytes:
    return file_of(Paper("made", "\f".join(pages), "Courier", {}), "pdf")


def encrypted_pdf() -> bytes:
    """Return a PDF that asks for a password: its keys fit none."""
    body = (
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n"
        b"3 0 obj<</Filter/Standard/V 2/R 3/Length 128/P -4/O("
        + b"a" * 32
        + b")/U("
        + b"b" * 32
        + b")>>endobj\n"
    )
    places = [body.index(b"%d 0 obj" % n) for n in (1, 2, 3)]
    table = b"xref\n0 4\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % at for at in places)
    end = b"trailer<</Size 4/Root 1 0 R/Encrypt 3 0 R/ID[(0123456789abcdef)(0123456789abcdef)]>>\nstartxref\n%d\n%%%%EOF"
    return body + table + end % len(body)


def test_a_pdf_has_text_boxes_and_pictures():
    document = read_document(file_of(TWO_PAGES, "pdf"), "two.pdf")
    assert [page.number for page in document.pages] == [1, 2]
    number = TWO_PAGES.answer["number"]
    start = document.pages[0].text.index(number)
    (box,) = document.boxes(1, start, start + len(number))
    assert 0 < box.left < box.right < 1
    assert 0 < box.top < box.bottom < 0.5
    picture = Image.open(io.BytesIO(document.picture(1, 400)))
    assert max(picture.size) == 400
    words = picture.convert("L").crop(
        tuple(round(side * length) for side, length in zip(box, (*picture.size, *picture.size), strict=True))
    )
    assert (
        min(words.getdata() if not hasattr(words, "get_flattened_data") else words.get_flattened_data()) < 255
    )


def test_a_text_is_divided_at_form_feeds():
    document = read_document(TWO_PAGES.text.encode(), "two.txt")
    assert len(document.pages) == 2
    assert document.text == TWO_PAGES.text
    assert document.boxes(1, 0, 5) == ()
    with pytest.raises(DatasetError, match="has no pictures"):
        document.picture(1)
    with pytest.raises(DatasetError, match="no page 3"):
        document.boxes(3, 0, 1)


def test_a_picture_is_a_page_without_text():
    document = read_document(file_of(PAPERS[0], "png"), "one.png")
    assert (len(document.pages), document.has_text, document.notes) == (1, False, ())
    assert max(Image.open(io.BytesIO(document.picture(1, 300))).size) == 300


def test_a_large_picture_is_scaled_down_and_says_so():
    document = read_document(png((8000, 5000)), "wall.png")
    assert document.notes == (
        "'wall.png' has 40 million pixels and is scaled down to 2000 on the longer side.",
    )
    assert Image.open(io.BytesIO(document.picture(1))).size == (2000, 1250)


def bomb() -> bytes:
    """Return the head of a picture that says it has ten thousand million pixels."""
    head = b"IHDR" + (100_000).to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
    end = b"\0\0\0\0IDAT" + zlib.crc32(b"IDAT").to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0d" + head + zlib.crc32(head).to_bytes(4, "big") + end


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b" \n\f ", "is empty"),
        (b"%PDF-1.7 and nothing", "is a broken PDF"),
        (encrypted_pdf(), "is an encrypted PDF"),
        (b"\x00\x00\x00\x18ftypheic" + b"\0" * 40, "is a HEIC picture"),
        (b"\x89PNG\r\n\x1a\n broken", "is a broken picture"),
        (png((50, 50))[:60], "is a broken picture"),
        (bomb(), "million pixels"),
        (b"PK\x03\x04\0\0\0\0\0\0\0\0" * 40, "is no text"),
    ],
    ids=["empty", "blank", "broken-pdf", "encrypted", "heic", "broken-png", "cut-png", "bomb", "archive"],
)
def test_what_cannot_be_read_is_one_sentence(data: bytes, said: str):
    with pytest.raises(DatasetError, match=said) as caught:
        read_document(data, "a.bin")
    assert str(caught.value).startswith("'a.bin' ")


def test_a_scan_is_a_pdf_without_text():
    made = pypdfium2.PdfDocument.new()
    made.new_page(200, 300)
    out = io.BytesIO()
    made.save(out)
    document = read_document(out.getvalue(), "scan.pdf")
    assert not document.has_text
    assert Image.open(io.BytesIO(document.picture(1, 150))).height == 150


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"nothing\.pdf"):
        read_document(tmp_path / "nothing.pdf")


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"%PDF-1.7\n", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\x00"]),
)
def test_any_bytes_are_a_document_or_a_dataset_error(data: bytes, start: bytes):
    with suppress(DatasetError):
        assert read_document(start + data, "any").pages


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20),
        min_size=1,
        max_size=6,
    )
)
def test_boxes_of_a_pdf_lie_on_its_page(words: list[str]):
    document = read_document(pdf_of(["\n".join(words)]), "made.pdf")
    text = document.pages[0].text
    for start in range(len(text)):
        for box in document.boxes(1, start, len(text)):
            assert 0 <= box.left <= box.right <= 1
            assert 0 <= box.top <= box.bottom <= 1
