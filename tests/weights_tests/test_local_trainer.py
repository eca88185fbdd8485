"""Training on this machine, for real: a tiny model learns, and nothing is lost when a process dies."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file
from support.training import tiny_model
from transformers import AutoModelForCausalLM, AutoTokenizer

import engine
from engine.errors import TrainingError
from engine.lm.local.weights import Writer
from engine.lm.tuned import get_tuned, model_folder
from engine.optimizers.training.child import TrainingJob, reason
from engine.optimizers.training.local import LocalTrainer
from engine.optimizers.training.sft import check_fit, encoded, resumed_from
from engine.search.trainers import ChatRow, Order, Trained, TrainerProgress, TrainSettings


@dataclass
class ScriptedWatch:
    """Gives the scores of a script, the last one again and again; notes what it is given."""

    scores: Sequence[float] = (0.5,)
    stop_at: int | None = None
    notes: list[TrainerProgress] = field(default_factory=list)
    scored: list[str] = field(default_factory=list)

    @property
    def stopped(self) -> bool:
        return self.stop_at is not None and any(note.step >= self.stop_at for note in self.notes)

    def note(self, progress: TrainerProgress) -> None:
        self.notes.append(progress)

    async def score(self, model: str, label: str) -> float | None:
        self.scored.append(model)
        return self.scores[min(len(self.scored), len(self.scores)) - 1]

    async def rollouts(self, *_: Any) -> Any:
        raise NotImplementedError


class HeldOut(ScriptedWatch):
    """Scores with the program itself, on rows that are not trained on."""

    async def score(self, model: str, label: str) -> float | None:
        self.scored.append(model)
        return await held_out_score(model)


async def held_out_score(model: str) -> float:
    rows = tiny_model.team_rows(40, seed=99)
    program = engine.Predict(tiny_model.TASK)
    with engine.context(lm=engine.LM(model, cache=False, max_tokens=32)):
        calls = [program.acall(message=row["message"]) for row in rows]
        answers = await asyncio.gather(*calls, return_exceptions=True)
    return sum(getattr(a, "team", None) == row["team"] for a, row in zip(answers, rows, strict=True)) / len(
        rows
    )


def training_rows(count: int) -> tuple[ChatRow, ...]:
    return tuple(
        ChatRow(
            tuple(tiny_model.chat(tiny_model.TASK, {"message": row["message"]}, {"team": row["team"]})),
            "team",
            n,
        )
        for n, row in enumerate(tiny_model.team_rows(count, seed=3))
    )


def small_order(base: Path, **settings: Any) -> Order:
    """Return an order of eight steps, with a checkpoint after every second one."""
    chosen = TrainSettings(
        base_model=str(base), **{"epochs": 1, "batch_size": 2, "learning_rate": 5e-3, **settings}
    )
    return Order(chosen, training_rows(16), run="run-1")


def train(order: Order, watch: ScriptedWatch) -> Trained:
    return asyncio.run(LocalTrainer().train(order, watch))


def trained_weights(model: str, step: int | None = None) -> dict[str, torch.Tensor]:
    folder = model_folder(model)
    folder = folder / "checkpoints" / str(step) if step else folder
    (file,) = [one for one in folder.glob("*.safetensors") if one.name != "optimizer.safetensors"]
    return load_file(file)


@pytest.mark.slow
def test_a_tiny_model_learns_from_chance_to_the_task(tiny_base: Path) -> None:
    settings = TrainSettings(
        base_model=str(tiny_base), epochs=4, learning_rate=5e-3, checkpoints=2, licence="MIT"
    )
    order, watch = Order(settings, training_rows(96), run="run-1"), HeldOut()
    assert LocalTrainer().estimate(order).seconds is None
    before = asyncio.run(held_out_score(f"local/{tiny_base}"))
    trained = train(order, watch)
    assert before <= 0.6
    assert trained.score is not None
    assert trained.score >= 0.8
    assert asyncio.run(held_out_score(trained.model)) == trained.score
    record = get_tuned(trained.model)
    assert (record.finished, record.rows, record.licence, record.base_model) == (
        True,
        96,
        "MIT",
        str(tiny_base),
    )
    assert any("left on this" in note.message for note in watch.notes)
    assert watch.notes[-1].loss is not None
    assert watch.notes[-1].loss < 0.05


KILLED = """
import os, signal, sys
from pathlib import Path
from test_local_trainer import ScriptedWatch, small_order, train

