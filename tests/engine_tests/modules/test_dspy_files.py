"""State files both ways: what DSPy saved is read here, what is saved here is read by DSPy, and a pickle by nobody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.peers.dspy_peer import in_dspy

import engine
from engine.errors import ProgramFileError
from engine.testing import ScriptedLM


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Program(engine.Module):
    """A step, a chain of thought and two agents."""

    def __init__(self) -> None:
        super().__init__()
        self.sort = engine.Predict("message -> team: str")
        self.draft = engine.ChainOfThought("message, team -> reply")
        self.agent = engine.ReAct("question -> answer", tools=[add])
        self.coder = engine.CodeAct("question -> answer", tools=[add])


THERE = '''
import dspy, json
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b
class Program(dspy.Module):
    def __init__(self):
        super().__init__()
        self.sort = dspy.Predict("message -> team: str")
        self.draft = dspy.ChainOfThought("message, team -> reply")
        self.agent = dspy.ReAct("question -> answer", tools=[add])
        self.coder = dspy.CodeAct("question -> answer", tools=[add])
'''


def tuned() -> Program:
    program = Program()
    program.sort.demos = [engine.Example(message="My invoice", team="billing")]
    program.sort.signature = program.sort.signature.with_instructions("Sort it.").with_updated_fields(
        "team", desc="Who answers."
    )
    program.agent.react.signature = program.agent.react.signature.with_instructions("Use the tools.")
    program.sort.config = {"temperature": 0.5}
    return program


def test_what_is_saved_here_is_read_by_dspy(tmp_path: Path) -> None:
    tuned().save(tmp_path / "state.json")
    code = f"""{THERE}
program = Program()
program.load("state.json")
print(json.dumps({{
    "sort": program.sort.signature.instructions,
    "team": program.sort.signature.output_fields["team"].json_schema_extra["desc"],
    "demo": dict(program.sort.demos[0]),
    "config": program.sort.config,
    "tools": program.agent.react.signature.instructions,
    "steps": [name for name, _ in program.named_predictors()],
}}))
"""
    found = json.loads(in_dspy(code, tmp_path))
    assert (found["sort"], found["team"]) == ("Sort it.", "Who answers.")
    assert found["demo"] == {"message": "My invoice", "team": "billing"}
    assert found["config"] == {"temperature": 0.5}
    assert found["tools"].startswith("Use the tools.")
    assert found["tools"].count("Add two numbers.") == 1
    assert "coder.extractor.predict" in found["steps"]


def test_a_single_step_is_read_by_dspy(tmp_path: Path) -> None:
    step = engine.Predict(engine.Signature("question -> answer", "Be brief."))
    step.save(tmp_path / "step.json")
    code = "import dspy\nstep = dspy.Predict('question -> answer')\nstep.load('step.json')\nprint(step.signature.instructions)"
    assert in_dspy(code, tmp_path) == "Be brief."


def prompt(step: engine.Predict) -> str:
    return step.prompted().instructions


def test_what_dspy_saved_is_read_here_with_the_tools_once(tmp_path: Path) -> None:
    code = f"""{THERE}
program = Program()
program.sort.signature = program.sort.signature.with_instructions("Sorted there.")
program.coder.extractor.predict.signature = program.coder.extractor.predict.signature.with_instructions("Extract there.")
program.save("theirs.json")
print("saved")
"""
    assert in_dspy(code, tmp_path) == "saved"
    program = Program()
    program.load(tmp_path / "theirs.json")
    assert program.sort.signature.instructions == "Sorted there."
    assert program.coder.extract.predict.signature.instructions == "Extract there."
    for step in (program.agent.react, program.coder.codeact):
        assert prompt(step).count("Add two numbers.") == 1
        assert "You are an" in prompt(step)
    assert prompt(program.agent.react).count("`finish`:") == 1


def test_what_dspys_rlm_saved_is_read_here(tmp_path: Path) -> None:
    code = """
