"""The field a step reasons in before it answers: added to a signature, or taken away. It knows signatures only."""

from __future__ import annotations

from functools import lru_cache

from engine.signature import OutputField, Signature

REASONING = "Think step by step here, before the answer."
FIELD = "reasoning"


@lru_cache(maxsize=256)
def reasoning_first(signature: type[Signature], wanted: bool | None) -> type[Signature]:
    """Return the signature with a reasoning field before its outputs, or without one; None leaves it as it is.

    A signature that uses the name for an input, or has no other output, stays as it is.

    >>> from engine.signature import make_signature
    >>> list(reasoning_first(make_signature("question -> answer"), True).output_fields)
    ['reasoning', 'answer']
    """
    has = FIELD in signature.output_fields
    if wanted is None or wanted == has or FIELD in signature.input_fields:
        return signature
    if wanted:
        return signature.prepend(FIELD, OutputField(desc=REASONING), str)
    return signature if len(signature.output_fields) == 1 else signature.delete(FIELD)
