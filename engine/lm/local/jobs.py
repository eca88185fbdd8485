"""One completion that a model of this machine is to write, and what it wrote. Nothing here loads weights."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from engine.basics.data import Values
from engine.errors import InvalidRequestError
from engine.lm.exchange import Message, Request
from engine.lm.local.sources import Source

MAX_TOKENS = 1024
"""Length of an answer where none is given: a model that never ends would write until its context is full."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A text as it was written. `finish_reason` is "stop" or "length"; tokens are those of the prompt and the text."""

    text: str
    finish_reason: str
    input_tokens: int
    output_tokens: int
    logprobs: Values | None = None
    ids: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    """Tokens of the prompt and of the text, as a trainer needs them."""


@dataclass(eq=False, slots=True)
class Job:
    """One completion to write with a source's weights.

    `seed` None draws afresh each time. `seconds` is the longest that writing may take, from its start. `feed` receives
    each piece of the text, on the writing thread. A job whose `future` is cancelled is dropped at the next token.
    """

    source: Source
    messages: Sequence[Message]
    max_tokens: int = MAX_TOKENS
    temperature: float = 0.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    logprobs: bool = False
    plain: bool = False
    """True: the prompt is text to complete, without the model's chat template."""
    seconds: float = float("inf")
    feed: Callable[[str], None] | None = None
    future: Future[Completion] = field(default_factory=Future)

    def dice(self) -> random.Random:
        """Return this completion's own source of chance: the same for the same seed, whatever is written next to it."""
        return random.Random(self.seed)


def jobs_of(
    source: Source, request: Request, *, plain: bool = False, seconds: float = float("inf")
) -> list[Job]:
    """Return a request's jobs, one for each of its `n` completions. Raises InvalidRequestError for a parameter out of range.

    >>> request = Request("local/m", ({"role": "user", "content": "Hi"},), {"n": 2, "stop": "END", "seed": 7})
    >>> [(job.seed, job.stop) for job in jobs_of(Source("local/m", "m"), request)]
    [(7, ('END',)), (8, ('END',))]
    """
    params = dict(request.params)
    if params.get("tools"):
        raise _refused(source, "tools: describe them in the prompt, as ReAct does by default")
    temperature, top_p = _number(source, params, "temperature", 0.0), _number(source, params, "top_p", 1.0)
    longest = _number(
        source, params, "max_completion_tokens", _number(source, params, "max_tokens", MAX_TOKENS)
    )
    stop = params.get("stop") or ()
    seed, wanted = params.get("seed"), params.get("n") or 1
    if temperature < 0 or not 0 < top_p <= 1 or longest < 1:
        raise _refused(
            source, "these numbers: temperature is 0 or more, top_p above 0 to 1, max_tokens 1 or more"
        )
    return [
        Job(
            source,
            request.messages,
            int(longest),
            temperature,
            top_p,
            (stop,) if isinstance(stop, str) else tuple(stop),
            None if seed is None else int(seed) + place,
            bool(params.get("logprobs")),
            plain,
            seconds,
        )
        for place in range(int(wanted))
    ]


def _number(source: Source, params: Values, name: str, usual: float) -> float:
    given = params.get(name)
    if given is None:
        return usual
    try:
        return float(given)
    except (TypeError, ValueError):
        raise _refused(source, f"{name}={given!r}: give a number") from None


def _refused(source: Source, what: str) -> InvalidRequestError:
    return InvalidRequestError(f"The model {source.name!r} does not take {what}.", model=source.name)
