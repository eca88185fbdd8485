"""Signatures, programs, examples, predictions and errors, pickled here and read in another process."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import cloudpickle
import pytest
from support.peers import dspy_peer

import engine
from engine.errors import AdapterParseError, BudgetExhaustedError, EngineError, UnknownNameError
from engine.testing import ScriptedLM


class Route(engine.Signature):
    """Choose the team that should answer."""

    message: str = engine.InputField()
    team: Literal["billing", "technical"] = engine.OutputField(desc="Who answers.")


class Program(engine.Module):
    """Two steps, one of them with tools."""

    def __init__(self) -> None:
        super().__init__()
        self.route = engine.Predict(Route)
        self.draft = engine.ChainOfThought("message, team -> reply: str", temperature=0.2)
        self.agent = engine.ReAct("question -> answer", tools=[look_up])

    def forward(self, message):
        return self.draft(message=message, team=self.route(message=message).team)


def look_up(word: str) -> str:
    """Look a word up."""
    return word


def tuned() -> Program:
    program = Program()
    program.route.demos = [engine.Example(message="My invoice is wrong", team="billing")]
    program.route.signature = Route.with_instructions("Sort it.").with_updated_fields("team", desc="The team")
    program.set_lm(engine.LM("offline/learner", cache=False))
    return program


READ = """
import pickle, sys
found = pickle.load(open(sys.argv[1], "rb"))
import engine
kind = found if isinstance(found, type) else None
if kind is not None:
    step = engine.Predict(kind)
    print(kind.signature, "|", kind.instructions, "|", kind.annotation(list(kind.output_fields)[-1]))
else:
    print([(path, step.signature.instructions, len(step.demos)) for path, step in found.named_predictors()])
    print(found(message="My invoice is wrong"))
"""


def read_elsewhere(value: object, how: Any, folder: Path) -> str:
    """Return what another process says of a pickled value."""
    file = folder / "value.pkl"
    file.write_bytes(how.dumps(value))
    path = f"import sys; sys.path[:0] = {[str(Path(__file__).parent), str(Path(dspy_peer.__file__).parents[2])]!r}\n"
    done = subprocess.run(
        [sys.executable, "-c", path + READ, str(file)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


SIGNATURES = {
    "text": lambda: engine.Signature("question, k: int -> answers: list[str]", "Be brief."),
    "class": lambda: Route,
    "changed class": lambda: Route.with_instructions("Sort it."),
    "derived": lambda: Route.prepend("reasoning", engine.OutputField(desc="Why")),
    "step's": lambda: engine.ChainOfThought(Route).predict.signature,
}


@pytest.mark.parametrize("how", [pickle, cloudpickle], ids=["pickle", "cloudpickle"])
@pytest.mark.parametrize("name", SIGNATURES)
def test_a_signature_is_read_in_another_process(name: str, how: Any, tmp_path: Path) -> None:
    signature = SIGNATURES[name]()
    again = how.loads(how.dumps(signature))
    assert signature.equals(again)
    assert again.__doc__ == signature.__doc__
    said = read_elsewhere(signature, how, tmp_path)
    assert said.startswith(f"{signature.signature} | {signature.instructions} | ")


def test_a_local_class_goes_by_value(tmp_path: Path) -> None:
    class Local(Route):
        """A local one."""

        note: str = engine.OutputField()

    again = cloudpickle.loads(cloudpickle.dumps(Local))
    assert again.equals(Local)
    assert read_elsewhere(Local, cloudpickle, tmp_path).startswith("message -> team, note | A local one. |")


@pytest.mark.parametrize("how", [pickle, cloudpickle], ids=["pickle", "cloudpickle"])
def test_a_program_with_demos_and_tuned_instructions_runs_in_another_process(
    how: Any, tmp_path: Path
) -> None:
    module = sys.modules[__name__]
    if how is cloudpickle:
        cloudpickle.register_pickle_by_value(module)
    try:
        said = read_elsewhere(tuned(), how, tmp_path)
    finally:
        if how is cloudpickle:
            cloudpickle.unregister_pickle_by_value(module)
    assert "('route', 'Sort it.', 1)" in said
    assert "Prediction(" in said


def test_a_compiled_program_keeps_its_demos(tmp_path: Path) -> None:
    rows = [engine.Example(message=m, team="billing").with_inputs("message") for m in ("a", "b")]
    with engine.context(lm=ScriptedLM([{"team": "billing"}] * 9)):
        program = engine.BootstrapFewShot(lambda e, p, trace=None: e.team == p.team).compile(
            engine.Predict(Route), trainset=rows
        )
    again = pickle.loads(pickle.dumps(program))
    assert len(again.demos) == 2
    assert again.score == program.score
    assert [c["score"] for c in again.candidate_programs] == [c["score"] for c in program.candidate_programs]


def _team(program: Program) -> tuple[str, int]:
    return program.route.signature.instructions, len(program.route.demos)


def test_a_spawned_process_takes_a_program() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_team, (tuned(),)) == ("Sort it.", 1)


def test_examples_and_predictions_come_back_whole() -> None:
    row = engine.Example(question="q", answer="a").with_inputs("question")
    answer = engine.Prediction.from_completions([{"answer": "a"}, {"answer": "b"}])
    answer.set_lm_usage({"small": {"calls": 1}})
    for how in (pickle, cloudpickle):
        assert how.loads(how.dumps(row)).inputs() == row.inputs()
        again = how.loads(how.dumps(answer))
        assert (again.answer, again.completions.answer) == ("a", ["a", "b"])
        assert again.get_lm_usage() == {"small": {"calls": 1}}
        grade = how.loads(how.dumps(engine.Grade(0.5, "Half.", {"style": 0.5})))
        assert (grade, grade.feedback, grade.objective_scores) == (0.5, "Half.", {"style": 0.5})
    assert copy.deepcopy(answer).completions.answer == ["a", "b"]


@pytest.mark.parametrize(
    "error",
    [
        UnknownNameError("metric", "x", ["y"]),
        AdapterParseError("No answer.", reply="Hm.", found={"a": 1}),
        AdapterParseError("Bare", Route, "Hm."),
        engine.LMError("It failed.", model="m", status=500),
        BudgetExhaustedError("No more calls."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_come_back_with_what_they_know(error: EngineError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.args) == (type(error), str(error), error.args)
    assert vars(again) == vars(error)


def test_dspy_pickles_the_same_things(tmp_path: Path) -> None:
    code = """
import cloudpickle, dspy
class Route(dspy.Signature):
    "Choose."
    message: str = dspy.InputField()
    team: str = dspy.OutputField()
again = cloudpickle.loads(cloudpickle.dumps(Route))
text = cloudpickle.loads(cloudpickle.dumps(dspy.Signature("a -> b")))
print(again.instructions, again.signature, text.signature)
"""
    assert dspy_peer.in_dspy(code, tmp_path) == "Choose. message -> team a -> b"
