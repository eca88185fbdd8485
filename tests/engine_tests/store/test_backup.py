"""Backups of a data folder: written while a run goes on, checked, brought back, and the guide's lines for them."""

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from zipfile import ZipFile

import pytest
from support.run_setup import add_run, answer, held_run, let_end, start_worker
from support.servers.openai_server import OpenAIServer

from engine.errors import RunError, StoreError
from engine.runs.spec import Named
from engine.store.backup import back_up, bring_back
from engine.store.store import FILE_NAME, Store

GUIDE = Path(__file__).parents[3] / "dashboard" / "README.md"


@pytest.fixture
def home(key, tmp_path, monkeypatch):
    """A data folder with a queued run, an upload and a user, at the default place."""
    monkeypatch.setenv("TUNEBOARD_HOME", str(tmp_path / "home"))
    add_run(tmp_path / "home")
    (tmp_path / "home" / "files").mkdir()
    (tmp_path / "home" / "files" / "a.png").write_bytes(b"picture")
    return tmp_path / "home"


def finish(home):
    """End all runs of a folder that have no process."""
    with Store.open(home) as store:
        for run in store.runs.all():
            store.runs.set_state(run.id, "stopped")


def contents(file):
    """The names and bytes in a backup."""
    with ZipFile(file) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def test_a_backup_of_a_run_under_way_goes_on_elsewhere_and_pays_for_nothing_twice(home, tmp_path):
    file, other = tmp_path / "all.zip", tmp_path / "other"
    other.mkdir()
    with OpenAIServer(answer, latency=0.01) as server:
        run_id, process = held_run(home, server, 30, optimizer=Named(name="LabeledFewShot"))
        back_up(home, file)
        assert bring_back(other, file) is None
        with pytest.raises(RunError, match="Stop it, or wait"):
            bring_back(home, file)
        let_end(server, process)
        before = sum(times > 1 for times in server.served.values())
        made = server.calls
        again = start_worker(other, run_id)
        again.communicate(timeout=120)
        assert again.returncode == 0
        assert sum(times > 1 for times in server.served.values()) - before == server.calls - made
        assert server.calls - made < made  # what was answered before the backup was not asked again
    assert (other / "files" / "a.png").read_bytes() == b"picture"
    assert not [name for name, content in contents(file).items() if b"sk-test" in content]


def test_what_a_backup_replaces_is_moved_aside_also_where_it_is_damaged(home, tmp_path):
    finish(home)
    back_up(home, file := tmp_path / "all.zip", with_cache=False)
    (home / FILE_NAME).write_bytes(b"damaged " * 1000)
    (home / "files" / "a.png").write_bytes(b"another")
    replaced = bring_back(home, file)
    assert (replaced / FILE_NAME).read_bytes() == b"damaged " * 1000
    assert (replaced / "files" / "a.png").read_bytes() == b"another"
    assert (home / "files" / "a.png").read_bytes() == b"picture"
    with Store.open(home) as store:
        assert [run.title for run in store.runs.all()] == ["A run"]


@pytest.mark.parametrize("kind", ["text", "other-zip", "cut", "damaged", "newer"])
def test_what_is_no_sound_backup_is_refused_and_changes_nothing(home, tmp_path, kind):
    finish(home)
    back_up(home, file := tmp_path / "all.zip")
    good, before = file.read_bytes(), sorted(path.name for path in home.iterdir())
    if kind in ("text", "cut"):
        file.write_bytes(good[: len(good) // 2] if kind == "cut" else b"no zip")
    else:
        store = bytearray(contents(file)[FILE_NAME])
        if kind == "newer":
            with closing(sqlite3.connect(tmp_path / "newer")) as newer:
                newer.deserialize(bytes(store))
                newer.execute("PRAGMA user_version = 999")
                store = bytearray(newer.serialize())
        else:
            store[4096 : 4096 * 6] = b"x" * 4096 * 5
        with ZipFile(file, "w") as made:
            made.writestr("x.txt" if kind == "other-zip" else FILE_NAME, bytes(store))
    with pytest.raises(StoreError, match=r"all\.zip"):
        bring_back(home, file)
    assert sorted(path.name for path in home.iterdir()) == before


def test_a_backup_is_not_written_over_a_file_into_the_folder_or_from_a_damaged_store(home, tmp_path):
    finish(home)
    for path in (GUIDE, home / "b.zip"):
        with pytest.raises(StoreError, match="new file elsewhere"):
            back_up(home, path)
    good = (home / FILE_NAME).read_bytes()
    (home / FILE_NAME).write_bytes(good[:4096] + b"x" * 4096 * 5 + good[4096 * 6 :])
    with pytest.raises(StoreError, match="damaged"):
        back_up(home, tmp_path / "b.zip")
    assert not list(tmp_path.glob("b*"))


def test_the_lines_of_the_guide(home, tmp_path):
    finish(home)
    block = re.search(r"### Backups and upgrades.*?```sh\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    for line in block[1].splitlines():
        name, *given = line.partition("#")[0].split()
        assert name == "tuneboard"
        command = [sys.executable, "-m", "engine", *given]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ)
        assert done.returncode == 0, done.stderr
