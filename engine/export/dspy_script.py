"""The script that builds an exported program with DSPy and answers from the command line: one file, with all that was tuned.

What DSPy has no module for (a search over passages, a call of a tool, branches, lists) the script brings itself; its
pieces stand in `dspy_parts`. This module does not import DSPy.
"""

from __future__ import annotations

import ast
import pprint
import re
from collections.abc import Iterable
from typing import Any

from engine.errors import ProgramFileError
from engine.export.dspy import JUDGE_PATH, built, dspy_state
from engine.export.dspy_parts import ADAPTERS, CALLING, CODE, SCRIPT, SEARCHING, TOOL_CODE
from engine.export.json import ModelFile, ProgramFile
from engine.modules.module import Module
from engine.pipeline.corpora import searches
from engine.pipeline.spec import FieldSpec, StepSpec
from engine.pipeline.strategies import TOOLS
from engine.records import json_value
from engine.retrieval.bm25 import FUNCTION_WORDS

CLASSES = {
    "predict": "Predict",
    "chain_of_thought": "ChainOfThought",
    "best_of_n": "BestOfN",
    "refine": "Refine",
}
"""Strategy -> DSPy's class, where nothing of our own is needed beside it."""


def dspy_script(program: ProgramFile) -> str:
    """Return a Python script that builds the exported program with DSPy and answers from the command line.

    It holds the state and the passages that are searched, so it is one file. Raises ProgramFileError, naming the step,
    for what DSPy cannot do.
    """
    steps = program.pipeline.steps
    made = built(program)
    state = dspy_state(made)
    texts = {
        "TITLE": " ".join(str(program.metadata.get("title") or "A program tuned with Tuneboard").split())
        .replace("\\", "/")
        .replace('"', "'"),
        "PARTS": "".join(_parts(steps)),
        "SIGNATURES": "\n\n".join(_signatures(steps)),
        "STEPS": "\n".join(line for step in steps for line in _step(step, made)),
        "REWARDS": "".join(_reward(step) for step in steps if step.strategy in ("best_of_n", "refine")),
        "WIRING": _literal({s.name: [f.name for f in s.inputs] for s in steps}),
        "MAKES": _literal({s.name: [f.name for f in s.makes] for s in steps}),
        "WHEN": _literal(
            {s.name: [s.when.field, list(s.when.values), s.when.negated] for s in steps if s.when}
        ),
        "EACH": _literal({s.name: [s.each.field, s.each.item] for s in steps if s.each}),
        "LAYOUTS": _literal({s.name: ADAPTERS[s.adapter] for s in steps if s.adapter}),
        "STATE": _literal({_beside(path): value for path, value in state.items() if path != "metadata"}),
        "MODEL": _literal(_model(program.model)),
        "ADAPTER": repr(ADAPTERS[program.adapter]),
        "INPUTS": repr([f.name for f in program.pipeline.inputs]),
        "PLAIN": repr([f.name for f in program.pipeline.inputs if f.type == "str"]),
        "OUTPUTS": repr([f.name for f in program.pipeline.outputs]),
    }
    # In one pass: a text may itself hold something that looks like a mark.
    return re.sub(r"@([A-Z]+)@", lambda mark: texts[mark[1]], SCRIPT)


def _beside(path: str) -> str:
    """A path as it is in the script: what rates a step's answers stands beside the step."""
    return f"{path.removesuffix(JUDGE_PATH)}_judge" if path.endswith(JUDGE_PATH) else path


def _parts(steps: Iterable[StepSpec]) -> Iterable[str]:
    """What the script needs of its own for these steps."""
    if any(map(searches, steps)):
        yield SEARCHING.replace("@FUNCTION_WORDS@", _literal(" ".join(sorted(FUNCTION_WORDS))))
    for step in steps:
        if searches(step):
            yield f"\n{step.name.upper()}_PASSAGES = {_literal(list(_passages(step)))}\n\n"
    tools = {t for s in steps if s.strategy in ("react", "tool") for t in s.options.tools}
    for tool in sorted(tools & TOOL_CODE.keys()):
        yield TOOL_CODE[tool]
    if any(s.strategy == "tool" for s in steps):
        yield CALLING
    if any(s.strategy == "program_of_thought" for s in steps):
        yield CODE


