"""The program that stands alone, unpacked and run where Tuneboard is not: requests and answers are those of this process."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from support.servers.openai_server import OpenAIServer

import engine
from engine.adapters import get_adapter
from engine.adapters.scalars import UnreadableError
from engine.adapters.values import parse_value
from engine.dataset import read_dataset
from engine.errors import EngineError
from engine.export.alone import engine_files
from engine.export.formats import get_export
from engine.export.program import ProgramFile, program_file
from engine.pipeline.build import build_program
from engine.pipeline.signatures import field_type
from engine.pipeline.spec import Condition, Each, FieldSpec, PipelineSpec, StepOptions, StepSpec
from engine.pipeline.templates import SAMPLES, get_sample
from engine.records import Demo
from engine.runs.spec import sample_bytes

ODD = "{braces} 100%s \"quotes\" 'single' \\n 🙂 é\n[[ ## label ## ]]\nno\n\n<label>&amp;</label>"
LAYOUTS = ["chat", "json", "xml"]


def fields(*texts: str) -> tuple[FieldSpec, ...]:
    return tuple(FieldSpec(name=t.partition(": ")[0], type=t.partition(": ")[2] or "str") for t in texts)


def written(layout: str, raw: dict[str, str]) -> str:
    """A reply that holds these texts, in a layout."""
    if layout == "json":
        return json.dumps(raw)
    if layout == "xml":
        return "\n\n".join(f"<{name}>\n{text}\n</{name}>" for name, text in raw.items())
    return "".join(f"[[ ## {name} ## ]]\n{text}\n\n" for name, text in raw.items()) + "[[ ## completed ## ]]"


def unpacked(program: ProgramFile, folder: Path, form: str = "python") -> Path:
    """The folder of an export, written out of its zip."""
    with zipfile.ZipFile(io.BytesIO(get_export(form).content(program))) as packed:
        packed.extractall(folder)
    return folder


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the folder's program in a process that has this Python's packages and nothing of the project."""
    bare = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    command = [sys.executable, "-I", "-c", LONE, *(arguments or ("--help",))]
    return subprocess.run(
        command,
        capture_output=True,
        encoding="utf-8",
        env={**bare, "HOME": str(folder / "home"), **variables},
        cwd=folder,
        check=False,
    )


ROOT = Path(__file__).parents[3]
LONE = f"""
import runpy, sys
from pathlib import Path
sys.path = [path for path in sys.path if Path(path).resolve() != Path({str(ROOT)!r})]
sys.argv[0] = "run.py"
try:
    runpy.run_path("run.py", run_name="__main__")
finally:
    import engine
    places = [*(Path(engine.__file__) for _ in [0]), *(Path(m.__file__) for n, m in sys.modules.items() if n.startswith("engine.") and getattr(m, "__file__", None))]
    outside = [str(place) for place in places if not place.resolve().is_relative_to(Path.cwd().resolve())]
    assert not outside, outside
"""


def canonical(bodies: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(body, sort_keys=True) for body in bodies)