class Dying(ScriptedWatch):
    async def score(self, model, label):
        if len(self.scored) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return await super().score(model, label)

train(small_order(Path(sys.argv[1])), Dying((0.2,)))
"""


@pytest.mark.slow
def test_a_killed_child_and_a_killed_worker_lose_nothing(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = small_order(tiny_base)
    whole = train(order, ScriptedWatch((0.1, 0.2, 0.3, 0.4)))
    expected = trained_weights(whole.model)
    monkeypatch.setenv("TUNEBOARD_HOME", str(tmp_path / "other"))

    class Killing(ScriptedWatch):
        async def score(self, model: str, label: str) -> float | None:
            for child in training_children():
                child.kill()
            return await super().score(model, label)

    with pytest.raises(
        TrainingError, match=r"ended the training process.*trained up to step 2: start the run again"
    ):
        train(order, Killing((0.1,)))
    assert not get_tuned(whole.model).finished
    command = [sys.executable, "-c", KILLED, str(tiny_base)]
    folder = Path(__file__).parent
    done = subprocess.run(
        command,
        cwd=folder.parents[1],
        env={**env_with(folder)},
        timeout=300,
        check=False,
        capture_output=True,
    )
    assert done.returncode == -9, done.stderr.decode()
    psutil.wait_procs(training_children(everywhere=str(tmp_path / "other")), timeout=20)
    assert not training_children(everywhere=str(tmp_path / "other")), "the child outlives its worker"
    watch = ScriptedWatch((0.3, 0.4))
    resumed = train(order, watch)
    assert watch.scored == [f"{whole.model}@{step}" for step in (6, 8)]
    assert (resumed.score, resumed.ended, resumed.tokens) == (whole.score, whole.ended, whole.tokens)
    found = trained_weights(resumed.model)
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def training_children(everywhere: str = "") -> list[psutil.Process]:
    """Return the training processes of this process, or all whose data folder this is."""
    found = []
    some = psutil.process_iter() if everywhere else psutil.Process().children(recursive=True)
    for process in some:
        try:
            mine = not everywhere or process.environ().get("TUNEBOARD_HOME") == everywhere
            if mine and "engine.optimizers.training" in process.cmdline() and process.status() != "zombie":
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def env_with(folder: Path) -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(folder.parent)])}


def test_a_stopped_training_keeps_what_it_has_and_goes_on_from_there(tiny_base: Path) -> None:
    order, watch = small_order(tiny_base, checkpoints=1), ScriptedWatch(stop_at=2)
    trained = train(order, watch)
    assert (trained.ended, trained.score) == ("stopped", None)
    last = max(note.step for note in watch.notes)
    assert 2 <= last < 8
    record = get_tuned(trained.model)
    assert not record.finished
    kept = [int(one.name) for one in (model_folder(trained.model) / "checkpoints").iterdir()]
    assert kept
    assert all(
        torch.equal(one, trained_weights(trained.model)[name])
        for name, one in trained_weights(trained.model, max(kept)).items()
    )
    watch = ScriptedWatch((0.3,))
    finished = train(order, watch)
    assert (finished.model, finished.ended, finished.score) == (trained.model, "finished", 0.3)
    assert watch.scored == [f"{trained.model}@8"]
    assert watch.notes[0].message == f"The training goes on from step {max(kept)}."
    assert watch.notes[-1].step == 8
    assert get_tuned(trained.model).finished
    assert not list(model_folder(trained.model).rglob("optimizer*"))
    assert_is_trained_once(order, finished)


def assert_is_trained_once(order: Order, trained: Trained) -> None:
    """A finished training is not started again, counts once for its run and not at all for another."""
    watch = ScriptedWatch()
    assert train(order, watch) == trained
    assert LocalTrainer().estimate(order).tokens == 0
    other = train(replace(order, run="run-2"), watch)
    assert (other.model, other.ended, other.tokens) == (trained.model, "already", 0)
    assert not watch.scored
    assert not watch.notes
    assert LocalTrainer().estimate(replace(order, rows=order.rows[1:])).seconds is not None


@pytest.mark.slow
def test_all_weights_end_early_and_only_what_is_needed_is_kept(tiny_base: Path) -> None:
    order, watch = small_order(tiny_base, method="full", patience=2), ScriptedWatch((0.6, 0.5, 0.6, 0.9))
    trained = train(order, watch)
    assert (trained.ended, trained.score) == ("early", 0.6)
    assert [name.rpartition("@")[2] for name in watch.scored] == ["2", "4", "6"]
    kept = sorted(int(one.name) for one in (model_folder(trained.model) / "checkpoints").iterdir())
    assert kept == [2, 6]
    best = trained_weights(trained.model, 2)
    assert all(torch.equal(one, best[name]) for name, one in trained_weights(trained.model).items())
    assert AutoModelForCausalLM.from_pretrained(model_folder(trained.model)).config.num_hidden_layers == 2


@pytest.mark.slow
def test_rows_that_would_be_cut_are_refused_before_a_step(tiny_base: Path) -> None:
    order = small_order(tiny_base, max_length=198)
    with pytest.raises(
        TrainingError,
        match=r"of 16 training rows (is|are) too long, .*: training row \d+ \(step team\) has \d+ tokens, and the setting max_length allows 198",
    ):
        train(order, ScriptedWatch())


def test_a_checkpoint_with_a_foreign_pickle_is_not_read(tmp_path: Path) -> None:
    work = TrainingJob(base="m", folder=str(tmp_path), settings=TrainSettings(base_model="m"), resume=2)
    folder = tmp_path / "checkpoints" / "2"
    folder.mkdir(parents=True)
    (folder / "trainer_state.json").write_text("{}")
    assert resumed_from(work) == str(folder)
    (folder / "optimizer.pt").write_bytes(pickle.dumps(print))
    with pytest.raises(TrainingError, match=r"checkpoints/2 holds optimizer\.pt, .*: remove it"):
        resumed_from(work)


def test_bad_bases_are_one_sentence(tiny_base: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_base)
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    writer = Writer(model, tokenizer)
    (row,) = training_rows(1)
    settings = TrainSettings(base_model="tiny")
    (made,) = encoded([row], writer, settings)
    learned = [token for token in made["labels"] if token != -100]
    assert tokenizer.decode(learned) == str(row.messages[-1]["content"]) + "<|end|>"
    writer.limit = 100
    with pytest.raises(TrainingError, match=r"the model 'tiny' takes 100\. Leave these rows out"):
        encoded([row], writer, settings)
    picture = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}
    with pytest.raises(TrainingError, match=r"Training row 1 \(step team\): .*text only"):
        encoded([replace(row, messages=(picture, row.messages[-1]))], writer, settings)
    tokenizer.add_tokens(["<|one|>", "<|two|>"])
    with pytest.raises(
        TrainingError, match=r"The tokenizer of 'tiny' has \d+ tokens and the model knows \d+"
    ):
        check_fit(model, tokenizer, "tiny")
    tokenizer.chat_template = None
    with pytest.raises(TrainingError, match="The base model 'tiny' has no chat template"):
        check_fit(model, tokenizer, "tiny")


def test_a_lack_of_memory_is_told_from_other_errors(tiny_base: Path) -> None:
    work = TrainingJob(base="m", folder="f", settings=TrainSettings(base_model="m"))
    with pytest.raises(RuntimeError) as error:
        torch.empty(2**60, dtype=torch.uint8)
    assert reason(error.value, work).startswith(
        "The memory does not hold the training of 'm' with 8 rows at once"
    )
