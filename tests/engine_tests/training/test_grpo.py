"""The driver's side of GRPO, without torch."""

from __future__ import annotations

from pathlib import Path

import pytest
from training_orders import Notes

from engine import loop
from engine.training.contract import Order, TrainSettings
from engine.training.grpo import GrpoTraining
from engine.training.pipe import ChildEndedError, TrainingChild


def test_a_process_that_ends_while_it_answers_is_named_and_not_the_program(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("TUNEBOARD_HOME", str(tmp_path))
    order = Order(TrainSettings(base_model="tiny", method="grpo"), row_ids=(0, 1))

    async def ask() -> None:
        async with TrainingChild("this", tmp_path / "log") as child:
            with pytest.raises(ChildEndedError):
                await child.ask({"kind": "write"})
            await GrpoTraining(order, Notes())._groups(child, 0)

    with pytest.raises(ChildEndedError, match="its process ended with code 0"):
        loop.run(ask())
