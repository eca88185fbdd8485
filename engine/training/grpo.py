"""Reinforcement with the program's own metric (GRPO), on this machine: the side of the driver.

Each round the program is run several times on some rows with the policy as it is; `engine.training.grpo_child` holds the
policy, writes its answers, and learns from the rewards. Nothing here loads torch.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from engine.errors import ContextWindowExceededError, InvalidRequestError, ProviderFailureError, TrainingError
from engine.lm.base import BaseLM, Reply, Request
from engine.lm.local.jobs import Completion
from engine.lm.local.sources import Source, base_of
from engine.lm.local.worker import reply_of
from engine.lm.tuned import PREFIX, TunedModel, get_tuned, model_folder, name_for, save_tuned
from engine.training.contract import Order, Progress, Rollout, Trained, Watch
from engine.training.pipe import ChildEndedError, TrainingChild

UNREADABLE = -0.5
"""Reward of an answer that does not follow its step's format: below 0, the worst that a metric gives."""

CHILD = "engine.training.grpo_child"
_STATE = "training.json"


@dataclass
class _State:
    """Facts of a training that outlive its process: scores by checkpoint, seconds, tokens."""

    scores: dict[str, float | None] = field(default_factory=dict)
    seconds: float = 0.0
    tokens: int = 0
    ended: str = ""

    @classmethod
    def read(cls, folder: Path) -> _State:
        try:
            return cls(**orjson.loads((folder / _STATE).read_bytes()))
        except (OSError, ValueError, TypeError):
            return cls()

    def write(self, folder: Path) -> None:
        part = folder / f"{_STATE}.part"
        part.write_bytes(orjson.dumps(vars(self)))
        part.replace(folder / _STATE)

    @property
    def best(self) -> str:
        """The checkpoint with the best score, the earlier of two; the last one where none has a score; "" for none."""
        scored = [(score, -int(step)) for step, score in self.scores.items() if score is not None]
        return str(-max(scored)[1]) if scored else max(self.scores, key=int, default="")

    @property
    def worse(self) -> int:
        """The number of checkpoints with a score since the best one."""
        return sum(score is not None and int(step) > int(self.best) for step, score in self.scores.items())

    @property
    def done(self) -> int:
        """The last round that has a checkpoint."""
        return max((int(step) for step in self.scores), default=0)


class PolicyLM(BaseLM):
    """The policy as it is now: a model whose answers the training process writes, those that wait together in a batch."""

    def __init__(self, name: str, child: TrainingChild, seeds: Iterator[int]) -> None:
        super().__init__(name, temperature=1.0, cache=False)
        self._child, self._source, self._seeds = child, Source(name, name), seeds

    async def complete(self, request: Request) -> Reply:
        """Answer one request. Raises LMError."""
        started = time.perf_counter()
        params = {"seed": next(self._seeds), **request.params}
        asked = {"kind": "write", "messages": [dict(m) for m in request.messages], "params": params}
        answer = await self._child.ask(asked)
        if (problem := answer.get("error")) is not None:
            kind = _ERRORS.get(str(answer.get("type")), ProviderFailureError)
            raise kind(str(problem), model=self.model)
        done = [Completion(**one) for one in answer["completions"]]
        return reply_of(self._source, done, time.perf_counter() - started)

    def price(self) -> tuple[float, float] | None:
        """Return nothing to pay."""
        return (0.0, 0.0)


_ERRORS: dict[str, type[ContextWindowExceededError | InvalidRequestError]] = {
    "ContextWindowExceededError": ContextWindowExceededError,
    "InvalidRequestError": InvalidRequestError,
}


