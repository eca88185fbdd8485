"""The container's folder, set up and started as its Dockerfile says but without Docker: the served program answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import peft
from support.ports import own_port
from support.run_setup import wait_for
from support.training import tiny_model
from transformers import AutoModelForCausalLM

from engine.export.formats import get_export
from engine.export.program import ProgramFile, program_file
from engine.lm.tuned import TunedModel, model_folder, save_tuned
from engine.pipeline.build import build_program
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.signature import Signature


def tuned_program(base: Path) -> ProgramFile:
    """Return a program whose step is answered by an adapter on the tiny model."""
    model = AutoModelForCausalLM.from_pretrained(base)
    settings = peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    save_tuned(TunedModel(name="tiny", trainer="local", base_model=str(base), finished=True))
    peft.get_peft_model(model, settings).save_pretrained(model_folder("tiny"))
    outputs = (FieldSpec(name="team", choices=tuple(tiny_model.WORDS)),)
    step = StepSpec(
        name="route",
        instructions=Signature(tiny_model.TASK).instructions,
        inputs=(FieldSpec(name="message"),),
        outputs=outputs,
    )
    pipeline = PipelineSpec(steps=(step,))
    candidate = build_program(pipeline).candidate().with_step("route", weights="tuned/tiny")
    return program_file(pipeline, candidate, model={"name": f"local/{base}"})


def built(folder: Path, root: Path) -> tuple[list[str], dict[str, str]]:
    """Do what the Dockerfile in `folder` says, with `root` as the container's disk; return its command and variables."""
    place, variables, command = root, {}, []
    for line in (folder / "Dockerfile").read_text().splitlines():
        word, _, rest = line.partition(" ")
        if word == "WORKDIR":
            place = root / rest.strip("/")
            place.mkdir(parents=True)
        elif word == "COPY":
            source, target = [part for part in rest.split() if not part.startswith("--")]
            to = place / target if not target.startswith("/") else root / target.strip("/")
            if (folder / source).is_dir():
                shutil.copytree(folder / source, to)
            else:
                to = to / source if target.endswith(("/", ".")) else to
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / source, to)
        elif word == "RUN":
            (wheel,) = (root / "tmp").glob("*.whl")
            assert f'pip install --no-cache-dir "/tmp/{wheel.name}[weights]"' in rest
            pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index"]
            subprocess.run([*pip, "--target", str(root / "site"), str(wheel)], check=True)
        elif word == "ENV":
            name, _, value = rest.partition("=")
            variables[name] = str(root / value.strip("/"))
        elif word == "CMD":
            command = json.loads(rest)
    return command, variables


def test_the_container_answers_with_its_weights(tiny_base: Path, tmp_path: Path) -> None:
    folder, root, port = tmp_path / "container", tmp_path / "disk", own_port()
    get_export("container").write_folder(tuned_program(tiny_base), folder)
    command, variables = built(folder, root)
    assert command[:2] == ["tuneboard", "serve"]
    arguments = [
        str(port) if part == "8600" else "127.0.0.1" if part == "0.0.0.0" else part for part in command
    ]
    environment = {
        **os.environ,
        **variables,
        "PYTHONPATH": str(root / "site"),
        "TUNEBOARD_SERVE_TOKEN": "a" * 32,
    }
    serving = subprocess.Popen(
        [sys.executable, "-m", "engine", *arguments[1:]],
        cwd=root / "srv",
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )

    def asked(path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {'a' * 32}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=240) as reply:
            return json.loads(reply.read())

    def described() -> Any:
        try:
            return asked("/openapi.json")
        except OSError:
            return None

    try:
        assert "/predict" in wait_for(described, process=serving)["paths"]
        answer = asked("/predict", {"message": "My invoice is wrong again."})
        assert '"team"' in json.dumps(answer)
    finally:
        serving.terminate()
        serving.communicate(timeout=90)
