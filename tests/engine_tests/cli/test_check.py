"""`tuneboard check`: fails only where a program is surely worse, and reports to continuous integration."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
import yaml
from support.program_files import save_program
from support.run_setup import PIPELINE, answer, csv_bytes, server_model
from support.servers.openai_server import OpenAIServer
from typer.testing import CliRunner

from engine.cli.app import app
from engine.export.formats import get_export
from engine.export.program import read_program
from engine.lm.choice import ModelChoice
from engine.pipeline.build import build_program
from engine.records import Demo


@pytest.fixture(autouse=True)
def rows(home, tmp_path):
    (tmp_path / "rows.csv").write_bytes(csv_bytes(40))


@pytest.fixture
def programs(tmp_path):
    """Two programs on a local server: `good.json` has solved examples, `bare.json` none."""
    with OpenAIServer(answer) as server:
        model = server_model(server.url).model_dump()
        bare = build_program(PIPELINE).candidate()
        (path,) = bare.steps
        lines = csv_bytes(12).decode().splitlines()[1:]
        demos = tuple(Demo(dict(zip(("text", "shelf"), line.split(","), strict=True))) for line in lines)
        about = {"title": "Shelves", "metric": "ExactMatch"}
        for name, candidate in (("bare", bare), ("good", bare.with_step(path, demos=demos))):
            save_program(PIPELINE, candidate, tmp_path / f"{name}.json", model=model, metadata=about)
        yield server


def check(*arguments):
    return CliRunner().invoke(app, ["check", *map(str, arguments)])


def test_a_program_that_is_surely_worse_fails_with_the_rows_that_got_worse(programs, tmp_path):
    given = ("--junit", "check.xml", "--summary", "check.md")
    result = check("bare.json", "rows.csv", "--against", "good.json", *given)
    assert result.exit_code == 1, result.output
    assert "Failed. Worse:" in result.stdout
    suite = ET.parse(tmp_path / "check.xml").getroot()
    cases = suite.findall("testcase")
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("41", "1", "0")
    assert len(cases) == 41
    assert "Worse" in cases[0].find("failure").get("message")
    assert [c.get("name") for c in cases[1:3]] == ["row 2", "row 3"]
    text = (tmp_path / "check.md").read_text()
    assert text.startswith("## ❌ Shelves")
    worse = int(re.search(r"(\d+) rows became worse", text)[1])
    assert text.count("\n| ") == min(worse, 20) + 1
    check("bare.json", "rows.csv", "--against", "good.json", *given)
    assert (tmp_path / "check.md").read_text().count("## ❌") == 2, "a summary is added to"


def test_a_program_that_is_as_good_or_better_passes(programs, tmp_path):
    for new, old in (("good.json", "bare.json"), ("good.json", "good.json")):
        result = check(new, "rows.csv", "--against", old, "--summary", "check.md")
        assert result.exit_code == 0, result.output
        assert "Passed." in result.stdout
    assert "✅" in (tmp_path / "check.md").read_text()


def test_a_least_score_fails_only_where_the_interval_is_below_it(programs):
    good = check("good.json", "rows.csv", "--at-least", "100")
    score = float(re.search(r"([\d.]+) % over 40 rows", good.stdout)[1])
    assert score > 80
    assert check("good.json", "rows.csv", "--at-least", str(min(100, score + 1))).exit_code == 0, "not surely"
    bad = check("bare.json", "rows.csv", "--at-least", "95")
    assert bad.exit_code == 1
    assert "surely below 95 %" in bad.stdout


def test_an_endpoint_that_refuses_everything_fails_the_check(programs, tmp_path):
    programs.fail_with(401)
    result = check("good.json", "rows.csv", "--at-least", "0", "--junit", "check.xml")
    assert result.exit_code == 1
    assert "no row worked" in result.stdout
    suite = ET.parse(tmp_path / "check.xml").getroot()
    assert suite.get("errors") == "40"


def test_odd_answers_are_valid_xml_and_plain_cells(tmp_path):
    with OpenAIServer(lambda _: "[[ ## shelf ## ]]\nred | <b>\x00\x1b` \n\n[[ ## completed ## ]]") as server:
        model = server_model(server.url).model_dump()
        candidate = build_program(PIPELINE).candidate()
        save_program(PIPELINE, candidate, tmp_path / "p.json", model=model, metadata={"title": "<i>a</i>"})
        result = check("p.json", "rows.csv", "--at-least", "0", "--junit", "c.xml", "--summary", "c.md")
    assert "Traceback" not in result.output
    assert ET.parse(tmp_path / "c.xml").getroot().get("name") == "tuneboard check: <i>a</i>"
    assert "<i>" not in (tmp_path / "c.md").read_text().replace("\\<", "")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("good.json", "rows.csv"), "--against OLD.json"),
        (("good.json", "rows.csv", "--at-least", "101"), "from 0 to 100"),
        (("good.json", "rows.csv", "--against", "none.json"), "none.json"),
        (("good.json", "none.csv", "--at-least", "1"), "none.csv"),
        (("good.json", "rows.csv", "--at-least", "1", "--junit", "no/such/c.xml"), "cannot be written"),
    ],
)
def test_bad_input_is_one_message(programs, arguments, expected):
    result = check(*arguments)
    assert result.exit_code == 2, result.output
    assert expected in result.stderr
    assert "Traceback" not in result.output


def test_the_exported_workflow_runs_the_check_with_the_programs_keys(programs, tmp_path):
    content = read_program(tmp_path / "good.json")
    steps = yaml.safe_load(get_export("workflow").content(content))["jobs"]["check"]["steps"]
    (step,) = [s for s in steps if "tuneboard check" in s.get("run", "")]
    assert "env" not in step, "a model at an own address needs no key"
    (tmp_path / "program.json").write_bytes((tmp_path / "good.json").read_bytes())
    (tmp_path / "old.json").write_bytes((tmp_path / "bare.json").read_bytes())
    command = step["run"].replace('"$GITHUB_STEP_SUMMARY"', "summary.md").split()
    result = check(*command[2:])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "summary.md").exists()
    hosted = content.model_copy(update={"model": ModelChoice(name="openai/gpt-5-mini")})
    steps = yaml.safe_load(get_export("workflow").content(hosted))["jobs"]["check"]["steps"]
    (step,) = [s for s in steps if "tuneboard check" in s.get("run", "")]
    assert step["env"] == {"OPENAI_API_KEY": "${{ secrets.OPENAI_API_KEY }}"}
