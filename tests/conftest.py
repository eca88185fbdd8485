"""Rules for every test: none may fail by chance, none sees the user's data folder, and they keep all cores busy."""

from __future__ import annotations

import atexit
import importlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

MOST_WORKERS = 8

if "PYTEST_XDIST_WORKER" not in os.environ:  # a worker has its parent's
    os.environ["TUNEBOARD_HOME"] = tempfile.mkdtemp(prefix="tuneboard-tests-")
    atexit.register(shutil.rmtree, os.environ["TUNEBOARD_HOME"], ignore_errors=True)

# Nothing is sent but to loopback, here and in the processes that tests start; cloud SDKs look for no credentials on a network.
LOOPBACK = str(Path(__file__).parent / "support" / "loopback")
if LOOPBACK not in os.environ.get("PYTHONPATH", ""):  # otherwise this process has it already
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (LOOPBACK, os.environ.get("PYTHONPATH"))))
    importlib.import_module("support.loopback.sitecustomize")
os.environ |= {
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_GCE_CHECK": "true",
    "GCE_METADATA_HOST": "127.0.0.1:9",
}

# The same examples each time, and no limit of time for one: a machine may be slow, and may do other things.
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")


@pytest.fixture(autouse=True)
def no_endpoint_is_known() -> None:
    """What one test's server has answered says nothing about the next test's, which may get the same port."""
    if (limits := sys.modules.get("engine.lm.calls.limits")) is not None:
        limits._limiters.clear()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder, with no key in the environment."""
    monkeypatch.setenv("TUNEBOARD_HOME", str(tmp_path))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return tmp_path


@pytest.fixture
def key(home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A key in the environment, and an empty data folder, where it must never be written."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-never-stored")
    return "sk-test-never-stored"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Return what `-n auto` means: two more than the cores that are ours, as tests wait for servers and processes too.

    A container may have two of its machine's sixty-four.
    """
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 2 + max(1, min(cores, MOST_WORKERS, round(allotted(Path("/sys/fs/cgroup")) or cores)))


def allotted(groups: Path) -> float | None:
    """Return how many cores' time this container may use, where that is limited."""
    for quota, period in (("cpu.max", "cpu.max"), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            most, each = (groups / quota).read_text().split()[0], (groups / period).read_text().split()[-1]
        except (OSError, IndexError):
            continue
        if most not in ("max", "-1"):
            return int(most) / int(each)
    return None
