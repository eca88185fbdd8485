"""The guide's lines for a team, copied as they are: from nothing to three signed-in users."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from support.ports import own_port

GUIDE = Path(__file__).parents[3] / "dashboard" / "README.md"


def lines() -> list[list[str]]:
    block = re.search(r"## A server for a team.*?```sh\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert block
    return [line.partition("#")[0].split() for line in block[1].splitlines()]


def signs_in(address: str, token: str) -> int:
    class NoRedirect(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_args, **_named):
            return None

    form = urllib.parse.urlencode({"token": token, "to": "/"}).encode()
    request = urllib.request.Request(f"{address}/sign-in", form, {"Origin": address})
    try:
        return urllib.request.build_opener(NoRedirect).open(request, timeout=60).status
    except urllib.error.HTTPError as error:
        return error.code


def test_three_users_sign_in_after_the_lines_of_the_guide(tmp_path: Path):
    home, folder = tmp_path / "home", tmp_path / "empty"
    folder.mkdir()
    env = {**os.environ, "TUNEBOARD_HOME": str(home)}
    *adding, opening = lines()
    tokens = []
    for line in adding:
        assert line[0] == "tuneboard"
        done = subprocess.run(
            [sys.executable, "-m", "engine", *line[1:]], env=env, cwd=folder, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        tokens.append(done.stdout.split()[-1])
    port = own_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "engine", *opening[1:], "--no-browser", "--port", str(port)]
    with subprocess.Popen(
        command, env=env, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as server:
        try:
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline and server.poll() is None:
                try:
                    urllib.request.urlopen(f"{address}/_stcore/health", timeout=10)
                    break
                except OSError:
                    time.sleep(0.1)
            assert [signs_in(address, token) for token in tokens] == [303, 303, 303]
            assert signs_in(address, "wrong") != 303
        finally:
            server.terminate()
            server.wait(60)
