"""Steps that use tools, run code, or try several times: as data, as programs, tuned, exported and run offline."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from support.program_files import save_program

import engine
from engine import Evaluate, Example, context
from engine.errors import PipelineError, ToolError
from engine.pipeline.build import build_program
from engine.pipeline.check import spec_problems
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepOptions, StepSpec
from engine.pipeline.strategies import STRATEGIES, TOOLS
from engine.search.estimate import estimate
from engine.search.settings import Settings
from engine.testing import ScriptedLM, asked


def spec(strategy: Any, *, output: str = "answer", **options: Any) -> PipelineSpec:
    step = StepSpec(
        name="solve",
        strategy=strategy,
        options=StepOptions(**options),
        inputs=(FieldSpec(name="question"),),
        outputs=(FieldSpec(name=output, type="float"),),
    )
    return PipelineSpec(steps=(step,))


@pytest.mark.parametrize(
    ("strategy", "paths"),
    [
        ("predict", ["solve"]),
        ("chain_of_thought", ["solve.predict"]),
        ("react", ["solve.react", "solve.extract.predict"]),
        (
            "program_of_thought",
            ["solve.code_generate.predict", "solve.code_regenerate.predict", "solve.generate_output.predict"],
        ),
        ("best_of_n", ["solve.module.predict", "solve.reward_fn.rate"]),
        ("refine", ["solve.module.predict", "solve.reward_fn.rate"]),
    ],
)
def test_every_strategy_becomes_its_module(strategy: str, paths: list[str]) -> None:
    program = build_program(spec(strategy, tools=("calculator",)))
    assert [path for path, _ in program.named_predictors()] == paths
    assert set(STRATEGIES) == set(StepSpec.model_fields["strategy"].annotation.__args__)


def test_a_spec_written_before_options_reads_the_same() -> None:
    old = {
        "steps": [
            {"name": "solve", "strategy": "predict", "inputs": [{"name": "q"}], "outputs": [{"name": "a"}]}
        ]
    }
    read = PipelineSpec.model_validate(old)
    assert read.steps[0].options == StepOptions()
    assert "options" not in read.model_dump(exclude_defaults=True)["steps"][0]


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (spec("react"), "Choose at least one tool"),
        (
            spec("react", tools=("browser",)),
            "There is no tool 'browser'. Choose from: calculator, python, search.",
        ),
        (spec("react", tools=("python",), output="trajectory"), "has its own field 'trajectory'"),
        (spec("best_of_n", output="score"), "has its own field 'score'"),
    ],
)
def test_what_a_strategy_cannot_do_is_a_sentence(made: PipelineSpec, sentence: str) -> None:
    assert sentence in spec_problems(made)[0]
    with pytest.raises(PipelineError):
        build_program(made)


def test_a_step_with_tools_is_tuned_and_saved(tmp_path: Any) -> None:
    made = spec("react", tools=("calculator",))
    program = build_program(made)
    candidate = program.candidate()
    state = replace(candidate.steps["solve.react"], tool_descriptions={"calculator": "Sums."})
    tuned = replace(candidate, steps={**candidate.steps, "solve.react": state})
    path = tmp_path / "program.json"
    save_program(made, tuned, path)
    loaded = engine.load(path)
    calls = [
        {"next_thought": "Sum.", "next_tool_name": "calculator", "next_tool_args": {"expression": "1 + 1"}},
        {"next_thought": "Done.", "next_tool_name": "finish", "next_tool_args": {}},
        {"reasoning": "So.", "answer": 2.0},
    ]
    lm = ScriptedLM(calls)
    with context(lm=lm):
        result = loaded(question="1 + 1?")
    assert (result.answer, result.trajectory["observation_0"]) == (2.0, "2")
    assert "`calculator`: Sums." in lm.requests[0].messages[0]["content"]
    assert TOOLS["calculator"].desc != "Sums."


def test_best_of_n_goes_by_the_judge() -> None:
    script = [
        {"reasoning": "r", "answer": 1.0},
        {"explanation": "Wrong.", "score": 0.1},
        {"reasoning": "r", "answer": 2.0},
        {"explanation": "Right.", "score": 0.95},
    ]
    lm = ScriptedLM(script)
    with context(lm=lm):
        assert build_program(spec("best_of_n", criteria="Even numbers only."))(question="?").answer == 2.0
    assert "Even numbers only." in lm.requests[1].messages[0]["content"]
    assert lm.requests[1].rollout_id is None
    assert asked(lm.requests[1])[0] == {"question": "?", "answer": "1.0"}


def test_the_calculator_and_python_by_name() -> None:
    async def use() -> tuple[Any, ...]:
        return (
            await TOOLS["calculator"].acall(expression="sqrt(16) + 2 ** 10"),
            await TOOLS["python"].acall(code="x = [1, 2]\nprint(sum(x))"),
        )

    assert asyncio.run(use()) == ("1028.0", "3")
    with pytest.raises(ToolError, match="cannot be worked out"):
        TOOLS["calculator"](expression="1 +")
    with pytest.raises(ToolError, match="cannot be worked out"):
        TOOLS["calculator"](expression="open('/etc/passwd').read()")


ASKING = [name for name in STRATEGIES if name not in ("retrieve", "tool")]


@pytest.mark.parametrize("strategy", ASKING)
def test_rows_run_offline_and_failures_are_records(strategy: str) -> None:
    program = build_program(spec(strategy, tools=("calculator",), max_iters=2, tries=2))
    rows = [Example(question="What is 2 + 2?", answer=4.0).with_inputs("question")]
    with context(lm=engine.LM("offline/learner")):
        outcome = Evaluate(devset=rows, metric=lambda e, p: e.answer == p.answer)(program).outcomes[0]
    assert outcome.error is None or "Error" in outcome.error or outcome.error.endswith(".")
    assert outcome.usage.calls + outcome.usage.cached > 0


@pytest.mark.parametrize("reply", ["", "I cannot help with that.", '{"answer": ', "x" * 100_000])
@pytest.mark.parametrize("strategy", ASKING)
def test_replies_that_say_nothing_fail_the_row_only(strategy: str, reply: str) -> None:
    program = build_program(spec(strategy, tools=("calculator",), max_iters=2, tries=2))
    rows = [Example(question=f"{i}?", answer=4.0).with_inputs("question") for i in range(2)]
    with context(lm=ScriptedLM(lambda _request: reply)):
        outcomes = Evaluate(devset=rows, metric=lambda e, p: 1.0)(program).outcomes
    assert all(outcome.error and len(outcome.error) < 5000 for outcome in outcomes)


@pytest.mark.parametrize(
    ("strategy", "calls"), [("best_of_n", 2 * 3), ("refine", 3 * 3 - 1), ("react", 10 + 1)]
)
def test_the_estimate_counts_every_try_that_may_come(strategy: str, calls: int) -> None:
    rows = {i: Example(question=f"{i} + {i}?", answer=2.0 * i).with_inputs("question") for i in range(8)}
    settings = Settings(
        program=build_program(spec(strategy, tools=("calculator",))),
        metric=engine.NumberWithin(),
        rows=rows,
        train=(0, 1, 2, 3),
        validation=(4, 5, 6, 7),
        lm=engine.LM("offline/learner"),
        budget=engine.Budget(calls=1000),
        payer=None,
    )
    found = estimate(engine.BootstrapFewShot().search, settings)
    assert found.calls.high == 4 * calls
