"""The command line: what each command does, and that whatever goes wrong is one sentence and an exit code."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
import zipfile
from importlib.metadata import version

import pytest
from support.ports import own_port
from support.program_files import save_program
from support.run_setup import PIPELINE, add_run, answer, csv_bytes, server_model, spec, wait_for
from support.servers.openai_server import OpenAIServer
from typer.testing import CliRunner

import engine
from engine.cli.app import app
from engine.cli.programs import AROUND
from engine.cli.serve import free_port
from engine.export.formats import export_forms
from engine.pipeline.build import build_program
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.runs.spec import Named
from engine.runs.worker import work
from engine.store.store import FILE_NAME, Store
from engine.testing import chat_answer

pytestmark = pytest.mark.usefixtures("home")

LABELED = Named(name="LabeledFewShot", options={"k": 4})


def tuneboard(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def refused(result, code, *expected):
    """The command failed with this code, said one sentence on stderr, and nothing like a traceback."""
    assert result.exit_code == code, result.output
    assert result.stderr.count("\n") == 1, result.stderr
    for text in expected:
        assert text in result.stderr
    assert "Traceback" not in result.output


def write_spec(folder, data=None, **changes):
    (folder / "shelves.csv").write_bytes(csv_bytes() if data is None else data)
    values = spec("shelves.csv", **{"optimizer": LABELED, **changes}).model_dump(mode="json")
    path = folder / "task.json"
    path.write_text(json.dumps(values))
    return path


def write_program(folder, **model):
    path = folder / "program.json"
    candidate = build_program(PIPELINE).candidate()
    save_program(PIPELINE, candidate, path, model=model or {"name": "offline/learner"})
    return path


# run


def test_what_a_spec_reads_outside_its_folder_is_agreed_to_once(home, tmp_path):
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    path = write_spec(inbox)
    path.write_text(path.read_text().replace('"shelves.csv"', '"../private.csv"'))
    (tmp_path / "private.csv").write_bytes(csv_bytes())
    refused(
        tuneboard("run", path), 2, f"reads the file {tmp_path / 'private.csv'}", "Nothing was sent", "--trust"
    )
    assert tuneboard("run", path, "--trust").exit_code == 0
    assert tuneboard("run", path).exit_code == 0
    other = tmp_path / "other" / "inbox"  # the same words name another file there
    other.mkdir(parents=True)
    (other.parent / "private.csv").write_bytes(csv_bytes())
    (other / "task.json").write_text(path.read_text())
    refused(tuneboard("run", other / "task.json"), 2, f"reads the file {other.parent / 'private.csv'}")


def test_run_a_spec_file_to_its_report(home, tmp_path):
    result = tuneboard("run", write_spec(tmp_path))
    assert result.exit_code == 0, result.output
    assert "Baseline" in result.stdout
    assert "Test rows" in result.stdout
    assert re.search(r"[\d,]+ calls, [\d,]+ tokens, free, [\d.]+ s", result.stdout)
    path = re.search(r"Program: (.*)", result.stdout)[1]
    assert engine.load(path)
    with Store.open(home) as store:
        run = store.runs.all()[0]
        assert run.estimate["calls"]["high"] > 0
        assert run.result.verdict.sentence in " ".join(result.stdout.split())
        assert [p.name for p in store.projects.all()] == ["task"]
    tuneboard("run", tmp_path / "task.json")
    with Store.open(home) as store:
        assert len(store.projects.all()) == 1
        assert len(store.datasets.all()) == 1
        assert len(store.runs.all()) == 2


def test_run_a_stored_run(home):
    run_id = add_run(home, optimizer=LABELED)
    assert tuneboard("run", run_id).exit_code == 0
    refused(tuneboard("run", run_id), 2, "finished already")
    refused(tuneboard("run", "nothing"), 2, "There is no run 'nothing'")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "line 1"),
        ("{", "line 1"),
        ('{"pipeline":\n\n oops}', "line 3"),
        ("[]", "whole file"),
        ('{"mapping": {}}', "'pipeline'"),
        ("[" * 100_000, "task.json"),
        ("\udcff", "is not a text file"),
    ],
)
def test_a_spec_that_is_no_spec(tmp_path, text, expected):
    path = tmp_path / "task.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    refused(tuneboard("run", path), 2, expected)


def test_a_spec_file_that_is_not_there(tmp_path):
    refused(tuneboard("run", tmp_path / "none.json"), 2, "There is no file")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"optimizer": {"name": "Magic"}}, "There is no optimizer 'Magic'. Choose one of: "),
        ({"optimizer": {"name": "LabeledFewShot", "options": {"k": "many"}}}, "k"),
        ({"metric": {"name": "Bleu"}}, "There is no metric 'Bleu'"),
        ({"metric": {"name": "ExactMatch", "options": {"field": "colour"}}}, "'colour'"),
        ({"mapping": {"text": "text", "shelf": "rack"}}, "'rack'"),
        ({"mapping": {"text": "text"}}, "'shelf' has no column"),
        ({"mapping": {"text": "shelf", "shelf": "shelf"}}, "is both the input 'text' and the answer 'shelf'"),
        ({"dataset": "none.csv"}, "'none.csv'"),
        ({"budget": {"calls": 3}}, "too small"),
        ({"budget": {"calls": -3}}, "'budget.calls'"),
        ({"split": {"train": 0.9, "validation": 0.9, "test": 0.9}}, "270 %"),
        ({"adapter": "toml"}, "'adapter'"),
        ({"surprise": 1}, "'surprise'"),
    ],
)
def test_a_spec_that_cannot_work_is_refused_before_anything_runs(home, tmp_path, changes, expected):
    path = write_spec(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    refused(tuneboard("run", path), 2, expected)
    with Store.open(home) as store:
        assert store.runs.all() == []


def with_field(**changes):
    values = PIPELINE.model_dump(mode="json")
    values["steps"][0]["outputs"][0].update(changes)
    return values


@pytest.mark.parametrize(
    ("pipeline", "expected"),
    [
        (with_field(name="the shelf"), "such as 'the_shelf'"),
        (with_field(name="text"), "Two fields are called 'text'"),
        ({"steps": [{"name": "sort", "inputs": [{"name": "text"}], "outputs": []}]}, "Add an output field"),
        (with_field(name="class"), "class"),
        (with_field(choices=[], type="Banana"), "Banana"),
    ],
)
def test_fields_that_cannot_be(tmp_path, pipeline, expected):
    path = write_spec(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "pipeline": pipeline}))
    refused(tuneboard("run", path), 2, expected)


BAD_DATA = {
    "empty": (b"", "empty"),
    "blank": (b"\n\n  \n", "empty"),
    "header only": (b"text,shelf\n", "row"),
    "nul": (b"\x00\x01\x02\x03" * 50, ""),
    "image": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4, ""),
    "all empty": (b"text,shelf\n" + b"".join(b"thing %d,\n" % i for i in range(30)), "shelf"),
    "one class": (b"text,shelf\n" + b"".join(b"thing %d,red\n" % i for i in range(30)), "same answer"),
    "few": (csv_bytes(5), "needs at least"),
    "only ragged rows": (b"text,shelf\na,b,c\n", "No row of 'shelves.csv' can be used"),
    "no name": (csv_bytes().replace(b"text,shelf", b"text,"), "no column 'shelf'"),
    "not allowed": (b"text,shelf\n" + b"".join(b"thing %d,pink\n" % i for i in range(30)), "pink"),
    "same inputs": (b"text,shelf\n" + b"x,red\nx,blue\n" * 9, "have different inputs"),
    "no such column": (b"text,rack\n" + b"".join(b"thing %d,red\n" % i for i in range(30)), "shelf"),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_data_that_cannot_be_used(tmp_path, case):
    content, expected = BAD_DATA[case]
    refused(tuneboard("run", write_spec(tmp_path, content)), 2, expected)


def test_another_encoding_ragged_rows_and_doubled_columns_are_read(tmp_path):
    lines = csv_bytes().decode().replace("an old", "ein schön alter").splitlines()
    lines = [lines[0] + ",text,", *[f"{line},x,y" for line in lines[1:]], "just one cell", "a,b,c,d,e,f,g"]
    result = tuneboard("run", write_spec(tmp_path, "\n".join(lines).encode("utf-16")))
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(("status", "words"), [(401, "key"), (500, "500")])
def test_an_endpoint_that_does_not_work(tmp_path, status, words):
    with OpenAIServer(answer) as server:
        server.fail_with(status, headers={"Retry-After": "0"})
        path = write_spec(tmp_path, csv_bytes(12), model=server_model(server.url), concurrency=16)
        refused(tuneboard("run", path), 1, words)


def test_a_missing_key_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    refused(tuneboard("run", write_spec(tmp_path, model={"name": "openai/gpt-5-mini"})), 2, "OPENAI_API_KEY")


# demo


def test_demo_tunes_the_sample_and_says_where_the_program_is(home):
    result = tuneboard("demo")
    assert result.exit_code == 0, result.output
    for expected in ("Baseline", "Best", "Test rows", "calls", "tokens", "free", "program.json"):
        assert expected in result.stdout
    with Store.open(home) as store:
        run = store.runs.all()[0]
        assert run.state == "finished"
        assert run.result.verdict.kind == "better"
        assert store.projects.all()[0].name.startswith("Demo")


def test_demo_with_names_that_are_not_there():
    refused(tuneboard("demo", "--optimizer", "Magic"), 2, "There is no optimizer 'Magic'")
    refused(tuneboard("demo", "--sample", "magic"), 2, "There is no sample 'magic'")


# eval


def test_eval_scores_a_program_on_a_file(tmp_path):
    (tmp_path / "rows.csv").write_bytes(csv_bytes(20) + b"\na lamp,\na hat,pink")
    output = tmp_path / "answers.csv"
    result = tuneboard("eval", write_program(tmp_path), "rows.csv", "--output", output)
    assert result.exit_code == 0, result.output
    assert "% over 20 rows" in result.stdout
    assert "Row 22 is left out: 'shelf' is empty." in result.stdout
    with output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["row"] for r in rows] == [str(n) for n in range(2, 22)]
    assert {r["shelf"] for r in rows} <= {"red", "green", "blue"}


def test_a_formula_in_an_answer_is_text_in_the_file_of_answers(tmp_path):
    step = StepSpec(name="note", inputs=(FieldSpec(name="text"),), outputs=(FieldSpec(name="note"),))
    pipeline = PipelineSpec(steps=(step,))
    (tmp_path / "rows.csv").write_text("text,note\na,b\n")
    output = tmp_path / "answers.csv"
    with OpenAIServer(lambda _: chat_answer({"note": "=cmd|' /C calc'!A0"})) as server:
        model = server_model(server.url).model_dump()
        save_program(pipeline, build_program(pipeline).candidate(), tmp_path / "p.json", model=model)
        result = tuneboard("eval", tmp_path / "p.json", "rows.csv", "--output", output)
    assert result.exit_code == 0, result.output
    with output.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["note"] == "'=cmd|' /C calc'!A0"


def test_eval_compares_a_program_with_a_log_and_what_its_users_thought(tmp_path):
    def line(n: int) -> str:
        asked = {"role": "user", "content": f"a lamp {n}"}
        said = {"role": "assistant", "content": "red" if n % 2 else "green"}
        thumbs = {0: "down", 1: "up"}.get(n)
        return json.dumps(
            {"messages": [asked], "response": {"choices": [{"message": said}]}, "feedback": thumbs}
        )

    (tmp_path / "logs.jsonl").write_text("\n".join(line(n) for n in range(10)))
    with OpenAIServer(lambda _: chat_answer({"shelf": "red"})) as server:
        model = ("--model", "openai/test-model", "--base-url", server.url)
        result = tuneboard("eval", write_program(tmp_path), "logs.jsonl", *model)
    assert result.exit_code == 0, result.output
    assert (
        "Next to the log: 5 of 10 answers are the log's; of 1 with a thumbs-up, 1 stay; of 1" in result.stdout
    )
    assert "thumbs-down, 1 change" in result.stdout


def test_eval_takes_columns_options_and_another_model(tmp_path):
    (tmp_path / "rows.csv").write_bytes(csv_bytes(20).replace(b"text,shelf", b"what,where"))
    fields = ("--field", "text=what", "--field", "shelf=where")
    with OpenAIServer(answer) as server:
        model = ("--model", "openai/test-model", "--base-url", server.url)
        result = tuneboard(
            "eval", write_program(tmp_path), "rows.csv", *fields, *model, "--option", "strict=yes"
        )
        assert result.exit_code == 0, result.output
        assert server.calls == 20
        server.fail_with(401)
        failed = tuneboard(
            "eval", tmp_path / "program.json", "rows.csv", *fields, *model[:3], server.url + "/"
        )
        assert failed.exit_code == 0  # all from the cache


def test_eval_where_no_row_works_is_a_failure(tmp_path):
    (tmp_path / "rows.csv").write_bytes(csv_bytes(4))
    with OpenAIServer(answer) as server:
        server.fail_with(401)
        path = write_program(tmp_path, name="openai/test-model", base_url=server.url)
        result = tuneboard("eval", path, "rows.csv")
    assert result.exit_code == 1
    assert "4 failed" in result.stdout
    assert "401" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("none.json", "rows.csv"), "'none.json'"),
        (("rows.csv", "rows.csv"), "rows.csv"),
        (("program.json", "none.csv"), "'none.csv'"),
        (("program.json", "."), "cannot be read"),
        (("program.json", "empty.csv"), "empty"),
        (("program.json", "rows.csv", "--metric", "Bleu"), "no metric 'Bleu'"),
        (("program.json", "rows.csv", "--option", "strict"), "NAME=VALUE"),
        (("program.json", "rows.csv", "--option", "strict=maybe"), "strict"),
        (("program.json", "rows.csv", "--option", "field=colour"), "colour"),
        (("program.json", "rows.csv", "--field", "colour=text"), "'colour'"),
        (("program.json", "rows.csv", "--field", "text=words"), "'words'"),
        (("program.json", "rows.csv", "--model", " "), "No model was named"),
        (("program.json", "rows.csv", "--output", "no/such/folder.csv"), "cannot be written"),
    ],
)
def test_eval_bad_input(tmp_path, arguments, expected):
    (tmp_path / "rows.csv").write_bytes(csv_bytes(8))
    (tmp_path / "empty.csv").write_bytes(b"")
    write_program(tmp_path)
    result = tuneboard("eval", *arguments)
    assert result.exit_code in (1, 2)
    assert expected in result.output
    assert "Traceback" not in result.output


# export


def test_export_writes_json_and_python(home, tmp_path):
    run_id = add_run(home, optimizer=LABELED)
    refused(tuneboard("export", run_id), 2, "no result yet")
    work(home, run_id)
    result = tuneboard("export", run_id)
    assert engine.load(result.stdout.strip())
    alone = tuneboard("export", run_id, "--format", "python", "--output", tmp_path / "new" / "p.zip")
    assert alone.exit_code == 0
    with zipfile.ZipFile(tmp_path / "new" / "p.zip") as packed:
        assert {"run.py", "program.json", "requirements.txt", "engine/__init__.py"} <= set(packed.namelist())
    folder = tuneboard("export", run_id, "--format", "python", "--output", tmp_path / "folder")
    assert folder.exit_code == 0
    assert (tmp_path / "folder" / "run.py").is_file()
    with Store.open(home) as store:
        seed = store.trials.candidates(run_id)[0].id
    first = tuneboard("export", run_id, "--candidate", seed, "--output", tmp_path / "seed.json")
    assert first.exit_code == 0
    assert engine.load(tmp_path / "seed.json").candidate().id == seed


def test_export_bad_input(home):
    run_id = add_run(home, optimizer=LABELED)
    work(home, run_id)
    refused(tuneboard("export", "nothing"), 2, "'nothing'")
    refused(tuneboard("export", run_id, "--format", "docx"), 2, "'docx'", "json", "report")
    refused(tuneboard("export", run_id, "--candidate", "zzz"), 2, "'zzz'")
    refused(tuneboard("export", run_id, "--output", "/proc/none/x.json"), 2, "cannot be written")


# doctor, version, home


def test_doctor_names_keys_and_never_shows_them(home, monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "gsk_secret_value")
    result = tuneboard("doctor")
    assert result.exit_code == 0, result.output
    assert "GROQ_API_KEY" in result.stdout
    assert "gsk_secret_value" not in result.output
    for expected in ("Python", "Data folder", "Call cache", "offline/learner", "streamlit"):
        assert expected in result.stdout


def test_version():
    assert tuneboard("--version").stdout.strip() == f"tuneboard {version('tuneboard')}"


def test_home_can_be_given_and_a_bad_one_is_a_sentence(tmp_path):
    assert tuneboard("doctor", "--home", tmp_path / "there").exit_code == 0
    assert (tmp_path / "there" / FILE_NAME).exists()
    (tmp_path / "file").write_text("x")
    refused(tuneboard("demo", "--home", tmp_path / "file"), 1, "TUNEBOARD_HOME")
    refused(tuneboard("open", "--home", tmp_path / "file"), 1, "TUNEBOARD_HOME")


def test_a_damaged_database_is_a_sentence(home):
    home.mkdir()
    (home / FILE_NAME).write_bytes(b"no database " * 1000)
    refused(tuneboard("run", "abc"), 1, "not a Tuneboard database")
    assert "Data folder" in tuneboard("doctor").stdout


@pytest.mark.parametrize("words", ["fly", "run", "eval x", "open --port many", "open --port 99999"])
def test_wrong_usage_is_refused_by_the_parser(words):
    result = tuneboard(*words.split())
    assert result.exit_code == 2
    assert "Error" in result.stderr


# as real processes


def test_python_m_engine_is_the_command(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "engine", "run", "nothing"], capture_output=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.decode() == "There is no run 'nothing'. It may have been deleted.\n"


def test_the_dashboard_opens_and_ends_with_ctrl_c(home):
    port = own_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "engine", "--port", str(port), "--no-browser"],
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        # Should it never answer, it is ended, and the reading below with it.
        watchdog = threading.Timer(180, process.terminate)
        watchdog.start()
        line = process.stdout.readline().decode()
        watchdog.cancel()
        assert f"http://127.0.0.1:{port}" in line
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=60) as reply:
            assert reply.read() == b"ok"
        refused(tuneboard("open", "--port", port, "--no-browser"), 2, f"port {port} is taken")
        assert free_port(port) > port
    finally:
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 0
    assert b"Traceback" not in errors
    wait_for(lambda: free_port(port) == port)


def test_the_help_of_export_names_every_format():
    output = "".join(CliRunner().invoke(app, ["export", "--help"]).output.split())
    names = (*AROUND, *(form.name for form in export_forms()))
    assert [name for name in names if f"{name}," not in output and f"{name}." not in output] == []


def test_users_are_added_with_a_token_printed_once_listed_and_removed(home, tmp_path):
    file = tmp_path / "team.txt"
    added = tuneboard("users", "add", "ada", "--users", file)
    token = added.output.split()[-1]
    assert added.exit_code == 0
    assert token not in file.read_text()
    assert tuneboard("users", "add", "@example.org", "--oidc", "--users", file).exit_code == 0
    listed = tuneboard("users", "list", "--users", file).output.splitlines()
    assert listed == ["ada: token, administrator", "@example.org: OpenID Connect"]
    assert tuneboard("users", "remove", "ada", "--users", file).exit_code == 0
    assert tuneboard("users", "remove", "ada", "--users", file).exit_code == 2
    with Store.open(home) as store:
        assert [(entry["action"].split(" (")[0], entry["about"]) for entry in store.audit()] == [
            ("removed user", "ada"),
            ("added user", "@example.org"),
            ("added user", "ada"),
        ]
    assert tuneboard("open", "--host", "0.0.0.0", "--no-browser").exit_code == 2


def test_runs_are_put_away_and_brought_back(home, tmp_path):
    run = add_run(home)
    with Store.open(home) as store:
        refused(tuneboard("archive", run), 1, "has not ended")
        store.runs.set_state(run, "stopped")
        file = tmp_path / "old.tuneboard-runs"
        result = tuneboard("archive", run, "--output", file)
        assert result.exit_code == 0, result.output
        assert "Put away 1 run in" in result.output
        assert store.runs.all() == []
        refused(tuneboard("archive", run), 2, "There is no run")
        assert "Brought back 1 run." in tuneboard("unarchive", file).output
        refused(tuneboard("unarchive", file), 1, "here already")
        refused(tuneboard("unarchive", tmp_path / "none"), 1, "cannot be read")
        assert [row.id for row in store.runs.all()] == [run]
