"""The talk between the worker and a training's child process, with a child that needs no torch."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from support.training import training_child
from support.training.training_orders import ROWS, Notes

import engine.lm.local.sources
from engine import loop
from engine.errors import TrainingError
from engine.lm.tuned import get_tuned, model_folder
from engine.optimizers.training.child import TrainingJob
from engine.optimizers.training.local import LocalTrainer, LocalTraining
from engine.optimizers.training.pipe import ChildEndedError, TrainingChild
from engine.search.trainers import Order, Rollout, Trained, TrainerProgress, TrainSettings


@pytest.fixture(autouse=True)
def child_and_base(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = [str(Path(training_child.__file__).parent), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, path)))
    base = home / "base"
    base.mkdir()
    (base / "model.safetensors").write_bytes(b"-")


def order(tmp_path: Path, fault: str = "", run: str = "", **changes: object) -> Order:
    settings = {"base_model": str(tmp_path / "base"), "licence": fault, "patience": 9, **changes}
    rows = () if changes.get("method") == "grpo" else ROWS
    return Order(TrainSettings.model_validate(settings), rows, () if rows else (0, 1), run=run)


def train(wanted: Order, watch: Notes) -> Trained:
    return loop.run(LocalTraining(wanted, watch, "tiny-1", "training_child").run())


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("3 half", r"ended the training process, most often for lack of memory: .*lower the batch size"),
        ("3 killed", r"ended the training process, most often for lack of memory: .*lower the batch size"),
        ("3 odd", r"The training process ended: It speaks another language\."),
    ],
)
def test_a_child_that_dies_is_one_sentence_and_the_next_start_goes_on(
    tmp_path: Path, fault: str, message: str
) -> None:
    with pytest.raises(TrainingError, match=f"{message}.* It is trained up to step 2: start the run again"):
        train(order(tmp_path, fault, "run-1"), Notes())
    assert not get_tuned("tiny-1").finished
    watch = Notes()
    trained = train(order(tmp_path, run="run-1"), watch)
    assert (trained.model, trained.ended, trained.score, trained.tokens) == (
        "tuned/tiny-1",
        "finished",
        0.75,
        40,
    )
    assert watch.scored == ["tuned/tiny-1@3", "tuned/tiny-1@4"]
    assert get_tuned("tiny-1").finished
    assert (
        model_folder("tiny-1") / "adapter_model.safetensors"
    ).read_text() == "1"  # the first of equal ones


@pytest.mark.parametrize("method", ["lora", "grpo"])
def test_a_stop_keeps_what_there_is(tmp_path: Path, method: str) -> None:
    class Rolling(Notes):
        async def rollouts(self, model: object, rows: object, group_size: int) -> list[Rollout]:
            return [Rollout("0", ({"role": "user", "content": "Hi"},), "yes", 1.0)] * 2

    trained = train(order(tmp_path, method=method), Rolling(stop_at=2))
    assert trained.ended == "stopped"
    assert (model_folder("tiny-1") / "adapter_model.safetensors").is_file()
    assert not get_tuned("tiny-1").finished


def test_a_process_that_ends_while_it_answers_is_named_and_not_the_program(tmp_path: Path) -> None:
    wanted = order(tmp_path, "1 killed", method="grpo", group_size=4)
    work = TrainingJob(base="tiny", folder=str(tmp_path), settings=wanted.settings)

    async def ask() -> None:
        async with TrainingChild(work, "training_child") as child:
            await child.tell("groups", groups=[])
            with pytest.raises(ChildEndedError):
                await child.ask([], {})
            child.check()

    with pytest.raises(ChildEndedError, match="lower the group size"):
        loop.run(ask())


def test_a_stop_before_the_start_keeps_the_best_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(TrainingError):
        train(order(tmp_path, "3 killed"), Notes())
    watch = Notes(stop_at=0)
    watch.note(TrainerProgress(0, 0))
    stopped = train(order(tmp_path), watch)
    assert (stopped.model, stopped.ended) == ("tuned/tiny-1", "stopped")
    assert (model_folder("tiny-1") / "adapter_model.safetensors").read_text() == "1"
    assert engine.lm.local.sources.find_source(stopped.model).adapter == model_folder("tiny-1")


def test_a_run_counts_only_what_it_has_trained_itself(tmp_path: Path) -> None:
    with pytest.raises(TrainingError):
        train(order(tmp_path, "3 killed", run="first"), Notes())
    watch = Notes()
    assert train(order(tmp_path, run="second"), watch).tokens == max(p.tokens for p in watch.seen) == 20
    again = train(order(tmp_path, run="second"), Notes())
    assert (again.ended, again.tokens) == ("finished", 20)
    watch = Notes()
    third = train(order(tmp_path, run="third"), watch)
    assert (third.model, third.ended, third.tokens, third.score) == ("tuned/tiny-1", "already", 0, 0.75)
    assert not watch.seen
    assert get_tuned("tiny-1").run == "second"


def test_a_finished_model_whose_weights_are_gone_is_trained_again(tmp_path: Path) -> None:
    train(order(tmp_path), Notes())
    weights = model_folder("tiny-1") / "adapter_model.safetensors"
    weights.unlink()
    assert train(order(tmp_path), watch := Notes()).tokens == 0  # its checkpoints are there
    assert weights.is_file()
    assert not watch.scored
    shutil.rmtree(model_folder("tiny-1") / "checkpoints")
    weights.unlink()
    assert train(order(tmp_path), watch).tokens == 40
    assert weights.is_file()
    assert len(watch.scored) == 4


def test_another_base_at_the_same_place_is_another_training(tmp_path: Path) -> None:
    first = LocalTrainer().model_name(order(tmp_path))
    assert LocalTrainer().model_name(order(tmp_path)) == first
    (tmp_path / "base" / "model.safetensors").write_bytes(b"new")
    assert LocalTrainer().model_name(order(tmp_path)) != first
    assert LocalTrainer().model_name(order(tmp_path, base_model="a/b")).startswith("b-")
