"""Texts of others in the terminal and in files of text: no escape sequence, carriage return or change of direction gets through."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.table import Table
from support.program_files import save_program
from support.run_setup import add_run, server_model
from support.servers.openai_server import OpenAIServer
from typer.testing import CliRunner

import engine.cli
from engine.basics.home import data_home
from engine.basics.progress import ProgressLine
from engine.cli.app import app
from engine.cli.output import Screen
from engine.cli.tune import report
from engine.export.formats import get_export
from engine.export.program import program_file
from engine.pipeline.build import build_program
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.store.store import Store

HOSTILE = "\x1b]0;owned\x07\x1b[2J\rfine \u202egpj.exe\x9b1m"
STEP = StepSpec(inputs=(FieldSpec(name="text"),), outputs=(FieldSpec(name="note"),), instructions=HOSTILE)
pytestmark = pytest.mark.usefixtures("home")
PIPELINE = PipelineSpec(steps=(STEP,))


def harmful(text: str) -> list[str]:
    return re.findall("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text.replace("\r\n", "\n"))


def tuneboard(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_what_a_model_or_its_endpoint_writes_is_printed_harmless(tmp_path):
    Path("rows.csv").write_text("text,note\na,b\n")
    candidate = build_program(PIPELINE).candidate()
    for refused in (False, True):
        with OpenAIServer(lambda _: f"[[ ## note ## ]]\n{HOSTILE}\n\n[[ ## completed ## ]]") as server:
            if refused:
                server.fail_with(400, HOSTILE.encode())
            model = server_model(server.url).model_dump()
            save_program(PIPELINE, candidate, tmp_path / "p.json", model=model, metadata={"title": HOSTILE})
            for command in (
                ("eval", "p.json", "rows.csv", "--output", "a.csv"),
                ("check", "p.json", "rows.csv", "--at-least", "0", "--summary", "s.md"),
            ):
                result = tuneboard(*command)
                assert result.output
                assert harmful(result.output) == []
        for name in ("a.csv", "s.md"):
            assert harmful(Path(name).read_bytes().decode()) == []


def test_a_runs_message_and_phase_are_printed_harmless():
    out = io.StringIO()
    screen = Screen(file=out)
    run_id = add_run(data_home())
    with Store.open() as store:
        store.runs.set_state(run_id, "failed", HOSTILE)
        report(store.runs.get(run_id), screen)
    ProgressLine(out).show(HOSTILE, 1, 2, HOSTILE)
    table = Table(HOSTILE)
    table.add_row(HOSTILE)
    screen.print(HOSTILE, table)
    assert "owned" in out.getvalue()
    assert harmful(out.getvalue()) == []


@pytest.mark.parametrize("form", ["markdown", "messages"])
def test_exports_of_text_are_harmless(form):
    program = program_file(PIPELINE, build_program(PIPELINE).candidate(), metadata={"title": HOSTILE})
    text = get_export(form).content(program).decode()
    assert "owned" in text
    assert harmful(text) == []


def test_the_commands_print_in_one_way():
    for path in Path(engine.cli.__file__).parent.glob("*.py"):
        if path.name != "output.py":
            other = r"typer\.echo|(?m:^\s*print)\(|Console\(|stdout\.write|stderr\.write"
            assert not re.search(other, path.read_text()), path
