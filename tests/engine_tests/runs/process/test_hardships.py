"""What a person reads when a run could not do much: each cell a sentence, and a program that still works."""

import io

from rich.console import Console
from support.run_setup import add_run, answer, server_model
from support.servers.openai_server import OpenAIServer

from engine.cli.tune import report
from engine.runs.spec import Named
from engine.runs.worker import work
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


def test_a_writer_that_is_no_use(home):
    with OpenAIServer(writes("word " * 10_000)) as server:
        state, said = told(home, add_run(home, model=server_model(server.url), optimizer=COPRO))
    assert state == "finished"
    assert "How the search ended: The model that writes prompts gave nothing usable in" in said
    assert "The starting prompt is kept." in said
    assert "No better prompt was found" in said


def test_a_metric_that_always_fails_is_said_after_the_first_rows(home):
    metric = Named(name="PythonMetric", options={"code": "1 / 0"})
    state, said = told(home, add_run(home, optimizer=COPRO, metric=metric))
    assert state == "failed", said
    assert "division by zero" in said
