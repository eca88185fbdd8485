"""`Step`: what of one predictor is tuned, saved and shown.

It knows wording, demonstrations and settings, and nothing of calls: `Predict` makes them.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import islice
from operator import is_
from typing import TYPE_CHECKING, Any, Self

from engine.basics.data import JsonObject
from engine.basics.similarity import NearestTexts, text_of_values
from engine.modules import state
from engine.records import Demo, Example, StepState, json_value
from engine.signature import OutputField, Signature

if TYPE_CHECKING:
    from engine.adapters.base import Adapter
    from engine.lm.base import BaseLM
    from engine.retrieval.knn import KNN
    from engine.signature.prediction import Prediction


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


class Step:
    """One named predictor of a program, as far as it is tuned, saved and shown. `Predict` is the only kind."""

    signature: type[Signature]
    config: JsonObject
    """Request parameters of every call."""
    demos: list[Any]
    lm: BaseLM | None
    """The step's model; None for the one in force (`engine.configure`, `engine.context`)."""
    adapter: Adapter | None
    """The step's adapter; None for the one in force."""
    nearest: int = 0
    """Number of demos shown, those most like the inputs; 0 for all."""
    hides: tuple[str, ...] = ()
    """Inputs by which a demo with the same values as the call is left out, while rows are scored that are demos themselves."""
    reason_first: bool | None = None
    """True if tuning has added a field to reason in before the outputs, False if it has taken it away."""
    tuned_adapter: str | None = None
    """The name of the adapter that tuning has chosen."""
    weights: str | None = None
    """The name of a tuned model, which answers in place of `lm` with its temperature and max_tokens."""
    vectorizer: Any = None
    """Texts to vectors, by which the nearest demos are found (see `KNN`); it is code, and is not saved."""
    _index: tuple[tuple[Any, ...], Any] | None = None
    """The demos that are indexed, and their index."""

    if TYPE_CHECKING:

        def __call__(self, *args: Any, **kwargs: Any) -> Prediction:
            """Ask the model and wait for the prediction."""

        async def acall(self, *args: Any, **kwargs: Any) -> Prediction:
            """Ask the model, in async code."""

    def prompted(self) -> type[Signature]:
        """Return the signature as the model is shown it; a step with tools adds them."""
        return self.signature

    def tunable(self) -> StepState:
        """Return everything an optimizer may change in this step, as it is now."""
        described = {name: self.signature.description(name) for name in self.signature.described_fields}
        return StepState(
            instructions=self.signature.instructions,
            demos=tuple(_demo(demo) for demo in self.demos),
            field_descriptions={name: text for name, text in described.items() if text},
            nearest=self.nearest,
            reason_first=self.reason_first,
            adapter=self.tuned_adapter,
            weights=self.weights,
        )

    def apply(self, changes: StepState) -> None:
        """Take over a candidate's wording and demonstrations."""
        signature = reasoning_first(self.signature, changes.reason_first)
        if changes.instructions != signature.instructions:
            signature = signature.with_instructions(changes.instructions)
        known = set(signature.described_fields) if changes.field_descriptions else set()
        for name, text in changes.field_descriptions.items():
            if name in known and signature.description(name) != text:
                signature = signature.with_updated_fields(name, desc=text)
        self.signature = signature
        self.demos = [_example(demo) for demo in changes.demos]
        self.nearest, self.reason_first = changes.nearest, changes.reason_first
        self.weights = changes.weights
        if changes.adapter != self.tuned_adapter:
            self.adapter = None if changes.adapter is None else state.load_adapter({"name": changes.adapter})
            self.tuned_adapter = changes.adapter

    def demos_for(self, inputs: Mapping[str, object]) -> list[Any]:
        """Return the demonstrations shown for these inputs: all, or the `nearest` ones with the nearest last."""
        if not 0 < self.nearest < len(self.demos):
            return self.demos
        names = list(self.signature.input_fields)
        if not self._is_indexed():
            texts = tuple(text_of_values(dict(demo), names) for demo in self.demos)
            self._index = tuple(self.demos), _text_index(texts)
        index: NearestTexts = self._index[1]  # type: ignore[index]  # made just now
        return self._nearest_demos(index.nearest(text_of_values(inputs, names), self._searched), inputs)

    async def demos_by_vectors(self, inputs: Mapping[str, object]) -> list[Any]:
        """Return what `demos_for` returns, by the step's `vectorizer`."""
        if not 0 < self.nearest < len(self.demos):
            return self.demos
        names = list(self.signature.input_fields)
        if not self._is_indexed():
            from engine.retrieval.knn import KNN  # brings the retrievers in

            rows = [Example({n: demo[n] for n in names if n in demo}) for demo in self.demos]
            self._index = tuple(self.demos), KNN(self.nearest, rows, self.vectorizer)
        index: KNN = self._index[1]  # type: ignore[index]  # made just now
        ranked = await index.places({n: inputs[n] for n in names if n in inputs}, self._searched)
        return self._nearest_demos(ranked, inputs)

    @property
    def _searched(self) -> int:
        return len(self.demos) if self.hides else self.nearest

    def _is_indexed(self) -> bool:
        known = self._index
        return known is not None and len(known[0]) == len(self.demos) and all(map(is_, known[0], self.demos))

    def _nearest_demos(self, ranked: Sequence[int], inputs: Mapping[str, object]) -> list[object]:
        shown = (self.demos[place] for place in ranked)
        if self.hides:
            # While it is being scored a row must not find its own answer among the examples.
            same = {name: json_value(inputs.get(name)) for name in self.hides}
            shown = (d for d in shown if any(d.get(name) != value for name, value in same.items()))
        return list(islice(shown, self.nearest))[::-1]

    def reset(self) -> None:
        """Forget the demonstrations."""
        self.demos, self.nearest = [], 0

    def update_config(self, **config: object) -> None:
        """Change request parameters for every later call."""
        self.config = {**self.config, **config}

    def get_config(self) -> JsonObject:
        """Return the request parameters."""
        return dict(self.config)

    def dump_state(self) -> JsonObject:
        """Return wording, demonstrations, settings and model as JSON values. Fields are saved by name."""
        chosen: dict[str, object] = {"nearest": self.nearest} if self.nearest else {}
        if self.reason_first is not None:
            chosen["reason_first"] = self.reason_first
        if self.adapter is not None:
            chosen["adapter"] = state.dump_adapter(self.adapter)
        if self.tuned_adapter is not None:
            chosen["tuned_adapter"] = self.tuned_adapter
        if self.weights is not None:
            chosen["weights"] = self.weights
        return {
            "demos": [json_value(dict(_example(demo))) for demo in self.demos],
            "signature": self.signature.dump_state(),
            "config": json_value(self.config),
            "lm": state.dump_lm(self.lm),
            **chosen,
        }

    def load_state(self, saved: JsonObject) -> Self:
        """Take over what `dump_state` returned, here or in DSPy, which lists fields in order, without names."""
        self.reason_first = saved.get("reason_first")
        self.signature = reasoning_first(self.signature, self.reason_first).load_state(saved["signature"])
        self.demos = [Example(demo) for demo in saved.get("demos", [])]
        self.nearest = int(saved.get("nearest", 0))
        self.config = {**self.config, **saved.get("config", {})}
        if saved.get("lm"):
            self.lm = state.load_lm(saved["lm"])
        if saved.get("adapter"):
            self.adapter = state.load_adapter(saved["adapter"])
        self.tuned_adapter = saved.get("tuned_adapter")
        self.weights = saved.get("weights")
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        step = type(self).__new__(type(self))
        memo[id(self)] = step
        step.__dict__.update(vars(self))
        step.demos = [copy.copy(demo) for demo in self.demos]
        step.config = dict(self.config)
        return step


def _example(demo: object) -> Any:
    if not isinstance(demo, Demo):
        return demo
    return Example(demo.values, augmented=True) if demo.augmented else Example(demo.values)


def _demo(demo: Any) -> Demo:
    if isinstance(demo, Demo):
        return demo
    values = {name: json_value(value) for name, value in dict(demo).items()}
    return Demo(values, bool(values.pop("augmented", False)))


@lru_cache(maxsize=8)
def _text_index(texts: tuple[str, ...]) -> NearestTexts:
    """Return the index of some examples; copies of a program that show the same ones share it."""
    return NearestTexts(texts)