def _passages(step: StepSpec) -> tuple[str, ...]:
    options = step.options
    if options.retriever == "embeddings":
        raise ProgramFileError(
            f"The step {step.name!r} searches by meaning, for which DSPy needs an embedding model of its own. "
            "Let it search by words (bm25), or export it as json or python."
        )
    if not options.corpus.passages:
        raise ProgramFileError(
            f"The step {step.name!r} searches {options.corpus.file!r}, which is too large to be written into a script. "
            "Export it as json or python."
        )
    return options.corpus.passages


def _signatures(steps: Iterable[StepSpec]) -> Iterable[str]:
    for step in steps:
        if step.strategy not in ("retrieve", "tool"):
            sides = (("InputField", step.inputs), ("OutputField", step.answers))
            yield _signature(step.name, [(f, f"dspy.{side}()") for side, some in sides for f in some])
        if step.strategy in ("best_of_n", "refine"):
            rated = [(f, "dspy.InputField()") for f in (*step.inputs, *step.answers)]
            given = (FieldSpec(name="explanation"), FieldSpec(name="score", type="float"))
            fields = [*rated, (given[0], "dspy.OutputField()"), (given[1], "dspy.OutputField(ge=0, le=1)")]
            yield _signature(f"{step.name}_judge", fields)


def _signature(name: str, fields: Iterable[tuple[FieldSpec, str]]) -> str:
    body = "\n".join(f"    {f.name!r}: ({_type(f)}, {side})," for f, side in fields)
    return f"{name.upper()} = dspy.Signature({{\n{body}\n}})"


def _step(step: StepSpec, program: Module) -> Iterable[str]:
    """The lines that make a step in the program's constructor."""
    name, options = step.name, step.options
    upper, output = name.upper(), next(iter(step.answers))
    if step.strategy in ("predict", "chain_of_thought"):
        yield f"        self.{name} = dspy.{CLASSES[step.strategy]}({upper})"
    elif step.strategy in ("best_of_n", "refine"):
        yield f"        self.{name}_judge = dspy.Predict({upper}_JUDGE)"
        yield f"        self.{name} = dspy.{CLASSES[step.strategy]}("
        yield f"            dspy.ChainOfThought({upper}), {options.tries}, self.rate_{name}, {options.threshold!r}"
        yield "        )"
    elif step.strategy == "react":
        described = {n: t.desc for n, t in getattr(program, name).tools.items()}
        tools = "".join(
            f"\n            dspy.Tool({_tool(step, t)}, name={t!r}, desc={described[t]!r}),"
            for t in dict.fromkeys(options.tools)
        )
        yield f"        self.{name} = dspy.ReAct({upper}, [{tools}\n        ], max_iters={options.max_iters or 10})"
    elif step.strategy == "program_of_thought":
        yield f"        self.{name} = WithInputs({upper}, max_iters={options.max_iters or 3})"
    elif step.strategy == "retrieve":
        listed = _type(output) != "str"
        yield f"        self.{name} = Search({upper}_PASSAGES, {options.k}, {output.name!r}, listed={listed})"
    else:
        tool = dict.fromkeys(options.tools)
        yield f"        self.{name} = Call({_tool(step, next(iter(tool)))}, {output.name!r}, {_type(output)})"


def _tool(step: StepSpec, tool: str) -> str:
    if tool == "search":
        return f"search_in({step.name.upper()}_PASSAGES, {step.options.k})"
    if tool not in TOOL_CODE or tool not in TOOLS:
        raise ProgramFileError(
            f"The step {step.name!r} calls the tool {tool!r}, which cannot be exported to DSPy. Tools that can: "
            f"{', '.join([*TOOL_CODE, 'search'])}."
        )
    return "run_python" if tool == "python" else tool


def _reward(step: StepSpec) -> str:
    given = ", ".join(f"{f.name}=answer[{f.name!r}]" for f in step.answers)
    return (
        f"\n    def rate_{step.name}(self, args, answer):\n"
        f"        return float(self.{step.name}_judge(**args, {given}).score)\n"
    )


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
