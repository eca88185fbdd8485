"""To DSPy and back: its state file for any program, its files read here, and a script that builds the program there.

DSPy's state is JSON by predictor path: demonstrations, instructions, and label and description of every field in
order, without names. Paths are the same on both sides ("route", "solve.predict"). What DSPy has no module for (a
search over passages, examples chosen by the input, a call of a tool, branches, lists) the script brings itself; its
pieces are in `dspy_parts`. This module does not import DSPy.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.basics.data import JsonObject, Values
from engine.basics.home import write_whole
from engine.errors import EngineError, ProgramFileError
from engine.export.dspy_parts import (
    ADAPTERS,
    CALLING,
    CODE,
    NEAREST,
    SCRIPT,
    SEARCH_TOOL,
    SEARCHING,
    TOOL_CODE,
)
from engine.export.formats import ExportFormat
from engine.export.program import ProgramFile, json_text, literal, program_file, quotable
from engine.export.weights import portable
from engine.lm.choice import ModelChoice, is_offline
from engine.modules.module import Module
from engine.modules.state import read
from engine.modules.step import FIELD, Step, reasoning_first
from engine.pipeline.build import build_program
from engine.pipeline.corpora import searches
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.pipeline.strategies import TOOLS
from engine.signature.grammar import type_text

JUDGE_PATH = ".reward_fn.rate"
"""The end of the path of a step that rates another's answers; in DSPy's scripts it is next to it, as NAME_judge."""


def dspy_state(program: Module) -> dict[str, object]:
    """Return a program's wording and demonstrations in the shape of DSPy's state file. No model is in it.

    Raises ProgramFileError for a step that chooses its demonstrations by the input: DSPy's steps show all they have.

    >>> from engine import Predict
    >>> state = dspy_state(Predict("question -> answer"))
    >>> state["signature"]["fields"][0]
    {'prefix': 'Question:', 'description': '${question}'}
    """
    states: JsonObject = {}
    for path, step in program.named_predictors():
        unlike = ""
        if chooses(step):
            unlike = f"shows each input its {step.nearest} nearest examples"
        elif step.reason_first is not None:
            unlike = (
                f"was found to answer better {'with' if step.reason_first else 'without'} reasoning first"
            )
        elif step.tuned_adapter is not None:
            unlike = f"was found to answer better in the {step.tuned_adapter} layout"
        if unlike:
            raise ProgramFileError(
                f"The step {path!r} {unlike}, which DSPy's state cannot say. "
                "Export the DSPy script, which can, or json or python."
            )
        states[path] = step_state(step)
    # A program that is one step is saved by DSPy without a path, as that step's state itself.
    return {**states.get("self", states), "metadata": METADATA}


def step_state(step: Step) -> JsonObject:
    """Return one step's wording and demonstrations as DSPy saves them."""
    saved = step.dump_state()
    return {
        "traces": [],
        "train": [],
        "demos": saved["demos"],
        "signature": {
            "instructions": saved["signature"]["instructions"],
            "fields": [
                {key: words[key] for key in ("prefix", "description")}
                for words in saved["signature"]["fields"]
            ],
        },
        "lm": None,
    }


def chooses(step: Step) -> bool:
    """Return whether a step shows each input the examples nearest to it."""
    return 0 < step.nearest < len(step.demos)


METADATA: JsonObject = {"dependency_versions": {}}
"""DSPy compares the versions it finds here with its own, and warns where they differ."""


def save_dspy(program: Module, path: str | Path) -> None:
    """Write a program's state file for DSPy: `program.load(path)` reads it there, into a program of the same steps."""
    write_whole(Path(path), json_text(dspy_state(program)).encode())


def state_text(program: ProgramFile) -> str:
    """Return the state file of an exported program."""
    return json_text(dspy_state(built(program)))


def import_dspy(
    path: str | Path, spec: PipelineSpec, *, model: Mapping[str, object] | None = None
) -> ProgramFile:
    """Return a state file that DSPy saved as a program file of this pipeline, whose steps it must name.

    Types come from the spec: DSPy does not save them. Raises ProgramFileError for a step that is missing, or when
    a step has another number of fields.
    """
    program = build_program(spec)
    try:
        _take_over(program, read(Path(path)))
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, EngineError):
            raise
        raise ProgramFileError(f"The saved program {Path(path).name!r} is damaged: {error!r}.") from error
    return program_file(spec, program.candidate("Imported from DSPy."), model=model)


def _take_over(program: Module, saved: JsonObject) -> None:
    """Put a state that DSPy saved into a program, under the program's own names of its steps."""
    steps = program.named_predictors()
    if len(steps) == 1 and "signature" in saved:
        saved = {steps[0][0]: saved}
    for name, step in steps:
        if (state := _saved_step(saved, name)) is None:
            if not name.endswith(JUDGE_PATH):
                continue  # named by what loads it
            state = step.dump_state()  # DSPy does not save what rates answers
        saved[name] = state
        described = state.get("signature", {})
        expected = len(reasoning_first(step.signature, state.get("reason_first")).fields)
        if len(described.get("fields", ())) != expected:
            raise ProgramFileError(
                f"The saved step {name!r} has {len(described.get('fields', ()))} fields and the pipeline's {expected}. "
                "Describe the same fields in the same order."
            )
    program.load_state(saved)


