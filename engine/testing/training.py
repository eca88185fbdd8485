"""`LookupTrainer`: a trainer that learns for real, at once and without a library, for tests of searches that train.

Its models remember the conversations they were trained on and answer as in the one most like what they are asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from engine.basics.similarity import words
from engine.errors import TrainingError
from engine.lm.base import BaseLM, Choice, Reply, Request
from engine.records import Usage
from engine.search.trainers import (
    ChatRow,
    Order,
    Rollout,
    Trained,
    TrainerProgress,
    TrainingEstimate,
    TrainingMonitor,
)

Pair = tuple[frozenset[str], str]
"""The words of a question, and its answer."""

MakeReply = Callable[[Request, str, str], Awaitable[Reply]]
"""Makes a reply of a request, the key of what answers it, and the text."""


async def free_reply(request: Request, _key: str, text: str) -> Reply:
    """Return a reply that counts as one call and costs nothing."""
    read = sum(len(str(m["content"])) for m in request.messages) // 4
    return Reply((Choice(text),), Usage(1, 0, read, len(text) // 4, 0.0))


class LookupLM(BaseLM):
    """A model that answers as in the most similar conversation it knows; with none it guesses, another guess each rollout."""

    def __init__(self, name: str, pairs: Sequence[Pair], guesses: Sequence[str], reply: MakeReply) -> None:
        super().__init__(name)
        self._pairs, self._guesses, self._reply = tuple(pairs), tuple(guesses), reply

    async def complete(self, request: Request) -> Reply:
        """Answer from memory."""
        asked = _question(request.messages)
        known = max(self._pairs, key=lambda pair: len(asked & pair[0]), default=None)
        guess = request.rollout_id is not None and bool(self._guesses)
        if known is None or guess:
            n = (request.rollout_id or 0) % max(1, len(self._guesses))
            text = self._guesses[n] if self._guesses else "I do not know."
        else:
            text = known[1]
        return await self._reply(request, f"{self.model} {len(self._pairs)} {request.key()}", text)


@dataclass
class LookupTrainer:
    """Trains lookup models. `fail_after` rows it fails; `kept` are its checkpoints, with which it goes on.

    `guesses` are texts that a model answers while it knows nothing, and in rollouts. `price` is US dollars a row.

    >>> LookupTrainer().name
    'local'
    """

    name: ClassVar[str] = "local"
    title: ClassVar[str] = "Looks answers up"

    reply: MakeReply = free_reply
    guesses: Sequence[str] = ()
    fail_after: int | None = None
    price: float | None = None
    models: dict[str, BaseLM] = field(default_factory=dict)
    orders: list[Order] = field(default_factory=list)
    kept: dict[str, int] = field(default_factory=dict)

    def check(self, order: Order) -> list[str]:
        """Return no notes: everything can be remembered."""
        del order
        return []

    def estimate(self, order: Order) -> TrainingEstimate:
        """Return a token and a hundredth of a second a row."""
        rows = len(order.rows)
        usd = None if self.price is None else self.price * rows
        return TrainingEstimate(rows, rows, usd or 0.0, rows / 100)

    async def train(self, order: Order, watch: TrainingMonitor) -> Trained:
        """Remember the rows, or for "grpo" the better answers of rollouts; return the best checkpoint."""
        self.orders.append(order)
        job = _Job(self, order, watch, f"tuned/{order.key}")
        work = job.reinforced() if order.settings.method == "grpo" else job.remembered()
        return await work


@dataclass
class _Job:
    trainer: LookupTrainer
    order: Order
    watch: TrainingMonitor
    name: str
    best: tuple[float, str] | None = None
    worse: int = 0
    tokens: int = 0
    ended: Literal["finished", "early", "stopped", "already"] = "finished"

    async def remembered(self) -> Trained:
        trainer, rows, settings = self.trainer, self.order.rows, self.order.settings
        if not rows:
            raise TrainingError("There are no rows to train on.")
        pairs = [_pair(row) for row in rows]
        marks = {-(-len(rows) * (n + 1) // settings.checkpoints) for n in range(settings.checkpoints)}
        for done in range(1, len(rows) + 1):
            await asyncio.sleep(0)
            if self.watch.stopped:
                self.ended = "stopped"
                break
            if trainer.fail_after is not None and done > max(
                trainer.fail_after, trainer.kept.get(self.name, 0)
            ):
                raise TrainingError("The provider failed half-way.")
            self.tokens = done
            self.watch.note(TrainerProgress(done, len(rows), loss=1 / done, tokens=done, usd=self._usd()))
            if done in marks and await self._checkpoint(done, pairs[:done]):
                break
        return self._trained()

    async def reinforced(self) -> Trained:
        settings, pairs = self.order.settings, list[Pair]()
        marks = max(1, settings.rounds // settings.checkpoints)
        for done in range(1, settings.rounds + 1):
            if self.watch.stopped:
                self.ended = "stopped"
                break
            ids = self.order.row_ids
            size = min(settings.batch_size, len(ids))
            rows = [ids[((done - 1) * size + n) % len(ids)] for n in range(size)]
            policy = self._model(f"{self.name}@{done - 1}", pairs)
            rollouts = await self.watch.rollouts(policy, rows, settings.group_size)
            pairs += _better(rollouts)
            reward = sum(r.reward for r in rollouts) / max(1, len(rollouts))
            self.watch.note(TrainerProgress(done, settings.rounds, reward=reward))
            if done % marks == 0 and await self._checkpoint(done, pairs):
                break
        return self._trained()

    async def _checkpoint(self, done: int, pairs: Sequence[Pair]) -> bool:
        """Score the answers known so far; return whether the training ends early."""
        model = f"{self.name}@{done}"
        self._model(model, pairs)
        score = await self.watch.score(model, f"checkpoint {done}")
        self.trainer.kept[self.name] = done
        if self.best is None or (score is not None and score > self.best[0]):
            self.best, self.worse = (-1.0 if score is None else score, model), 0
            return False
        self.worse += 1
        if self.worse >= self.order.settings.patience:
            self.ended = "early"
            return True
        return False

    def _model(self, name: str, pairs: Sequence[Pair]) -> BaseLM:
        lm = LookupLM(name, pairs, self.trainer.guesses, self.trainer.reply)
        self.trainer.models[name] = lm
        return lm

    def _usd(self) -> float | None:
        return None if self.trainer.price is None else self.trainer.price * self.tokens

    def _trained(self) -> Trained:
        if self.best is None:
            raise TrainingError("The training was stopped before its first checkpoint, so there is no model.")
        score, model = self.best
        self.trainer.models[self.name] = self.trainer.models[model]
        known = None if score < 0 else score
        return Trained(self.name, self.ended, self.tokens, self._usd(), score=known)


def _question(messages: Sequence[Any]) -> frozenset[str]:
    return frozenset(words(str(messages[-1]["content"])))


def _pair(row: ChatRow) -> Pair:
    return _question(row.messages[:-1]), str(row.messages[-1]["content"])


def _better(rollouts: Sequence[Rollout]) -> list[Pair]:
    """Return the answers to remember: the best readable answer of each group whose rewards differ."""
    groups: dict[str, list[Rollout]] = {}
    for rollout in rollouts:
        groups.setdefault(rollout.group, []).append(rollout)
    answers = []
    for some in groups.values():
        best = max((r for r in some if r.readable), key=lambda r: r.reward, default=None)
        if best is not None and best.reward > min(r.reward for r in some):
            answers.append((_question(best.messages), best.completion))
    return answers
