"""`Predict`: one signature, answered by one call to a model.

It finds the model, the adapter and the settings in force, has the adapter ask, and notes the trace. It knows nothing of
prompt layouts or providers.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from itertools import islice
from operator import is_
from typing import TYPE_CHECKING, Any, Self, cast, get_origin

from engine import callbacks as hooks
from engine import loop
from engine.basics.data import JsonObject, Values
from engine.basics.similarity import NearestTexts, text_of_values
from engine.errors import ConfigurationError
from engine.lm.history import callers
from engine.lm.middleware import send
from engine.lm.usage import tracked
from engine.modules import state
from engine.modules.call_range import CallRange
from engine.modules.module import Answerer, Module
from engine.records import Demo, Example, StepState, json_value
from engine.runtime import current
from engine.signature import AnySignature, InputField, OutputField, Signature, ensure_signature
from engine.signature.grammar import type_text, without_none
from engine.signature.prediction import Prediction

if TYPE_CHECKING:
    from engine.adapters.base import Adapter
    from engine.lm.base import BaseLM


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


_log = logging.getLogger(__name__)
_RESERVED = ("signature", "demos", "config", "lm")
"""Call arguments that change the call; a field of the same name takes precedence."""

_SAMPLING_TEMPERATURE = 0.7
_TOO_COLD_TO_SAMPLE = 0.15


class Predict(Module):
    """Answer a signature with one model call.

    `config` holds request parameters (temperature, max_tokens, n, rollout_id ...), which a call may override
    with `config={...}`; a call may also bring its own `demos`, `signature` and `lm`. `lm` and `adapter` are the
    step's own; without them those in force (`engine.configure`, `engine.context`) are used. With `nearest` set only
    that number of `demos` is shown, those most like the inputs. `hides` names inputs: a demo with the same values as the
    call is left out (while rows are scored that are demos themselves). `reason_first` says that tuning has added a field to reason in
    before the outputs, or has taken it away, `tuned_adapter` that tuning has chosen the adapter. `weights` is the name of a
    tuned model, which then answers in place of `lm` with its temperature and max_tokens. With a `vectorizer` (texts
    to vectors, see `KNN`) the nearest demos are found by it; it is code, and a saved step does not keep it.

    >>> from engine import context
    >>> from engine.testing import DummyLM
    >>> with context(lm=DummyLM([{"answer": "4"}])):
    ...     Predict("question -> answer: int")(question="2 + 2?").answer
    4
    """

    nearest: int = 0
    hides: tuple[str, ...] = ()
    reason_first: bool | None = None
    tuned_adapter: str | None = None
    weights: str | None = None
    vectorizer: Any = None
    _near: tuple[tuple[Any, ...], Any] | None = None

    def __init__(
        self, signature: AnySignature, callbacks: Sequence[Any] | None = None, **config: Any
    ) -> None:
        super().__init__(callbacks)
        if signature is None:
            raise ConfigurationError("Predict needs a signature, for example Predict('question -> answer').")
        self.signature: type[Signature] = ensure_signature(signature)
        self.config: JsonObject = config
        self.demos: list[Any] = []
        self.nearest = 0
        self.lm: BaseLM | None = None
        self.adapter: Adapter | None = None

    def __call__(self, *args: object, **kwargs: object) -> Prediction:
        """Ask the model and wait for the prediction."""
        if self._plain:  # a subclass's own forward
            return cast(Prediction, super().__call__(*args, **kwargs))
        prediction: Prediction = loop.run(self.acall(*args, **kwargs))
        return prediction

    async def acall(self, *args: object, **kwargs: object) -> Prediction:
        """Ask the model, in async code."""
        if self._plain and not self._awaits:
            return cast(Prediction, await super().acall(*args, **kwargs))
        if args:
            first = next(iter(self.signature.input_fields), "name")
            raise ConfigurationError(f"Predict takes its inputs by name: {first}=..., not by position.")
        work = self._tracked(**kwargs) if current().track_usage else self.aforward(**kwargs)
        work = hooks.watched("module", self, kwargs, work)
        token = callers.set((*callers.get(), self))
        try:
            return await (work if loop.on_loop() else loop.here_or_there(work))
        finally:
            callers.reset(token)

    async def _tracked(self, **kwargs: object) -> Prediction:
        with tracked() as note:
            prediction: Prediction = note(await self.aforward(**kwargs))
            return prediction

    async def aforward(self, **kwargs: object) -> Prediction:
        """Ask the model once and return its typed answer, with every completion when n > 1."""
        runtime = current()
        given = _reserved(kwargs, self.signature)
        signature = ensure_signature(given["signature"]) if "signature" in given else self.prompted()
        if "demos" in given:
            demos = given["demos"]
        elif self.vectorizer is None:
            demos = self.demos_for(kwargs)
        else:
            demos = await self.demos_by_vectors(kwargs)
        config = {**self.config, **given["config"]} if given.get("config") else self.config
        lm = given.get("lm") or (self._tuned_model() if self.weights else self.lm or runtime.lm)
        if lm is None:
            raise ConfigurationError(NO_MODEL)
        inputs = _inputs(kwargs, signature)
        for name, kinds in _plain_kinds(signature):
            if (value := inputs.get(name)) is not None and not isinstance(value, kinds):
                _warn_of_mismatch(signature, name, value)
        params, rollout_id = _params(config, lm)
        adapter = self.adapter or runtime.adapter or _default_adapter()
        asked, sent = signature, inputs
        if runtime.attempt is not None and (hint := runtime.attempt.hints.get(id(self))):
            asked, sent = hinted(signature), {**inputs, HINT: hint}
        asking = adapter.ask(send, lm, params, asked, demos, sent, rollout_id)
        outputs = await (asking if runtime.stream is None else runtime.stream(self, asked, adapter, asking))
        prediction = (
            Prediction.of(outputs[0])
            if len(outputs) == 1
            else Prediction.from_completions(outputs, signature)
        )
        if runtime.trace is not None:
            runtime.trace.append((self, inputs, prediction))
        return prediction

    @property
    def call_range(self) -> CallRange:
        """One call, or as many as the adapter takes for an answer."""
        adapter = self.adapter or current().adapter
        each: int = getattr(adapter, "calls_an_answer", 1)
        return CallRange(each, each)

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

    def _tuned_model(self) -> BaseLM:
        """Return the tuned model that answers: one given in the context by its name, else the one of this machine."""
        runtime = current()
        name = str(self.weights)
        known: BaseLM | None = runtime.models.get(name)
        if known is not None:
            return known
        params = getattr(self.lm or runtime.lm, "params", {})
        return _model_named(name, *(params.get(one) for one in _TAKEN_OVER))

    def demos_for(self, inputs: Mapping[str, object]) -> list[Any]:
        """Return the demonstrations shown for these inputs: all, or the `nearest` ones with the nearest last."""
        if not 0 < self.nearest < len(self.demos):
            return self.demos
        names = list(self.signature.input_fields)
        if not self._indexed():
            texts = tuple(text_of_values(dict(demo), names) for demo in self.demos)
            self._near = tuple(self.demos), _indexed(texts)
        near: NearestTexts = self._near[1]  # type: ignore[index]  # made just now
        most = len(self.demos) if self.hides else self.nearest
        return self._nearest_demos(near.nearest(text_of_values(inputs, names), most), inputs)

    async def demos_by_vectors(self, inputs: Mapping[str, object]) -> list[Any]:
        """Return what `demos_for` returns, by the step's `vectorizer`."""
        if not 0 < self.nearest < len(self.demos):
            return self.demos
        names = list(self.signature.input_fields)
        if not self._indexed():
            from engine.modules.retrieve import KNN  # a module that looks up examples is made of steps

            rows = [Example({n: demo[n] for n in names if n in demo}) for demo in self.demos]
            self._near = tuple(self.demos), KNN(self.nearest, rows, self.vectorizer)
        near: KNN = self._near[1]  # type: ignore[index]  # made just now
        most = len(self.demos) if self.hides else self.nearest
        return self._nearest_demos(
            await near.places({n: inputs[n] for n in names if n in inputs}, most), inputs
        )

    def _indexed(self) -> bool:
        known = self._near
        return known is not None and len(known[0]) == len(self.demos) and all(map(is_, known[0], self.demos))

    def _nearest_demos(self, ranked: Sequence[int], inputs: Mapping[str, object]) -> list[Any]:
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
        """Take over what `dump_state` returned, here or in DSPy (which lists fields in order, without names)."""
        if "signature" not in saved:
            return super().load_state(saved)
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

    def __deepcopy__(self, memo: dict[int, object]) -> Predict:
        step = type(self).__new__(type(self))
        memo[id(self)] = step
        step.__dict__.update(vars(self))
        step.demos = [copy.copy(demo) for demo in self.demos]
        step.config = dict(self.config)
        return step

    def __repr__(self) -> str:
        return f"Predict({self.signature!r})"