def _saved_step(saved: Values, name: str) -> JsonObject | None:
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
    return build_program(program.pipeline).with_candidate(program.candidate)


RATED = {"best_of_n": "BestOfN", "refine": "Refine"}
"""Strategy -> DSPy's class, of those that rate their answers."""


def dspy_script(program: ProgramFile) -> str:
    """Return a Python script that builds the exported program with DSPy and answers from the command line.

    It holds the state and the passages that are searched, so it is one file. Raises ProgramFileError, naming the step,
    for what DSPy cannot do.
    """
    steps = program.pipeline.steps
    tuned = built(program)
    placed = list(_placed(program, tuned))
    parts = list(_code_parts(steps, placed))
    texts = {
        "TITLE": quotable(program.title),
        "NEEDS": "dspy tuneboard" if {SEARCHING, NEAREST} & {*parts} else "dspy",
        "PARTS": "".join(parts),
        "SIGNATURES": "\n\n".join(_signatures(steps)),
        "STEPS": "\n".join(line for step in steps for line in _step(step, tuned, placed)),
        "REWARDS": "".join(_reward(step) for step in steps if step.strategy in ("best_of_n", "refine")),
        "WIRING": literal({s.name: [f.name for f in s.inputs] for s in steps}),
        "MAKES": literal({s.name: [f.name for f in s.makes] for s in steps}),
        "WHEN": literal(
            {s.name: [s.when.field, list(s.when.values), s.when.negated] for s in steps if s.when}
        ),
        "EACH": literal({s.name: [s.each.field, s.each.item] for s in steps if s.each}),
        "LAYOUTS": literal({s.name: dict(_layout(s, name)) for s in steps if (name := _adapter(s, placed))}),
        "STATE": literal({p.path: step_state(p.tuned) for p in placed}),
        "MODELS": literal(dict(_own_models(steps, placed))),
        "MODEL": literal(_model(program.model)),
        "ADAPTER": repr(ADAPTERS[program.adapter]),
        "INPUTS": repr([f.name for f in program.pipeline.inputs]),
        "PLAIN": repr([f.name for f in program.pipeline.inputs if f.type == "str"]),
        "OUTPUTS": repr([f.name for f in program.pipeline.outputs]),
    }
    # In one pass: a text may itself hold something that looks like a mark.
    return re.sub(r"@([A-Z]+)@", lambda mark: texts[mark[1]], SCRIPT)


@dataclass(frozen=True, slots=True)
class _Placed:
    """A predictor as it was tuned: its place in the script, and the lines that make it.

    Tuning may have added a reasoning field or taken one away: then the module, and with it the path, is another one.
    """

    owner: str
    path: str
    tuned: Step
    lines: tuple[str, ...]


def _placed(program: ProgramFile, made: Module) -> Iterable[_Placed]:
    owners = {step.name: step for step in program.pipeline.steps}
    before = dict(build_program(program.pipeline).named_predictors())
    for path, tuned in made.named_predictors():
        owner = owners[path.partition(".")[0]]
        if owner.strategy in ("predict", "chain_of_thought", "extract"):
            yield _alone(owner, tuned)
        else:
            yield _inside(owner.name, sibling_path(path), before[path], tuned)


def _alone(step: StepSpec, tuned: Step) -> _Placed:
    """Return a step that is one call."""
    name, signature = step.name, step.name.upper()
    declared, has = FIELD in {f.name for f in step.answers}, FIELD in tuned.signature.output_fields
    if has and not declared:
        lines = [f"self.{name} = dspy.ChainOfThought({signature})"]
        if chooses(tuned):
            lines.append(f"self.{name}.predict = Nearest({tuned.nearest}, self.{name}.predict.signature)")
        return _Placed(name, f"{name}.predict", tuned, tuple(lines))
    if declared and not has:
        signature += f".delete({FIELD!r})"
    module = f"Nearest({tuned.nearest}, {signature})" if chooses(tuned) else f"dspy.Predict({signature})"
    return _Placed(name, name, tuned, (f"self.{name} = {module}",))


def _inside(owner: str, path: str, before: Step, tuned: Step) -> _Placed:
    """Return a call inside one of DSPy's modules: only what tuning changed needs a line."""
    had, has = (FIELD in one.signature.output_fields for one in (before, tuned))
    signature, lines = f"self.{path}.signature", []
    if has and not had:
        lines.append(f"self.{path} = dspy.ChainOfThought({signature})")
        path = f"{path}.predict"
    elif had and not has:
        path = path.removesuffix(".predict")
        lines.append(f"self.{path} = dspy.Predict({signature}.delete({FIELD!r}))")
    if chooses(tuned):
        lines.append(f"self.{path} = Nearest({tuned.nearest}, self.{path}.signature)")
    return _Placed(owner, path, tuned, tuple(lines))


