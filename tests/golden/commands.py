"""The command line's output on the offline model: help, findings, runs, scores, exports and refusals."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import pytest
from golden.internals import command_line
from golden.machine import FROZEN, frozen_home, masked, same_machine, words_of_html
from typer.testing import CliRunner

RUN = "7df051aefb49"
"""The run of the frozen store that is called "Random search"."""

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "help": (
        "--help",
        *(f"{name} --help" for name in ("open", "demo", "run", "eval", "check", "export", "serve", "doctor")),
        "--version",
    ),
    "doctor": ("doctor",),
    "demo": ("demo",),
    "demo-of-others": (
        "demo --optimizer BootstrapFewShot",
        "demo --sample lending_questions --optimizer LabeledFewShot",
    ),
    "run": (
        "run run_spec.json",
        f"run {RUN}",
        "run missing.json",
        "run nothing",
        "run lending_questions.csv",
    ),
    "eval": (
        "eval programs/retrieval.json lending_questions.csv --metric TokenF1 --output answers.csv",
        "eval programs/several_steps.json lending_questions.csv",
        "eval programs/retrieval.json lending_questions.csv --metric NumberWithin --option tolerance=0.5 --field answer=question",
        "eval programs/retrieval.json lending_questions.csv --field colour=answer",
        "eval programs/retrieval.json missing.csv",
        "eval run_spec.json lending_questions.csv",
        "eval programs/retrieval.json lending_questions.csv --metric Nothing",
    ),
    "export": (
        *(
            f"export {RUN} --format {form} --output taken/{form}"
            for form in (
                *("json", "python", "python_tuneboard", "dspy", "dspy_state", "messages", "messages_json"),
                *("openai_request", "markdown", "report", "results-csv", "results-json", "training"),
            )
        ),
        f"export {RUN}",
        f"export {RUN} --format nothing",
        f"export {RUN} --candidate nothing",
        "export nothing",
    ),
    "refusals": (
        "nothing",
        "demo --sample nothing",
        "demo --optimizer nothing",
        "open --port 99999",
        "eval",
        "serve missing.json",
    ),
}
"""Golden file -> the commands that are given one after another, in the folder of the frozen files."""

SHOWN = ("answers.csv", "results-csv", "results-json", "training", "report")
"""Files whose content is compared here; the forms of a program are compared elsewhere."""

NAMES = tuple(COMMANDS)


def commands_text(name: str) -> str:
    """Return the commands of one of `NAMES` and their output, with the tables and files they write."""
    with same_machine() as home, pytest.MonkeyPatch.context() as patch:
        frozen_home(home)
        here = home.with_name("here")
        shutil.copytree(FROZEN, here)
        patch.chdir(here)
        text = "\n".join(_said(command, here) for command in COMMANDS[name])
        return masked(text, home, here)


def _said(command: str, here: Path) -> str:
    """Return a command and its output; lines that only a fast or a slow machine shows are left out."""
    done = CliRunner().invoke(command_line, command.split())
    lines = [line.rstrip() for line in done.stdout.splitlines() if not line.endswith(" ...")]
    if command == "doctor":
        lines = [_without_versions(line) for line in lines]
    text = "\n".join(lines).replace(f"tuneboard {version('tuneboard')}", "tuneboard VERSION")
    parts = [f"$ tuneboard {command}", text, *(f"! {line}" for line in done.stderr.splitlines())]
    file = here / command.partition("--output ")[2]
    if file.name in SHOWN:
        parts.append(
            words_of_html(file.read_text(encoding="utf-8"))
            if file.name == "report"
            else file.read_text(encoding="utf-8")
        )
    return "\n".join([*parts, f"(exit code {done.exit_code})", ""])


def _without_versions(line: str) -> str:
    line = re.sub(r"\d+\.\d+[\w.]*( on \w+)?$", "VERSION", line)
    return re.sub(r" {2,}", " ", line)
