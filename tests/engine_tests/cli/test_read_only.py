"""A data folder that cannot be written to: looking at it, and exporting from it."""

import subprocess
import sys
import urllib.request

import pytest
from support.ports import own_port
from support.run_setup import add_run

from engine.cli.programs import export_program
from engine.runs.spec import Named
from engine.runs.worker import work


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A data folder with a run that has finished, and the run's id."""
    home = tmp_path_factory.mktemp("home")
    run_id = add_run(home, optimizer=Named(name="LabeledFewShot"))
    assert work(home, run_id) == 0
    return home, run_id


@pytest.fixture
def read_only(finished):
    """The folder mounted so that nothing can be written to it, by root either."""
    home, _ = finished
    bind = subprocess.run(["mount", "--bind", home, home], capture_output=True)
    if bind.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", home], check=True)
        yield home
    finally:
        subprocess.run(["umount", "-l", home], check=True)


def listing(home):
    """All files of a folder with their sizes and times, but for those in which SQLite notes who reads."""
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in home.rglob("*")
        if not path.name.endswith(("-shm", "-wal"))
    }


@pytest.mark.parametrize("form", ["json", "report", "python"])
def test_an_export_elsewhere_writes_nothing_to_the_data_folder(finished, tmp_path, monkeypatch, form):
    home, run_id = finished
    monkeypatch.setenv("TUNEBOARD_HOME", str(home))
    before = listing(home)
    export_program(run_id, form, tmp_path / "out", None)
    assert (tmp_path / "out").exists()
    assert listing(home) == before


@pytest.mark.parametrize("first", [True, False], ids=["options after open", "options before open"])
def test_a_read_only_folder_is_exported_from_and_opened(first, read_only, finished, tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEBOARD_HOME", str(read_only))
    export_program(finished[1], "json", tmp_path / "out.json", None)
    assert (tmp_path / "out.json").exists()
    port = own_port()
    options = ["--read-only", "--no-browser", "--port", str(port)]
    words = ["open", *options] if first else [*options, "open"]
    command = [sys.executable, "-m", "engine", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert "Tuneboard is at" in server.stdout.readline()
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=30) as page:
                assert page.status == 200
        finally:
            server.terminate()
            assert server.communicate(timeout=60)[1] == ""
