"""A step's own model with its address and settings: the same server is asked in a run, in a try, by every export."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from support.peers.dspy_peer import in_dspy
from support.program_files import save_program
from support.run_setup import add_data, add_run, csv_bytes, spec
from support.servers.openai_server import OpenAIServer, body_hash

from engine import loop
from engine.errors import MissingKeyError, PipelineError
from engine.export.formats import get_export
from engine.export.program import load_program, program_file, read_program
from engine.export.script import python_script
from engine.lm.choice import ModelChoice
from engine.lm.connection import QUESTION
from engine.pipeline.build import build_program
from engine.pipeline.check import spec_problems
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.runs.child.playground import PlaygroundRequest, PreviewRequest, answer_input, answer_rows
from engine.runs.child.process import answer_request
from engine.runs.child.request import ChildRequest
from engine.runs.prepare import check_keys, estimate_run
from engine.runs.results.report import settings_of
from engine.runs.spec import Named, ProjectDraft, RunSpec
from engine.runs.worker import work
from engine.search.budget import Budget
from engine.serve.app import make_app
from engine.serve.contract import contract_of
from engine.store.store import Store

TEXT, NOTE = FieldSpec(name="text"), FieldSpec(name="note")
SHELF = FieldSpec(name="shelf", choices=("red", "green", "blue"))


def note(body: dict[str, Any]) -> str:
    """Answers the first step, another text to every request, so that no later one is known already."""
    return f"[[ ## note ## ]]\nthing {body_hash(body)}\n\n[[ ## completed ## ]]"


def shelf(body: dict[str, Any]) -> str:
    """Answers the second step, as the layout asks for it: in free words, no two alike, then by fields."""
    free = "[[ ## shelf ## ]]" not in json.dumps(body["messages"])
    return (
        f"It belongs on the red shelf: {body_hash(body)}."
        if free
        else "[[ ## shelf ## ]]\nred\n\n[[ ## completed ## ]]"
    )


class Servers:
    """The run's server and two of steps' own, each at its own port; `asked` is what each has been sent."""

    def __init__(self, run: OpenAIServer, first: OpenAIServer, second: OpenAIServer) -> None:
        self.run, self.first, self.second = run, first, second
        own = ModelChoice(name="openai/writer", base_url=first.url, temperature=0.7, max_tokens=300)
        reads = ModelChoice(name="openai/reader", base_url=second.url, temperature=0.1)
        self.model = ModelChoice(name="openai/run-model", base_url=run.url, temperature=0.4)
        self.pipeline = PipelineSpec(
            steps=(
                StepSpec(name="write", inputs=(TEXT,), outputs=(NOTE,), model=own),
                StepSpec(
                    name="sort",
                    inputs=(NOTE,),
                    outputs=(SHELF,),
                    adapter="two_step",
                    extraction_model=reads,
                ),
            )
        )
        self.start = build_program(self.pipeline).candidate()

    def asked(self) -> list[set[tuple[Any, ...]]]:
        """What the writer's, the run's and the reader's server were sent since the last look: model and settings."""
        found = []
        for server in (self.first, self.run, self.second):
            asked = [body for body in server.requests if QUESTION not in str(body["messages"])]
            # DSPy's client calls the limit by its newer name.
            found.append(
                {
                    (b["model"], b.get("temperature"), b.get("max_tokens") or b.get("max_completion_tokens"))
                    for b in asked
                }
            )
            server.requests.clear()
        return found


EACH_AT_ITS_OWN = [{("writer", 0.7, 300)}, {("run-model", 0.4, None)}, {("reader", 0.1, None)}]


@pytest.fixture
def servers():
    with OpenAIServer(shelf) as run, OpenAIServer(note) as first, OpenAIServer(shelf) as second:
        yield Servers(run, first, second)


