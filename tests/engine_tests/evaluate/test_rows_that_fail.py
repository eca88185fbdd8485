"""Bad code, bad tools, bad searches and missing inputs in single rows: each is a named error there, and the other rows go on."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from engine import (
    RLM,
    CodeAct,
    Evaluate,
    Example,
    Module,
    Prediction,
    ProgramOfThought,
    PythonInterpreter,
    Tool,
    context,
)
from engine.pipeline.build import build_program
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.testing import ScriptedLM, asked

ENDLESS = "while True: pass"
TOO_LONG = "SandboxTimeoutError: The code ran longer than the 0.5 seconds"
BAD_CODE = {
    "a = []\nwhile True: a.append('x' * 100000)": "SandboxMemoryError: The code needed more memory",
    "while True: print('x' * 1000)": "SandboxError: More than 100000 characters were printed",
    "open('/etc/passwd').read()": "PermissionError",
    "import socket\nsocket.create_connection(('127.0.0.1', 80))": "ModuleNotFoundError",
    "import subprocess": "ModuleNotFoundError",
    "this is no code": "SyntaxError",
    "1 / 0": "ZeroDivisionError",
}
CODES = [*BAD_CODE, "40 + 2"]
ROWS = [Example(code=code, answer="42").with_inputs("code") for code in CODES]


def sandbox(**options: Any) -> PythonInterpreter:
    """What takes too much space does so in time, on a slow machine too."""
    return PythonInterpreter(**{"time_limit": 120, "memory_limit": 32 * 2**20, **options})


def hasty(**options: Any) -> PythonInterpreter:
    return sandbox(time_limit=0.5, **options)


def model(request: Any) -> dict[str, Any]:
    """Writes the code that the row holds, and answers with what it saw."""
    inputs, outputs = asked(request)
    if "generated_code" in outputs:
        finished = {"finished": True} if "finished" in outputs else {"reasoning": "r"}
        return {**finished, "generated_code": inputs["code"]}
    if "code" in outputs:
        code = inputs["variables"].split("\n", 1)[1]
        return {"reasoning": "r", "code": code if code != "40 + 2" else "SUBMIT('42')"}
    seen = inputs.get("code_output") or inputs["trajectory"]
    return {"reasoning": "r", "answer": seen[-2:]}


def right(example: Example, prediction: Prediction) -> bool:
    return bool(prediction.answer == example.answer)


def evaluated(program: Module, rows: Any = ROWS, metric: Any = right) -> Any:
    with context(lm=ScriptedLM(model)):
        return Evaluate(devset=rows, metric=metric, num_threads=4)(program)


def test_programs_that_never_run_fail_their_rows_by_name() -> None:
    found = evaluated(ProgramOfThought("code -> answer", max_iters=2, interpreter_factory=sandbox))
    errors = {row.code: outcome.error for row, outcome in zip(ROWS, found.outcomes, strict=True)}
    for code, named in BAD_CODE.items():
        assert named in str(errors[code]), code
        assert len(str(errors[code])) < 5000
    assert errors["40 + 2"] is None
    assert found.outcomes[-1].score == 1.0


@pytest.mark.parametrize("kind", [ProgramOfThought, CodeAct, RLM])
def test_code_that_never_ends_is_told_of_and_ended(kind: Any) -> None:
    options: dict[str, Any] = {"max_iters": 1, "interpreter_factory": hasty}
    program = kind("code -> answer", **({"tools": []} if kind is CodeAct else {}), **options)
    found = evaluated(program, [Example(code=ENDLESS, answer="42").with_inputs("code")])
    if kind is ProgramOfThought:
        assert TOO_LONG in str(found.outcomes[0].error)
    else:
        assert TOO_LONG in str(found.results[0][1].trajectory)


@pytest.mark.parametrize("kind", [CodeAct, RLM])
def test_agents_see_what_their_code_did_and_go_on(kind: Any) -> None:
    options: dict[str, Any] = {"max_iters": 1, "interpreter_factory": sandbox}
    program = kind("code -> answer", **({"tools": []} if kind is CodeAct else {}), **options)
    found = evaluated(program)
    assert found.failures == []
    logs = [str(prediction.trajectory) for _, prediction, _ in found.results]
    for log, named in zip(logs, BAD_CODE.values(), strict=False):
        assert named in log
    assert found.outcomes[-1].score == 1.0


def test_a_tool_inside_the_sandbox_that_hangs_or_answers_too_much_is_an_observation() -> None:
    never = threading.Event()
    tools = [
        Tool(never.wait, "hang", timeout=0.2),
        Tool(lambda: "x" * 10_000_000, "big"),
        Tool(lambda: 1 // 0, "broken"),
    ]
    rows = [Example(code=f"{tool.name}()", answer="?").with_inputs("code") for tool in tools]
    program = CodeAct("code -> answer", tools, max_iters=1, interpreter_factory=sandbox)
    found = evaluated(program, rows)
    never.set()
    assert found.failures == []
    hung, big, broken = (prediction.trajectory["code_output_0"] for _, prediction, _ in found.results)
    assert "gave no result within 0.2 seconds" in hung
    assert len(big) < 20_000
    assert "ZeroDivisionError" in broken


PIPED = PipelineSpec(
    steps=(
        StepSpec(name="sort", inputs=(FieldSpec(name="code"),), outputs=(FieldSpec(name="kind"),)),
        StepSpec(
            name="reply",
            inputs=(
                FieldSpec(name="kind"),
                FieldSpec(name="tone"),
                FieldSpec(name="note", type="str | None"),
            ),
            outputs=(FieldSpec(name="answer"),),
        ),
    )
)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (build_program(PIPED), "The step 'reply' has no input 'tone'. The pipeline needs: code, tone, note."),
        (
            build_program(PipelineSpec(steps=(PIPED.steps[1],))),
            "The step 'reply' has no input 'kind'. The pipeline needs: kind, tone, note.",
        ),
    ],
    ids=["pipeline", "pipeline of one"],
)
def test_a_row_that_lacks_an_input_fails_by_name_and_the_rest_goes_on(program: Module, words: str) -> None:
    whole = {"code": "1", "tone": "kind", "kind": "a", "answer": "42"}
    part = {name: whole[name] for name in ("code", "answer")}
    keys = ("code", "tone", "kind") if program.named_predictors()[0][0] == "reply" else ("code", "tone")
    rows = [Example(values).with_inputs(*keys) for values in (whole, part, whole)]

    def says(request: Any) -> dict[str, Any]:
        made = {"kind": "a", "answer": "42", "reasoning": "So.", "next_thought": "Done."}
        return {**made, "next_tool_name": "finish", "next_tool_args": {}}

    with context(lm=ScriptedLM(says)):
        found = Evaluate(devset=rows, metric=right)(program)
    assert [outcome.score for outcome in found.outcomes] == [1.0, 0.0, 1.0]
    assert [outcome.error for outcome in found.outcomes] == [None, found.outcomes[1].error, None]
    assert words in found.outcomes[1].error
