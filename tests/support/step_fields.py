"""Fields of a step, written shortly."""

from __future__ import annotations

from engine.pipeline.spec import FieldSpec


def fields(*names: str) -> tuple[FieldSpec, ...]:
    """Return a field for each name, which may carry its type: `fields("text", "total:float")`."""
    return tuple(FieldSpec(name=n.partition(":")[0], type=n.partition(":")[2] or "str") for n in names)