def test_a_whole_run_its_proof_and_all_its_exports_ask_each_server_as_its_step_says(
    servers: Servers, tmp_path: Path
):
    run_id = add_run(
        tmp_path,
        dataset=add_data(tmp_path, csv_bytes(12)),
        pipeline=servers.pipeline,
        model=servers.model,
        optimizer=Named(name="LabeledFewShot", options={"k": 2}),
    )
    assert work(tmp_path, run_id) == 0
    assert servers.asked() == EACH_AT_ITS_OWN
    with Store.open(tmp_path) as store:
        run = store.runs.get(run_id)
        told = dict(settings_of(store, RunSpec.model_validate(run.spec), run))
    assert run.state == "finished"
    assert told["Model of the step write"].endswith(", temperature 0.7, at most 300 tokens")
    assert told["Reads the free text of the step sort"].startswith(f"openai/reader at {servers.second.url}")
    proofs = run.result.proof
    assert [p.holds for p in proofs] == [True, True, True], (
        "every kept answer is found again, nothing is asked again"
    )
    folder = tmp_path / "exports" / run_id

    # In a new process, with answers of its own to keep: nothing of this one's can help.
    asks = "import sys, engine; print(engine.load(sys.argv[1])(text='a lamp').shelf)"
    with zipfile.ZipFile(folder / "standalone.zip") as packed:
        packed.extractall(tmp_path / "alone")
    scripts = [tmp_path / "alone/run.py", folder / "program_tuneboard.py"]
    commands = [
        ["-c", asks, str(folder / "program.json")],
        *([str(script), "--text", "a lamp"] for script in scripts),
    ]
    for place, command in enumerate(commands):
        elsewhere = tmp_path / f"home{place}"
        done = subprocess.run(
            [sys.executable, *command],
            env={**os.environ, "TUNEBOARD_HOME": str(elsewhere)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "red" in done.stdout
        assert servers.asked() == EACH_AT_ITS_OWN

    contract = contract_of(read_program(folder / "program.json"))
    with TestClient(make_app(contract), base_url="http://127.0.0.1") as client:
        assert client.post("/predict", json={"text": "a served lamp"}).json() == {"shelf": "red"}
    assert servers.asked() == EACH_AT_ITS_OWN


def test_the_dspy_script_asks_the_same_servers(servers: Servers, tmp_path: Path):
    content = program_file(servers.pipeline, servers.start, model=servers.model.model_dump())
    (tmp_path / "program_dspy.py").write_text(get_export("dspy").render(content), encoding="utf-8")
    code = (
        "import json, os; os.environ['OPENAI_API_KEY'] = 'k';"
        "import program_dspy as p; p.use_model(); print(json.dumps(p.load()(text='a lamp').shelf))"
    )
    assert json.loads(in_dspy(code, tmp_path)) == "red"
    assert servers.asked() == EACH_AT_ITS_OWN


def test_playground_and_preview_ask_the_same_servers(servers: Servers):
    request = PlaygroundRequest(
        pipeline=servers.pipeline,
        candidates={"start": servers.start.as_dict()},
        inputs={"text": "a lamp"},
        model=servers.model,
    )
    (attempt,) = loop.run(answer_input(request))
    assert attempt.answer["shelf"] == "red"
    assert servers.asked() == EACH_AT_ITS_OWN
    rows = {0: {"text": "a chair", "shelf": "red"}}
    preview = PreviewRequest(
        pipeline=servers.pipeline, rows=rows, metric=Named(name="ExactMatch"), model=servers.model
    )
    (row,) = loop.run(answer_rows(preview))
    assert row.score == 1.0
    assert servers.asked() == EACH_AT_ITS_OWN


def test_a_wrong_address_of_a_step_is_one_sentence_before_anything_is_paid_for(
    servers: Servers, tmp_path: Path
):
    with OpenAIServer() as gone:
        nowhere = gone.url
    wrong = servers.pipeline.with_models(
        lambda m: m.model_copy(update={"base_url": nowhere}) if m.name == "openai/reader" else m
    )
    run_id = add_run(tmp_path, pipeline=wrong, model=servers.model)
    assert work(tmp_path, run_id) == 1
    with Store.open(tmp_path) as store:
        run = store.runs.get(run_id)
    assert run.state == "failed"
    assert run.message.startswith(
        "The step 'sort' asks the model 'openai/reader', which does not answer. Host"
    )
    assert nowhere.removesuffix("/v1").removeprefix("http://") in run.message
    assert (servers.run.calls, run.calls) == (0, 0)


def test_the_command_line_says_the_same_in_one_sentence(servers: Servers, tmp_path: Path):
    changes = {"base_url": "http://127.0.0.1:9/v1"}
    (tmp_path / "rows.csv").write_bytes(csv_bytes(12))
    run = spec(
        "rows.csv",
        pipeline=servers.pipeline.with_models(
            lambda m: m.model_copy(update=changes) if m.name == "openai/writer" else m
        ),
        model=servers.model,
    )
    (tmp_path / "run.json").write_text(run.model_dump_json(), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "engine", "run", str(tmp_path / "run.json"), "--trust"],
        capture_output=True,
        text=True,
        check=False,
    )
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0
    assert "The step 'write' asks the model 'openai/writer', which does not" in said
    assert "Traceback" not in said
    assert servers.run.calls == 0


def test_a_run_that_goes_on_does_not_ask_for_the_word_again(servers: Servers, tmp_path: Path):
    run_id = add_run(
        tmp_path,
        dataset=add_data(tmp_path, csv_bytes(12)),
        pipeline=servers.pipeline,
        model=servers.model,
        optimizer=Named(name="LabeledFewShot", options={"k": 2}),
    )
    servers.run.fail_with(401)
    assert work(tmp_path, run_id) == 1
    servers.run.recover()
    with Store.open(tmp_path) as store:
        paid = store.runs.get(run_id).calls
    assert paid > 0
    before = servers.second.calls
    assert before == 1, "only the word: no answer has come that could be read"
    assert work(tmp_path, run_id) == 0
    words = [b for b in servers.second.requests if QUESTION in str(b["messages"])]
    assert len(words) == 1


def test_a_step_needs_the_key_that_its_own_model_names(servers: Servers, monkeypatch):
    monkeypatch.delenv("WRITERS_KEY", raising=False)
    locked = servers.pipeline.with_models(lambda m: m.model_copy(update={"key_env": "WRITERS_KEY"}))
    run = RunSpec(
        pipeline=locked,
        dataset="d",
        mapping={},
        metric=Named(name="ExactMatch"),
        optimizer=Named(name="LabeledFewShot"),
        model=servers.model,
    )
    with pytest.raises(MissingKeyError, match=r"The step 'write' asks its own model\. .*WRITERS_KEY"):
        check_keys(run)
    request = PlaygroundRequest(
        pipeline=locked,
        candidates={"start": servers.start.as_dict()},
        inputs={"text": "a"},
        model=servers.model,
    )
    envelope = ChildRequest(task="playground", content=request.model_dump(mode="json"))
    assert "WRITERS_KEY" in answer_request(envelope.model_dump_json().encode()).problem
    monkeypatch.setenv("WRITERS_KEY", "secret-of-the-writer")
    check_keys(run)
    (attempt,) = loop.run(answer_input(request))
    assert attempt.error == ""
    sent = [server.headers[-1]["Authorization"] for server in (servers.first, servers.second)]
    assert sent == ["Bearer secret-of-the-writer"] * 2
    content = program_file(locked, servers.start, model=servers.model.model_dump())
    for name in ("json", "dspy", "openai_request", "markdown"):
        assert "secret-of-the-writer" not in get_export(name).render(content)
    assert "secret-of-the-writer" not in python_script(content)


def test_a_program_file_of_anybodys_sends_no_key_to_the_address_it_names(
    servers: Servers, tmp_path: Path, monkeypatch
):
    monkeypatch.setenv("MINE", "do-not-send")
    locked = servers.pipeline.with_models(lambda m: m.model_copy(update={"key_env": "MINE"}))
    save_program(locked, servers.start, tmp_path / "p.json", model=servers.model.model_dump())
    assert load_program(tmp_path / "p.json")(text="a lamp").shelf == "red"
    sent = [*servers.first.headers, *servers.second.headers, *servers.run.headers]
    assert sent
    assert not any("do-not-send" in str(headers) for headers in sent)


def test_requests_and_pages_name_the_steps_models(servers: Servers):
    content = program_file(servers.pipeline, servers.start, model=servers.model.model_dump())
    bodies = json.loads(get_export("openai_request").render(content))
    assert (bodies["write"]["model"], bodies["write"]["temperature"], bodies["write"]["max_tokens"]) == (
        "writer",
        0.7,
        300,
    )
    assert (bodies["sort"]["model"], bodies["sort"]["temperature"]) == ("run-model", 0.4)
    page = get_export("markdown").render(content)
    assert "It asks its own model: `openai/writer`." in page


def test_what_was_saved_with_a_name_alone_reads_and_is_written_as_before():
    old = {
        "name": "sort",
        "inputs": [{"name": "text"}],
        "outputs": [{"name": "shelf"}],
        "model": "openai/gpt-4o-mini",
        "extraction_model": "",
    }
    draft = ProjectDraft.model_validate({"pipeline": {"steps": [old]}})
    assert draft.pipeline is not None
    (step,) = draft.pipeline.steps
    assert (step.model, step.extraction_model) == (ModelChoice(name="openai/gpt-4o-mini"), None)
    (saved,) = draft.model_dump(mode="json")["pipeline"]["steps"]
    assert (saved["model"], saved["extraction_model"]) == ("openai/gpt-4o-mini", "")
    warm = ModelChoice(name="openai/gpt-4o-mini", temperature=0.5)
    kept = step.model_copy(update={"model": warm}).model_dump(mode="json")
    assert kept["model"] == {"name": "openai/gpt-4o-mini", "temperature": 0.5}
    assert StepSpec.model_validate(kept).model == warm


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"name": "openai/"}, "names no model"),
        ({"name": "openai/x", "base_url": "no address"}, "address"),
        ({"name": "  "}, "No model was named"),
    ],
)
def test_a_model_that_is_none_is_one_sentence_naming_the_step(model: dict[str, Any], words: str):
    step = StepSpec.model_validate(
        {"name": "sort", "inputs": [{"name": "text"}], "outputs": [{"name": "shelf"}], "model": model}
    )
    (sentence,) = spec_problems(PipelineSpec(steps=(step,)))
    assert sentence.startswith("The step 'sort' cannot ask the model ")
    assert words.lower() in sentence.lower()
    with pytest.raises(PipelineError):
        build_program(PipelineSpec(steps=(step,)))


