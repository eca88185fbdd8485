"""GRPO on the tiny model: the score rises, unreadable answers are penalised, a stopped or killed training goes on."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import psutil
import pytest
from support.training import tiny_model

import engine
from engine import loop
from engine.adapters.chat import ChatAdapter
from engine.errors import AdapterParseError, TrainingError
from engine.lm.tuned import get_tuned, model_folder
from engine.optimizers.training.grpo import UNREADABLE, grouped
from engine.optimizers.training.local import LocalTrainer
from engine.search.trainers import Order, Rollout, TrainSettings
from engine.signature import Signature

TRAIN, HELD_OUT = tiny_model.team_rows(48, seed=1), tiny_model.team_rows(32, seed=2)
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")


class TeamWatch:
    """The driver of a program of one step, which is right where it names the team."""

    def __init__(self, stop_after: int = 10**6, on_round=None):
        self.notes, self.scores, self.rounds = [], {}, 0
        self._stop_after, self._on_round = stop_after, on_round
        self._signature, self._adapter = Signature(tiny_model.TASK), ChatAdapter()

    @property
    def stopped(self):
        return self.rounds >= self._stop_after

    def note(self, progress):
        self.notes.append(progress)

    async def score(self, model, label):
        lm = engine.LM(model, cache=False, max_tokens=24)
        done = await asyncio.gather(*(self._answered(lm, row) for row in HELD_OUT))
        self.scores[label] = sum(max(0.0, one.reward) for one in done) / len(done)
        return self.scores[label]

    async def rollouts(self, model, rows, group_size):
        self.rounds += 1
        if self._on_round:
            self._on_round(self.rounds)
        model = model.copy(max_tokens=24)
        each = [(number, TRAIN[number]) for number in rows for _ in range(group_size)]
        return await asyncio.gather(*(self._answered(model, row, f"{number} team") for number, row in each))

    async def _answered(self, lm, row, group=""):
        messages = self._adapter.format(self._signature, [], {"message": row["message"]})
        text = (await lm.acall(messages=messages))[0]
        try:
            right = self._adapter.parse(self._signature, text)["team"] == row["team"]
        except AdapterParseError:
            return Rollout(group, tuple(messages), text, 0.0, readable=False)
        return Rollout(group, tuple(messages), text, float(right))


def _order(base, **changes) -> Order:
    settings = {
        "method": "grpo",
        "learning_rate": 0.006,
        "batch_size": 6,
        "group_size": 8,
        "rounds": 16,
        "rank": 8,
        "checkpoints": 2,
    }
    chosen = TrainSettings(base_model=str(base), **{**settings, **changes})
    return Order(chosen, row_ids=tuple(range(len(TRAIN))), run="run-1")


@pytest.mark.slow
def test_rewards_and_the_held_out_score_rise(tiny_base):
    watch, order = TeamWatch(), _order(tiny_base, batch_size=12, rounds=30, checkpoints=3)
    before = loop.run(watch.score(f"local/{tiny_base}", "before"))
    trained = loop.run(LocalTrainer().train(order, watch))
    rewards = [note.reward for note in watch.notes if note.reward is not None]
    assert sum(rewards[-8:]) >= sum(rewards[:8]) + 0.8, rewards
    assert trained.score == max(watch.scores[f"Checkpoint {n}"] for n in (1, 2, 3)), watch.scores
    assert trained.score >= before + 0.1, (before, watch.scores)
    assert loop.run(watch.score(trained.model, "after")) == trained.score
    steps = [note for note in watch.notes if note.step]
    assert [note.step for note in steps] == list(range(1, 31))
    assert all(note.loss is not None and note.tokens > 0 for note in steps)
    record = get_tuned(trained.model)
    assert (record.method, record.finished, record.rows) == ("grpo", True, len(TRAIN))
    kept = [file.suffix for file in model_folder(record.name).rglob("*") if file.is_file()]
    assert not {".pt", ".pth", ".bin", ".pkl"} & set(kept), "a pickle"
    again = TeamWatch()
    assert replace(loop.run(LocalTrainer().train(order, again)), loss=None) == replace(trained, loss=None)
    assert again.rounds == 0


@pytest.mark.slow
def test_a_killed_training_goes_on_from_its_checkpoint_and_a_stopped_one_keeps_what_it_has(tiny_base):
    order = _order(tiny_base, rounds=4, checkpoints=4, batch_size=2, patience=9)

    def kill(number):
        if number == 2:
            (child,) = [
                p for p in psutil.Process().children() if "engine.optimizers.training.child" in p.cmdline()
            ]
            child.kill()

    with pytest.raises(TrainingError, match=r"lack of memory.*lower the group size.*start the run again"):
        loop.run(LocalTrainer().train(order, TeamWatch(on_round=kill)))
    again = TeamWatch(stop_after=2)
    stopped = loop.run(LocalTrainer().train(order, again))
    assert (stopped.ended, list(again.scores), get_tuned(stopped.model).finished) == (
        "stopped",
        ["Checkpoint 2"],
        False,
    )
    assert engine.LM(stopped.model, cache=False, max_tokens=2)("Hi")


def test_unreadable_answers_are_worth_less_than_wrong_ones_and_groups_are_whole():
    one = Rollout("7 sort", ({"role": "user", "content": "Hi"},), "x", 0.0)
    other = replace(one, group="7 check", reward=1.0)
    broken = replace(one, completion="y", readable=False)
    groups = grouped([one, other, broken, one, replace(other, reward=0.5)], 2)
    rewards = [[member["reward"] for member in group] for group in groups]
    assert rewards == [[0.0, UNREADABLE], [1.0, 0.5]]
    assert UNREADABLE < 0
    assert [[m["reward"] for m in group] for group in grouped([one, broken, one], 4)] == [
        [0.0, UNREADABLE, 0.0, None]
    ]


def test_a_training_without_rows_is_refused(tiny_base):
    with pytest.raises(TrainingError, match="There are no training rows"):
        loop.run(LocalTrainer().train(replace(_order(tiny_base), row_ids=()), TeamWatch()))
