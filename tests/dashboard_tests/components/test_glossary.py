"""Every term has one explanation: tooltips take it from the glossary, and each page explains the terms it shows."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.pages.page_frame import open_page
from support.run_setup import add_data, spec

from dashboard.components.glossary import TERMS, explain
from engine.runs.spec import ProjectDraft
from engine.runs.worker import work
from engine.store.store import Store

HERE = Path(__file__).parents[3] / "dashboard"
NAMES = {term.name for term in TERMS}
SHOWN = {
    "task": ("task", "input", "output", "instruction", "prompt"),
    "examples": ("seed", "leak", "left out", "row"),
    "metric": ("metric",),
    "tune": (
        "way of tuning",
        "budget",
        "model",
        "estimate",
        "call",
        "token",
        "comparable",
        "frozen",
        "objective",
    ),
    "run": ("candidate",),
    "results": ("baseline", "best prompt", "likely gain", "prompt taken", "token"),
    "try_it": ("final test",),
    "export": ("proof", "version", "verdict"),
    "history": ("run", "in use", "baseline", "best prompt", "gain", "verdict", "call", "way of tuning"),
    "settings": ("provider", "model", "answer kept for reuse"),
}
FOLDED = {
    "tune": {"other_ways_{project}": ["several models", "all optimizers"]},
    "export": {"export_tab": "For developers"},
}
"""What is opened on a page before its terms are looked for: key in the session -> value."""


def calls() -> Iterator[tuple[str, str, ast.expr]]:
    """Yield (where, label, help) of every element that has both."""
    for file in sorted(HERE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                found = [k.value for k in node.keywords if k.arg == "help"]
                if found and isinstance(node.args[0].value, str):
                    yield f"{file.name}:{node.lineno}", node.args[0].value, found[0]


def term_of(label: str) -> str:
    """Return the term that a label is, "" where it is none."""
    plain = re.sub(r"[*:]", "", label).partition(" · ")[0].strip().lower()
    return next((name for name in (plain, plain.removesuffix("s")) if name in NAMES), "")


def test_what_is_labelled_by_a_term_is_explained_by_the_glossary():
    found = [(where, term_of(label), text) for where, label, text in calls()]
    named = [(where, term, text) for where, term, text in found if term]
    assert len(named) > 10
    own = [f"{where}: {term}" for where, term, text in named if "explain(" not in ast.unparse(text)]
    assert not own, "These tooltips are not the glossary's"


def test_no_sentence_of_the_glossary_is_written_twice():
    texts = {f.name: f.read_text() for f in HERE.rglob("*.py") if f.name != "glossary.py"}
    copies = [(t.name, name) for t in TERMS for name, text in texts.items() if t.sentence in text]
    assert not copies
    assert len(NAMES) == len(TERMS)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A data folder with one finished run: (folder, project, run)."""
    home = tmp_path_factory.mktemp("home")
    run = spec(add_data(home))
    draft = ProjectDraft.model_validate(
        {**run.model_dump(mode="json", include=set(ProjectDraft.model_fields) & set(run.model_fields_set))}
    )
    with Store.open(home) as store:
        store.settings.set("welcomed", True)
        project = store.projects.create("Shelves", draft.model_dump(mode="json"))
        run_id = store.runs.create(project, run.model_dump(mode="json"), "A run")
    assert work(home, run_id) == 0
    return home, project, run_id


def helps(app) -> str:
    """Everything that a page's tooltips say: of elements, and of the columns of its tables."""
    said = []
    for element in app.main:
        proto = getattr(element, "proto", None)
        said.append(str(getattr(proto, "help", "") or ""))
        columns = getattr(proto, "columns", "")
        if isinstance(columns, str) and columns.startswith("{"):
            said += [str(c.get("help") or "") for c in json.loads(columns).values()]
    return "\n".join(said)


@pytest.mark.parametrize("page", SHOWN)
def test_each_page_explains_its_terms(place, monkeypatch, page):
    home, project, run = place
    monkeypatch.setenv("TUNEBOARD_HOME", str(home))
    app = open_page(page, project=project, run=run)
    said = helps(app)
    for key, value in FOLDED.get(page, {}).items():
        app.session_state[key.format(project=project)] = value
        said += helps(app.run())
    missing = [name for name in SHOWN[page] if explain(name).partition(" Also called")[0] not in said]
    assert not missing, f"{missing} not in {said}"
