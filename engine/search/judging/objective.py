"""The objective of a run: the best score, or the cheapest or fastest program that scores nearly as well."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from engine.errors import ConfigurationError, first_problem

Goal = Literal["score", "cheapest", "fastest", "front"]


class Objective(BaseModel):
    """The goal of a run: the highest score; the cheapest or fastest program within some points of it; or all that none beats.

    `within` counts in points of 100. It reads the words of the settings too, such as "fastest within 3 points".

    >>> Objective.model_validate("cheapest within 2 points")
    Objective(goal='cheapest', within=2.0)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    goal: Goal = "score"
    within: float = Field(default=1.0, ge=0, le=100)

    @model_validator(mode="before")
    @classmethod
    def _in_words(cls, given: object) -> object:
        if not isinstance(given, str):
            return given
        match = re.fullmatch(r"\s*(\w+)(?:\s+within\s+([\d.]+)(?:\s+points?)?)?\s*", given)
        if match is None:
            raise ValueError(f'{given!r} is no objective: write score, front, or "cheapest within 2 points"')
        return {"goal": match[1], **({"within": match[2]} if match[2] else {})}

    @classmethod
    def of(cls, given: Objective | str) -> Objective:
        """Return the objective of some words. Raises ConfigurationError for others."""
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise ConfigurationError(first_problem(error)[1]) from None

    @property
    def words(self) -> str:
        """The objective as it is written in settings."""
        return f"{self.goal} within {self.within:g} points" if self.chooses_by_use else self.goal

    @property
    def chooses_by_use(self) -> bool:
        """True if the price or the time of an answer decides."""
        return self.goal in ("cheapest", "fastest")