def test_the_estimate_takes_prices_and_time_from_the_steps_models(servers: Servers, tmp_path: Path):
    step = StepSpec(name="sort", inputs=(TEXT,), outputs=(SHELF,))

    def estimated(**model: Any) -> Any:
        own = step.model_copy(update={"model": ModelChoice(**model)}) if model else step
        run = RunSpec(
            pipeline=PipelineSpec(steps=(own,)),
            dataset=add_data(tmp_path),
            mapping={"text": "text", "shelf": "shelf"},
            metric=Named(name="ExactMatch"),
            optimizer=Named(name="LabeledFewShot"),
        )
        with Store.open(tmp_path) as store:
            return estimate_run(store, run)

    offline, hosted = estimated(), estimated(name="openai/gpt-4o-mini")
    assert offline.usd.high == 0
    assert hosted.usd.low > 0
    assert hosted.seconds.low > offline.seconds.high
    assert estimated(name="openai/of-no-known-price", base_url=servers.first.url).usd is None


def test_a_budget_in_money_needs_the_price_of_every_model(servers: Servers, tmp_path: Path):
    priced = servers.pipeline.with_models(lambda m: ModelChoice() if m.name == "openai/writer" else m)
    run_id = add_run(tmp_path, pipeline=priced, budget=Budget(usd=1.0))
    assert work(tmp_path, run_id) == 1
    with Store.open(tmp_path) as store:
        assert "price of the model openai/reader is not known" in store.runs.get(run_id).message
