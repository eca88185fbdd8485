"""The same seed is the same run, also where a limit bites: whatever each reply takes, and however often the run was killed."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from fault_tests.check import Check, Finding
from fault_tests.kills import shape
from support.run_setup import COLOURS, add_run, answer, kill, server_model, start_worker, wait_for
from support.servers.openai_server import OpenAIServer, default_answer
from support.small_optimizers import SMALL

from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.runs.spec import Named
from engine.search.budget import Amount, Budget
from engine.store.store import Store

REPEATS = 40
OPTIMIZERS = ("SIMBA", "Autotune", "MIPROv2", "GEPA")
LIMITS = (Budget(calls=150), Budget(tokens=45_000), Budget(usd=0.045))
PRICES = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}

TWO_STEPS = PipelineSpec(
    steps=(
        StepSpec(
            name="find",
            instructions="Name the thing.",
            inputs=(FieldSpec(name="text"),),
            outputs=(FieldSpec(name="thing"),),
        ),
        StepSpec(
            name="sort",
            instructions="Say on which shelf it belongs.",
            inputs=(FieldSpec(name="text"), FieldSpec(name="thing")),
            outputs=(FieldSpec(name="shelf", choices=COLOURS),),
        ),
    )
)


class Jittery(OpenAIServer):
    """A server whose every reply takes another time, in each run others."""

    @property
    def latency(self) -> float:
        return random.uniform(0.001, 0.03)

    @latency.setter
    def latency(self, _: float) -> None: ...


def answer_both(body: dict[str, Any]) -> str:
    """Answer both steps; the first finds nothing out."""
    return answer(body) if "Say on which" in str(body["messages"][0]["content"]) else default_answer(body)


def repeats(folder: Path, small: bool) -> Finding:
    """Repeat runs of several optimizers with each kind of limit, every second one killed, and compare all with the first."""
    cases = [("MIPROv2", LIMITS[1])] if small else [(name, limit) for limit in LIMITS for name in OPTIMIZERS]
    per_case = 1 if small else -(-REPEATS // len(cases))
    different = []
    for number, (name, limit) in enumerate(cases):
        shapes = []
        for repeat in range(1 + per_case):
            home = folder / f"{number}-{repeat}"
            shapes.append(carried_out(home, name, limit, kills=repeat % 2, forget=True)[0])
        different += [f"{name}, {limit.words}" for each in shapes[1:] if each != shapes[0]]
    figure = f"{len(cases) * per_case} repeats, {len(different)} ended otherwise"
    return Finding(f"{figure} ({'; '.join(different)})" if different else figure, met=not different)


def in_flight(folder: Path, small: bool) -> Finding:
    """Kill runs with each kind of limit several times, and compare the server's count with the limit."""
    missed, most = [], 0.0
    for number, limit in enumerate(LIMITS[1:2] if small else LIMITS):
        _, used = carried_out(
            folder / str(number), "BootstrapFewShotWithRandomSearch", limit, kills=2 if small else 5
        )
        share = max(
            getattr(used, name) / value for name, value in limit.model_dump(exclude_none=True).items()
        )
        most = max(most, share)
        missed += [limit.words] if share > 1 else []
    figure = f"at most {most:.1%} of a limit by the server's own count"
    return Finding(f"{figure}; passed: {'; '.join(missed)}" if missed else figure, met=not missed)


def carried_out(
    home: Path, name: str, limit: Budget, *, kills: int = 0, forget: bool = False
) -> tuple[tuple[object, ...], Amount]:
    """Carry out a run, killed several times; return what must be the same, and what the server has counted.

    With `forget` what was under way at a kill does not count, as if it had never left.
    """
    home.mkdir(parents=True)
    (home / "prices.json").write_text(json.dumps({"openai/test-model": PRICES}))
    with Jittery(answer_both) as server:
        optimizer = Named(name=name, options=SMALL.get(name, {}))
        changes = {"optimizer": optimizer, "budget": limit, "pipeline": TWO_STEPS, "concurrency": 8}
        run_id = add_run(home, model=server_model(server.url), **changes)
        for point in sorted(random.sample(range(20, 140), kills)):
            process = start_worker(home, run_id)
            wait_for(lambda p=point, child=process: child.poll() is not None or server.calls >= p)
            kill(process)
            with Store.open(home) as store:
                if store.runs.get(run_id).state == "finished":
                    break
                if forget:
                    store.connection.write("DELETE FROM sends")
        else:
            process = start_worker(home, run_id)
            _, errors = process.communicate(timeout=300)
            if process.returncode:
                raise AssertionError(errors.decode()[-500:])
        read, written = server.tokens
        usd = read * PRICES["input_cost_per_token"] + written * PRICES["output_cost_per_token"]
        return shape(home, run_id), Amount(server.calls, read + written, usd)


CHECKS = (
    Check(
        "repeats",
        "The same run again with a limit that bites, half of them killed once",
        f"{REPEATS} of {REPEATS} equal in every trial, call and token",
        repeats,
        in_tests=False,  # `engine_tests/runs/test_worker.py` kills runs of two optimizers
    ),
    Check(
        "in-flight",
        "Kills of runs with a limit that bites",
        "no limit passed by the server's own count",
        in_flight,
    ),
)
