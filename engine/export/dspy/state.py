"""To DSPy and back: its state file for any program, and its files read here. `dspy_script` writes the program itself.

DSPy's state is JSON by predictor path: demonstrations, instructions, and label and description of every field in
order, without names. Paths are the same on both sides ("route", "solve.predict"). This module does not import DSPy.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from engine.errors import ProgramFileError
from engine.export.program import ProgramFile, program_file, write_text
from engine.modules.predict import reasoning_first
from engine.modules.state import read
from engine.modules.trajectory import TOOLS_LEAD, ToolStep
from engine.pipeline.build import build_program
from engine.pipeline.spec import PipelineSpec

if TYPE_CHECKING:
    from engine.modules.module import Module
    from engine.modules.predict import Predict

JUDGE_PATH = ".reward_fn.rate"
"""The end of the path of a step that rates another's answers; in DSPy's scripts it is next to it, as NAME_judge."""


def dspy_state(program: Module) -> dict[str, Any]:
    """Return a program's wording and demonstrations in the shape of DSPy's state file. No model is in it.

    Raises ProgramFileError for a step that chooses its demonstrations by the input: DSPy's steps show all they have.

    >>> from engine import Predict
    >>> state = dspy_state(Predict("question -> answer"))
    >>> state["signature"]["fields"][0]
    {'prefix': 'Question:', 'description': '${question}'}
    """
    states: dict[str, Any] = {}
    for path, step in program.named_predictors():
        if chooses(step):
            raise ProgramFileError(
                f"The step {path!r} shows each input its {step.nearest} nearest examples, which DSPy's state cannot say. "
                "Export the DSPy script, which can, or json or python."
            )
        if step.reason_first is not None:
            raise ProgramFileError(
                f"The step {path!r} was found to answer better {'with' if step.reason_first else 'without'} reasoning first, "
                "which DSPy's state cannot say. Export the DSPy script, which can, or json or python."
            )
        if step.tuned_adapter is not None:
            raise ProgramFileError(
                f"The step {path!r} was found to answer better in the {step.tuned_adapter} layout, which DSPy's state "
                "cannot say. Export the DSPy script, which can, or json or python."
            )
        states[path] = step_state(step)
    # A program that is one step is saved by DSPy without a path, as that step's state itself.
    return {**states.get("self", states), "metadata": METADATA}


def step_state(step: Predict) -> dict[str, Any]:
    """Return one step's wording and demonstrations as DSPy saves them."""
    saved = step.dump_state()
    return {
        "traces": [],
        "train": [],
        "demos": saved["demos"],
        "signature": {
            # With the tools listed after it, as the model is shown it: DSPy keeps them there.
            "instructions": step.prompted().instructions,
            "fields": [
                {key: words[key] for key in ("prefix", "description")}
                for words in saved["signature"]["fields"].values()
            ],
        },
        "lm": None,
    }


def chooses(step: Predict) -> bool:
    """Return whether a step shows each input the examples nearest to it."""
    return 0 < step.nearest < len(step.demos)


METADATA: dict[str, Any] = {"dependency_versions": {}}
"""DSPy compares the versions it finds here with its own, and warns where they differ."""


def save_dspy(program: Module, path: str | Path) -> None:
    """Write a program's state file for DSPy: `program.load(path)` reads it there, into a program of the same steps."""
    write_text(_json(dspy_state(program)), path)


def state_text(program: ProgramFile) -> str:
    """Return the state file of an exported program."""
    return _json(dspy_state(built(program)))


def import_dspy(
    path: str | Path, spec: PipelineSpec, *, model: Mapping[str, object] | None = None
) -> ProgramFile:
    """Return a state file that DSPy saved as a program file of this pipeline, whose steps it must name.

    Types come from the spec: DSPy does not save them. Raises ProgramFileError for a step that is missing, or when
    a step has another number of fields.
    """
    program = build_program(spec)
    saved = read(Path(path))
    steps = program.named_predictors()
    if len(steps) == 1 and "signature" in saved:
        saved = {steps[0][0]: saved}
    for name, step in steps:
        if (found := _found(saved, name)) is None:
            if not name.endswith(JUDGE_PATH):
                continue  # named by what loads it
            found = step.dump_state()  # DSPy does not save what rates answers
        saved[name] = found
        described = found.get("signature", {})
        if isinstance(step, ToolStep):
            text = described.get("instructions", "")
            described["instructions"] = text.partition(f"\n\n{TOOLS_LEAD}\n- `")[0]
        expected = len(reasoning_first(step.signature, found.get("reason_first")).fields)
        if len(described.get("fields", ())) != expected:
            raise ProgramFileError(
                f"The saved step {name!r} has {len(described.get('fields', ()))} fields and the pipeline's {expected}. "
                "Describe the same fields in the same order."
            )
    program.load_state(saved)
    return program_file(spec, program.candidate("Imported from DSPy."), model=model)


def _found(saved: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """A step's state, also where DSPy's module for it reasons first and the pipeline's does not, or the other way round.

    The predictor that rates a step's answers is next to the step in our scripts.
    """
    at = name if name in saved else sibling_path(name)
    if at in saved:
        return dict(saved[at])
    if f"{at}.predict" in saved:
        return {**saved[f"{at}.predict"], "reason_first": True}
    without = at.removesuffix(".predict")
    return {**saved[without], "reason_first": False} if without in saved else None


def sibling_path(path: str) -> str:
    """Return a path as it is in our scripts: the predictor that rates a step's answers is next to the step."""
    return f"{path.removesuffix(JUDGE_PATH)}_judge" if path.endswith(JUDGE_PATH) else path


def built(program: ProgramFile) -> Module:
    """Return an exported program as it was tuned."""
    return build_program(program.pipeline).with_candidate(program.tuned())


def _json(state: Mapping[str, object]) -> str:
    return orjson.dumps(state, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode() + "\n"
