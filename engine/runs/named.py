"""A part of a run that is chosen from the registry, as data."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Frozen(BaseModel):
    """Immutable, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Named(Frozen):
    """A registry name and its options: a metric or an optimizer."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)
