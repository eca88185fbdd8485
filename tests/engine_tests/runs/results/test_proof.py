"""The proof of an export: it holds for what the run wrote, shows a changed character, and pays for nothing."""

import csv
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import orjson
import pytest
from support.run_setup import THINGS, add_data, add_run, answer, server_model
from support.servers.openai_server import OpenAIServer

import engine
from engine import loop
from engine.export.program import read_program
from engine.export.weights import zipped
from engine.pipeline.importers.task import import_task
from engine.pipeline.spec import PipelineSpec
from engine.runs.prepare import prepare
from engine.runs.results.exports import prove
from engine.runs.spec import Named, RunSpec
from engine.runs.worker import work
from engine.search.driver import Driver
from engine.store.store import Store


def result_of(home, run_id):
    with Store.open(home, read_only=True) as store:
        return store.runs.get(run_id).result


def prove_again(home, run_id):
    """The proof made again from the files as they are now."""
    with Store.open(home) as store:
        run = store.runs.get(run_id)
        prepared = prepare(store, RunSpec.model_validate(run.spec))
        driver = Driver(prepared.settings)
        best = store.trials.candidate(run_id, run.result.best_candidate)
        tested = loop.run(driver.score(best, prepared.split.test))
    return loop.run(prove(Path(run.result.export_path), prepared.settings, tested))


@pytest.mark.parametrize("adapter", ["chat", "json"])
def test_the_files_of_a_run_score_as_the_run_did(home, adapter):
    run_id = add_run(home, optimizer=Named(name="LabeledFewShot"), adapter=adapter)
    assert work(home, run_id) == 0
    result = result_of(home, run_id)
    assert [proof.file for proof in result.proof] == ["program.json", "messages.json", "standalone.zip"]
    assert all(proof.holds for proof in result.proof)
    program = result.proof[0]
    assert program.rows == result.best.rows
    assert program.score == pytest.approx(result.best.test)


def test_with_a_paid_model_nothing_is_asked_again(home):
    with OpenAIServer(answer) as server:
        run_id = add_run(home, optimizer=Named(name="LabeledFewShot"), model=server_model(server.url))
        assert work(home, run_id) == 0
        assert set(server.served.values()) == {1}
        result = result_of(home, run_id)
        assert [p.holds for p in result.proof] == [True, True, True]
        before = sum(server.served.values())
        path = Path(result.export_path)
        changed = path.with_name("messages.json")
        templates = orjson.loads(changed.read_bytes())
        (step,) = templates
        templates[step][0]["content"] += "!"
        changed.write_bytes(orjson.dumps(templates))
        program, messages, folder = prove_again(home, run_id)
        assert program.holds
        assert folder.holds
        assert not messages.holds
        assert messages.unknown == messages.rows
        assert "would cost" in messages.sentence
        assert sum(server.served.values()) == before


def test_a_changed_program_is_told_from_the_one_that_was_tested(home):
    run_id = add_run(home, optimizer=Named(name="LabeledFewShot"))
    assert work(home, run_id) == 0
    path = Path(result_of(home, run_id).export_path)
    saved = orjson.loads(path.read_bytes())
    for state in saved["candidate"]["steps"].values():
        state["demos"] = []
    path.write_bytes(orjson.dumps(saved))
    program, messages, folder = prove_again(home, run_id)
    assert not program.holds
    assert not folder.holds
    assert "did not" in program.sentence
    assert messages.holds


OWN_CLASS = """
class Maker(BaseModel):
    name: str

class Bill(BaseModel):
    supplier: str
    total: float
    day: date
    maker: Maker

    @field_validator("supplier")
    @classmethod
    def trap(cls, value: str) -> str:
        raise RuntimeError("the code of a user was run")
"""


def bills(number: int = 20) -> bytes:
    """A table of bills with their right answers."""
    lines = ["text,supplier,total,day,maker"]
    for n in range(number):
        maker = f'"{{""name"": ""M{n % 3}""}}"'
        lines.append(
            f"Bill of S{n} for {n}.5 euros on day {n % 28 + 1} by M{n % 3},S{n},{n}.5,2026-03-{n % 28 + 1:02},{maker}"
        )
    return "\n".join(lines).encode()


