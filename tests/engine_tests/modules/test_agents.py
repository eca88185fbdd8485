"""ReAct, ProgramOfThought, CodeAct and RLM against a scripted model: their steps, their errors, what is tuned."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import pytest

from engine import RLM, CodeAct, Evaluate, Example, ProgramOfThought, ReAct, Tool, context
from engine.errors import (
    AdapterParseError,
    BudgetExhaustedError,
    ConfigurationError,
    ContextWindowExceededError,
    SandboxError,
)
from engine.testing import ScriptedLM
from engine.tools.interpreter import PythonInterpreter


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def act(name: str, thought: str = "Go on.", **args: Any) -> dict[str, Any]:
    return {"next_thought": thought, "next_tool_name": name, "next_tool_args": args}


FINISH = act("finish")
ANSWER = {"reasoning": "It follows.", "answer": 4}


def run(program: Any, script: list[Any], **inputs: Any) -> tuple[Any, ScriptedLM]:
    lm = ScriptedLM(script)
    with context(lm=lm):
        return program(**inputs), lm


def test_react_thinks_acts_looks_and_answers() -> None:
    result, lm = run(
        ReAct("question -> answer: int", [add]), [act("add", a=1, b="3"), FINISH, ANSWER], question="?"
    )
    assert (result.answer, result.reasoning) == (4, "It follows.")
    assert result.trajectory == {
        "thought_0": "Go on.",
        "tool_name_0": "add",
        "tool_args_0": {"a": 1, "b": "3"},
        "observation_0": 4,
        "thought_1": "Go on.",
        "tool_name_1": "finish",
        "tool_args_1": {},
        "observation_1": "Done.",
    }
    assert "- `add`: Add two numbers. Arguments:" in lm.requests[0].messages[0]["content"]
    assert "Observation: 4" in lm.requests[1].messages[-1]["content"]


def test_react_stops_at_the_limit_of_the_program_or_the_call() -> None:
    agent = ReAct("question -> answer: int", [add], max_iters=2)
    _, lm = run(agent, [act("add", a=1, b=1)] * 2 + [ANSWER], question="?")
    assert len(lm.requests) == 3
    _, lm = run(agent, [act("add", a=1, b=1), ANSWER], question="?", max_iters=1)
    assert len(lm.requests) == 2


over = threading.Event()


def hanging() -> str:
    over.wait(300)
    return "late"


def raising() -> str:
    raise RuntimeError("out of paper")


def huge() -> str:
    return "x" * 10_000_000


@pytest.mark.parametrize(
    ("tool", "args", "seen"),
    [
        (
            Tool(hanging, timeout=0.05),
            {},
            "ToolTimeoutError: The tool 'hanging' gave no result within 0.05 seconds.",
        ),
        (raising, {}, "ToolError: The tool 'raising' failed: RuntimeError: out of paper"),
        (huge, {}, "of 10000000 characters left out"),
        (add, {"a": 1}, "ToolArgumentsError: The tool 'add' needs the argument 'b'."),
        (add, {"a": "one", "b": 2}, "ToolArgumentsError: The argument 'a' of the tool 'add' does not fit"),
    ],
)
def test_a_tool_that_fails_is_an_observation(
    tool: Callable[..., Any], args: dict[str, Any], seen: str
) -> None:
    over.clear()
    name = tool.name if isinstance(tool, Tool) else tool.__name__
    result, lm = run(
        ReAct("question -> answer: int", [tool]), [act(name, **args), FINISH, ANSWER], question="?"
    )
    over.set()  # the thread of the one that hangs ends
    assert seen in result.trajectory["observation_0"]
    assert len(str(lm.requests[-1].messages[-1]["content"])) < 15_000


def test_a_tool_that_does_not_exist_is_asked_for_again() -> None:
    result, _ = run(ReAct("question -> answer: int", [add]), [act("divide"), FINISH, ANSWER], question="?")
    assert result.trajectory["tool_name_0"] == "finish"


@pytest.mark.parametrize("reply", ["", "I'm sorry, but I can't help with that.", "[[ ## next_thought"])
def test_an_empty_reply_or_a_refusal_fails_the_row_by_name(reply: str) -> None:
    rows = [Example(question="a", answer=4).with_inputs("question")] * 2
    replies = iter([reply] * 3 + [""] * 97)
    lm = ScriptedLM(lambda _request: next(replies))
    with context(lm=lm):
        result = Evaluate(devset=rows, metric=lambda e, p: e.answer == p.answer)(
            ReAct("question -> answer: int", [add])
        )
    assert all(o.error for o in result.outcomes)
    with context(lm=ScriptedLM([reply] * 3)), pytest.raises(AdapterParseError):
        ReAct("question -> answer: int", [add])(question="?")


def test_unreadable_after_some_steps_answers_from_what_is_known() -> None:
    result, _ = run(
        ReAct("question -> answer: int", [add]),
        [act("add", a=2, b=2), "what?", "what?", "what?", ANSWER],
        question="?",
    )
    assert result.answer == 4


def test_a_full_context_leaves_the_oldest_steps_out() -> None:
    calls = iter([act("add", a=1, b=1), act("add", a=2, b=2)])

    def answer(request: Any) -> Any:
        text = request.messages[-1]["content"]
        if "Step 1" in text and "Step 2" in text:
            return ContextWindowExceededError("Too long.")
        return next(calls, ANSWER if "answer" in text.rsplit("\n\n", 1)[-1] else FINISH)

    with context(lm=ScriptedLM(answer)):
        result = ReAct("question -> answer: int", [add])(question="?")
    assert result.answer == 4
    assert result.trajectory["observation_0"] == 2


def test_a_spent_budget_is_no_observation() -> None:
    def ask() -> None:
        raise BudgetExhaustedError("Spent.")

    with pytest.raises(BudgetExhaustedError):
        run(ReAct("question -> answer: int", [ask]), [act("ask")], question="?")


@pytest.mark.parametrize("kind", [ReAct, CodeAct])
def test_tool_descriptions_are_tuned(kind: Any) -> None:
    agent = kind("question -> answer: int", [add])
    path = agent.named_predictors()[0][0]
    candidate = agent.candidate()
    assert candidate.steps[path].tool_descriptions["add"] == "Add two numbers."
    state = replace(
        candidate.steps[path], instructions="Work.", tool_descriptions={"add": "Sums a and b.", "gone": "x"}
    )
    tuned = agent.with_candidate(replace(candidate, steps={path: state}))
    assert tuned.named_predictors()[0][1].tools["add"].desc == "Sums a and b."
    assert "Sums a and b." in tuned.named_predictors()[0][1].prompted().instructions
    assert agent.named_predictors()[0][1].tools["add"].desc == "Add two numbers."
    again = kind("question -> answer: int", [add])
    again.load_state(tuned.dump_state())
    assert again.candidate().steps == tuned.candidate().steps


def test_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="Two tools are called 'add'"):
        ReAct("question -> answer", [add, Tool(add)])


def test_program_of_thought_writes_failing_code_again() -> None:
    script = [
        {"reasoning": "Divide.", "generated_code": "```python\nn / 0\n```"},
        {"reasoning": "Mend.", "generated_code": "print(n * 2)"},
        {"reasoning": "So it is.", "answer": 42},
    ]
    result, lm = run(ProgramOfThought("n: int -> answer: int"), script, n=21)
    assert result.answer == 42
    assert "ZeroDivisionError" in lm.requests[1].messages[-1]["content"]
    assert "42" in lm.requests[2].messages[-1]["content"]


def small(**options: Any) -> PythonInterpreter:
    return PythonInterpreter(**{"time_limit": 120, "memory_limit": 16 * 2**20, **options})


def hasty(**options: Any) -> PythonInterpreter:
    return small(time_limit=0.5, **options)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("while True: pass", "SandboxTimeoutError"),
        ("[i for i in range(10**9)]", "Sandbox"),
        ("open('/etc/passwd').read()", "PermissionError"),
        ("import socket", "ModuleNotFoundError"),
        ("x = 1", "The code gave no result"),
    ],
)
def test_code_that_never_runs_is_a_named_error(code: str, name: str) -> None:
    script = [{"reasoning": "", "generated_code": code}] * 2
    factory = hasty if code == "while True: pass" else small
    with pytest.raises(SandboxError, match="No program ran in 2 tries") as raised:
        run(ProgramOfThought("q -> answer", 2, interpreter_factory=factory), script, q="?")
    assert name in str(raised.value)


def test_code_act_keeps_variables_and_calls_tools() -> None:
    script = [
        {"generated_code": "total = add(2, 3)", "finished": False},
        {"generated_code": "oops", "finished": True},
        {"generated_code": "total * int(n)", "finished": True},
        {"reasoning": "Known.", "answer": 20},
    ]
    result, lm = run(CodeAct("n -> answer: int", [add]), script, n="4")
    assert (result.answer, result.trajectory["code_output_2"]) == (20, "20")
    assert "NameError" in result.trajectory["code_output_1"]
    assert len(lm.requests) == 4


def test_rlm_explores_asks_and_submits_typed_outputs() -> None:
    class Recorder(ScriptedLM):
        pass

    def answer(request: Any) -> Any:
        text = str(request.messages[-1]["content"])
        if len(request.messages) == 1:
            return f"The piece has {len(text)} characters."
        if "(nothing yet)" in text:
            return {
                "reasoning": "Split.",
                "code": "found = llm_query_batched([book[:10], book[-5:]])\nprint(found)",
            }
        if "Step 2" not in text:
            return {"reasoning": "Hand over.", "code": "SUBMIT(kind='poem', length=len(book))"}
        return {"reasoning": "Mend.", "code": "SUBMIT(kind='novel', length=str(len(book)))"}

    lm = Recorder(answer)
    with context(lm=lm):
        result = RLM("book -> kind: Literal['novel', 'letter'], length: int")(book="word " * 40_000)
    assert (result.kind, result.length, result.final_reasoning) == ("novel", 200_000, "Mend.")
    assert "The piece has 10 characters." in result.trajectory["output_0"]
    assert "kind" in result.trajectory["output_1"]
    assert max(len(str(r.messages[-1]["content"])) for r in lm.requests) < 5000


def test_rlm_answers_at_the_limit_and_bounds_its_own_calls() -> None:
    def answer(request: Any) -> Any:
        if len(request.messages) == 1:
            return "ok"
        asked = str(request.messages[-1]["content"]).rsplit("\n\n", 1)[-1]
        if "code" in asked:
            return {"reasoning": "Ask.", "code": "for i in range(9): llm_query(str(i))"}
        return {"reasoning": "Guess.", "answer": "dunno"}

    lm = ScriptedLM(answer)
    with context(lm=lm):
        result = RLM("text -> answer", max_iters=2, max_llm_calls=3)(text="t")
    assert result.answer == "dunno"
    assert "are used up" in result.trajectory["output_0"]
    assert len(lm.requests) == 2 + 3 + 1


Choice = Literal["a", "b"]


def test_steps_have_the_paths_that_saved_programs_know() -> None:
    assert [p for p, _ in ReAct("q -> a", [add]).named_predictors()] == ["react", "extract.predict"]
    assert [p for p, _ in CodeAct("q -> a", [add]).named_predictors()] == ["codeact", "extract.predict"]
    assert [p for p, _ in RLM("q -> a").named_predictors()] == ["generate_action", "extract.predict"]
    assert [p for p, _ in ProgramOfThought("q -> a").named_predictors()] == [
        "code_generate.predict",
        "code_regenerate.predict",
        "generate_output.predict",
    ]
