"""The exported module with the record's class: run by another process against a local server, it answers as the program does."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from support.servers.openai_server import OpenAIServer

import engine
from engine.adapters import get_adapter
from engine.errors import ProgramFileError
from engine.export.formats import get_export
from engine.export.program import ProgramFile, program_file
from engine.pipeline.build import build_program
from engine.pipeline.importers.task import import_task
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.records import json_value

CLASSES = '''
class Kind(str, Enum):
    BILL = "bill"
    OFFER = "offer"

class Line(BaseModel):
    article: str
    price: Decimal = Field(ge=0)

class Bill(BaseModel):
    """What a supplier asks for."""
    number: str = Field(description="Its number", alias="Number")
    kind: Kind = Kind.BILL
    total: float
    due: date | None = None
    lines: list[Line]

    @field_validator("number")
    @classmethod
    def upper(cls, value: str) -> str:
        if value == "?":
            raise ValueError("a bill has a number")
        return value.upper()
'''
ANSWER = {"number": "f-7", "kind": "bill", "total": "1,204.50", "due": "2026-05-31", "lines": [{"article": "Tea", "price": "4.20"}]}  # fmt: skip


def program(step: StepSpec, url: str, **descriptions: str) -> ProgramFile:
    spec = PipelineSpec(steps=(step,))
    start = build_program(spec).candidate()
    state = start.steps["answer"]
    tuned = start.with_step("answer", field_descriptions={**state.field_descriptions, **descriptions})
    return program_file(spec, tuned, model={"name": "openai/m", "base_url": url}, adapter="chat", metadata={})


def written(values: dict[str, Any]) -> str:
    texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in values.items()}
    return "".join(f"[[ ## {k} ## ]]\n{v}\n\n" for k, v in texts.items()) + "[[ ## completed ## ]]"


def run(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code next to the unpacked module; the engine that it uses must be the folder's."""
    env = {"PATH": os.environ["PATH"]}
    code = f"import sys; sys.path.insert(0, {str(folder)!r})\n{code}\nimport engine; assert {str(folder)!r} in engine.__file__"
    command = [sys.executable, "-I", "-c", code]
    return subprocess.run(command, capture_output=True, encoding="utf-8", env=env, cwd=folder, check=False)


def save(file: ProgramFile, folder: Path) -> str:
    with zipfile.ZipFile(io.BytesIO(get_export("records").content(file))) as packed:
        packed.extractall(folder)
        return packed.read("program_records.py").decode()


def test_the_users_own_class_with_tuned_descriptions_and_its_validators(tmp_path: Path):
    replies, bodies = iter([written({**ANSWER, "number": "?"}), written(ANSWER)]), []

    def answer(body: dict[str, Any]) -> str:
        bodies.append(body)
        return next(replies)

    step = import_task(CLASSES).step
    with OpenAIServer(answer=answer) as server:
        file = program(step, server.url, number="The number at the top", **{"lines.price": "Without tax"})
        save(file, tmp_path)
        done = run(tmp_path, (
            "import program_records as m; r = m.extract(text='A bill');"
            "assert type(r) is m.Bill and type(r.lines[0]) is m.Line and r.kind is m.Kind.BILL; print(r.model_dump_json());"
            "print(m.Bill.model_fields['number'].description, '|', m.Line.model_fields['price'].description)"
        ))  # fmt: skip
    assert done.returncode == 0, done.stderr
    record, descriptions = done.stdout.splitlines()
    assert json.loads(record) == {
        **{"number": "F-7", "kind": "bill", "total": 1204.5, "due": "2026-05-31"},
        "lines": [{"article": "Tea", "price": "4.20"}],
    }
    assert descriptions == "The number at the top | Without tax"
    # A validator's refusal is sent back once, with its reason.
    assert "a bill has a number" in json.dumps(bodies[1])
    assert len(bodies) == 2