def read_bill(body):
    """A model that reads a bill, every second total wrong."""
    text = body["messages"][-1]["content"]
    n, day, maker = re.search(r"Bill of S(\d+) .* day (\d+) by (M\d)", text).groups()
    total = f"{n}.5" if int(n) % 2 else "0"
    values = {
        "supplier": f"S{n}",
        "total": total,
        "day": f"2026-03-{int(day):02}",
        "maker": f'{{"name": "{maker}"}}',
    }
    return "".join(f"[[ ## {k} ## ]]\n{v}\n\n" for k, v in values.items()) + "[[ ## completed ## ]]"


@pytest.mark.parametrize("own", [True, False])
def test_the_record_module_of_a_run_is_proven_without_running_a_users_class(home, own):
    step = import_task(OWN_CLASS).step
    pipeline = PipelineSpec(steps=(step if own else step.model_copy(update={"source": ""}),))
    names = [f.name for f in (*pipeline.inputs, *pipeline.outputs)]
    with OpenAIServer(read_bill) as server:
        run_id = add_run(
            home,
            dataset=add_data(home, bills(), "bills.csv"),
            pipeline=pipeline,
            mapping={name: name for name in names},
            metric=Named(name="JSONMatch", options={"every_output": True}),
            optimizer=Named(name="LabeledFewShot"),
            model=server_model(server.url),
            adapter="chat",
        )
        assert work(home, run_id) == 0
        result = result_of(home, run_id)
        before = sum(server.served.values())
        *_, module = result.proof
        assert module.file == "program_records.zip"
        assert module.holds, module.sentence
        assert 0 < module.score < 1
        path = Path(result.export_path).with_name("program_records.zip")
        with zipfile.ZipFile(path) as packed:
            files = {name: packed.read(name) for name in packed.namelist()}
        assert (b"class Bill(" in files["program_records.py"]) is own
        path.write_bytes(zipped(files | {"engine/basics/text.py": files["engine/basics/text.py"] + b"\n"}))
        assert not prove_again(home, run_id)[-1].holds
        path.write_bytes(zipped(files))
        assert prove_again(home, run_id)[-1].holds
        assert sum(server.served.values()) == before


def test_the_folder_of_a_run_sends_and_answers_the_same_in_a_process_without_tuneboard(home):
    with OpenAIServer(answer) as server:
        model = server_model(server.url)
        run_id = add_run(home, optimizer=Named(name="LabeledFewShot"), model=model)
        assert work(home, run_id) == 0
        path = Path(result_of(home, run_id).script_path)
        assert path.name == "standalone.zip"
        file = read_program(path.with_name("program.json"))
        rows = [{"text": f"Put the {thing} away."} for thing in THINGS]
        server.requests.clear()
        lm = engine.LM(
            file.model.name,
            api_base=server.url,
            api_key="k",
            temperature=file.model.temperature,
            max_tokens=file.model.max_tokens,
            cache=False,
        )
        program = file.build(lm=lm)
        outputs = [f.name for f in file.pipeline.outputs]
        expected = [[program(**row)[name] for name in outputs] for row in rows]
        sent = sorted(orjson.dumps(body, option=orjson.OPT_SORT_KEYS) for body in server.requests)
        server.requests.clear()
        folder = home / "elsewhere"
        with zipfile.ZipFile(path) as packed:
            packed.extractall(folder)
        (folder / "rows.json").write_bytes(orjson.dumps(rows))
        command = [sys.executable, "-I", "run.py", "rows.json", "--output", "answers.csv"]
        child_env = {"PATH": os.environ["PATH"], "HOME": str(home / "nobody"), "OPENAI_API_KEY": "k"}
        done = subprocess.run(command, cwd=folder, env=child_env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        with (folder / "answers.csv").open(newline="") as table:
            assert [[row[name] for name in outputs] for row in csv.DictReader(table)] == expected
        assert sorted(orjson.dumps(body, option=orjson.OPT_SORT_KEYS) for body in server.requests) == sent
        assert not list((home / "nobody").rglob("cache*")), "answers are not stored"
