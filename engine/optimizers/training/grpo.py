"""Reinforcement with the program's own metric (GRPO), on this machine: the rounds, as the driver's process sees them.

Each round the program is run several times on some rows with the policy as it is; `engine.optimizers.training.grpo_child` holds the
policy, writes its answers, and learns from the rewards. Nothing here loads torch.
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator, Sequence

from engine.basics.data import JsonObject
from engine.errors import ContextWindowExceededError, InvalidRequestError, ProviderFailureError, TrainingError
from engine.lm.base import BaseLM, Reply, Request
from engine.lm.local.sources import Source
from engine.lm.local.worker import reply_of
from engine.optimizers.training.pipe import TrainingChild
from engine.search.trainers import Order, Rollout, TrainingMonitor

UNREADABLE = -0.5
"""Reward of an answer that does not follow its step's format: below 0, the worst that a metric gives."""


class PolicyLM(BaseLM):
    """The policy as it is now: a model whose answers the training process writes, those that wait together in a batch."""

    def __init__(self, name: str, child: TrainingChild, seeds: Iterator[int]) -> None:
        super().__init__(name, temperature=1.0, cache=False)
        self._child, self._source, self._seeds = child, Source(name, name), seeds

    async def complete(self, request: Request) -> Reply:
        """Answer one request. Raises LMError, and TrainingError where the process has ended."""
        started = time.perf_counter()
        answer = await self._child.ask(request.messages, {"seed": next(self._seeds), **request.params})
        if answer.error:
            kind = _ERRORS.get(answer.error, ProviderFailureError)
            raise kind(answer.text, model=self.model)
        return reply_of(self._source, list(answer.completions), time.perf_counter() - started)

    def price(self) -> tuple[float, float] | None:
        """Return nothing to pay."""
        return (0.0, 0.0)


_ERRORS: dict[str, type[ContextWindowExceededError | InvalidRequestError]] = {
    "ContextWindowExceededError": ContextWindowExceededError,
    "InvalidRequestError": InvalidRequestError,
}


async def round_groups(
    order: Order, watch: TrainingMonitor, child: TrainingChild, model: str, number: int
) -> list[list[JsonObject]] | None:
    """Run the program on a round's rows; return the calls of its steps in groups, or None once the run was stopped.

    Raises TrainingError where the program asks no step that is trained, or the process has ended.
    """
    settings = order.settings
    if watch.stopped:
        return None
    # A seed for each question in turn: the same training draws the same answers.
    seeds = itertools.count(settings.seed * 10**9 + number * 10**6)
    rows = round_rows(order.row_ids, settings.batch_size, number, settings.seed)
    rollouts = await watch.rollouts(PolicyLM(model, child, seeds), rows, settings.group_size)
    if watch.stopped:
        return None
    if not rollouts:
        child.check()
        raise TrainingError(
            "The program asked none of the steps that are trained, so there is nothing to learn from."
        )
    return grouped(rollouts, settings.group_size)


def round_rows(rows: Sequence[int], size: int, number: int, seed: int) -> list[int]:
    """Return the rows of one round, each once: all rows in a seeded order, part after part, in a new order each time.

    >>> [round_rows((1, 2, 3), 2, n, 0) for n in range(3)]
    [[2, 3], [1], [3, 2]]
    """
    size = min(size, len(rows))
    chosen: list[int] = []
    for place in range(number * size, (number + 1) * size):
        epoch, at = divmod(place, len(rows))
        chosen.append(random.Random(f"{seed} {epoch}").sample(sorted(rows), len(rows))[at])
    return list(dict.fromkeys(chosen))


def grouped(rollouts: Sequence[Rollout], size: int) -> list[list[JsonObject]]:
    """Return rollouts in groups of `size` that answered the same row with the same step, as the child takes them.

    A group that is too large is parted; a short one is filled with copies without a reward, which teach nothing.

    >>> one = Rollout("r1 s", ({"role": "user", "content": "Hi"},), "yes", 1.0)
    >>> [[member["reward"] for member in group] for group in grouped([one, one, one], 2)]
    [[1.0, 1.0]]
    """
    by_group: dict[str, list[Rollout]] = {}
    for rollout in rollouts:
        by_group.setdefault(rollout.group, []).append(rollout)
    groups = []
    for members in by_group.values():
        for start in range(0, len(members), size):
            part = [_member(one) for one in members[start : start + size]]
            if len(part) > 1:  # one alone has nothing to be compared with
                groups.append(part + [{**part[0], "reward": None}] * (size - len(part)))
    return groups


def _member(rollout: Rollout) -> JsonObject:
    return {
        "messages": [dict(message) for message in rollout.messages],
        "completion": rollout.completion,
        "reward": rollout.reward if rollout.readable else UNREADABLE,
    }
