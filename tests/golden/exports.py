"""Every form in which every sample's program leaves: tuned in the chat layout, and in other ways in the other layouts."""

from __future__ import annotations

import ast
import csv
import io
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Literal, get_args, get_origin

from golden.files import short_hash
from golden.internals import SAMPLES, build_program, export_forms, program_file, sample_bytes

import engine

WAYS = {
    "tuned": ("chat", tuple(form.name for form in export_forms())),
    "nearest": ("json", ("json", "dspy", "dspy_state", "messages")),
    "start": ("xml", ("dspy", "messages")),
    "reasoning": ("two_step", ("json", "python_tuneboard", "dspy", "messages")),
}
"""What is tuned in a program -> the layout it is exported in, and the forms. Corpora are whole in the first one only."""

NAMES = tuple(f"{sample.name}-{way}" for sample in SAMPLES for way in WAYS)
CODE = "code"
"""The name of the file with the code that Python scripts share."""


def exports_log(name: str) -> str:
    """Return a sample's exports ("reviews-tuned"), each under its file name; or the code that scripts share."""
    if name == CODE:
        return _shared_code()
    parts = []
    for title, content in _exported(name):
        text = _shown(title, content) if isinstance(content, bytes) else content
        parts.append(f"######## {title}\n{text.rstrip()}\n")
    return "\n".join(parts)


@cache
def _exported(name: str) -> tuple[tuple[str, bytes | str], ...]:
    """Return the files of a sample's exports by name; for a refused one what is said."""
    sample_name, way = name.rsplit("-", 1)
    sample = next(s for s in SAMPLES if s.name == sample_name)
    layout, forms = WAYS[way]
    program = program_file(
        sample.pipeline if way == "tuned" else _with_short_corpora(sample.pipeline),
        CHANGES[way](sample),
        model={"name": "openai/gpt-4o-mini", "temperature": 0.5, "max_tokens": 900},
        adapter=layout,
        metadata={"title": f'{sample.title} "as \\ it" is', "score": 0.75, "verdict": "Better by 5 points."},
    )
    made: list[tuple[str, bytes | str]] = []
    for form in export_forms():
        if form.name in forms:
            try:
                made.append((form.file_name, form.content(program)))
            except engine.EngineError as error:
                made.append((form.file_name, f"refused: {error}"))
    return tuple(made)


def _with_short_corpora(pipeline: Any) -> Any:
    """Return a pipeline whose steps search three passages at most."""
    steps = []
    for step in program_file(pipeline, build_program(pipeline).candidate()).pipeline.steps:
        short = {"passages": step.options.corpus.passages[:3], "hash": ""}
        corpus = step.options.corpus.model_copy(update=short)
        steps.append(step.model_copy(update={"options": step.options.model_copy(update={"corpus": corpus})}))
    return pipeline.model_copy(update={"steps": tuple(steps)})


# What is tuned


def _start(sample: Any) -> Any:
    return build_program(sample.pipeline).candidate()


def _tuned(sample: Any) -> Any:
    program = build_program(sample.pipeline)
    candidate = program.candidate()
    for path, predictor in program.named_predictors():
        signature = predictor.signature
        rows = [_values(sample, signature, row) for row in _rows(sample.file)]
        last = list(signature.output_fields)[-1]
        partial = {name: value for name, value in rows[2].items() if name != last}
        demos = (engine.Demo(rows[0]), engine.Demo(rows[1], augmented=True))
        if len(signature.output_fields) > 1:
            demos = (*demos, engine.Demo(partial))
        first = next(iter(signature.fields))
        candidate = candidate.with_step(
            path,
            instructions=f"Tuned for {path}.\n\nMind {{braces}}, 100%s, \\n, \"quotes\", '''these''' & <tags>. 🙂",
            demos=demos,
            field_descriptions={**candidate.steps[path].field_descriptions, first: 'What is "given"'},
            tool_descriptions={
                tool: f"Tuned: {text}" for tool, text in candidate.steps[path].tool_descriptions.items()
            },
        )
    return replace(candidate, reason="Tuned for a test.", parents=(program.candidate().id,))


