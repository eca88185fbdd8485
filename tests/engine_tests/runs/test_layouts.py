"""Every message layout through what people use: trying a prompt, a whole run, the script that is exported."""

from __future__ import annotations

import subprocess
import sys

import orjson
import pytest
from support.run_setup import spec

from engine import loop
from engine.export.program import program_file
from engine.export.script import python_script
from engine.pipeline.build import build_program
from engine.runs.child.playground import PlaygroundRequest, answer_input

LAYOUTS = ["chat", "json", "xml", "two_step"]


def candidate(pipeline):
    return build_program(pipeline).candidate()


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_prompt_is_tried_and_every_call_is_shown(name):
    pipeline = spec().pipeline
    request = {
        "pipeline": pipeline.model_dump(mode="json"),
        "candidates": {"start": candidate(pipeline).as_dict()},
        "inputs": {f.name: "The parcel is late" for f in pipeline.inputs},
        "adapter": name,
    }
    (attempt,) = loop.run(answer_input(PlaygroundRequest.model_validate(request)))
    assert attempt.error == ""
    assert set(attempt.answer) == {f.name for f in pipeline.outputs}
    assert len(attempt.calls) == (2 if name == "two_step" else 1)


@pytest.mark.parametrize("name", ["xml", "two_step"])
def test_the_exported_script_answers_in_the_layout(name, tmp_path):
    pipeline = spec().pipeline
    script = tmp_path / "program.py"
    program = program_file(pipeline, candidate(pipeline), model={"name": "offline/learner"}, adapter=name)
    script.write_text(python_script(program))
    options = [part for f in pipeline.inputs for part in (f"--{f.name}", "The parcel is late")]
    done = subprocess.run(
        [sys.executable, str(script), *options], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    assert set(orjson.loads(done.stdout)) == {f.name for f in pipeline.outputs}
