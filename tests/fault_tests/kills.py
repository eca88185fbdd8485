"""SIGKILLs in the middle of runs, over all optimizers: what a run ends with must not depend on them.

Kills of trainings and on a Ray cluster are tests that need an environment each, run here for their line in the table.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from fault_tests.check import Check, Finding
from support.run_setup import add_run, answer, kill, server_model, start_worker, wait_for
from support.servers.openai_server import OpenAIServer
from support.small_optimizers import PROMPT_OPTIMIZERS, SMALL

from engine.runs.spec import Named
from engine.store.store import Store

KILLS = 12
"""For each optimizer."""


def measure(folder: Path, small: bool) -> Finding:
    """Run every optimizer once undisturbed and once killed several times, and compare what both end with."""
    names = [optimizer.name for optimizer in PROMPT_OPTIMIZERS]
    kills = differing = 0
    different: list[str] = []
    for name in ["MIPROv2"] if small else names:
        done, same = killed_and_whole(folder / name, name, 2 if small else KILLS)
        kills += done
        if not same:
            differing += 1
            different.append(name)
    figure = f"{kills} kills over {'1 optimizer' if small else f'{len(names)} optimizers'}, {differing} ended otherwise"
    return Finding(figure + (f" ({', '.join(different)})" if different else ""), met=not different)


def killed_and_whole(folder: Path, name: str, kills: int) -> tuple[int, bool]:
    """Return how often a run was killed, and whether it ended as one that was not."""
    optimizer = Named(name=name, options=SMALL.get(name, {}))
    chance = random.Random(name)
    with OpenAIServer(answer, latency=0.005) as server:
        changes: dict[str, Any] = {"model": server_model(server.url), "optimizer": optimizer}
        whole, broken = folder / "whole", folder / "broken"
        undisturbed = add_run(whole, **changes)
        _to_its_end(whole, undisturbed)
        bought = sum(server.served.values())
        server.forget()
        run_id = add_run(broken, **changes)
        done = 0
        for point in sorted(chance.sample(range(1, max(kills + 2, bought)), kills)):
            if _has_finished(broken, run_id):
                break
            process = start_worker(broken, run_id)
            wait_for(lambda p=point, child=process: child.poll() is not None or _served(server) >= p)
            if process.poll() is None:
                done += 1
            kill(process)
        _to_its_end(broken, run_id)
    return done, shape(whole, undisturbed) == shape(broken, run_id)


def shape(home: Path, run_id: str) -> tuple[object, ...]:
    """Return what must be the same however often a run was killed."""
    with Store.open(home, read_only=True) as store:
        run = store.runs.get(run_id)
        trials = [(t.number, t.candidate_id, t.split, t.score, t.rows_done) for t in store.trials.all(run_id)]
    verdict = run.result and run.result.verdict
    return run.state, run.best, verdict, trials, run.calls, run.usage.tokens


def _served(server: OpenAIServer) -> int:
    return len(server.served)


def _has_finished(home: Path, run_id: str) -> bool:
    with Store.open(home, read_only=True) as store:
        return store.runs.get(run_id).state == "finished"


def _to_its_end(home: Path, run_id: str) -> None:
    if _has_finished(home, run_id):  # its last process was quicker than the signal
        return
    process = start_worker(home, run_id)
    _, errors = process.communicate(timeout=300)
    if process.returncode:
        raise AssertionError(errors.decode()[-500:])


ROOT = Path(__file__).parents[2]
LONGEST_SECONDS = 900


class Environment(NamedTuple):
    """An environment in the repository's folder, the command that makes it, and its tests of kills."""

    folder: str
    command: str
    tests: tuple[str, ...]
    words: str


WEIGHTS = Environment(
    ".venv-weights",
    "make weights",
    ("tests/weights_tests/test_local_trainer.py", "tests/weights_tests/test_grpo.py"),
    "killed",
)
RAY = Environment(
    ".venv-ray",
    "make cluster",
    ("tests/ray_tests",),
    "killed or lost or dies",
)


def kills_in(environment: Environment) -> Finding:
    """Run an environment's tests in which processes are killed; each asserts that nothing is lost."""
    python = ROOT / environment.folder / "bin" / "python"
    if not (ROOT / environment.folder / ".ready").exists():
        return Finding(f"not measured: {environment.command} makes what it needs", met=False)
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *environment.tests, "-k", environment.words],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )
    passed, failed = (_number(done.stdout, word) for word in ("passed", "failed"))
    figure = f"{passed} tests with kills, {failed} with something lost"
    return Finding(figure, met=done.returncode == 0 and passed > 0)


def _number(output: str, word: str) -> int:
    found = re.search(rf"(\d+) {word}", output)
    return int(found[1]) if found else 0


CHECKS = (
    Check(
        "kills",
        "SIGKILLs over all optimizers",
        "same best candidate, trials, calls and tokens",
        measure,
        in_tests=False,  # `engine_tests/runs/process/test_worker.py` kills runs of two optimizers
    ),
    Check(
        "kills-weights",
        "SIGKILLs of trainings and of the runs that train",
        "nothing lost",
        lambda _folder, _small: kills_in(WEIGHTS),
        in_tests=False,
    ),
    Check(
        "kills-ray",
        "SIGKILLs of workers, machines and trainings on a Ray cluster of two nodes",
        "nothing lost, nothing paid twice",
        lambda _folder, _small: kills_in(RAY),
        in_tests=False,
    ),
)
