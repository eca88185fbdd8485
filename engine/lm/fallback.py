"""`FallbackLM`: several models, asked in order until one answers.

It knows models and nothing of programs. Each model keeps its own cache, retries and limits; the next one is asked only
when those of the one before are used up or would not help.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.errors import ConfigurationError, LMError, MissingKeyError
from engine.lm.base import BaseLM, Message, Reply, Request


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
                return await _ask(lm, request)
            except (LMError, MissingKeyError) as error:
                problems.append(f"{lm.model}: {error}")
        try:
            return await _ask(self.lms[-1], request)
        except (LMError, MissingKeyError) as error:
            if problems:
                error.args = (f"No model answered. {' '.join(problems)} {self.lms[-1].model}: {error}",)
            raise

    async def recall(self, request: Request) -> Reply | None:
        """Return the first model's kept answer, or the next one's."""
        for lm in self.lms:
            if (reply := await lm.recall(_own(lm, request))) is not None:
                return reply
        return None

    def price(self) -> tuple[float, float] | None:
        """Return the first model's price: that of the usual case."""
        return self.lms[0].price()

    @property
    def supports_response_format(self) -> bool:
        """True if the first model takes a JSON schema; for others that do not, it is left out."""
        return self.lms[0].supports_response_format

    @property
    def supports_function_calling(self) -> bool:
        """True if all of them do: what is asked for natively is not in the prompt."""
        return all(lm.supports_function_calling for lm in self.lms)

    @property
    def supports_reasoning(self) -> bool:
        """True if all of them send their reasoning next to the answer."""
        return all(lm.supports_reasoning for lm in self.lms)

    @property
    def supports_citations(self) -> bool:
        """True if all of them cite by themselves."""
        return all(lm.supports_citations for lm in self.lms)

    def __deepcopy__(self, memo: dict[int, object]) -> FallbackLM:
        # Copies of a program share their models.
        return self

    def __repr__(self) -> str:
        return f"FallbackLM([{', '.join(map(repr, self.lms))}])"


async def _ask(lm: BaseLM, request: Request) -> Reply:
    return await lm.complete(_own(lm, request))


def _own(lm: BaseLM, request: Request) -> Request:
    params = dict(request.params)
    if not lm.supports_response_format:
        params.pop("response_format", None)
    return lm.request(request.messages, rollout_id=request.rollout_id, **params)
