"""A dashboard for a team as its files start it: the Dockerfile's lines and the unit's ExecStart carried out by hand."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from support.ports import own_port
from support.run_setup import wait_for

from engine.cli.app import app
from engine.cli.upkeep import FILES, write_deploy_folder

SECONDS_TO_STOP = 20.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deploy") / "server"
    assert {path.name for path in write_deploy_folder(folder)} >= set(FILES)
    return folder


def lines(folder: Path) -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions with what follows them."""
    text = (folder / "Dockerfile").read_text()
    return [
        (word, rest) for word, _, rest in (line.partition(" ") for line in text.splitlines()) if word != "#"
    ]


def service(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((folder / "compose.yaml").read_text())["services"]["tuneboard"]
    return found


def unit(folder: Path) -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # as its documentation says
    parser.read(folder / "tuneboard.service")
    return parser["Service"]


def options_of(command: str) -> set[str]:
    found = typer.main.get_command(app).commands[command].params  # type: ignore[attr-defined]
    return {option for one in found for option in one.opts}


@pytest.fixture(scope="module")
def site(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do what the Dockerfile says with a folder as the container's disk, its packages but for Tuneboard's own from here."""
    root = tmp_path_factory.mktemp("disk")
    (root / "tmp").mkdir()
    for word, rest in lines(folder):
        if word == "COPY":
            pattern, target = rest.split()
            (wheel,) = folder.glob(pattern)
            shutil.copy(wheel, root / target.strip("/"))
        elif word == "RUN" and "pip install" in rest:
            (wheel,) = root.glob("tmp/*.whl")
            named = ["sh", "-c", "echo " + re.findall('".*?"', rest)[0].replace("/tmp/", f"{root}/tmp/")]
            asked = subprocess.run(named, capture_output=True, text=True, check=True).stdout.strip()
            assert asked == f"{wheel}[team]"
            pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-compile"]
            subprocess.run([*pip, "--target", str(root / "site"), str(wheel)], check=True)
    return root / "site"


def run(arguments: list[str], site: Path, home: Path, **variables: str) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(site),
        "TUNEBOARD_HOME": str(home),
        "HOME": str(home),
        **variables,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "engine", *arguments],
        cwd=home,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def add_user(site: Path, home: Path) -> None:
    with run(["users", "add", "ada"], site, home) as adding:
        assert adding.communicate(timeout=120)[0].decode().count("token") == 1
    assert (home / "users.txt").is_file()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def serves_and_stops(process: subprocess.Popen[bytes], port: int, path: str) -> None:
    """Check that the health page answers, that a page needs a user, and that SIGTERM ends it in time."""
    try:
        wait_for(lambda: answers(f"http://127.0.0.1:{port}{path}"), process=process)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60)
        assert refused.value.code in (401, 403)
        refused.value.close()
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
        assert time.monotonic() - began < SECONDS_TO_STOP
        assert process.returncode == 0, said.decode()
    finally:
        process.kill()
        process.communicate()


def test_the_container_serves_a_team_and_stops_in_time(folder: Path, site: Path, tmp_path: Path) -> None:
    port, home = own_port(), tmp_path / "data"
    home.mkdir()
    known = dict(lines(folder))
    assert json.loads(known["ENTRYPOINT"]) == ["tuneboard"]
    assert known["USER"] == "tuneboard"
    assert re.fullmatch(r"python:[\d.]+-slim-\w+@sha256:[0-9a-f]{64}", known["FROM"])
    add_user(site, home)
    composed = [one.replace("${TUNEBOARD_URL:-", "").rstrip("}") for one in service(folder)["command"]]
    written = json.loads(known["CMD"])
    assert composed == [
        written[0],
        written[1],
        *(f"{a}={b}" for a, b in zip(written[2::2], written[3::2], strict=True)),
    ]
    inside = {"0.0.0.0": "127.0.0.1", "8501": str(port), "/data/users.txt": str(home / "users.txt")}
    arguments = [inside.get(part, part.replace(":8501", f":{port}")) for part in written]
    health = re.search(r"8501(/\S+)'", known["HEALTHCHECK"])
    assert health
    serves_and_stops(run(arguments, site, home), port, health[1])


def test_the_compose_file_names_real_options_and_gives_the_container_no_more_than_it_needs(
    folder: Path,
) -> None:
    made = service(folder)
    assert {one.partition("=")[0] for one in made["command"][1:]} <= options_of(made["command"][0])
    assert made["read_only"] is True
    assert made["tmpfs"] == ["/tmp"]
    assert made["cap_drop"] == ["ALL"]
    assert made["security_opt"] == ["no-new-privileges:true"]
    assert made["ports"] == ["127.0.0.1:8501:8501"]
    assert made["volumes"] == ["data:/data"]
    assert made["stop_grace_period"] == "20s"
    assert all("=" not in name for name in made["environment"]), "no key is in the file"


def test_the_unit_starts_serves_a_team_and_stops_in_time(folder: Path, site: Path, tmp_path: Path) -> None:
    port, home = own_port(), tmp_path / "state"
    home.mkdir()
    found = unit(folder)
    program, *arguments = shlex.split(found["ExecStart"])
    assert program == "/opt/tuneboard/bin/tuneboard"
    assert {one for one in arguments[1:] if one.startswith("--")} <= options_of(arguments[0])
    assert float(found["TimeoutStopSec"]) == SECONDS_TO_STOP
    inside = {"8501": str(port), "${TUNEBOARD_URL}": f"http://localhost:{port}"}
    arguments = [inside.get(one, one).replace("/var/lib/tuneboard", str(home)) for one in arguments]
    add_user(site, home)
    serves_and_stops(run(arguments, site, home), port, "/_stcore/health")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_knows_every_line_of_the_unit(folder: Path, tmp_path: Path) -> None:
    text = (folder / "tuneboard.service").read_text().replace("/opt/tuneboard/bin/tuneboard", sys.executable)
    (tmp_path / "tuneboard.service").write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / "tuneboard.service")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Unknown" not in done.stderr
    assert done.returncode == 0, done.stderr


def test_files_that_the_user_has_changed_stay(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {}\n")
    (tmp_path / "tuneboard-0.0.1-py3-none-any.whl").write_bytes(b"")
    write_deploy_folder(tmp_path)
    assert (tmp_path / "compose.yaml").read_text() == "services: {}\n"
    assert len(list(tmp_path.glob("*.whl"))) == 1
