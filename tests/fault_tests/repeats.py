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
from engine.search.budget import Budget

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


def measure(folder: Path, small: bool) -> Finding:
    """Repeat runs of several optimizers with each kind of limit, every second one killed once, and compare all with the first."""
    cases = [(name, limit) for limit in LIMITS for name in OPTIMIZERS]
    per_case = 2 if small else -(-REPEATS // len(cases))
    cases = [("MIPROv2", LIMITS[1])] if small else cases
    other, unbitten = [], []
    for number, (name, limit) in enumerate(cases):
        shapes = [
            carried_out(folder / f"{number}-{repeat}", name, limit, killed=repeat % 2 == 1)
            for repeat in range(1 + per_case)
        ]
        label = f"{name}, {limit.words}"
        other += [label for each in shapes[1:] if each != shapes[0]]
        unbitten += [] if shapes[0][0] == "finished" else [label]
    figure = f"{len(cases) * per_case} repeats, {len(other)} ended otherwise"
    return Finding(
        f"{figure} ({'; '.join(sorted({*other, *unbitten}))})" if other or unbitten else figure, met=not other
    )


def carried_out(home: Path, name: str, limit: Budget, *, killed: bool) -> tuple[object, ...]:
    """Carry out a run, killed once in the middle or not, and return what must be the same."""
    with Jittery(answer_both) as server:
        home.mkdir(parents=True)
        (home / "prices.json").write_text(json.dumps({"openai/test-model": PRICES}))
        optimizer = Named(name=name, options=SMALL.get(name, {}))
        run_id = add_run(
            home,
            model=server_model(server.url),
            optimizer=optimizer,
            budget=limit,
            pipeline=TWO_STEPS,
            concurrency=8,
        )
        if killed:
            process = start_worker(home, run_id)
            point = random.randrange(20, 140)
            wait_for(lambda: process.poll() is not None or sum(server.served.values()) >= point)
            kill(process)
        process = start_worker(home, run_id)
        _, errors = process.communicate(timeout=300)
        if process.returncode:
            raise AssertionError(errors.decode()[-500:])
    return shape(home, run_id)


CHECK = Check(
    "repeats",
    "The same run again with a limit that bites, half of them killed once",
    f"{REPEATS} of {REPEATS} equal in every trial, call and token",
    measure,
)
