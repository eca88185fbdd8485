"""What the local trainer says and remembers without loading a heavy library."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from engine.errors import ConfigurationError
from engine.lm.local.sources import is_trained
from engine.lm.tuned import TunedModel, model_folder, save_tuned
from engine.optimizers.training.child import TrainingJob, out_of_memory, reason
from engine.optimizers.training.local import LocalTrainer, TrainingState, find_base
from engine.search.trainers import ChatRow, Order, TrainSettings, get_trainer

ROW = ChatRow(
    ({"role": "user", "content": "Where is it?"}, {"role": "assistant", "content": "Here."}), "route"
)


@pytest.fixture(autouse=True)
def data_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(home / "hub"))
    return home


def make_base(folder: Path) -> Path:
    """Write a folder that looks like a model's."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"-")
    return folder


@pytest.mark.skipif(importlib.util.find_spec("trl") is not None, reason="trl is installed")
def test_a_missing_extra_is_named(data_folder: Path) -> None:
    base = make_base(data_folder / "tiny")
    trainer = get_trainer("local")
    with pytest.raises(ConfigurationError, match=r"pip install 'tuneboard\[weights\]'"):
        trainer.check(Order(TrainSettings(base_model=str(base)), (ROW,)))


def test_a_base_that_is_not_here_is_refused_with_the_near_ones(data_folder: Path) -> None:
    make_base(data_folder / "models" / "qwen3-small")
    save_tuned(TunedModel(name="router", trainer="local", base_model="m", finished=True))
    with pytest.raises(
        ConfigurationError, match=r"there is no folder .*Near names on this machine: .*qwen3-small"
    ):
        find_base(str(data_folder / "models" / "qwen3-smal"))
    with pytest.raises(ConfigurationError, match=r"There is no tuned model 'tuned/rooter'. .*tuned/router"):
        find_base("tuned/rooter")
    (data_folder / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="holds no weights as safetensors"):
        find_base(str(data_folder / "empty"))


def test_an_adapter_that_is_its_own_base_is_one_sentence(data_folder: Path) -> None:
    first, second = (make_base(data_folder / name) for name in ("first", "second"))
    for folder, base in ((first, second), (second, first)):
        (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    with pytest.raises(
        ConfigurationError, match="is its own base model, directly or through others: correct"
    ):
        find_base(str(first))
    save_tuned(TunedModel(name="loop", trainer="local", base_model="tuned/loop", finished=True))
    make_base(model_folder("loop") / "checkpoints" / "1")
    (model_folder("loop") / "model.safetensors").write_bytes(b"-")
    (model_folder("loop") / "adapter_config.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="is its own base model"):
        find_base("tuned/loop")
    assert not is_trained("loop")


def test_folders_and_names_of_the_hub_are_bases(data_folder: Path) -> None:
    base = make_base(data_folder / "tiny")
    assert find_base(str(base)) == find_base(f"local/{base}") == str(base)
    assert find_base("Qwen/Qwen3-0.6B") == "Qwen/Qwen3-0.6B"


def test_an_estimate_needs_no_library_and_knows_no_time_before_the_first_training(data_folder: Path) -> None:
    found = LocalTrainer().estimate(Order(TrainSettings(base_model="m", epochs=2), (ROW, ROW)))
    assert (found.rows, found.usd, found.seconds) == (2, 0.0, None)
    assert found.tokens == 2 * 2 * 13


def test_the_best_checkpoint_is_the_first_of_equal_ones_and_the_last_where_none_has_a_score() -> None:
    assert TrainingState(scores={5: 0.25, 10: 0.75, 15: 0.75}).best() == 10
    assert TrainingState(scores={5: None, 10: None}).best() == 10
    assert not TrainingState(scores={5: 0.25, 10: 0.75, 15: 0.75}).worn_out(2)
    assert TrainingState(scores={5: 0.75, 10: 0.7, 15: None}).worn_out(2)


def test_failures_become_one_sentence_that_says_what_to_do() -> None:
    work = TrainingJob(base="m", folder="f", settings=TrainSettings(base_model="m", method="full"))
    memory = "DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."
    assert "choose lora instead of full, lower the batch size" in reason(RuntimeError(memory), work)
    assert "CUDA out of memory" not in reason(RuntimeError("CUDA out of memory. Tried to"), work)
    assert reason(RuntimeError("I/O error: No space left on device (os error 28)"), work).startswith(
        "The disk is full"
    )
    assert reason(KeyError("odd"), work) == "The training of 'm' failed: KeyError: 'odd'"
    assert "choose lora" not in out_of_memory(TrainSettings(base_model="m"), "Too big:")
