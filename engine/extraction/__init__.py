"""Records from documents: `Prompter` reads texts, pictures and PDFs into a user's own class, and tunes how it does.

    prompter.py  Prompter: predict, batch, stream, confidence, optimize, save and load
    examples.py  Example: a document and, if known, the right record; what a step reads of it
    reading.py   the program: one step from document to record, its signature, placeholders
    tuning.py    one optimization: rows, split, optimizer, search, the comparison on rows held out
    scoring.py   metrics by the names that are known from DSPydantic, by field
    confidence.py agreement of several answers, calibrated on labelled rows
    results.py   what is returned
    fields.py    descriptions and types by path; a class with other descriptions
    saved.py     folders, also those of DSPydantic 0.1

A thin layer: signatures, optimizers, search, evaluation and metrics are those of the engine.
"""

from __future__ import annotations

import importlib
from typing import Any

_NAMES = {
    "examples": "Example image_to_base64 pdf_to_base64_images prepare_input_data",
    "fields": "apply_optimized_descriptions create_optimized_model create_output_model "
    "extract_field_descriptions extract_field_types",
    "prompter": "Prompter",
    "results": "ExtractionResult FieldOptimizationProgress OptimizationResult",
}
"""Module -> the public names that it defines."""

_HOMES = {name: home for home, names in _NAMES.items() for name in names.split()}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'engine.extraction' has no attribute {name!r}")
    return getattr(importlib.import_module(f"engine.extraction.{_HOMES[name]}"), name)