import dspy
program = dspy.RLM("text, question -> count: int")
program.generate_action.signature = program.generate_action.signature.with_instructions("Explore it.")
program.extract.signature = program.extract.signature.with_instructions("Answer from it.")
program.save("rlm.json")
print("saved")
"""
    assert in_dspy(code, tmp_path) == "saved"
    program = engine.RLM("text, question -> count: int")
    program.load(tmp_path / "rlm.json")
    assert program.generate_action.signature.instructions == "Explore it."
    extract = program.extract.predict.signature
    assert extract.instructions == "Answer from it."
    assert extract.description("trajectory") == "What was done and found out"


def test_what_is_saved_here_comes_back_the_same(tmp_path: Path) -> None:
    tuned().save(tmp_path / "state.json")
    program = Program()
    program.load(tmp_path / "state.json")
    assert program.candidate().id == tuned().candidate().id
    assert program.dump_state() == tuned().dump_state()


def test_a_state_with_fields_by_name_is_read_as_before() -> None:
    """The form that files had until they could be read by DSPy too."""
    saved: dict[str, Any] = {
        "demos": [],
        "signature": {
            "instructions": "Saved long ago.",
            "fields": {"b": {"prefix": "B:", "description": "About b.", "type": "str"}},
        },
        "config": {},
        "lm": None,
    }
    step = engine.Predict("a -> b")
    step.load_state(saved)
    assert (step.signature.instructions, step.signature.description("b")) == ("Saved long ago.", "About b.")


def test_a_pickle_and_a_folder_say_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "program.pkl").write_bytes(b"\x80\x05.")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "program.pkl").write_bytes(b"\x80\x05.")
    step = engine.Predict("a -> b")
    for name, what in (("program.pkl", "a pickle"), ("folder", "a folder with a pickle")):
        with pytest.raises(ProgramFileError, match=f"is {what}, and pickled programs .* program.save"):
            step.load(tmp_path / name)
        with pytest.raises(ProgramFileError, match=f"is {what}, and pickled programs .* program.save"):
            engine.load(tmp_path / name, allow_pickle=True)
        with pytest.raises(ProgramFileError, match="pickled programs"):
            engine.Predict("a -> b").load(tmp_path / name, allow_pickle=True, allow_unsafe_lm_state=True)


def picture(name: str) -> engine.Image:
    """Return a picture."""
    return engine.Image(url=f"https://example.com/{name}.png")


def pictures() -> list[engine.Image]:
    """Return two pictures."""
    return [picture("a"), picture("b")]


def counts(word: str) -> dict[str, list[int]]:
    """Return numbers."""
    return {word: [1, 2]}


def act(tool: str, **args: object) -> dict[str, object]:
    return {"next_thought": "Go.", "next_tool_name": tool, "next_tool_args": args}


def test_an_agent_keeps_what_tools_return_and_shows_pictures_to_the_model() -> None:
    replies = [act("picture", name="a"), act("pictures"), act("counts", word="x"), act("finish")]
    lm = ScriptedLM([*replies, {"reasoning": "Seen.", "answer": "A cat."}])
    with engine.context(lm=lm):
        found = engine.ReAct("question -> answer", tools=[picture, pictures, counts])(question="What is it?")
    assert found.trajectory["observation_0"] == picture("a")
    assert found.trajectory["observation_1"] == pictures()
    assert found.trajectory["observation_2"] == {"x": [1, 2]}
    asked = [request.messages[-1]["content"] for request in lm.requests]
    assert isinstance(asked[0], str)
    urls = [
        [part["image_url"]["url"][20:] for part in content if part["type"] == "image_url"]
        for content in asked[1:]
    ]
    assert urls == [["a.png"], *[["a.png", "a.png", "b.png"]] * 3]
    assert "Image(" not in str(asked)
    text = "".join(part.get("text", "") for part in asked[-1])
    assert 'Observation: {"x":[1,2]}' in text
    assert text.index("Observation: Image") < text.index("Observation: Image, Image")


def test_a_trace_with_pictures_is_saved_as_text() -> None:
    replies = [act("picture", name="a"), act("finish"), {"reasoning": "Seen.", "answer": "A cat."}]
    row = engine.Example(question="What is it?", answer="A cat.").with_inputs("question")
    with engine.context(lm=ScriptedLM(replies * 3)):
        tuned = engine.BootstrapFewShot(lambda e, p, trace=None: e.answer == p.answer).compile(
            engine.ReAct("question -> answer", tools=[picture]), trainset=[row]
        )
    demo = tuned.extract.predict.demos[0]
    assert demo["trajectory"].startswith("Step 1\nThought: Go.\nTool name: picture")
