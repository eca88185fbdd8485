"""Exported programs: the JSON file round trip, damaged files in a sentence, the script that runs by itself."""

import csv
import io
import json
import subprocess
import sys

import openpyxl
import pytest
from support.program_files import save_program
from support.run_setup import COLOURS, PIPELINE, THINGS

import engine
from engine.errors import ProgramFileError
from engine.export.formats import ExportFormat, export_forms
from engine.export.program import (
    ProgramFile,
    load_program,
    parse_program,
    program_file,
    to_text,
)
from engine.export.report import ReportRow
from engine.export.script import python_script
from engine.export.tables import results_csv, results_json, results_xlsx
from engine.lm.keys import key_for
from engine.metrics.base import Grade
from engine.pipeline.build import build_program
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.records import Demo, Outcome, content_hash
from engine.signature.types.tool import ToolCallResult
from engine.store.connection import to_json

OFFLINE = {"name": "offline/learner"}
ROWS = [f"an old {thing}" for thing in THINGS]

TWO_STEPS = PipelineSpec(
    steps=(
        StepSpec(
            name="read",
            strategy="chain_of_thought",
            instructions='Quote "the" main thing,\nthen stop. \\ @PIPELINE@ {x}',
            inputs=(FieldSpec(name="text", description="What to read"),),
            outputs=(FieldSpec(name="thing"),),
        ),
        StepSpec(
            name="sort",
            inputs=(FieldSpec(name="thing"), FieldSpec(name="hint", type="Optional[str]")),
            outputs=(FieldSpec(name="shelf", choices=COLOURS), FieldSpec(name="sure", type="bool")),
        ),
    )
)


def tuned(spec=PIPELINE):
    candidate = build_program(spec).candidate()
    path = list(candidate.steps)[-1]
    demos = tuple(
        Demo({"text": f"a {t}", "thing": t, "shelf": COLOURS[i % 3], "sure": True}, augmented=bool(i % 2))
        for i, t in enumerate(THINGS[:4])
    )
    return candidate.with_step(path, instructions='Sort "it" by\nthing. \\n é 🙂 """', demos=demos)


def answers(program, rows=ROWS):
    with engine.context(lm=engine.LM("offline/learner", cache=False)):
        return [dict(program(text=text)) for text in rows]


def test_round_trip_gives_the_same_predictions(tmp_path):
    candidate = tuned()
    save_program(PIPELINE, candidate, tmp_path / "p.json", model=OFFLINE, metadata={"title": "x"})
    loaded = engine.load(tmp_path / "p.json")
    assert loaded.candidate().id == candidate.id
    assert answers(loaded) == answers(build_program(PIPELINE).with_candidate(candidate))


GRADE = Grade(0.5, "Half of it.", {"tone": Grade(0.25)})


def graded(number: object) -> ProgramFile:
    """A tuned program one of whose examples holds a number, also inside a value."""
    values = {"text": "a lamp", "sure": number, "more": {"score": [number]}}
    return program_file(TWO_STEPS, tuned(TWO_STEPS).with_step("sort", demos=(Demo(values),)))


@pytest.mark.parametrize(
    "form", [one for one in export_forms() if not one.on_demand], ids=lambda one: one.name
)
def test_a_grade_is_its_number_in_every_export(form: ExportFormat) -> None:
    assert form.content(graded(GRADE)) == form.content(graded(0.5))


def test_a_grade_is_its_number_in_tables_states_hashes_and_the_store(tmp_path) -> None:
    def written(number: object) -> list[object]:
        row = ReportRow(1, {"a": number}, {"b": [number]}, {}, {"b": number}, number, number)
        outcome = Outcome(0, number, {"b": number}, objective_scores={"tone": number})
        step = engine.Predict("a -> b: float")
        step.demos = [engine.Example(a="x", b=number)]
        step.save(tmp_path / "step.json")
        example = engine.Example(a="x", b=number, more=[number]).with_inputs("a")
        files = {"save_as_json": tmp_path / "rows.json", "save_as_csv": tmp_path / "rows.csv"}
        evaluate = engine.Evaluate(devset=[example], metric=lambda _e, p: p.b, **files)
        found = evaluate(lambda a: engine.Prediction(b=number, more={"c": number}))
        texts = [path.read_text() for path in (tmp_path / "step.json", *files.values())]
        return [
            results_json([row]),
            results_csv([row]),
            [*openpyxl.load_workbook(io.BytesIO(results_xlsx([row]))).active.values],
            content_hash({"a": number}),
            ToolCallResult(name="x", value={"a": number}).text,
            to_json(outcome.to_json()),
            to_json(found.outcomes[0].prediction),
            *texts,
        ]

    assert written(GRADE) == written(0.5)


@pytest.mark.parametrize("adapter", ["chat", "json"])
def test_many_steps_round_trip(tmp_path, adapter):
    candidate = tuned(TWO_STEPS)
    save_program(TWO_STEPS, candidate, tmp_path / "p.json", model=OFFLINE, adapter=adapter)
    loaded = load_program(tmp_path / "p.json")
    assert loaded.candidate().steps == candidate.steps
    kinds = {type(step.adapter).__name__ for step in loaded.predictors()}
    assert kinds == ({"NoneType"} if adapter == "chat" else {"JSONAdapter"})


def test_it_runs_on_its_own_model_unless_one_is_set(tmp_path):
    path = tmp_path / "p.json"
    save_program(PIPELINE, tuned(), path, model={**OFFLINE, "temperature": 0.5, "unknown": 1})
    lm = load_program(path).get_lm()
    assert (lm.model, lm.params) == ("offline/learner", {"temperature": 0.5})
    assert load_program(path)(text="an old lamp").shelf in COLOURS
    other = engine.LM("openai/x", api_key="k")
    with engine.context(lm=other):
        assert load_program(path).get_lm() is None
    assert load_program(path, lm=other).get_lm() is other