_TAKEN_OVER = ("temperature", "max_tokens")
"""Settings of the model in force that hold for a tuned model in its place."""


@lru_cache(maxsize=64)
def _model_named(name: str, *taken_over: Any) -> BaseLM:
    from engine.lm.client import LM  # brings the network in

    params = {n: value for n, value in zip(_TAKEN_OVER, taken_over, strict=True) if value is not None}
    return LM(name, **params)


@lru_cache(maxsize=8)
def _indexed(texts: tuple[str, ...]) -> NearestTexts:
    """The index of some examples; copies of a program that show the same ones share it."""
    return NearestTexts(texts)


def _reserved(kwargs: dict[str, object], signature: type[Signature]) -> JsonObject:
    """Take the reserved arguments out of a call's keyword arguments."""
    return {
        name: kwargs.pop(name) for name in _RESERVED if name in kwargs and name not in signature.input_fields
    }


def _inputs(kwargs: dict[str, object], signature: type[Signature]) -> JsonObject:
    fields = signature.input_fields
    if kwargs.keys() == fields.keys():
        return kwargs
    inputs = {name: value for name, value in kwargs.items() if name in fields}
    for name, field in fields.items():
        if name not in inputs and not field.is_required():
            inputs[name] = field.get_default(call_default_factory=True)
    missing = [name for name in fields if name not in inputs]
    if missing:
        _log.warning("Called without input %s of %r: the prompt will lack it.", ", ".join(missing), signature)
    extra = kwargs.keys() - fields.keys()
    if extra:
        _log.warning("Input %s is no field of %r and is left out.", ", ".join(sorted(extra)), signature)
    return inputs


