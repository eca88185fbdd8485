"""The training file as a trainer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.training.training_orders import ROWS, Notes, order

from engine import loop
from engine.errors import ConfigurationError, TrainingError
from engine.optimizers.training.file import FileTrainer


def test_the_file_holds_the_conversations(home):
    watch, wanted = Notes(), order("")
    done = loop.run(FileTrainer().train(wanted, watch))
    lines = [json.loads(line) for line in Path(done.file).read_text().splitlines()]
    assert lines == [{"messages": list(row.messages)} for row in ROWS]
    assert (done.model, done.ended) == ("", "finished")
    assert done.file in watch.seen[0].message


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path, home):
    (tmp_path / "training").write_text("in the way")
    with pytest.raises(TrainingError, match="cannot be written"):
        loop.run(FileTrainer().train(order(""), Notes()))


def test_rewards_need_a_trainer():
    with pytest.raises(ConfigurationError, match="grpo"):
        FileTrainer().check(order("", method="grpo"))
