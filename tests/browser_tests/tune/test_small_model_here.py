"""The recipe "Make a small model do this" on this machine: a tiny model is trained for real, judged, exported, and answers.

It needs torch, so `make test-weights` runs it, in `.venv-weights`; in another environment it is not collected.
"""

from __future__ import annotations

import csv
import io
import os
import random
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from support.pages.browser_frame import fill, other_way, pick, press, settled, shoot, to_page, to_tab
from support.run_setup import add_data
from support.servers.openai_server import OpenAIServer
from support.training import tiny_model

from dashboard.state.editing import drafts
from engine.lm import prices
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.runs.spec import ModelChoice, Named, ProjectDraft
from engine.signature import Signature

# For the server and what it starts: small models gain nothing from threads, and nothing is fetched.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

pytestmark = pytest.mark.filterwarnings(
    "default"
)  # the libraries for weights deprecate something with each version

PATIENCE = 400_000.0
"""Milliseconds for a training of seconds, on a machine that others use too."""
TEAMS = tuple(tiny_model.WORDS)
PIPELINE = PipelineSpec(
    steps=(
        StepSpec(
            name="route",
            instructions=Signature(tiny_model.TASK).instructions,
            inputs=(FieldSpec(name="message"),),
            outputs=(FieldSpec(name="team", choices=TEAMS),),
        ),
    )
)


def team_of(message: str) -> str:
    return next(team for team, words in tiny_model.WORDS.items() if any(word in message for word in words))


def large(body: dict[str, Any]) -> str:
    """Answer as a large model, which knows the teams."""
    return f"[[ ## team ## ]]\n{team_of(str(body['messages'][-1]['content']))}\n\n[[ ## completed ## ]]"


@pytest.fixture
def teacher() -> Iterator[OpenAIServer]:
    with OpenAIServer(large) as running:
        yield running


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny_model.tiny_model(tmp_path / "tiny-base")


@pytest.fixture
def project(home: Path, teacher: OpenAIServer) -> str:
    drafts.add_model(ModelChoice(name="openai/large-teacher", base_url=teacher.url))
    prices.set_own_price("openai/large-teacher", (2.0, 8.0))
    table = io.StringIO()
    writer = csv.DictWriter(table, ["message", "team"])
    writer.writeheader()
    different = {row["message"]: row for row in tiny_model.team_rows(400, seed=3)}
    writer.writerows(random.Random(1).sample([*different.values()], 100))
    draft = ProjectDraft(
        pipeline=PIPELINE,
        dataset=add_data(home, table.getvalue().encode(), "messages.csv"),
        mapping={"message": "message", "team": "team"},
        metric=Named(name="ExactMatch"),
    )
    return drafts.create_project("Teams", draft)


def test_a_small_model_is_trained_here_judged_exported_and_answers(
    new_page: Callable[..., Page], project: str, base: Path, tmp_path: Path
) -> None:
    page = new_page(f"tune?project={project}", height=1900)
    set_up(page, base)
    expect(page.get_by_text("Of this the training: about")).to_be_visible()
    shoot(page, "small-model-here-recipe")
    press(page, "start_run")
    chart = page.get_by_role("img", name=re.compile(r"step \d+ of \d+, loss [\d.]+, validation score \d+ %"))
    expect(chart).to_be_visible(timeout=PATIENCE)
    expect(page.locator(".st-key-page_line")).to_contain_text("Finished", timeout=PATIENCE)
    shoot(page, "small-model-here-run")
    to_page(page, "results")
    page.get_by_role("tab", name="Models and cost").click()
    expect(page.get_by_text("Small against large, on the test rows")).to_be_visible()
    tuned, before, teacher = figures(page)
    assert tuned["score"] >= 80
    assert tuned["low"] > before["score"]
    assert (teacher["score"], tuned["cost"], before["cost"]) == (100, "free", "free")
    assert teacher["cost"].startswith("$")
    shoot(page, "small-model-here-results")
    to_page(page, "export")
    to_tab(page, "For developers")
    shoot(page, "small-model-here-export")
    with page.expect_download() as download:
        press(page, "download_weights")
    with zipfile.ZipFile(download.value.path()) as made:
        made.extractall(tmp_path / "taken")
    rows = tiny_model.team_rows(8, seed=77)
    right = sum(
        a["team"] == row["team"] for a, row in zip(answers(tmp_path / "taken", rows), rows, strict=True)
    )
    assert right >= 6


def figures(page: Page) -> list[dict[str, Any]]:
    """Return the lines of "Small against large": score and the low end of its interval in percent, price and time as text."""
    found = []
    for line in page.locator(".st-key-against_teacher tr").all()[1:]:
        score, likely, cost, seconds = line.locator("td").all_inner_texts()[1:]
        assert seconds.endswith("s")
        found.append({"score": float(score.split()[0]), "low": float(likely.split()[0]), "cost": cost})
    return found


def set_up(page: Page, base: Path) -> None:
    """Fill in the recipe, and let the model learn as quickly as something this small has to."""
    other_way(page, "small model")
    pick(page, "Teacher, the large model", "large-teacher")
    fill(page, "Base model", str(base))
    fill(page, "At most, in minutes", "10")
    press(page, "use_small_model")
    settled(page)
    other_way(page, "all optimizers")
    page.get_by_text("More options", exact=True).click()
    settled(page)
    fill(page, "Epochs", "8")
    fill(page, "Rows at once", "4")
    fill(page, "Learning rate", "0.005")
    fill(page, "Checkpoints", "2")


def answers(folder: Path, rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return what the exported script answers, without this data folder."""
    (folder / "rows.csv").write_text("\n".join(["message", *(f'"{row["message"]}"' for row in rows)]))
    done = subprocess.run(
        [sys.executable, "program_tuneboard.py", "rows.csv"],
        cwd=folder,
        env={**os.environ, "TUNEBOARD_HOME": str(folder / "weights")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(csv.DictReader(io.StringIO(done.stdout)))
