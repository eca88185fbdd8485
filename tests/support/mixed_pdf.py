"""A PDF of pages with text, scanned pages and empty ones."""

from __future__ import annotations

import io

import pypdfium2
from PIL import Image

from sample_data.invoices import file_of, papers


def mixed_pdf(pages: str) -> bytes:
    """Return a PDF with a page for each letter: t has text (an invoice over 283,58), s is a picture, - is empty."""
    made = pypdfium2.PdfDocument.new()
    picture = io.BytesIO()
    Image.new("RGB", (60, 80), "gray").save(picture, format="PDF")
    forms = {"t": file_of(tuple(papers())[1], "pdf"), "s": picture.getvalue()}
    for form in pages:
        if form == "-":
            made.new_page(200, 300)
        else:
            made.import_pages(pypdfium2.PdfDocument(forms[form]), [0])
    out = io.BytesIO()
    made.save(out)
    return out.getvalue()
