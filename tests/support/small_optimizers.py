"""Registered optimizers with options that make a toy run short, their searches on it, and toy programs of two steps."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from engine import loop
from engine.lm.base import BaseLM, Choice, Reply, Request
from engine.modules.module import Module
from engine.modules.predict import Predict
from engine.optimizers.base import Optimizer
from engine.records import Usage
from engine.registry import OPTIMIZERS
from engine.search.contract import Ask, relay
from engine.search.driver import Driver
from engine.search.result import SearchResult
from engine.search.settings import Settings, Stop
from engine.testing.contract import ToyLM, toy_rows, toy_settings

SMALL: dict[str, dict[str, object]] = {
    "AvatarOptimizer": {"max_iters": 4, "at_once": 2},
    "BetterTogether": {"strategy": "COPRO -> BootstrapFewShot"},
    "BootstrapFinetune": {"checkpoints": 2},
    "COPRO": {"breadth": 4, "depth": 2},
    "GEPA": {"max_metric_calls": 150},
    "GRPO": {"rounds": 4, "batch_size": 6, "group_size": 3, "checkpoints": 2},
    "InferRules": {"num_candidates": 3},
    "SIMBA": {"max_steps": 2, "bsize": 9, "num_candidates": 3},
}


PROMPT_OPTIMIZERS = tuple(o for o in OPTIMIZERS if o.changes != "weights")
"""Those that need no model to train."""


def small(optimizer: type[Optimizer]) -> Callable[[], Optimizer]:
    """Return what makes the optimizer, with small options where it has any."""
    return partial(optimizer, **SMALL.get(optimizer.name, {}))


def halves(rows: int) -> dict[str, Any]:
    """Return settings of a toy search over a number of rows, the first half to learn from and the other to validate on."""
    half = rows // 2
    return {"rows": toy_rows(rows), "train": tuple(range(half)), "validation": tuple(range(half, rows))}


def searched(optimizer: Optimizer, settings: Settings, control: Any = None) -> SearchResult:
    """Return what an optimizer's search ends with."""
    return loop.run(Driver(settings, None, control).search(optimizer.search))


def toy_run(optimizer: Optimizer, lm: BaseLM | None = None, **changes: Any) -> SearchResult:
    """Return what an optimizer's search ends with on the toy task."""
    return searched(optimizer, toy_settings(lm or ToyLM(), **changes))


def batches_of(optimizer: Optimizer, settings: Settings | None = None) -> list[list[Ask]]:
    """Return the batches of asks that an optimizer yields, on the toy task where nothing else is given."""
    batches: list[list[Ask]] = []
    driver = Driver(settings or toy_settings(ToyLM()))
    loop.run(driver.search(lambda problem: relay(optimizer.search(problem), batches.append)))
    return batches


class StopAfter:
    """Stops a run once a number of rows have started."""

    def __init__(self, rows: int) -> None:
        self.left = rows

    async def checkpoint(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Stop


class TwoSteps(Module):
    """The toy task in two steps, of which the first finds nothing out."""

    def __init__(self):
        super().__init__()
        self.first = Predict("text -> hint")
        self.second = Predict("text, hint -> label")

    async def aforward(self, text):
        hint = (await self.first.acall(text=text)).hint
        return await self.second.acall(text=text, hint=hint)


class Relay(Module):
    """The toy task in two steps of which the second reads only what the first wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.first = Predict("text -> hint")
        self.second = Predict("hint -> label")

    async def aforward(self, text: str) -> object:
        return await self.second.acall(hint=(await self.first.acall(text=text)).hint)


WRITTEN = ("proposed_instructions", "proposed_description", "observations", "summary", "rules", "advice")


class WriterLM(ToyLM):
    """A toy model that writes a given text for each proposal, or what a function of its name and the request returns.

    `shown` are the messages that it was asked with, by what it should write; without a text it writes as the toy model.
    """

    def __init__(self, text: str | Callable[[str, Request], str | None] | None = None) -> None:
        super().__init__()
        self.text = text
        self.shown: dict[str, list[str]] = {name: [] for name in WRITTEN}

    async def complete(self, request):
        wanted = str(request.messages[0]["content"]).split("You write these output fields:")[-1]
        name = next((name for name in WRITTEN if f"`{name}`" in wanted), "")
        if name:
            self.shown[name].append(str(request.messages[-1]["content"]))
            text = self.text(name, request) if callable(self.text) else self.text
            if text is not None:
                answer = f"[[ ## {name} ## ]]\n{text}\n\n[[ ## completed ## ]]"
                return Reply((Choice(answer),), Usage(calls=1))
        return await super().complete(request)


class HintLM(ToyLM):
    """A toy model that also answers the first of two steps."""

    async def complete(self, request):
        wanted = str(request.messages[0]["content"]).split("You write these output fields:")[-1]
        if "`hint`" not in wanted or "`label`" in wanted:
            return await super().complete(request)
        key = request.key()
        if key in self.cache:
            return replace(self.cache[key], cached=True)
        self.paid += 1
        text = "[[ ## hint ## ]]\nnone\n\n[[ ## completed ## ]]"
        self.cache[key] = Reply((Choice(text),), Usage(calls=1), key=key, payer="toy")
        return self.cache[key]
