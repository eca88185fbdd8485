"""Records from documents under DSPydantic's names: `Prompter` reads into a user's own class, and tunes its prompts.

    prompter.py   Prompter: predict, batch, stream, confidence, optimize, save and load
    documents.py  LabelledDocument (`Example`): a document and, if known, the right record
    program.py    the program: one step from document to record, its signature, placeholders
    tuning.py     one optimization: rows and their split, the optimizer, frozen parts, scores by field
    confidence.py agreement of several answers, calibrated on labelled rows
    results.py    the results
    fields.py     descriptions and types by path; a class with other descriptions
    folders.py    saved folders, also those of DSPydantic 0.1

A thin layer: it reads with `Extract`, scores with metrics, and its optimization is the tuning that `compile` runs.
`engine.extraction` is the same package under its public path.
"""

from __future__ import annotations

from engine.basics.public_names import lazy

__getattr__ = lazy(__name__)