def _code_parts(steps: Sequence[StepSpec], placed: Sequence[_Placed]) -> Iterable[str]:
    """Yield the pieces of code that these steps need."""
    searching = [step for step in steps if searches(step)]
    if searching:
        yield SEARCHING
    if any(step.strategy != "retrieve" for step in searching):
        yield SEARCH_TOOL
    for step in searching:
        yield f"\n{step.name.upper()}_PASSAGES = {literal(list(_passages(step)))}\n\n"
    tools = {t for s in steps if s.strategy in ("react", "tool") for t in s.options.tools}
    for tool in sorted(tools & TOOL_CODE.keys()):
        yield TOOL_CODE[tool]
    if any(s.strategy == "tool" for s in steps):
        yield CALLING
    if any(s.strategy == "program_of_thought" for s in steps):
        yield CODE
    if any(chooses(p.tuned) for p in placed):
        yield NEAREST


def _passages(step: StepSpec) -> tuple[str, ...]:
    corpus = step.options.corpus
    if not corpus.passages:
        raise ProgramFileError(
            f"The step {step.name!r} searches {corpus.file!r}, which is too large to be written into a script. "
            "Export it as json or python."
        )
    return corpus.passages


def _search(step: StepSpec, more: str = "") -> str:
    """Return the code that makes a step's search."""
    index = "Embeddings" if step.options.retriever == "embeddings" else "BM25"
    return f"Search({index}, {step.name.upper()}_PASSAGES, {step.options.k}{more})"


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


def _step(step: StepSpec, program: Module, placed: Sequence[_Placed]) -> Iterable[str]:
    """Yield the lines that make a step in the program's constructor."""
    name, options = step.name, step.options
    upper, output = name.upper(), next(iter(step.answers))
    if step.strategy in ("best_of_n", "refine"):
        yield f"        self.{name}_judge = dspy.Predict({upper}_JUDGE)"
        yield f"        self.{name} = dspy.{RATED[step.strategy]}("
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
        more = f", {output.name!r}, listed={_type(output) != 'str'}"
        yield f"        self.{name} = {_search(step, more)}"
    elif step.strategy == "tool":
        tool = next(iter(options.tools))
        yield f"        self.{name} = Call({_tool(step, tool)}, {output.name!r}, {_type(output)})"
    yield from (f"        {line}" for p in placed if p.owner == name for line in p.lines)


def _tool(step: StepSpec, tool: str) -> str:
    if tool == "search":
        return f"search_in({_search(step)})"
    if tool not in TOOL_CODE or tool not in TOOLS:
        raise ProgramFileError(
            f"The step {step.name!r} calls the tool {tool!r}, which cannot be exported to DSPy. Tools that can: "
            f"{', '.join([*TOOL_CODE, 'search'])}."
        )
    return "run_python" if tool == "python" else tool


def _own_models(
    steps: Iterable[StepSpec], placed: Sequence[_Placed]
) -> Iterable[tuple[str, dict[str, object]]]:
    """Yield the path in the script and the model of each step that has its own."""
    for step in steps:
        if own := _model(step.model):
            yield from ((p.path, own) for p in placed if p.owner == step.name)


def _adapter(step: StepSpec, placed: Sequence[_Placed]) -> str | None:
    """Return a step's adapter: its own, or the one tuning has found; the parts of a step share one in the script."""
    adapters = {p.tuned.tuned_adapter for p in placed if p.owner == step.name}
    if len(adapters) > 1:
        raise ProgramFileError(
            f"The parts of the step {step.name!r} were found to answer better in different layouts, which the DSPy "
            "script cannot say. Export json or python."
        )
    return next(iter(adapters), None) or step.adapter


def _layout(step: StepSpec, adapter: str) -> Iterable[tuple[str, Any]]:
    """Yield the arguments of the script's `layout` for a step's own adapter."""
    yield "name", ADAPTERS[adapter]
    if second := _model(step.extraction_model):
        yield "model", second
    if step.use_native_function_calling is not None:
        yield "use_native_function_calling", step.use_native_function_calling


def _reward(step: StepSpec) -> str:
    given = ", ".join(f"{f.name}=answer[{f.name!r}]" for f in step.answers)
    return (
        f"\n    def rate_{step.name}(self, args, answer):\n"
        f"        return float(self.{step.name}_judge(**args, {given}).score)\n"
    )


def _type(spec: FieldSpec) -> str:
    """Return a field's type as source: parsed and written again, so that it can hold nothing but a type."""
    if spec.fields:
        raise ProgramFileError(
            f"The field {spec.name!r} holds a record, which the DSPy script cannot say. Export records or json."
        )
    if spec.choices:
        return type_text(spec.parsed_type.annotation)
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


def _model(model: ModelChoice | None) -> JsonObject | None:
    if model is None or is_offline(model):
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


FORM = ExportFormat(
    name="dspy",
    title="DSPy script",
    about="A script that builds the same program with DSPy; it holds all that was tuned.",
    file_name="program_dspy.py",
    render=lambda program: dspy_script(portable(program)),
)
STATE = ExportFormat(
    name="dspy_state",
    title="DSPy state",
    about="What was tuned as DSPy saves it: program.load(path) reads it there.",
    file_name="dspy_state.json",
    render=state_text,
)
