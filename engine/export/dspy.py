"""To DSPy and back: its state file for any program, a script that builds a pipeline there, and its files read here.

DSPy's state is JSON by predictor path: demonstrations, instructions, and label and description of every field in
order, without names. Paths are the same on both sides ("route", "solve.predict"). This module does not import DSPy.
"""

from __future__ import annotations

import ast
import pprint
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from engine.errors import ProgramFileError
from engine.export.json import ModelFile, ProgramFile, program_file, write_text
from engine.modules.state import read
from engine.pipeline.build import build_program
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.records import json_value

if TYPE_CHECKING:
    from engine.modules.module import Module

CLASSES = {"predict": "Predict", "chain_of_thought": "ChainOfThought"}
"""Strategy -> DSPy's class for it."""


ADAPTERS = {
    "chat": "dspy.ChatAdapter()",
    "json": "dspy.JSONAdapter()",
    "xml": "dspy.XMLAdapter()",
    "two_step": "dspy.TwoStepAdapter(lm)",
}
"""Adapter -> DSPy's, as the script writes it."""


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
        if 0 < step.nearest < len(step.demos):
            raise ProgramFileError(
                f"The step {path!r} shows each input its {step.nearest} nearest examples, which DSPy's state cannot say. "
                "Export it as json or python, or tune with another optimizer."
            )
        if step.reason_first is not None:
            raise ProgramFileError(
                f"The step {path!r} was found to answer better {'with' if step.reason_first else 'without'} reasoning first, "
                "which DSPy's state cannot say. Export it as json or python."
            )
        saved = step.dump_state()
        states[path] = {
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
    # A program that is one step is saved by DSPy without a path, as that step's state itself.
    return {**states.get("self", states), "metadata": METADATA}


METADATA: dict[str, Any] = {"dependency_versions": {}}
"""DSPy compares the versions it finds here with its own, and warns where they differ."""


def save_dspy(program: Module, path: str | Path) -> None:
    """Write a program's state file for DSPy: `program.load(path)` reads it there, into a program of the same steps."""
    write_text(_json(dspy_state(program)), path)


def state_text(program: ProgramFile) -> str:
    """Return the state file of an exported program."""
    return _json(dspy_state(_built(program)))


def import_dspy(
    path: str | Path, spec: PipelineSpec, *, model: Mapping[str, Any] | None = None
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
        fields = (saved.get(name) or {}).get("signature", {}).get("fields", ())
        if name in saved and len(fields) != len(step.signature.fields):
            raise ProgramFileError(
                f"The saved step {name!r} has {len(fields)} fields and the pipeline's {len(step.signature.fields)}. "
                "Describe the same fields in the same order."
            )
    program.load_state(saved)
    return program_file(spec, program.candidate("Imported from DSPy."), model=model)


def dspy_script(program: ProgramFile) -> str:
    """Return a Python script that builds the exported program with DSPy and answers from the command line.

    It holds the state, so it is one file. Raises ProgramFileError for a step that DSPy has no counterpart of.
    """
    state = dspy_state(_built(program))
    texts = {
        "TITLE": " ".join(str(program.metadata.get("title") or "A program tuned with Tuneboard").split())
        .replace("\\", "/")
        .replace('"', "'"),
        "SIGNATURES": "\n\n".join(_signature(step) for step in program.pipeline.steps),
        "STEPS": "\n".join(_step(step) for step in program.pipeline.steps),
        "WIRING": _literal({s.name: [f.name for f in s.inputs] for s in program.pipeline.steps}),
        "STATE": _literal({path: value for path, value in state.items() if path != "metadata"}),
        "MODEL": _literal(_model(program.model)),
        "ADAPTER": ADAPTERS[program.adapter],
        "INPUTS": repr([f.name for f in program.pipeline.inputs]),
        "OUTPUTS": repr([f.name for f in program.pipeline.outputs]),
    }
    # In one pass: a text may itself hold something that looks like a mark.
    return re.sub(r"@([A-Z]+)@", lambda mark: texts[mark[1]], _SCRIPT)


def _built(program: ProgramFile) -> Module:
    for step in program.pipeline.steps:
        if step.adapter not in (None, program.adapter):
            raise ProgramFileError(
                f"The step {step.name!r} has a message layout of its own ({step.adapter}), and DSPy has one for all steps. "
                "Export it as json or python."
            )
        if step.strategy not in CLASSES:
            raise ProgramFileError(
                f"The step {step.name!r} ({step.strategy}) cannot be exported to DSPy. Steps that can: {', '.join(CLASSES)}."
            )
    return build_program(program.pipeline).with_candidate(program.tuned())


def _signature(step: StepSpec) -> str:
    sides = (("InputField", step.inputs), ("OutputField", step.outputs))
    fields = [f"    {f.name!r}: ({_type(f)}, dspy.{side}())," for side, some in sides for f in some]
    body = "\n".join(fields)
    return f"{step.name.upper()} = dspy.Signature({{\n{body}\n}})"


def _step(step: StepSpec) -> str:
    return f"        self.{step.name} = dspy.{CLASSES[step.strategy]}({step.name.upper()})"


def _type(spec: FieldSpec) -> str:
    """Return a field's type as source: parsed and written anew, so that nothing but a type can be in it."""
    if spec.choices:
        optional = spec.type.startswith("Optional") or spec.type.endswith("| None")
        return f"Literal[{', '.join(map(repr, spec.choices))}]{' | None' if optional else ''}"
    return ast.unparse(_DSPyNames().visit(ast.parse(spec.type.strip(), mode="eval")))


class _DSPyNames(ast.NodeTransformer):
    """Types that DSPy keeps under its own name, such as Image."""

    names = frozenset({"Audio", "Code", "File", "History", "Image", "Reasoning", "Tool", "ToolCalls"})

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return (
            ast.Attribute(ast.Name("dspy", ast.Load()), node.id, ast.Load())
            if node.id in self.names
            else node
        )

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        return node


def _model(model: ModelFile | None) -> dict[str, Any] | None:
    if model is None or model.name.startswith("offline/"):
        return None
    name = f"hosted_{model.name}" if model.name.startswith("vllm/") else model.name
    chosen = {
        "model": name,
        "api_base": model.base_url,
        "key_env": model.key_env,
        "temperature": model.temperature,
        "max_tokens": model.max_tokens,
    }
    return {key: value for key, value in chosen.items() if value is not None}


def _literal(value: Any) -> str:
    return pprint.pformat(json_value(value), width=100, sort_dicts=False)


def _json(state: Mapping[str, Any]) -> str:
    return orjson.dumps(state, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode() + "\n"


_SCRIPT = '''\
"""@TITLE@. The program for DSPy.

    pip install dspy
    python program_dspy.py --help
"""

import argparse
import datetime
import json
import os
import typing
from typing import *  # noqa: F403 - the types of the fields

import dspy

MODEL = @MODEL@
INPUTS = @INPUTS@
OUTPUTS = @OUTPUTS@

@SIGNATURES@

WIRING = @WIRING@

STATE = @STATE@


class Program(dspy.Module):
    def __init__(self):
        super().__init__()
@STEPS@

    def forward(self, **inputs):
        values, made = dict(inputs), {}
        for name, needs in WIRING.items():
            answer = getattr(self, name)(**{need: values[need] for need in needs if need in values})
            made.update(answer.items())
            values.update(answer.items())
        return dspy.Prediction(**made)


def load():
    """Return the tuned program."""
    program = Program()
    program.load_state(STATE)
    return program


def use_model(name=None):
    """Set the model and the adapter; the key is read from the environment."""
    settings = dict(MODEL or {})
    if name:
        settings["model"] = name
    if "model" not in settings:
        raise SystemExit("Give a model: --model openai/gpt-4o-mini")
    key = os.environ.get(settings.pop("key_env", ""))
    if key:
        settings["api_key"] = key
    lm = dspy.LM(**settings)
    dspy.configure(lm=lm, adapter=@ADAPTER@)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="another model than the one it was tuned with")
    for name in INPUTS:
        parser.add_argument("--" + name.replace("_", "-"), dest=name, required=True)
    given = vars(parser.parse_args())
    use_model(given.pop("model"))
    answer = load()(**given)
    print(json.dumps({name: answer[name] for name in OUTPUTS}, default=str, ensure_ascii=False))


if __name__ == "__main__":
    main()
'''