@lru_cache(maxsize=256)
def _plain_kinds(signature: type[Signature]) -> tuple[tuple[str, tuple[type, ...]], ...]:
    """Return the inputs of a plain type and the classes of its values; any value can be written as text."""
    plain = {name: without_none(signature.annotation(name))[0] for name in signature.input_fields}
    kinds = {name: _KINDS.get(get_origin(kind) or kind, ()) for name, kind in plain.items()}
    return tuple((name, found) for name, found in kinds.items() if found)


_KINDS: Mapping[Any, tuple[type, ...]] = {
    int: (int,),
    float: (int, float),
    bool: (bool,),
    list: (list, tuple),
    tuple: (list, tuple),
    set: (list, tuple, set, frozenset),
    dict: (Mapping,),
}


def _warn_of_mismatch(signature: type[Signature], name: str, value: object) -> None:
    if current().own.get("warn_on_type_mismatch", True):
        expected, given = type_text(signature.annotation(name)), repr(value)[:200]
        _log.warning("Type mismatch for field %r: expected %s, got %s.", name, expected, given)


def _params(config: Values, lm: BaseLM) -> tuple[Values, int | None]:
    """Return the request's parameters and rollout id. Several completions need some temperature to differ."""
    if not config:
        return config, None
    params = dict(config)
    rollout_id = params.pop("rollout_id", None)
    temperature = params.get("temperature", lm.params.get("temperature"))
    if params.get("n", 1) > 1 and (temperature is None or temperature <= _TOO_COLD_TO_SAMPLE):
        params["temperature"] = _SAMPLING_TEMPERATURE
    return params, rollout_id


def _example(demo: object) -> Any:
    if not isinstance(demo, Demo):
        return demo
    return Example(demo.values, augmented=True) if demo.augmented else Example(demo.values)


def _demo(demo: Any) -> Demo:
    if isinstance(demo, Demo):
        return demo
    values = {name: json_value(value) for name, value in dict(demo).items()}
    return Demo(values, bool(values.pop("augmented", False)))


@lru_cache(maxsize=256)
def hinted(signature: type[Signature]) -> type[Signature]:
    """Return a signature with one more input, for a hint on how to answer better than the last time."""
    return signature if HINT in signature.fields else signature.append(HINT, InputField(desc=HINT_DESC), str)


@cache
def _default_adapter() -> Adapter:
    from engine.adapters.chat import ChatAdapter

    return ChatAdapter()


HINT = "hint_"
HINT_DESC = "What to do better than in an earlier try"
NO_MODEL = (
    "No model is set. Call engine.configure(lm=engine.LM('openai/gpt-4o-mini')) first; "
    "engine.LM('offline/learner') needs no key and no network."
)


class ChainOfThought(Answerer):
    """Answer a signature with one call that writes its `reasoning` before the outputs.

    The step inside is `predict`. `rationale_field` and `rationale_field_type` replace the reasoning field's own.

    >>> list(ChainOfThought("question -> answer").predict.signature.output_fields)
    ['reasoning', 'answer']
    """

    def __init__(
        self,
        signature: AnySignature,
        rationale_field: Any = None,
        rationale_field_type: Any = None,
        callbacks: Sequence[Any] | None = None,
        **config: Any,
    ) -> None:
        super().__init__(callbacks)
        field = OutputField(desc=REASONING) if rationale_field is None else rationale_field
        extended = ensure_signature(signature).prepend(FIELD, field, rationale_field_type or str)
        self.predict = Predict(extended, **config)

    async def aforward(self, **kwargs: object) -> Prediction:
        """Think, then answer; the arguments are those of `Predict`."""
        return await self.predict.acall(**kwargs)
