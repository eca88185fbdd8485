"""Records from documents: `Prompter` reads texts, pictures and PDFs into a user's own class, and tunes how it does.

    prompter.py  Prompter: predict, batch, stream, confidence, optimize, save and load
    examples.py  Example: a document and, if known, the right record; what a step reads of it
    reading.py   the program: one step from document to record, its signature, placeholders
    tuning.py    one optimization: rows and their split, the optimizer, what stays frozen, the report
    scoring.py   metrics by the names that are known from DSPydantic, by field
    confidence.py agreement of several answers, calibrated on labelled rows
    results.py   what is returned
    fields.py    descriptions and types by path; a class with other descriptions
    saved.py     folders, also those of DSPydantic 0.1

A thin layer: it reads with `Extract`, scores with metrics, and its optimization is the tuning that `compile` runs.
"""

from __future__ import annotations

from engine.public_names import lazy

__getattr__ = lazy(__name__)
