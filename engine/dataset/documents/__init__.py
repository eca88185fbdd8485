"""Documents: pages of text, PDFs and pictures, and the places of values in them.

    paged     bytes or a path -> PagedDocument: pages with their text, boxes of characters, pictures of pages
    written   numbers, dates and amounts of money as people write them
    evidence  value -> its place in a document, checked by code

A document that cannot be used is a DatasetError with one sentence. This package knows no models and no prompts.
"""

from __future__ import annotations

from engine.dataset.documents.evidence import Evidence, evidence_for
from engine.dataset.documents.paged import Box, Page, PagedDocument, read_document

__all__ = ["Box", "Evidence", "Page", "PagedDocument", "evidence_for", "read_document"]