def test_classes_are_written_out_of_a_form_and_ask_the_same_as_the_program(tmp_path: Path):
    line = FieldSpec(name="price", type="float")
    outputs = (
        FieldSpec(name="kind", choices=("bill", "offer"), description="What it is"),
        FieldSpec(name="due", type="Optional[date]"),
        FieldSpec(name="lines", type="list[record]", fields=(line,)),
    )
    step = StepSpec(inputs=(FieldSpec(name="text"),), outputs=outputs)
    answer, asked = {"kind": "bill", "due": None, "lines": [{"price": 2}]}, []

    def reply(body: dict[str, Any]) -> str:
        asked.append(body["messages"])
        return written(answer)

    with OpenAIServer(answer=reply) as server:
        file = program(step, server.url, **{"lines.price": "Without tax"})
        text = save(file, tmp_path)
        done = run(tmp_path, "import program_records as m; print(m.extract(text='A bill').model_dump_json())")
        with engine.context(lm=engine.LM("openai/m", api_base=server.url), adapter=get_adapter("chat")()):
            found = file.build()(text="A bill")
    first, second = asked
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json_value({name: found[name] for name in answer}) == answer
    assert first == second
    assert "price: float = pydantic.Field(description='Without tax')" in text


def test_a_model_that_cannot_be_asked_is_one_sentence(tmp_path: Path):
    save(program(import_task("text -> total: float").step, "http://127.0.0.1:9"), tmp_path)
    (tmp_path / "a.txt").write_text("Total 3")
    done = subprocess.run(
        [sys.executable, "program_records.py", "a.txt", "no address", "m"],
        capture_output=True, encoding="utf-8", cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "is no address" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_schema_is_strict_and_has_the_tuned_descriptions():
    file = program(
        import_task(CLASSES).step, "http://127.0.0.1:9", **{"lines.price": "Without tax", "total": "All"}
    )
    found = json.loads(get_export("schema").content(file))
    schema = found["json_schema"]["schema"]
    assert found["json_schema"]["strict"] is True
    assert schema["properties"]["total"]["description"] == "All"
    assert "Without tax" in json.dumps(schema)
    assert schema["additionalProperties"] is False
    with pytest.raises(ProgramFileError, match="free keys"):
        get_export("schema").content(
            program(import_task("text -> more: dict[str, Any]").step, "http://127.0.0.1:9")
        )


def test_a_class_that_was_changed_in_the_form_is_written_out(tmp_path: Path):
    step = import_task(CLASSES).step
    changed = step.model_copy(update={"outputs": step.outputs[:2]})
    text = save(program(changed, "http://127.0.0.1:9"), tmp_path)
    assert "class Record(pydantic.BaseModel)" in text
    assert "field_validator(" not in text


def test_a_field_that_a_reply_leaves_out_has_the_default_of_the_users_class(tmp_path: Path):
    reply = written({name: value for name, value in ANSWER.items() if name != "kind"})
    with OpenAIServer(answer=reply) as server:
        save(program(import_task(CLASSES).step, server.url), tmp_path)
        done = run(tmp_path, "import program_records as m; print(m.extract(text='A bill').kind)")
        assert len(server.requests) == 1
    assert done.stdout.strip() == "Kind.BILL", done.stderr


def test_a_document_of_which_no_record_can_be_made_raises_record_error(tmp_path: Path):
    with OpenAIServer(answer=written({**ANSWER, "number": "?"})) as server:
        save(program(import_task(CLASSES).step, server.url), tmp_path)
        done = run(tmp_path, (
            "import program_records as m\ntry: m.extract(text='A bill')\n"
            "except m.RecordError as error: print(error)\nelse: print('no error')"
        ))  # fmt: skip
    assert "a bill has a number" in done.stdout, done.stderr


def test_a_step_that_reasons_first_makes_the_record_of_a_field_called_date(tmp_path: Path):
    outputs = (
        FieldSpec(name="date", type="Optional[date]", description='The "day"'),
        FieldSpec(name="total", type="float"),
    )
    step = StepSpec(
        name="answer", strategy="chain_of_thought", inputs=(FieldSpec(name="text"),), outputs=outputs
    )
    with OpenAIServer(answer=written({"reasoning": "So.", "date": "2026-05-31", "total": "3"})) as server:
        spec = PipelineSpec(steps=(step,))
        model = {"name": "openai/m", "base_url": server.url}
        save(program_file(spec, build_program(spec).candidate(), model=model), tmp_path)
        done = run(tmp_path, "import program_records as m; print(repr(m.extract(text='A bill')))")
    assert done.stdout.strip() == "Record(date=datetime.date(2026, 5, 31), total=3.0)", done.stderr