def cell(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def answers_of_the_engine(
    program: ProgramFile, server: OpenAIServer, rows: list[dict[str, Any]]
) -> list[Any]:
    assert program.model is not None
    lm = engine.LM(
        program.model.name, api_base=server.url, temperature=program.model.temperature, cache=False
    )
    built, names, answers = program.build(lm=lm), [f.name for f in program.pipeline.outputs], []
    for row in rows:
        try:
            typed = {
                f.name: parse_value(row[f.name], field_type(f)) if f.type != "str" else row[f.name]
                for f in program.pipeline.inputs
                if f.name in row
            }
            made = built(**typed)
            answers.append({name: cell(made.get(name)) for name in names})
        except (EngineError, UnreadableError):
            answers.append(None)
    return answers


def same_as_the_engine(
    spec: PipelineSpec, candidate: Any, layout: str, answer: Any, rows: list[dict[str, Any]], folder: Path
) -> list[dict[str, Any]]:
    """Have this process and the unpacked program answer the rows; compare requests and answers; return the requests."""
    with OpenAIServer(answer=answer) as server:
        model = {"name": "openai/test-model", "base_url": server.url, "temperature": 0.5}
        program = program_file(
            spec, candidate, model=model, adapter=layout, metadata={"title": 'A "title" \\'}
        )
        expected = answers_of_the_engine(program, server, rows)
        sent = list(server.requests)
        server.requests.clear()
        unpacked(program, folder)
        (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        done = run(folder, "rows.jsonl", "--output", "answers.csv")
        assert done.returncode == 0, done.stderr
        assert canonical(server.requests) == canonical(sent)
    with (folder / "answers.csv").open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert [row["error"] for row in found if row["error"]] == []
    assert [{name: row[name] for name in expected[0]} for row in found] == expected
    return sent


TYPED = PipelineSpec(
    steps=(
        StepSpec(
            name="read",
            strategy="chain_of_thought",
            instructions='Read {text}.\nSay "what" it is. \\ % 🙂',
            inputs=fields("text", "size: float", "tags: list[str]", "note: Optional[str]"),
            outputs=(
                *fields(
                    "count: int", "good: bool", "share: float", "words: list[str]", "record: dict[str, Any]"
                ),
                FieldSpec(name="label", choices=("red", "sky blue")),
                *fields("perhaps: Optional[int]", "many: list[dict[str, int]]"),
            ),
        ),
    )
)
REPLIES: dict[str, list[str]] = {
    "reasoning": ["First this,\nthen that.", ODD],
    "count": ["1,234", "seven", " 7. "],
    "good": ["yes", "False", "perhaps"],
    "share": ["0.5", "1e3", "half"],
    "words": ["- a\n- b", '["{x}", "🙂"]', "[]"],
    "record": ['{"a": [1, {"b": null}]}', "{'c': True}", "none"],
    "label": ["Sky Blue", "'red'", "green"],
    "perhaps": ["null", "3", "x"],
    "many": ['[{"a": 1}]', "[]", '[{"a": "b"}]'],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_typed_fields_odd_texts_and_a_second_try(layout: str, tmp_path: Path):
    def answer(body: dict[str, Any]) -> str:
        last = body["messages"][-1]["content"]
        again = last.startswith("Your last answer could not be used.")
        number = int(re.search(r"number (\d)", str(body["messages"]))[1])  # type: ignore[index]
        raw = {name: texts[0 if again else number % len(texts)] for name, texts in REPLIES.items()}
        if number == 3 and not again:
            return "I would rather not." * 600
        if number == 4 and not again:
            del raw["count"], raw["perhaps"]
        return written(layout, raw)

    rows: list[dict[str, Any]] = [
        {
            "text": f"number {i} {ODD}",
            "size": "1,000" if i else 2.5,
            "tags": ["a", ODD],
            "note": ["", "x", None][i % 3],
        }
        for i in range(5)
    ]
    sent = same_as_the_engine(TYPED, build_program(TYPED).candidate(), layout, answer, rows, tmp_path)
    assert len(sent) == 9  # all but the first are asked again


STEPS = PipelineSpec(
    steps=(
        StepSpec(name="split", inputs=fields("text"), outputs=fields("parts: list[str]", "kind: bool")),
        StepSpec(
            name="size",
            inputs=fields("part", "text"),
            outputs=fields("length: int"),
            each=Each(field="parts", item="part"),
        ),
        StepSpec(
            name="sum_up",
            strategy="chain_of_thought",
            inputs=fields("parts", "length: list[int]"),
            outputs=fields("label"),
            when=Condition(field="kind", values=("TRUE ",)),
            adapter="json",
        ),
        StepSpec(
            name="last",
            inputs=fields("label: Optional[str]", "kind: bool"),
            outputs=fields("done", "rest"),
        ),
    )
)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_several_steps_branches_and_lists(layout: str, tmp_path: Path):
    def answer(body: dict[str, Any]) -> str:
        shown, asked = body["messages"][0]["content"], body["messages"][-1]["content"]
        if "`parts` (list[str])" in shown.partition("write these")[2]:
            parts = [] if "nothing" in asked else ["one", "two\nlines", "{three}"]
            return written(layout, {"parts": json.dumps(parts), "kind": str("yes" in asked)})
        if "`length` (int)" in shown:
            return written(layout, {"length": str(len(asked))})
        if "`reasoning`" in shown:
            return written("json", {"reasoning": "So.", "label": ODD})
        return written(layout, {"done": asked[-60:].replace("<", "("), "rest": "odd & <b>"})

    rows = [{"text": text} for text in (f"yes {ODD}", "no", "nothing, yes", "")]
    sent = same_as_the_engine(STEPS, build_program(STEPS).candidate(), layout, answer, rows, tmp_path)
    assert len(sent) == 4 + 9 + 2 + 4


SORTING = StepSpec(
    name="sort",
    instructions="Sort it.",
    inputs=fields("text", "extra: Optional[int]"),
    outputs=(FieldSpec(name="label", choices=("red", "blue")), *fields("why: list[str]")),
)
DEMOS = [
    Demo({"text": "a red lamp", "extra": 1, "label": "red", "why": ["{x}", "🙂"]}),
    Demo({"text": ODD, "label": "blue", "why": []}, augmented=True),
    Demo({"text": "a blue chair", "extra": None, "label": "blue"}),
    Demo({"label": "blue", "why": ["no input"]}),
    Demo({"text": "the lamp that was red", "extra": 3, "label": "red", "why": ['"quoted"\nlines']}),
]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("nearest", [0, 2])
def test_examples_all_of_them_or_the_nearest(layout: str, nearest: int, tmp_path: Path):
    spec = PipelineSpec(steps=(SORTING,))
    changes = {
        "demos": tuple(DEMOS),
        "nearest": nearest,
        "reason_first": True,
        "field_descriptions": {"text": "A {thing}."},
    }
    candidate = build_program(spec).candidate().with_step("sort", **changes)
    rows = [
        {"text": "red lamp", "extra": ""},
        {"text": "chair"},
        {"text": "", "extra": "7"},
        {"text": ODD, "extra": "null"},
    ]
    reply = written(layout, {"reasoning": "Hm.", "label": "Blue", "why": '["a"]'})
    sent = same_as_the_engine(spec, candidate, layout, lambda body: reply, rows, tmp_path)
    assert {len(body["messages"]) for body in sent} <= ({10} if not nearest else {4, 6})


@pytest.mark.parametrize("name", ["lending_questions", "festival_questions"])
def test_searches_find_what_the_engine_finds(name: str, tmp_path: Path):
    def answer(body: dict[str, Any]) -> str:
        asked = body["messages"][-1]["content"]
        words = re.findall(r"\w{4,}", asked)
        field = "query" if "`query`" in body["messages"][0]["content"] else "answer"
        return written("chat", {field: " ".join(words[-30:-20])})

    spec = get_sample(name).pipeline
    questions = read_dataset(sample_bytes(f"{name}.csv"), f"{name}.csv").frame["question"].tolist()
    rows = [
        {"question": question} for question in (*questions[:30], ODD, "", "the and of", "Ünïcode stories")
    ]
    sent = same_as_the_engine(spec, build_program(spec).candidate(), "chat", answer, rows, tmp_path)
    assert len(sent) == len(rows) * (1 if name == "lending_questions" else 2)


def one_step(**model: Any) -> ProgramFile:
    spec = PipelineSpec(steps=(StepSpec(inputs=fields("text", "model"), outputs=fields("label")),))
    known = {"name": "openai/gpt-4o-mini", **model}
    return program_file(spec, build_program(spec).candidate(), model=known)


def test_one_row_from_options_and_a_key_that_stays_where_it_belongs(tmp_path: Path):
    with OpenAIServer(answer=written("chat", {"label": ODD}), api_key="sk-right") as server:
        folder = unpacked(one_step(base_url=server.url, key_env="MY_KEY"), tmp_path)
        options = ("--text", "x", "--input-model", "y")
        done = run(folder, *options, MY_KEY="sk-right")
        assert json.loads(done.stdout) == {"label": ODD.split("[[")[0].strip()}, done.stderr
        wrong = run(folder, *options, MY_KEY="sk-wrong-key")
        assert (wrong.returncode, wrong.stdout) == (1, "")
        assert "(401): check the key in the environment variable MY_KEY" in wrong.stderr
        assert "sk-wrong-key" not in wrong.stderr
        run(folder, *options, "--base-url", server.url, MY_KEY="sk-right")
        assert "Authorization" not in server.headers[-1]
        run(
            folder,
            *options,
            "--base-url",
            server.url,
            "--key-variable",
            "OTHER",
            "--model",
            "new",
            OTHER="sk-right",
        )
        assert (server.requests[-1]["model"], server.headers[-1]["Authorization"]) == (
            "new",
            "Bearer sk-right",
        )
    missing = run(folder, "--text", "x")
    assert missing.returncode == 2
    assert "--input-model" in missing.stderr
    unset = run(unpacked(one_step(), tmp_path), *options)
    assert "none was found in the environment variable OPENAI_API_KEY" in unset.stderr


def test_a_row_that_fails_is_kept_with_its_error_and_busy_servers_are_asked_again(tmp_path: Path):
    good = written("chat", {"label": "fine"})
    with OpenAIServer(answer=lambda body: "nonsense" if "bad row" in str(body) else good) as server:
        folder = unpacked(one_step(base_url=server.url), tmp_path)
        (tmp_path / "rows.csv").write_text(
            "text;model;other\ngood row;a;1\nbad row;b;2\nlast;c;3\n", encoding="utf-8-sig"
        )
        server.fail_with(429, headers={"Retry-After": "0.01"}, times=2)
        done = run(folder, "rows.csv", "--at-once", "2")
        assert done.returncode == 0, done.stderr
        table = list(csv.DictReader(done.stdout.splitlines()))
        assert [row["label"] for row in table] == ["fine", "", "fine"]
        assert [row["error"] for row in table] == [
            "",
            "The reply has no 'label'. Asked 3 times, the last time for JSON: The reply holds no JSON object. "
            "It begins: 'nonsense'.",
            "",
        ]
        assert "3 rows, 1 failed." in done.stderr
        server.fail_with(302, headers={"Location": "http://127.0.0.1:9/"}, times=1)
        assert "302" in run(folder, "--text", "x", "--input-model", "y").stderr
        server.fail_with(500, headers={"Retry-After": "0.01"})
        failed = run(folder, "rows.csv")
        assert failed.returncode == 1
        assert failed.stdout.count("500") >= 3
    assert (
        "nowhere cannot be written"
        in run(folder, "rows.csv", "--output", f"{tmp_path / 'no'}/nowhere").stderr
    )
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    assert "the file has no column text, model; it has a, b" in run(folder, "rows.csv").stderr
    assert "none.csv cannot be read" in run(folder, "none.csv").stderr


def test_a_schema_goes_along_where_the_model_takes_one_and_is_left_out_where_it_is_refused(tmp_path: Path):
    program = one_step().model_copy(update={"adapter": "json"})
    signature = build_program(program.pipeline).predictors()[0].signature
    sent = get_adapter("json")().params(signature, engine.LM("openai/gpt-4o-mini"))["response_format"]
    with OpenAIServer(answer='{"label": "x"}') as server:
        server.fail_with(400, {"error": {"message": "response_format is not supported"}}, times=1)
        folder = unpacked(program, tmp_path)
        done = run(folder, "--text", "x", "--input-model", "y", "--base-url", server.url)
        assert json.loads(done.stdout) == {"label": "x"}, done.stderr
        assert server.requests[0]["response_format"] == sent
        assert "response_format" not in server.requests[1]


def test_every_sample_answers_where_tuneboard_is_not_installed(tmp_path: Path):
    for sample in SAMPLES:
        program = program_file(
            sample.pipeline, build_program(sample.pipeline).candidate(), model={"name": "offline/learner"}
        )
        folder = unpacked(program, tmp_path / sample.name)
        row = {field.name: "3" if field.type != "str" else "A red lamp" for field in program.pipeline.inputs}
        done = run(folder, *[part for name, value in row.items() for part in (f"--{name}", value)])
        assert done.returncode == 0, done.stderr
        typed = {f.name: parse_value(row[f.name], field_type(f)) for f in program.pipeline.inputs}
        expected = program.build()(**typed)
        answer = json.loads(done.stdout)
        assert list(answer) == [field.name for field in program.pipeline.outputs]
        assert {name: cell(value) for name, value in answer.items()} == {
            name: cell(expected[name]) for name in answer
        }


AGENT = StepSpec(
    name="agent",
    strategy="react",
    inputs=fields("text"),
    outputs=fields("total: float"),
    options=StepOptions(tools=("calculator", "python")),
)
RATED = StepSpec(
    name="rated",
    strategy="best_of_n",
    inputs=fields("text"),
    outputs=fields("label"),
    options=StepOptions(tries=2, threshold=0.9),
)
CODED = StepSpec(
    name="coded", strategy="program_of_thought", inputs=fields("text"), outputs=fields("total: float")
)


def act(body: dict[str, Any]) -> str:
    """A model that calls a tool once, writes code, rates and answers."""
    asked = str(body["messages"])
    names = [name for name in ACTS if f"[[ ## {name} ## ]]" in str(body["messages"][0]["content"])]
    tool = "finish" if "observation" in str(body["messages"][-1]["content"]) else "calculator"
    args = "{}" if tool == "finish" else '{"expression": "6 * 7"}'
    values = {
        **ACTS,
        "next_tool_name": tool,
        "next_tool_args": args,
        "score": "0.5" if "one" in asked else "1",
    }
    return written("chat", {name: values[name] for name in names})


ACTS = {
    "next_thought": "Work it out.",
    "next_tool_name": "",
    "next_tool_args": "",
    "reasoning": "So.",
    "generated_code": "```python\nprint(6 * 7)\n```",
    "explanation": "It fits.",
    "score": "",
    "total": "42",
    "label": "fine",
}


@pytest.mark.parametrize("step", [AGENT, RATED, CODED], ids=lambda step: step.strategy)
def test_agents_ratings_and_code_run_as_they_do_here(step: StepSpec, tmp_path: Path):
    spec = PipelineSpec(steps=(step,))
    rows = [{"text": "one"}, {"text": "two"}]
    sent = same_as_the_engine(spec, build_program(spec).candidate(), "chat", act, rows, tmp_path)
    assert len(sent) >= 4


def test_a_layout_in_free_words_asks_a_second_time_for_the_fields(tmp_path: Path):
    spec = PipelineSpec(steps=(SORTING,))
    reply = written("chat", {"label": "Blue", "why": '["a"]'})
    rows = [{"text": "red lamp", "extra": ""}]
    sent = same_as_the_engine(
        spec, build_program(spec).candidate(), "two_step", lambda body: reply, rows, tmp_path
    )
    assert len(sent) == 2


def test_the_folder_holds_the_engines_own_files_and_nothing_that_tunes(tmp_path: Path):
    folder = unpacked(one_step(), tmp_path)
    carried = sorted(path for path in (folder / "engine").rglob("*") if path.is_file())
    for path in carried:
        assert path.read_bytes() == (ROOT / path.relative_to(folder)).read_bytes()
    packages = {path.relative_to(folder).parts[1] for path in carried}
    assert not packages & {"optimizers", "search", "store", "runs", "cli", "serve", "training", "evaluate"}
    assert {path.relative_to(folder).as_posix() for path in carried} == set(engine_files())
    names = {line.partition("==")[0] for line in (folder / "requirements.txt").read_text().splitlines()}
    assert {"aiohttp", "bm25s", "litellm", "orjson", "pydantic", "pydantic-monty"} <= names
    assert not names & {"streamlit", "optuna", "torch", "typer", "pytest"}
    assert "Python 3.11 or newer" in (folder / "run.py").read_text()
    assert "requirements.txt" in (folder / "README.md").read_text()


def test_every_file_of_the_folder_is_found_by_the_others(tmp_path: Path):
    folder = unpacked(one_step(), tmp_path)
    paths = [Path(name).with_suffix("") for name in engine_files() if name.endswith(".py")]
    modules = [".".join(part for part in path.parts if part != "__init__") for path in paths]
    code = (
        "import importlib, sys; sys.path.insert(0, '.')\n"
        f"for name in {modules!r}:\n"
        "    try: importlib.import_module(name)\n"
        "    except ModuleNotFoundError as error:\n"
        "        assert not str(error.name).startswith('engine'), error\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
