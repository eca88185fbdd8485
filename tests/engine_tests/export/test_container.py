"""The folder that a container is built from: what is in it, and that the Tuneboard in it installs and serves the program."""

from __future__ import annotations

import base64
import contextlib
import csv
import hashlib
import io
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from support.ports import own_port
from support.run_setup import PIPELINE
from support.servers.openai_server import OpenAIServer

from engine.errors import ProgramFileError
from engine.export.container import container, serve_command, wheel
from engine.export.program import ProgramFile, program_file
from engine.export.weights import zipped
from engine.pipeline.build import build_program

ROOT = Path(__file__).parents[3]


def content(**changes) -> ProgramFile:
    candidate = build_program(PIPELINE).candidate().with_step("sort", instructions="Sort | it. 🙂")
    return program_file(PIPELINE, candidate, **{"model": {"name": "openai/test-model"}, **changes})


def files(program: ProgramFile) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(zipped(container(program)))) as made:
        assert made.testzip() is None
        return {name: made.read(name) for name in made.namelist()}


def test_the_folder_names_variables_and_holds_no_key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-value")
    found = files(content(metadata={"title": "Shelves\nagain"}))
    assert list(found) == ["Dockerfile", ".dockerignore", "README.md", "program.json", wheel()[0]]
    text = found["Dockerfile"].decode()
    assert "-e TUNEBOARD_SERVE_TOKEN -e OPENAI_API_KEY" in text
    assert f"COPY {wheel()[0]} /tmp/" in text
    assert text.splitlines()[-1].startswith('CMD ["tuneboard", "serve", "program.json"')
    readme = found["README.md"].decode()
    assert readme.startswith("# Shelves again\n")
    assert "-e TUNEBOARD_SERVE_TOKEN -e OPENAI_API_KEY tuned-program" in readme
    assert "--network host" not in readme
    assert not any(b"sk-secret-value" in data for data in found.values())
    offline = files(content(model={"name": "offline/learner"}))
    assert b"OPENAI_API_KEY" not in offline["Dockerfile"] + offline["README.md"]
    assert b"--network host" in files(content(model={"name": "ollama/llama3.2"}))["README.md"]
    assert serve_command("/a b/program.json") == 'tuneboard serve "/a b/program.json" --port 8600'


def test_the_same_program_gives_the_same_bytes():
    assert zipped(container(content())) == zipped(container(content()))


def test_the_wheel_is_a_wheel_of_this_tuneboard():
    with zipfile.ZipFile(io.BytesIO(wheel()[1])) as made:
        names = made.namelist()
        (info,) = {name.partition("/")[0] for name in names if ".dist-info/" in name}
        assert wheel()[0] == info.replace(".dist-info", "-py3-none-any.whl")
        assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
        listed = {
            path: (digest, size)
            for path, digest, size in csv.reader(io.StringIO(made.read(f"{info}/RECORD").decode()))
        }
        assert list(listed) == names
        for name in names:
            data = made.read(name)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
            assert listed[name] == (
                ("", "") if name.endswith("RECORD") else (f"sha256={digest}", str(len(data)))
            )
        for name in (
            "engine/__init__.py",
            "engine/__init__.pyi",
            "engine/py.typed",
            "dashboard/app.py",
            "sample_data/support_tickets.csv",
        ):
            assert made.read(name) == (ROOT / name).read_bytes()
        about = Parser().parsestr(made.read(f"{info}/METADATA").decode())
        assert about["Name"] == "tuneboard"
        assert any(one.startswith("aiohttp") for one in about.get_all("Requires-Dist") or ())
        assert "tuneboard = engine.cli:main" in made.read(f"{info}/entry_points.txt").decode()


def test_the_folder_installs_offline_and_serves_the_program(tmp_path: Path):
    with OpenAIServer(answer="[[ ## shelf ## ]]\nred\n\n[[ ## completed ## ]]") as server:
        for name, data in files(content(model={"name": "openai/test-model", "base_url": server.url})).items():
            (tmp_path / name).write_bytes(data)
        site = tmp_path / "site"
        install = ["install", "--quiet", "--no-deps", "--no-index", "--no-compile", "--target", str(site)]
        subprocess.run(
            [sys.executable, "-m", "pip", *install, str(tmp_path / wheel()[0])], check=True, cwd=tmp_path
        )
        port, token = own_port(), "a token of twenty letters"
        env = {
            **os.environ,
            "PYTHONPATH": str(site),
            "TUNEBOARD_HOME": str(tmp_path),
            "TUNEBOARD_SERVE_TOKEN": token,
        }
        place = subprocess.run(
            [sys.executable, "-c", "import engine; print(engine.__file__)"],
            env=env, cwd=tmp_path, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert Path(place.stdout.strip()) == site / "engine" / "__init__.py"
        command = [
            sys.executable,
            str(site / "bin" / "tuneboard"),
            "serve",
            "program.json",
            "--port",
            str(port),
        ]
        process = subprocess.Popen(command, env=env, cwd=tmp_path)
        try:
            body = json.dumps({"text": "a lamp"}).encode()
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            request = urllib.request.Request(f"http://127.0.0.1:{port}/predict", body, headers)
            assert json.loads(asked(request, process))["shelf"] == "red"
            request.remove_header("Authorization")
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(request, timeout=30)
        finally:
            process.terminate()
            process.wait(30)


def asked(request: urllib.request.Request, process: subprocess.Popen[bytes]) -> bytes:
    """The answer of a server, as soon as it is up."""
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(urllib.error.URLError):
            return urllib.request.urlopen(request, timeout=60).read()
        time.sleep(0.2)
    raise AssertionError("the server did not come up")


def test_a_variable_that_a_shell_would_read_otherwise_is_refused():
    model = {"name": "openai/x", "base_url": "http://127.0.0.1:9/v1", "key_env": "MY.KEY"}
    with pytest.raises(ProgramFileError, match="letters, digits and _ only"):
        container(content(model=model))


def test_the_base_image_has_a_version():
    assert "\nFROM python:3.12.12-slim-bookworm\n" in files(content())["Dockerfile"].decode()
