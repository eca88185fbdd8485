"""Usage by model: what the calls inside a block, or inside one run of a program, have cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from engine.basics.data import JsonObject, Values
from engine.records import Usage
from engine.runtime import context, current, noting

if TYPE_CHECKING:
    from engine.lm.base import BaseLM
    from engine.lm.exchange import Reply


@contextmanager
def track_usage() -> Iterator[UsageTracker]:
    """Note what every call inside the `with` block costs, under any concurrency.

    >>> with track_usage() as tracker:
    ...     pass
    >>> tracker.get_total_tokens()
    {}
    """
    tracker = UsageTracker()
    with context(track_usage=True, own={**current().own, "usage_tracker": tracker}), noting(tracker.note):
        yield tracker


class UsageTracker:
    """The cost of the calls made inside a `track_usage` block.

    >>> tracker = UsageTracker()
    >>> tracker.add_usage("mine", {"prompt_tokens": 3, "completion_tokens": 2})
    >>> tracker.get_total_tokens()["mine"]["total_tokens"]
    5
    """

    def __init__(self) -> None:
        self._noted: list[tuple[str, Usage | Values | None]] = []

    def note(self, lm: BaseLM, reply: Reply) -> None:
        """Add a reply's usage, under the name that its model was made with."""
        self._noted.append((reply.name or lm.model, None if reply.cached else reply.usage))

    def add_usage(self, lm: str, usage_entry: Values) -> None:
        """Add the usage of a call made elsewhere, by the protocol's names; other numbers in it are added up as well."""
        self._noted.append((lm, usage_entry))

    def get_total_tokens(self) -> dict[str, JsonObject]:
        """Return what was paid, by the name the model was made with; nothing for a model that only answered from the cache.

        The numbers: calls, cached, input_tokens and output_tokens (also by DSPy's names), total_tokens, cost.
        """
        total: dict[str, JsonObject] = {}
        paid = {name for name, usage in self._noted if usage is not None}
        for name, usage in self._noted:
            if name not in paid:
                continue
            numbers = total.setdefault(name, dict.fromkeys(_COUNTED, 0) | {"cost": None})
            for key, number in _numbers(usage).items():
                numbers[key] = (numbers.get(key) or 0) + number
        return total


def _numbers(usage: Usage | Values | None) -> JsonObject:
    """Return the numbers of one call; None means an answer from the cache."""
    if usage is None:
        return {"cached": 1}
    if isinstance(usage, Mapping):
        given = {key: n for key, n in usage.items() if isinstance(n, int | float) and not isinstance(n, bool)}
        read, written = given.get("prompt_tokens", 0), given.get("completion_tokens", 0)
        same = {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}
        return {"calls": 1, **same, **given}
    tokens = (usage.input_tokens, usage.output_tokens)
    counted = dict(zip(_COUNTED, (usage.calls, 0, *tokens, *tokens, usage.tokens), strict=True))
    return counted if usage.cost is None else {**counted, "cost": usage.cost}


@contextmanager
def tracked() -> Iterator[Callable[[Any], Any]]:
    """Yield a function that notes the usage of one module's run on its prediction, if usage is tracked."""
    if not current().track_usage:
        yield lambda prediction: prediction
        return
    tracker = UsageTracker()
    with noting(tracker.note):

        def note(prediction: object) -> Any:
            if hasattr(prediction, "set_lm_usage"):
                prediction.set_lm_usage(tracker.get_total_tokens())
            return prediction

        yield note


_COUNTED = (
    *("calls", "cached", "input_tokens", "output_tokens"),
    *("prompt_tokens", "completion_tokens", "total_tokens"),
)
"""The numbers that are counted; "prompt_tokens" and "completion_tokens" are DSPy's names for the two before them."""
