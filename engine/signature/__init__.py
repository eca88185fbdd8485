"""Signatures: typed contracts that say what a step reads, what it writes and what it is for.

    grammar.py     the one reader of type texts ("list[str]"), field types and signature texts ("a, b: int -> c")
    signature.py   InputField, OutputField, Signature, make_signature, ensure_signature
    nested.py      paths into a record's type, and its JSON schema
    prediction.py  Prediction and Completions: a program's answer
    types/         values beyond JSON: images, sound, files, documents, histories, tools

It knows nothing of prompts, models or examples.
"""

from __future__ import annotations

from engine.signature.grammar import parse_type
from engine.signature.signature import (
    AnySignature,
    InputField,
    OutputField,
    Signature,
    SignatureMeta,
    ensure_signature,
    infer_prefix,
    make_signature,
)

__all__ = [
    "AnySignature",
    "InputField",
    "OutputField",
    "Signature",
    "SignatureMeta",
    "ensure_signature",
    "infer_prefix",
    "make_signature",
    "parse_type",
]