class GrpoTraining:
    """One training, from its start or its last checkpoint to its end."""

    def __init__(self, order: Order, watch: Watch, run: str = "") -> None:
        self.order, self.watch = order, watch
        self.name = name_for(order.settings.base_model, order.key)
        self.folder = model_folder(self.name)
        self._run = run
        self._started = time.monotonic()
        self._state = _State()
        self._last = Progress(0, order.settings.rounds)

    async def train(self) -> Trained:
        """Train. Raises TrainingError with a message for the user."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._state = _State.read(self.folder)
        if self._state.ended in ("finished", "early"):
            return self._trained(self._state.ended)
        self._save_record(finished=False)
        settings = self.order.settings
        if self._state.done >= settings.rounds:  # its process had died just before the end
            return self._keep("finished")
        asked = {
            "folder": str(self.folder),
            "base": base_of(settings.base_model),
            "settings": settings.model_dump(mode="json"),
            "done": self._state.done,
        }
        async with TrainingChild(CHILD, self.folder / "training.log") as child:
            try:
                await child.send(asked)
                ended = await self._follow(child)
            except ChildEndedError as error:
                raise TrainingError(
                    f"The training of {settings.base_model!r} ended early: {error} What its checkpoints hold is kept; start the "
                    "run again to go on from the last one."
                ) from error
        return self._keep(ended)

    async def _follow(self, child: TrainingChild) -> str:
        """Answer the child until it has finished; return how it ended."""
        async for message in child.messages():
            kind = message["kind"]
            if kind == "failed":
                raise TrainingError(str(message["message"]))
            if kind == "round":
                groups = None if self.watch.stopped else await self._groups(child, int(message["round"]))
                await child.send({"kind": "stop"} if groups is None else {"kind": "groups", "groups": groups})
            elif kind == "progress":
                self._note(message)
            elif kind == "saved":
                await self._score(str(message["step"]))
                enough = self._state.worse >= self.order.settings.patience
                await child.send({"kind": "end" if enough and not self.watch.stopped else "go"})
            elif kind == "done":
                return str(message["ended"])
        raise ChildEndedError("its process closed its output.")

    async def _groups(self, child: TrainingChild, number: int) -> list[list[dict[str, Any]]] | None:
        """Run the program on this round's rows; return the calls of its steps in groups, or None once it was stopped."""
        settings = self.order.settings
        # A seed for each question in turn: the same training draws the same answers.
        seeds = itertools.count(settings.seed * 10**9 + number * 10**6)
        policy = PolicyLM(f"{PREFIX}{self.name}", child, seeds)
        rows = round_rows(self.order.row_ids, settings.batch_size, number, settings.seed)
        rollouts = await self.watch.rollouts(policy, rows, settings.group_size)
        if self.watch.stopped:
            return None
        if not rollouts:
            await child.check()
            raise TrainingError(
                "The program asked none of the steps that are trained, so there is nothing to learn from."
            )
        return grouped(rollouts, settings.group_size)

    def _note(self, message: dict[str, Any]) -> None:
        self._state.tokens += int(message["tokens"])
        self._last = Progress(
            int(message["step"]),
            self.order.settings.rounds,
            message["loss"],
            message["reward"],
            self._seconds,
            self._state.tokens,
            0.0,
            f"Round {message['step']} of {self.order.settings.rounds}: mean reward {message['reward']:.3f}.",
        )
        self.watch.note(self._last)

    async def _score(self, step: str) -> None:
        """Have the driver score a checkpoint."""
        name = f"{PREFIX}{self.name}@{step}"
        self._state.scores[step] = (
            None if self.watch.stopped else await self.watch.score(name, f"round {step}")
        )
        self._write_state("")

    def _keep(self, ended: str) -> Trained:
        """Put the best checkpoint to the model's own place, and record the end."""
        best = self._state.best
        if not best:
            self._write_state(ended)
            return Trained("", "stopped", self._state.tokens, 0.0, self._state.seconds)
        for file in (self.folder / "checkpoints" / best).iterdir():
            part = self.folder / f"{file.name}.part"
            shutil.copyfile(file, part)
            part.replace(self.folder / file.name)
        self._save_record(finished=ended != "stopped")
        self._write_state(ended)
        if ended != "stopped":
            shutil.rmtree(self.folder / "trainer", ignore_errors=True)
        return self._trained(ended)

    def _trained(self, ended: str) -> Trained:
        state = self._state
        return Trained(
            f"{PREFIX}{self.name}",
            "early" if ended == "early" else "stopped" if ended == "stopped" else "finished",
            state.tokens,
            0.0,
            state.seconds,
            self._last.loss,
            state.scores.get(state.best),
        )

    @property
    def _seconds(self) -> float:
        return self._state.seconds + time.monotonic() - self._started

    def _write_state(self, ended: str) -> None:
        self._state.seconds, self._started = self._seconds, time.monotonic()
        self._state.ended = ended
        self._state.write(self.folder)

    def _save_record(self, *, finished: bool) -> None:
        settings = self.order.settings
        try:
            before = get_tuned(self.name)
        except ValueError:  # the first time
            before = None
        save_tuned(
            TunedModel(
                name=self.name,
                trainer="local",
                base_model=settings.base_model,
                method="grpo",
                licence=settings.licence,
                rows=len(self.order.row_ids),
                run=before.run if before else self._run,
                created=before.created if before else datetime.now(UTC).isoformat(timespec="seconds"),
                finished=finished,
            )
        )


def round_rows(rows: Sequence[int], size: int, number: int, seed: int) -> list[int]:
    """Return the rows of one round, each once: all rows in a seeded order, part after part, in a new order each time.

    >>> [round_rows((1, 2, 3), 2, n, 0) for n in range(3)]
    [[2, 3], [1], [3, 2]]
    """
    size = min(size, len(rows))
    found: list[int] = []
    for place in range(number * size, (number + 1) * size):
        epoch, at = divmod(place, len(rows))
        found.append(random.Random(f"{seed} {epoch}").sample(sorted(rows), len(rows))[at])
    return list(dict.fromkeys(found))


def grouped(rollouts: Sequence[Rollout], size: int) -> list[list[dict[str, Any]]]:
    """Return rollouts in groups of `size` that answered the same row with the same step, as the child takes them.

    A group that is too large is parted; a short one is filled with copies without a reward, which teach nothing.

    >>> one = Rollout("r1 s", ({"role": "user", "content": "Hi"},), "yes", 1.0)
    >>> [[member["reward"] for member in group] for group in grouped([one, one, one], 2)]
    [[1.0, 1.0]]
    """
    by_group: dict[str, list[Rollout]] = {}
    for rollout in rollouts:
        by_group.setdefault(rollout.group, []).append(rollout)
    found = []
    for members in by_group.values():
        for start in range(0, len(members), size):
            part = [_member(one) for one in members[start : start + size]]
            if len(part) > 1:  # one alone has nothing to be compared with
                found.append(part + [{**part[0], "reward": None}] * (size - len(part)))
    return found


def _member(rollout: Rollout) -> dict[str, Any]:
    return {
        "messages": [dict(message) for message in rollout.messages],
        "completion": rollout.completion,
        "reward": rollout.reward if rollout.readable else UNREADABLE,
    }


async def train_grpo(order: Order, watch: Watch, run: str = "") -> Trained:
    """Train by GRPO, or go on with the training of the same key. Raises TrainingError with a message for the user."""
    if not order.row_ids:
        raise TrainingError("Reinforcement needs training rows to run the program on, and there are none.")
    training = GrpoTraining(order, watch, run)
    try:
        return await training.train()
    except asyncio.CancelledError:
        training._write_state("")
        raise
