"""Programs exported to DSPy: asked here and there against one server, and read back."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from support.peers.dspy_peer import in_dspy
from support.servers.openai_server import OpenAIServer

import engine
from engine.export.alone import engine_files
from engine.export.dspy_script import dspy_script, import_dspy
from engine.export.program import ProgramFile, program_file
from engine.export.weights import write_folder
from engine.pipeline.build import build_program

Json = dict[str, Any]


def script_for(file: ProgramFile, url: str, folder: Path) -> str:
    """Write a program's script for a server, and the engine's files next to it; return its text."""
    model = {"name": "openai/test-model", "base_url": url, "key_env": "KEY"}
    text = dspy_script(program_file(file.pipeline, file.candidate, model=model))
    compile(text, "program_dspy.py", "exec")
    write_folder({"program_dspy.py": text.encode(), **engine_files()}, folder)
    return text


def answers_here(program: Any, url: str, rows: Sequence[Json], names: Sequence[str]) -> list[list[Any]]:
    """Return the outputs of a program for each row."""
    lm = engine.LM("openai/test-model", api_base=url, api_key="k", cache=False)
    with engine.context(lm=lm):
        return [[answer.get(name) for name in names] for answer in (program(**row) for row in rows)]


def answers_in_dspy(folder: Path, rows: Sequence[Json], names: Sequence[str], settings: str = "") -> Any:
    """Return what the script in a folder answers; DSPy saves the program as `saved_by_dspy.json`."""
    code = (
        f"import json, os; os.environ['KEY'] = 'k'; import program_dspy as p; p.use_model(); {settings}program = p.load();"
        f"rows = [program(**row) for row in {list(rows)!r}];"
        "program.save('saved_by_dspy.json');"
        f"print(json.dumps([[row.get(name) for name in {list(names)!r}] for row in rows]))"
    )
    return json.loads(in_dspy(code, folder))


def same_in_dspy(
    file: ProgramFile, answer: Callable[[Json], str], rows: Sequence[Json], names: Sequence[str], folder: Path
) -> tuple[list[Json], list[Json]]:
    """Compare a tuned program with its script in DSPy, and with what DSPy saved; return the requests from here and there."""
    with OpenAIServer(answer=answer) as server:
        expected = answers_here(file.build(), server.url, rows, names)
        here = list(server.requests)
        assert expected != answers_here(build_program(file.pipeline), server.url, rows, names)
        script_for(file, server.url, folder)
        server.requests.clear()
        assert answers_in_dspy(folder, rows, names) == expected
        there = list(server.requests)
        read_back = import_dspy(folder / "saved_by_dspy.json", file.pipeline)
        assert answers_here(read_back.build(), server.url, rows, names) == expected
    return here, there
