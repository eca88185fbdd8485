"""`Predict`: one signature, answered by one call to a model.

It finds the model, the adapter and the settings in force, has the adapter ask, and notes the trace. It knows nothing of
prompt layouts or providers.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Self, get_origin

from engine import callbacks as hooks
from engine import loop
from engine.basics.data import JsonObject, Values
from engine.errors import ConfigurationError
from engine.lm.calls.history import callers
from engine.lm.calls.middleware import send
from engine.lm.calls.usage import tracked
from engine.modules.call_range import CallRange
from engine.modules.module import Module
from engine.modules.step import FIELD, REASONING, Step
from engine.runtime import current
from engine.signature import AnySignature, InputField, OutputField, Signature, ensure_signature
from engine.signature.grammar import type_text, without_none
from engine.signature.prediction import Prediction

if TYPE_CHECKING:
    from engine.adapters.base import Adapter
    from engine.lm.base import BaseLM


_log = logging.getLogger(__name__)
_RESERVED = ("signature", "demos", "config", "lm")
"""Call arguments that change the call; a field of the same name takes precedence."""

_SAMPLING_TEMPERATURE = 0.7
_TOO_COLD_TO_SAMPLE = 0.15


class Predict(Step, Module):
    """Answer a signature with one model call.

    `config` holds request parameters (temperature, max_tokens, n, rollout_id ...), which a call may override
    with `config={...}`; a call may also bring other `demos`, `signature` and `lm`. The attributes are those of `Step`.

    >>> from engine import context
    >>> from engine.testing import DummyLM
    >>> with context(lm=DummyLM([{"answer": "4"}])):
    ...     Predict("question -> answer: int")(question="2 + 2?").answer
    4
    """

    def __init__(
        self, signature: AnySignature, callbacks: Sequence[object] | None = None, **config: object
    ) -> None:
        super().__init__(callbacks)
        if signature is None:
            raise ConfigurationError("Predict needs a signature, for example Predict('question -> answer').")
        self.signature = ensure_signature(signature)
        self.config = config
        self.demos = []
        self.nearest = 0
        self.lm = None
        self.adapter = None

    def __call__(self, *args: object, **kwargs: object) -> Prediction:
        """Ask the model and wait for the prediction."""
        if self._plain:  # a subclass defines forward
            return super().__call__(*args, **kwargs)
        prediction: Prediction = loop.run(self.acall(*args, **kwargs))
        return prediction

    async def acall(self, *args: object, **kwargs: object) -> Prediction:
        """Ask the model, in async code."""
        if self._plain and not self._awaits:
            return await super().acall(*args, **kwargs)
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
        else:
            demos = self.demos_for(kwargs) if self.vectorizer is None else await self.demos_by_vectors(kwargs)
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

    def _tuned_model(self) -> BaseLM:
        """Return the tuned model that answers: one given in the context by its name, else the one of this machine."""
        runtime = current()
        name = str(self.weights)
        known: BaseLM | None = runtime.models.get(name)
        if known is not None:
            return known
        params = getattr(self.lm or runtime.lm, "params", {})
        return _model_named(name, *(params.get(one) for one in _TAKEN_OVER))

    def load_state(self, saved: JsonObject) -> Self:
        """Take over what `dump_state` returned, here or in DSPy, with or without the step's path."""
        return super().load_state(saved) if "signature" in saved else Module.load_state(self, saved)

    def __repr__(self) -> str:
        return f"Predict({self.signature!r})"


_TAKEN_OVER = ("temperature", "max_tokens")
"""Settings of the model in force that hold for a tuned model in its place."""


@lru_cache(maxsize=64)
def _model_named(name: str, *taken_over: Any) -> BaseLM:
    from engine.lm.client import LM  # brings the network in

    params = {n: value for n, value in zip(_TAKEN_OVER, taken_over, strict=True) if value is not None}
    return LM(name, **params)


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


class Answerer(Module):
    """Base of the modules whose answer is a Prediction, as type checkers are to know."""

    if TYPE_CHECKING:

        def __call__(self, *args: Any, **kwargs: Any) -> Prediction:
            """Run the program and wait for its prediction."""

        async def acall(self, *args: Any, **kwargs: Any) -> Prediction:
            """Run the program in async code."""


class ChainOfThought(Answerer):
    """Answer a signature with one call that writes its `reasoning` before the outputs.

    The step inside is `predict`. `rationale_field` and `rationale_field_type` replace those of the reasoning field.

    >>> list(ChainOfThought("question -> answer").predict.signature.output_fields)
    ['reasoning', 'answer']
    """

    def __init__(
        self,
        signature: AnySignature,
        rationale_field: object = None,
        rationale_field_type: Any = None,
        callbacks: Sequence[object] | None = None,
        **config: Any,
    ) -> None:
        super().__init__(callbacks)
        field = OutputField(desc=REASONING) if rationale_field is None else rationale_field
        extended = ensure_signature(signature).prepend(FIELD, field, rationale_field_type or str)
        self.predict = Predict(extended, **config)

    async def aforward(self, **kwargs: object) -> Prediction:
        """Think, then answer; the arguments are those of `Predict`."""
        return await self.predict.acall(**kwargs)