def _nearest(sample: Any) -> Any:
    candidate = _tuned(sample)
    for path, state in candidate.steps.items():
        candidate = candidate.with_step(path, nearest=min(1, len(state.demos)))
    return candidate


def _reasoning(sample: Any) -> Any:
    candidate = _start(sample)
    for path, predictor in build_program(sample.pipeline).named_predictors():
        if "reasoning" not in predictor.signature.fields and "trajectory" not in predictor.signature.fields:
            candidate = candidate.with_step(path, reason_first=True)
    return candidate


CHANGES: Mapping[str, Callable[[Any], Any]] = {
    "tuned": _tuned,
    "nearest": _nearest,
    "start": _start,
    "reasoning": _reasoning,
}


@cache
def _rows(file: str) -> tuple[Mapping[str, str], ...]:
    """Return a sample file's first rows."""
    reader = csv.DictReader(io.StringIO(sample_bytes(file).decode("utf-8-sig")))
    return tuple(row for row, _ in zip(reader, range(3), strict=False))


def _values(sample: Any, signature: Any, row: Mapping[str, str]) -> dict[str, Any]:
    """Return a step's values for a row: those of the file, and invented ones for what steps hand on."""
    return {
        name: _value(name, signature.annotation(name), row.get(sample.mapping.get(name, "")))
        for name in signature.fields
    }


def _value(name: str, kind: Any, cell: str | None) -> Any:
    if kind in (int, float):
        return kind(float(cell or 3))
    if kind is str or cell:
        return cell or f"{name} from elsewhere"
    if get_origin(kind) is Literal:
        return get_args(kind)[0]
    if get_origin(kind) is list:
        return [f"{name} one", f"{name} two"]
    return {"query": "one"} if get_origin(kind) is dict or kind is dict else None


# Text


def _shown(title: str, content: bytes) -> str:
    if title.endswith(".zip"):
        return _zip_text(content)
    text = content.decode()
    return _script_text(text) if title.endswith(".py") else text


def _zip_text(content: bytes) -> str:
    """Return a folder's files; of a package in it only what is at its top, of the engine's own files nothing."""
    lines = []
    with zipfile.ZipFile(io.BytesIO(content)) as folder:
        for name in folder.namelist():
            if name.startswith("engine/"):
                continue
            lines.append(f"==== {_unversioned(name)}")
            if name.endswith(".whl"):
                with zipfile.ZipFile(io.BytesIO(folder.read(name))) as package:
                    tops = {_unversioned(inside.partition("/")[0]) for inside in package.namelist()}
                lines += sorted(tops)
            elif name not in ("program.json", "requirements.txt"):
                lines.append(_unversioned(folder.read(name).decode()))
    return "\n".join(lines)


def _unversioned(text: str) -> str:
    return re.sub(r"tuneboard-\d[\w.+]*?(?=-py3|\.dist-info)", "tuneboard-VERSION", text)


def _script_text(text: str) -> str:
    """Return a script with its functions and classes by name and hash: their code is in the file of shared code."""
    lines = text.splitlines()
    for first, last, name, code in reversed(list(_definitions(text))):
        lines[first:last] = [f"(code of {name}: {short_hash(code)})"]
    # Comments name the modules that code comes from, which may change.
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line for line in lines if not line.startswith("# ")))


def _definitions(text: str) -> Iterator[tuple[int, int, str, str]]:
    """Yield a script's functions and classes: first line, line after the last, name, code. DSPy's are the program itself."""
    lines = text.splitlines()
    for node in ast.parse(text).body:
        own = isinstance(node, ast.ClassDef) and "dspy" in "".join(map(ast.unparse, node.bases))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not own:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)]) - 1
            last = node.end_lineno or node.lineno
            yield first, last, node.name, "\n".join(lines[first:last])


def _shared_code() -> str:
    found: dict[str, str] = {}
    for name in NAMES:
        for title, content in _exported(name):
            if title.endswith(".py") and isinstance(content, bytes):
                for _, _, defined, code in _definitions(content.decode()):
                    found[f"######## {defined}: {short_hash(code)}"] = code
    return "\n\n".join(f"{head}\n{found[head]}" for head in sorted(found)) + "\n"
