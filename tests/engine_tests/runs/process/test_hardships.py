"""What a person reads when a run could not do much: each cell a sentence, and a program that still works."""

import io

import pytest
from rich.console import Console
from support.run_setup import add_data, add_run, answer, csv_bytes, server_model
from support.servers.openai_server import OpenAIServer

from engine.cli.tune import report
from engine.errors import EngineError
from engine.runs.spec import Named
from engine.runs.worker import work
from engine.search.budget import Budget
from engine.store.store import Store

COPRO = Named(name="COPRO", options={"breadth": 3, "depth": 2})


def told(home, run_id):
    """Carry out a run; return its state and what the terminal says of it."""
    work(home, run_id)
    with Store.open(home, read_only=True) as store:
        run = store.runs.get(run_id)
    out = io.StringIO()
    report(run, Console(file=out, width=300))
    return run.state, out.getvalue()


def writes(text):
    """An answerer that does the task and writes this text whenever it is asked to write."""

    def answerer(body):
        wanted = str(body["messages"][0]["content"]).split("You write these output fields:")[-1]
        return answer(body) if "`shelf`" in wanted else text

    return answerer


@pytest.mark.parametrize("text", ["", "word " * 10_000])
@pytest.mark.parametrize("name", ["COPRO", "GEPA"])
def test_a_writer_that_is_no_use(home, name, text):
    optimizer = COPRO if name == "COPRO" else Named(name="GEPA", options={"max_metric_calls": 60})
    with OpenAIServer(writes(text)) as server:
        state, said = told(home, add_run(home, model=server_model(server.url), optimizer=optimizer))
    assert state == "finished"
    assert "How the search ended: The model that writes prompts gave nothing usable in" in said
    assert "The starting prompt is kept." in said
    assert "No better prompt was found" in said


def test_combinations_that_run_out(home):
    one = {"max_demos": 1, "max_labeled_demos": 1, "max_bootstrapped_demos": 1}
    state, said = told(home, add_run(home, optimizer=Named(name="BootstrapFewShotWithOptuna", options=one)))
    assert state == "finished"
    assert "How the search ended: " in said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"budget": Budget(calls=3)}, "The budget of 3 calls is too small"),
        ({"rows": csv_bytes(1)}, "There is 1 usable row"),
        (
            {"rows": csv_bytes().replace(b",red", b",x").replace(b",green", b",x")},
            "Every row has the same answer",
        ),
        ({"metric": Named(name="PythonMetric", options={"code": "1 / 0"})}, "division by zero"),
    ],
)
def test_what_cannot_work_is_said_before_or_after_the_first_rows(home, changes, words):
    rows = changes.pop("rows", None)
    run_id = add_run(home, dataset=add_data(home, rows), optimizer=COPRO, **changes)
    try:
        state, said = told(home, run_id)
    except EngineError as error:
        state, said = "failed", str(error)
    assert state == "failed", said
    assert words in said
