"""Every bad input that concerns files, columns, fields and splits, as the command line tells it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from engine.cli.app import app

pytestmark = pytest.mark.usefixtures("home")

GOOD = "text,label\n" + "".join(f"thing number {i},{'ab'[i % 2]}\n" for i in range(20))


def spec(**changes: Any) -> dict[str, Any]:
    step = {
        "name": "answer",
        "inputs": [{"name": "text"}],
        "outputs": [{"name": "label", "choices": ["a", "b"]}],
    }
    return {
        "pipeline": {"steps": [step]},
        "dataset": "rows.csv",
        "mapping": {"text": "text", "label": "label"},
        "metric": {"name": "ExactMatch"},
        "optimizer": {"name": "LabeledFewShot"},
    } | changes


def step(inputs: list[str], outputs: list[str], **more: Any) -> dict[str, Any]:
    fields = {"inputs": [{"name": n} for n in inputs], "outputs": [{"name": n} for n in outputs]}
    return {"pipeline": {"steps": [{"name": "answer", **fields, **more}]}}


def tuneboard(folder: Path, content: bytes, run: dict[str, Any]) -> Any:
    (folder / "rows.csv").write_bytes(content)
    (folder / "run.json").write_text(json.dumps(run))
    return CliRunner().invoke(app, ["run", str(folder / "run.json"), "--home", str(folder / "home")])


def test_the_good_file_runs(tmp_path: Path):
    result = tuneboard(tmp_path, GOOD.encode(), spec())
    assert result.exit_code == 0, result.output
    assert "Test rows" in result.stdout


@pytest.mark.parametrize(
    ("content", "changes", "words"),
    [
        pytest.param(b"", {}, "'rows.csv' is empty", id="empty file"),
        pytest.param(b"text,label\n", {}, "no rows below", id="header only"),
        pytest.param(b"text,label\na,b,c\n", {}, "No row of 'rows.csv' can be used", id="only ragged rows"),
        pytest.param(b"%PDF-1.4", {}, "is a PDF", id="another format"),
        pytest.param(bytes(range(256)) * 9, {}, "is not a text file", id="binary"),
        pytest.param(
            GOOD.replace("text,label", "text,kind").encode(), {}, "no column 'label'", id="no output column"
        ),
        pytest.param(GOOD.replace("text,label", "text,").encode(), {}, "no column 'label'", id="blank name"),
        pytest.param(b"text,label\n" + b"hello,\n" * 20, {}, "'label' is empty", id="all-empty column"),
        pytest.param(GOOD[:60].encode(), {}, "needs at least 10", id="too few rows"),
        pytest.param(GOOD.replace(",b", ",a").encode(), {}, "Every row has the same answer", id="one class"),
        pytest.param(b"text,label\n" + b"x,a\nx,b\n" * 9, {}, "have different inputs", id="same inputs"),
        pytest.param(
            GOOD.encode(),
            {"mapping": {"text": "label", "label": "label"}},
            "is both the input 'text' and the answer 'label'",
            id="answer as input",
        ),
        pytest.param(GOOD.encode(), {"mapping": {"text": "text"}}, "'label' has no column", id="unmapped"),
        pytest.param(
            GOOD.encode(),
            {"split": {"train": 0.9, "validation": 0.3, "test": 0.3}},
            "add up to 150 %",
            id="shares",
        ),
        pytest.param(GOOD.encode(), step(["my text"], ["label"]), "such as 'my_text'", id="bad field name"),
        pytest.param(
            GOOD.encode(), step(["text", "text"], ["label"]), "Two fields are called 'text'", id="twice"
        ),
        pytest.param(GOOD.encode(), step(["text"], []), "Add an output field", id="no output"),
        pytest.param(
            GOOD.encode(),
            {"metric": {"name": "ExactMatch", "options": {"field": "queue"}}},
            "'queue'",
            id="metric needs a missing field",
        ),
    ],
)
def test_one_sentence_and_an_exit_code(tmp_path: Path, content: bytes, changes: dict[str, Any], words: str):
    result = tuneboard(tmp_path, content, spec(**changes))
    told = " ".join(result.stderr.split())
    assert words in told
    assert result.exit_code != 0
    assert "Traceback" not in result.output
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(GOOD.encode("utf-16"), id="utf-16"),
        pytest.param(GOOD.replace("thing", "chosé").encode("cp1252"), id="cp1252"),
        pytest.param(GOOD.encode("utf-8-sig"), id="utf-8 with a mark"),
        pytest.param(GOOD.replace("thing", "th\0ing").encode(), id="NULs"),
        pytest.param((GOOD + "ragged\n" + "too,many,cells\n").encode(), id="some ragged rows"),
        pytest.param(
            GOOD.replace("text,label", "text,label,,text").replace("\n", ",,\n", 99).encode(), id="names"
        ),
        pytest.param((GOOD + "no label,\n" + "odd label,zebra\n").encode(), id="some unusable rows"),
    ],
)
def test_what_can_be_repaired_runs(tmp_path: Path, content: bytes):
    result = tuneboard(tmp_path, content, spec())
    assert result.exit_code == 0, result.output
