"""A model that asks several models in order: the first answer counts."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from engine.errors import ConfigurationError, LMError, MissingKeyError
from engine.lm.base import BaseLM, Message, Reply, Request, shared_in
from engine.lm.calls.speeds import Speed


class FallbackLM(BaseLM):
    """Asks `lms` in order; the first answer counts.

    A model is passed over when its call fails for good: refused, unknown, too long for it, without a key, or still failing
    after its own retries. `reply.model` and the history say which one answered. When all fail the last error is raised, which
    names every model. As one model of a program it counts as one call. Raises ConfigurationError without models.

    >>> from engine.errors import ModelNotFoundError
    >>> from engine.testing import ScriptedLM
    >>> gone = ScriptedLM([ModelNotFoundError("There is no such model.")], model="old")
    >>> FallbackLM([gone, ScriptedLM(["hello"], model="new")])("Hi")
    ['hello']
    """

    def __init__(self, lms: Sequence[BaseLM], *, callbacks: Sequence[Any] = ()) -> None:
        if not lms:
            raise ConfigurationError("FallbackLM needs at least one model: FallbackLM([first, second]).")
        super().__init__(lms[0].model)
        self.lms = tuple(lms)
        self.callbacks = callbacks

    def request(
        self, messages: Sequence[Message], *, rollout_id: int | None = None, **params: Any
    ) -> Request:
        """Return a request with the parameters given here only: each model adds its own when it is asked."""
        given = {name: value for name, value in params.items() if value is not None}
        return Request(self.model, tuple(messages), given, rollout_id)

    async def complete(self, request: Request) -> Reply:
        """Answer one request by the first model that can. Raises the last one's LMError or MissingKeyError."""
        problems: list[str] = []
        for lm in self.lms[:-1]:
            try:
                return replace(await lm.answer(_request_for(lm, request)), name=lm.model)
            except (LMError, MissingKeyError) as error:
                problems.append(f"{lm.model}: {error}")
        try:
            last = self.lms[-1]
            return replace(await last.answer(_request_for(last, request)), name=last.model)
        except (LMError, MissingKeyError) as error:
            if problems:
                error.args = (f"No model answered. {' '.join(problems)} {self.lms[-1].model}: {error}",)
            raise

    async def recall(self, request: Request) -> Reply | None:
        """Return the first model's kept answer, or the next one's."""
        for lm in self.lms:
            if (reply := await lm.recall(_request_for(lm, request))) is not None:
                return reply
        return None

    def price(self) -> tuple[float, float] | None:
        """Return the first model's price: that of the usual case."""
        return self.lms[0].price()

    def speed(self) -> Speed:
        """Return the first model's speed."""
        return self.lms[0].speed()

    @property
    def capabilities(self) -> frozenset[str]:  # type: ignore[override]  # those of its models
        """The abilities that all of them have. A JSON schema that the first one takes is left out for the others."""
        abilities = {word for word, name in _SUPPORTS.items() if all(getattr(lm, name) for lm in self.lms)}
        return frozenset(abilities | ({"json_schema"} if self.lms[0].supports_response_format else set()))

    def __deepcopy__(self, memo: dict[int, object]) -> FallbackLM:
        if shared_in(memo):
            return self
        return FallbackLM([copy.deepcopy(lm, memo) for lm in self.lms], callbacks=self.callbacks)

    def __repr__(self) -> str:
        return f"FallbackLM([{', '.join(map(repr, self.lms))}])"


def _request_for(lm: BaseLM, request: Request) -> Request:
    params = dict(request.params)
    if not lm.supports_response_format:
        params.pop("response_format", None)
    return lm.request(request.messages, rollout_id=request.rollout_id, **params)


_SUPPORTS = {
    "tools": "supports_function_calling",
    "reasoning": "supports_reasoning",
    "citations": "supports_citations",
}
"""Capability -> the property that tells of it, which a model's class may define by itself."""