def test_a_file_cannot_send_a_key_to_an_address_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    model = {"name": "openai/x", "base_url": "http://evil.example/v1", "key_env": "OPENAI_API_KEY"}
    save_program(PIPELINE, tuned(), tmp_path / "p.json", model=model)
    lm = load_program(tmp_path / "p.json").get_lm()
    assert not lm.dump_state().get("key_env")


def test_nor_the_key_of_a_provider_whose_addresses_are_its_customers(tmp_path, monkeypatch):
    monkeypatch.setenv("AZURE_API_KEY", "sk-secret")
    azure = {"name": "azure/x", "base_url": "http://evil.example", "key_env": None}
    save_program(PIPELINE, tuned(), tmp_path / "p.json", model=azure)
    lm = load_program(tmp_path / "p.json").get_lm()
    assert not key_for(lm.route, lm.dump_state()["key_env"])
    assert key_for(lm.route)


def test_writing_replaces_the_whole_file(tmp_path):
    path = tmp_path / "deep" / "p.json"
    save_program(PIPELINE, tuned(), path)
    first = path.read_text()
    save_program(PIPELINE, tuned(), path)
    assert path.read_text() == first
    assert [p.name for p in path.parent.iterdir()] == ["p.json"]


def good():
    return json.loads(to_text(program_file(PIPELINE, tuned(), model=OFFLINE)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is empty"),
        ("  \n", "is empty"),
        ('{"format": "tuneboard.program",\n "version": 1,\n "pipeline": ', "line 3"),
        ("[1, 2]", "not a Tuneboard program"),
        ('{"instructions": "x"}', "'format' should be"),
        (json.dumps({"format": "tuneboard.program", "version": 99}), "newer Tuneboard"),
        (json.dumps({"format": "tuneboard.program", "version": "one"}), "'version'"),
        (json.dumps({"format": "tuneboard.program", "version": 0}), "'version'"),
        (json.dumps({"format": "tuneboard.program", "version": 1}), "'pipeline'"),
        ("\x00\x01\x02", "line 1"),
    ],
)
def test_damaged_files_are_one_sentence(text, expected):
    with pytest.raises(ProgramFileError) as error:
        parse_program(text)
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda d: d["candidate"]["steps"]["sort"].pop("instructions"), "candidate.steps.sort.instructions"),
        (
            lambda d: d["candidate"]["steps"]["sort"].update(demos=[{"values": 3}]),
            "candidate.steps.sort.demos.0.values",
        ),
        (lambda d: d["candidate"]["steps"]["sort"].update(nearest=-1), "candidate"),
        (lambda d: d["candidate"]["steps"]["sort"].update(adapter="toml"), "candidate"),
        (lambda d: d["pipeline"]["steps"].clear(), "pipeline.steps"),
        (lambda d: d.update(adapter="toml"), "adapter"),
        (lambda d: d.update(surprise=1), "surprise"),
    ],
)
def test_damaged_keys_are_named(change, expected):
    data = good()
    change(data)
    with pytest.raises(ProgramFileError, match=f"damaged at '{expected}'"):
        parse_program(json.dumps(data))


def test_parts_that_do_not_fit_are_named():
    data = good()
    data["candidate"]["steps"]["other"] = data["candidate"]["steps"].pop("sort")
    with pytest.raises(ProgramFileError, match="'other'"):
        parse_program(json.dumps(data)).build()
    data = good()
    data["pipeline"]["steps"][0]["outputs"][0]["name"] = "not a name"
    with pytest.raises(ProgramFileError, match="not a name"):
        parse_program(json.dumps(data)).build()


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(ProgramFileError, match="There is no file"):
        load_program(tmp_path / "none.json")
    with pytest.raises(ProgramFileError, match="cannot be read"):
        load_program(tmp_path)


def run_script(script, *arguments, cwd):
    return subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, cwd=cwd, timeout=60, check=False
    )


def test_the_script_answers_as_the_program_does(tmp_path):
    candidate = tuned()
    script = tmp_path / "program.py"
    title = {"title": 'Sort "things" \\ now.'}
    program = program_file(PIPELINE, candidate, model=OFFLINE, metadata=title)
    script.write_text(python_script(program), encoding="utf-8")
    expected = [a["shelf"] for a in answers(build_program(PIPELINE).with_candidate(candidate))]
    one = run_script(script, "--text", ROWS[0], cwd=tmp_path)
    assert json.loads(one.stdout) == {"shelf": expected[0]}, one.stderr.decode()
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["text", "other"], *([row, "x"] for row in ROWS)])
    many = run_script(script, "rows.csv", cwd=tmp_path)
    rows = list(csv.DictReader(many.stdout.decode().splitlines()))
    assert [(r["text"], r["shelf"]) for r in rows] == list(zip(ROWS, expected, strict=True))


def test_the_script_holds_the_pipeline_as_written():
    model = {"name": "openai/x", "key_env": "MY_KEY", "base_url": "http://h/v1"}
    script = python_script(program_file(TWO_STEPS, tuned(TWO_STEPS), model=model))
    names = {}
    exec(compile(script.split("def load")[0], "program.py", "exec"), names)
    file = ProgramFile.model_validate(names["PROGRAM"])
    assert file.pipeline == TWO_STEPS
    assert file.candidate.steps == tuned(TWO_STEPS).steps
    assert names["PROGRAM"]["model"] == model
