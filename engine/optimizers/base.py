"""What every optimizer is: options, a search, and `compile`, which exists once, here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from engine.search.contract import Problem, Search


class Options(BaseModel):
    """Base of every optimizer's options: typed, described, immutable; forms and the CLI read them."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Optimizer(ABC):
    """An algorithm and its options.

    `name` is its registry name, `title` what it does in plain words, `Options` its options' class.
    `compile(program, trainset=..., valset=...)` exists once, here, and drives the same search
    (defined with the driver: see `engine.search.compile`).
    """

    name: ClassVar[str]
    title: ClassVar[str]
    options_model: ClassVar[type[Options]]
    changes: ClassVar[Literal["nothing", "examples", "wording", "both"]]

    options: Options

    @abstractmethod
    def search(self, problem: Problem) -> Search:
        """Return the search as a generator; see the module's docstring for the contract."""
