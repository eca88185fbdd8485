"""Registered optimizers with options that make a toy run short, and toy programs of two steps."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from engine import loop
from engine.lm.base import Choice, Reply, Request
from engine.modules.module import Module
from engine.modules.predict import Predict
from engine.optimizers.base import Optimizer
from engine.records import Usage
from engine.registry import OPTIMIZERS
from engine.search.contract import Ask, relay
from engine.search.driver import Driver
from engine.search.result import SearchResult
from engine.testing.contract import ToyLM, toy_settings

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


def searched(optimizer: Optimizer, lm: ToyLM | None = None, **changes: object) -> SearchResult:
    """Return the end of an optimizer's search of the toy task, whose settings may be changed."""
    return loop.run(Driver(toy_settings(lm or ToyLM(), **changes)).search(optimizer.search))


def batches_of(optimizer: Optimizer, **changes: object) -> list[Sequence[Ask]]:
    """Return every batch of asks of an optimizer's search of the toy task."""
    batches: list[Sequence[Ask]] = []
    driver = Driver(toy_settings(ToyLM(), **changes))
    loop.run(driver.search(lambda problem: relay(optimizer.search(problem), batches.append)))
    return batches


PROMPT_OPTIMIZERS = tuple(o for o in OPTIMIZERS if o.changes != "weights")
"""Those that need no model to train."""


def small(optimizer: type[Optimizer]) -> Callable[[], Optimizer]:
    """Return what makes the optimizer, with small options where it has any."""
    return partial(optimizer, **SMALL.get(optimizer.name, {}))


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
