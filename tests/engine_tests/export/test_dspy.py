"""To DSPy and back: the state's shape, the script, and, where DSPy is installed, the same predictions from one server."""

import hashlib
import json

import orjson
import pytest
from support.dspy_exports import same_in_dspy
from support.run_setup import COLOURS, THINGS

import engine
from engine.errors import ProgramFileError
from engine.export.dspy_script import dspy_script, dspy_state, import_dspy, save_dspy, state_text
from engine.export.program import program_file
from engine.pipeline.build import build_program
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.records import Demo

SPEC = PipelineSpec(
    steps=(
        StepSpec(
            name="read",
            strategy="chain_of_thought",
            instructions="Find the thing.",
            inputs=(FieldSpec(name="text", description="What to read"),),
            outputs=(FieldSpec(name="thing"),),
        ),
        StepSpec(
            name="sort",
            inputs=(FieldSpec(name="thing"),),
            outputs=(FieldSpec(name="shelf", choices=COLOURS), FieldSpec(name="count", type="int")),
        ),
    )
)
ROWS = [f"an old {thing}" for thing in THINGS]


def tuned():
    candidate = build_program(SPEC).candidate()
    demos = tuple(
        Demo({"thing": t, "shelf": COLOURS[i % 3], "count": i}, augmented=bool(i % 2))
        for i, t in enumerate(THINGS[:3])
    )
    changes = {"instructions": 'Sort "it"\nby ZEBRA \\ @STATE@ é.', "demos": demos}
    candidate = candidate.with_step("sort", **changes)
    return candidate.with_step("read.predict", instructions="Find the ZEBRA thing.")


def content(model=None):
    return program_file(SPEC, tuned(), model=model)


def answer(body):
    """Answers that depend on what was tuned: the instruction, the demonstrations, the descriptions, the input."""
    system = body["messages"][0]["content"]
    said = "ZEBRA" in system, "What to read" in system, len(body["messages"])
    asked = body["messages"][-1]["content"].split("[[ ## ")[1].partition(" ## ]]")
    value = asked[2].strip().splitlines()[0]
    number = int(hashlib.sha256(repr((said, value)).encode()).hexdigest(), 16)
    if asked[0] == "text":
        parts = {"reasoning": "It says so.", "thing": f"{value.split()[-1]} {number % 7}"}
    else:
        parts = {"shelf": COLOURS[number % 3], "count": str(number % 100)}
    return "\n\n".join([f"[[ ## {k} ## ]]\n{v}" for k, v in parts.items()] + ["[[ ## completed ## ]]"])


def test_the_state_has_the_shape_of_dspys():
    state = json.loads(state_text(content()))
    assert list(state) == ["read.predict", "sort", "metadata"]
    for path in ("read.predict", "sort"):
        assert list(state[path]) == ["traces", "train", "demos", "signature", "lm"]
    assert state["read.predict"]["signature"] == {
        "instructions": "Find the ZEBRA thing.",
        "fields": [
            {"prefix": "Text:", "description": "What to read"},
            {
                "prefix": "Reasoning:",
                "description": state["read.predict"]["signature"]["fields"][1]["description"],
            },
            {"prefix": "Thing:", "description": "${thing}"},
        ],
    }
    assert state["sort"]["demos"][1] == {"thing": "chair", "shelf": "green", "count": 1, "augmented": True}
    assert state["metadata"] == {"dependency_versions": {}}


def test_a_step_on_its_own_is_saved_without_a_path(tmp_path):
    step = engine.Predict("question -> answer")
    step.demos = [engine.Example(question="a", answer="b")]
    save_dspy(step, tmp_path / "step.json")
    assert list(json.loads((tmp_path / "step.json").read_text())) == [*list(dspy_state(step))[:5], "metadata"]
    again = engine.Predict("question -> answer")
    again.load(tmp_path / "step.json")
    assert [dict(d) for d in again.demos] == [{"question": "a", "answer": "b"}]


def test_the_script_is_python_and_holds_the_state():
    script = dspy_script(content({"name": "openai/x", "key_env": "MY_KEY", "base_url": "http://h/v1"}))
    compile(script, "program_dspy.py", "exec")
    names = {}
    exec(script[script.index("WIRING =") : script.index("class Program")], names)
    assert {**names["STATE"], "metadata": {"dependency_versions": {}}} == orjson.loads(state_text(content()))
    assert "'key_env': 'MY_KEY'" in script
    assert "Literal['red', 'green', 'blue']" in script


def test_a_type_cannot_smuggle_code_into_the_script():
    spec = PipelineSpec(
        steps=(
            StepSpec(
                inputs=(FieldSpec(name="x", type="str # \nimport os"),), outputs=(FieldSpec(name="answer"),)
            ),
        )
    )
    with pytest.raises(engine.EngineError):
        dspy_script(program_file(spec, build_program(SPEC).candidate()))


def test_what_a_state_cannot_say_is_refused_by_name_and_the_script_is_named():
    near = program_file(SPEC, tuned().with_step("sort", nearest=1))
    with pytest.raises(ProgramFileError, match=r"'sort' shows each input its 1 nearest.*the DSPy script"):
        state_text(near)
    reasons = program_file(SPEC, tuned().with_step("sort", reason_first=True))
    with pytest.raises(ProgramFileError, match=r"'sort' was found to answer better with.*the DSPy script"):
        state_text(reasons)


def test_what_dspy_saved_becomes_a_program_file(tmp_path):
    (tmp_path / "state.json").write_text(state_text(content()))
    read = import_dspy(tmp_path / "state.json", SPEC, model={"name": "offline/learner"})
    assert read.candidate.steps == tuned().steps
    state = json.loads(state_text(content()))
    state["sort"]["signature"]["fields"].pop()
    (tmp_path / "short.json").write_text(json.dumps(state))
    with pytest.raises(ProgramFileError, match="'sort' has 2 fields and the pipeline's 3"):
        import_dspy(tmp_path / "short.json", SPEC)
    del state["sort"]
    (tmp_path / "missing.json").write_text(json.dumps(state))
    with pytest.raises(ProgramFileError, match="no step 'sort'"):
        import_dspy(tmp_path / "missing.json", SPEC)


def test_dspy_gives_the_same_predictions_and_its_file_loads_here(tmp_path):
    same_in_dspy(content(), answer, [{"text": row} for row in ROWS], ["shelf", "count", "thing"], tmp_path)
    plain = build_program(SPEC)
    plain.load(tmp_path / "saved_by_dspy.json")
    assert plain.candidate().steps == tuned().steps
