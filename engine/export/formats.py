"""The forms a tuned program can leave in, as a visible tuple, and the forms that are one short text.

Each form turns the content of a program file into one file: a text, or bytes made on request. A larger form has its own
file or folder; adding one is that and one line in `EXPORTS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from engine.basics.text import visible
from engine.errors import EngineError, ProgramFileError, entry_named
from engine.export.alone import standalone
from engine.export.container import container, zipped
from engine.export.dspy_script import dspy_script, state_text
from engine.export.program import ProgramFile, json_text, literal, quotable, to_text
from engine.export.record_module import record_module, schema_text
from engine.export.weights import (
    LARGEST,
    Parts,
    lineage,
    portable,
    tuned_of,
    weight_files,
    weights_size,
    with_provider_names,
    write_folder,
)
from engine.lm.choice import ModelChoice, key_variable
from engine.pipeline.spec import FieldSpec, StepSpec
from engine.records import json_form
from engine.registry import get_adapter

if TYPE_CHECKING:
    from engine.adapters.base import Adapter
    from engine.modules.predict import Predict
    from engine.records import StepState


def markdown_page(program: ProgramFile) -> str:
    """Return the page's text."""
    about = program.metadata
    lines = [f"# {markdown_text(str(about.get('title') or 'Tuned program'))}", ""]
    if about.get("verdict"):
        lines += [markdown_text(str(about["verdict"])), ""]
    facts = {
        "Model": program.model.name if program.model else None,
        "Tuned with": about.get("optimizer"),
        "Scored by": about.get("metric"),
        "Layout of messages": program.adapter,
        "Made": about.get("created"),
    }
    lines += [f"- {name}: {markdown_text(str(value))}" for name, value in facts.items() if value]
    tuned = program.candidate.steps
    for step in program.pipeline.steps:
        lines += _step(step)
        for path, state in tuned.items():
            if path.partition(".")[0] == step.name:
                lines += _state(path, state)
    return visible("\n".join(lines).rstrip()) + "\n"


def _step(step: StepSpec) -> Iterator[str]:
    yield from ("", f"## Step {_code(step.name)}", "", f"How it works: {_code(step.strategy)}.", "")
    if step.model is not None:
        yield from (f"It asks its own model: {_code(step.model.name)}.", "")
    yield from _fields("Input", step.inputs)
    yield from _fields("Output", step.outputs)


def _fields(title: str, fields: Sequence[FieldSpec]) -> Iterator[str]:
    yield from (f"| {title} | Type | Meaning |", "| --- | --- | --- |")
    for f in fields:
        kind = " / ".join(f.choices) if f.choices else f.type
        yield f"| {_code(f.name)} | {markdown_text(kind) or ' '} | {markdown_text(f.description) or ' '} |"
    yield ""


def _state(path: str, state: StepState) -> Iterator[str]:
    yield from (f"### Instructions of {_code(path)}", "", *_fenced(state.instructions), "")
    if state.weights:
        yield from (f"A tuned model answers it: {_code(state.weights)}.", "")
    if not state.demos:
        return
    yield from (f"### Solved examples of {_code(path)} ({len(state.demos)})", "")
    for demo in state.demos:
        text = orjson.dumps(
            dict(demo.values), option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS, default=json_form
        ).decode()
        yield from (*_fenced(text, "json"), "")


def _fenced(text: str, language: str = "text") -> Iterator[str]:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    yield from (f"{fence}{language}", *text.splitlines(), fence)


def _code(text: str) -> str:
    return f"`{text.replace('`', '')}`"


def markdown_text(text: str) -> str:
    """Return a text on one line with its markup escaped."""
    return re.sub(r"([\\`*_{}\[\]()#+!|<>~&@:/])", r"\\\1", " ".join(text.split()))


def step_messages(program: ProgramFile) -> dict[str, list[dict[str, object]]]:
    """Return each step's messages by path, as its adapter lays them out; inputs stand as `{name}`."""
    adapter = get_adapter(program.adapter)()
    found = {}
    for path, step in program.build().named_predictors():
        found[path] = _messages(step.adapter or adapter, step)
    return found


def _messages(adapter: Adapter, step: Predict) -> list[dict[str, object]]:
    signature = step.prompted()
    inputs: dict[str, str] = {}
    media = []
    for name in signature.input_fields:
        try:
            adapter.format(signature, (), {name: f"{{{name}}}"})
            inputs[name] = f"{{{name}}}"
        except EngineError:
            media.append(name)  # a picture or the like has no name that could stand for it inside a text
    messages = adapter.format(signature, step.demos, inputs)
    before, after = adapter.marks
    sections = "".join(f"{before}{{{{{{name}}}}}}{after}".format(name=name) for name in media)
    return [*messages[:-1], {**messages[-1], "content": f"{sections}{messages[-1]['content']}"}]


def messages_json(program: ProgramFile) -> str:
    """Return every step's messages as JSON by path."""
    return json_text(step_messages(program))


def messages_text(program: ProgramFile) -> str:
    """Return every step's messages as text, each under its role."""
    parts = []
    for path, messages in step_messages(program).items():
        parts.append(f"===== {path} =====")
        for message in messages:
            content = message["content"]
            text = content if isinstance(content, str) else json_text(content)
            parts.append(f"--- {message['role']} ---\n{text}")
    return visible("\n\n".join(parts)) + "\n"


def openai_requests(program: ProgramFile) -> str:
    """Return the JSON body of a chat completions request for each step by path; several demonstrations are turns of it."""
    program = portable(program)
    own = {step.name: step.model for step in program.pipeline.steps}
    bodies = {}
    for path, messages in step_messages(program).items():
        model = own.get(path.partition(".")[0]) or program.model or ModelChoice(name="openai/gpt-4o-mini")
        chosen = model.model_dump(include={"temperature", "max_tokens"}, exclude_none=True)
        bodies[path] = {"model": model.name.partition("/")[2] or model.name, **chosen, "messages": messages}
    return json_text(bodies)


def python_script(program: ProgramFile) -> str:
    """Return the script's text. Passages that steps search are in it, of a large corpus its hash."""
    program = with_provider_names(program)
    settings = (program.model or ModelChoice()).model_dump(exclude_none=True)
    arguments = {"model": settings.pop("name"), "api_base": settings.pop("base_url", None), **settings}
    pipeline = program.pipeline
    texts = {
        "TITLE": quotable(program.title),
        "OPTIONS": " ".join(f'--{f.name} "..."' for f in pipeline.inputs),
        "INPUTS": repr([f.name for f in pipeline.inputs]),
        "OUTPUTS": repr([f.name for f in pipeline.outputs]),
        "MODEL": literal({k: v for k, v in arguments.items() if v is not None}),
        "ADAPTER": repr(program.adapter),
        "PIPELINE": literal(pipeline.model_dump(mode="json", exclude_defaults=True)),
        "TUNED": literal(program.candidate.as_dict()),
    }
    # In one pass: a text may itself hold something that looks like a mark.
    return re.sub(r"@([A-Z]+)@", lambda mark: texts[mark[1]], _SCRIPT)


def program_with_weights(program: ProgramFile) -> Parts:
    """Return the program with its tuned models: program.json, the weights, a script that asks both, and a README.

    Raises ProgramFileError for a program that asks no tuned model, and for weights that are gone.
    """
    weights = weight_files(program)
    if not weights:
        raise ProgramFileError(
            "No step of this program asks a tuned model, so there are no weights to take along."
        )
    needs = "tuneboard" if all(model.hosted for model in tuned_of(program)) else "'tuneboard[weights]'"
    text = WEIGHTS_README.format(
        title=program.title.replace("`", "'"),
        needs=needs,
        options=" ".join(f'--{f.name} "..."' for f in program.pipeline.inputs),
        lineage=lineage(program),
    )
    return {
        "README.md": text.encode(),
        "program.json": to_text(program).encode(),
        "program_tuneboard.py": python_script(program).encode(),
        **weights,
    }


def workflow(program: ProgramFile) -> str:
    """Return a GitHub workflow that compares a changed program with the one before on a table of examples."""
    keys = sorted({key for model in program.models if (key := key_variable(model))})
    secrets = "".join(f"\n          {name}: ${{{{ secrets.{name} }}}}" for name in keys)
    return WORKFLOW.replace("@ENV@", f"\n        env:{secrets}" if keys else "")


WORKFLOW = """\
# Fails a change of program.json that makes it surely worse on rows.csv.
# Put both files next to each other in the repository, and this one into .github/workflows/.
name: Check the prompt
on:
  pull_request:
    paths: ["**/program.json", "**/rows.csv"]
permissions:
  contents: read
jobs:
  check:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
        with:
          fetch-depth: 0
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - run: pip install tuneboard
      - name: The program before this change
        env:
          BASE: ${{ github.event.pull_request.base.sha }}
        run: git show "$BASE:program.json" > old.json || cp program.json old.json
      - name: Check it against the one before@ENV@
        run: >
          tuneboard check program.json rows.csv --against old.json
          --junit check.xml --summary "$GITHUB_STEP_SUMMARY"
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: check
          path: check.xml
"""

WEIGHTS_README = """\
# {title}

The program and the tuned models that answer it. Weights are safetensors files; nothing in here is run when it is read.

```sh
pip install {needs}      # or the .whl file in program_container.zip
export TUNEBOARD_HOME="$PWD/weights"
python program_tuneboard.py {options}
tuneboard serve program.json --port 8600
```

{lineage}

An adapter needs its base model: it is read from the same folder as on the machine where it was trained, or fetched from its hub
at the first call. To serve the weights by vLLM, SGLang or Ollama instead, see the tuned model on Tuneboard's Settings page.
"""

_SCRIPT = '''\
"""@TITLE@.

    pip install tuneboard     (or the .whl file in program_container.zip)
    python program_tuneboard.py @OPTIONS@
    python program_tuneboard.py rows.csv > answers.csv
"""

import argparse
import csv
import json
import sys

from engine import LM, context
from engine.adapters.values import parse_value
from engine.errors import EngineError
from engine.pipeline.build import build_program
from engine.pipeline.signatures import field_type
from engine.pipeline.spec import PipelineSpec
from engine.records import Candidate
from engine.registry import get_adapter

INPUTS = @INPUTS@
OUTPUTS = @OUTPUTS@
MODEL = @MODEL@
ADAPTER = @ADAPTER@

PIPELINE = @PIPELINE@

TUNED = @TUNED@


def load():
    """Return the tuned program."""
    return build_program(PipelineSpec.model_validate(PIPELINE)).with_candidate(Candidate.from_dict(TUNED))


def answer(program, row):
    """Return the program's answer to one row: output name -> JSON value."""
    prediction = program(**{field.name: typed(field, row[field.name]) for field in program.spec.inputs})
    return {name: json.loads(json.dumps(prediction[name], default=plain)) for name in OUTPUTS}


def typed(field, value):
    """Return an input's text as a value of its type."""
    return parse_value(value, field_type(field)) if isinstance(value, str) and field.type != "str" else value


def plain(value):
    """Return a value that JSON has no form for as one that it has."""
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else getattr(value, "value", str(value))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", help="a CSV file with the columns " + ", ".join(INPUTS))
    for name in INPUTS:
        parser.add_argument("--" + name)
    given = parser.parse_args()
    with context(lm=LM(**MODEL), adapter=get_adapter(ADAPTER)()):
        program = load()
        if given.file is None:
            missing = [name for name in INPUTS if getattr(given, name) is None]
            if missing:
                parser.error("give a CSV file, or the option --" + " and --".join(missing))
            print(json.dumps(answer(program, vars(given)), ensure_ascii=False))
            return
        with open(given.file, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        missing = [name for name in INPUTS if rows and name not in rows[0]]
        if missing:
            parser.error("the file has no column " + ", ".join(missing) + "; it has " + ", ".join(rows[0]))
        writer = csv.DictWriter(sys.stdout, [*INPUTS, *OUTPUTS])
        writer.writeheader()
        for row in rows:
            writer.writerow({name: row[name] for name in INPUTS} | answer(program, row))


if __name__ == "__main__":
    try:
        main()
    except (EngineError, OSError) as error:
        sys.exit(str(error))
'''


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """One form: its name, what it is in plain words, the file's name, and what renders it.

    `render` raises ProgramFileError for a program that the form cannot hold. A form `on_demand` is large: it is not
    written at the end of every run.
    """

    name: str
    title: str
    plain: str
    file_name: str
    render: Callable[[ProgramFile], str | bytes | Parts]
    on_demand: bool = False

    @property
    def is_folder(self) -> bool:
        """True if it has several files, which go into one zip or into a folder."""
        return self.file_name.endswith(".zip")

    def content(self, program: ProgramFile) -> bytes:
        """Return the file's bytes, of a folder as a zip. Raises ProgramFileError, also for what is too large for a zip."""
        made = self.render(program)
        if isinstance(made, str):
            return made.encode()
        if isinstance(made, bytes):
            return made
        if problem := self._too_large(made):
            raise ProgramFileError(problem)
        return zipped(made)

    def write_folder(self, program: ProgramFile, folder: Path) -> Path:
        """Write the files of a form that is a folder, also very large ones; return the folder. Raises ProgramFileError."""
        made = self.render(program)
        if not isinstance(made, Mapping):
            raise ProgramFileError(f"{self.title} is one file. Name a file for it.")
        return write_folder(made, folder)

    def too_large(self, program: ProgramFile) -> str:
        """Return what to do with a program whose weights are too large for a zip; "" where they fit. Raises ProgramFileError."""
        made = self.render(program)
        return self._too_large(made) if isinstance(made, Mapping) else ""

    def _too_large(self, parts: Parts) -> str:
        size = weights_size(parts)
        if size <= LARGEST:
            return ""
        return (
            f"The weights take {size / 1e9:.1f} GB, too much for a zip. Write them as a folder: "
            f"tuneboard export RUN_ID --format {self.name} --output FOLDER"
        )


EXPORTS: tuple[ExportFormat, ...] = (
    ExportFormat(
        "json",
        "Program file",
        "Everything that was tuned, as data: engine.load(path) gives the program back.",
        "program.json",
        to_text,
    ),
    ExportFormat(
        "python",
        "Stand-alone program",
        "Answers one row or a whole file where Tuneboard is not installed: the part of it that answers is in the folder. "
        "It needs Python 3.11 and the packages in requirements.txt.",
        "standalone.zip",
        lambda program: standalone(portable(program)),
    ),
    ExportFormat(
        "python_tuneboard",
        "Python script with Tuneboard",
        "One file that asks the program in this Python. It needs Tuneboard installed.",
        "program_tuneboard.py",
        python_script,
    ),
    ExportFormat(
        "records",
        "Pydantic module",
        "The record's class with the tuned descriptions, and extract(), which returns one, in the folder of a stand-alone "
        "program: no Tuneboard, but Python 3.11 and the packages in requirements.txt.",
        "program_records.zip",
        lambda program: record_module(portable(program)),
    ),
    ExportFormat(
        "schema",
        "JSON Schema",
        "The answer's schema with the tuned descriptions, as the response_format of a request.",
        "response_format.json",
        schema_text,
    ),
    ExportFormat(
        "dspy",
        "DSPy script",
        "A script that builds the same program with DSPy; it holds all that was tuned.",
        "program_dspy.py",
        lambda program: dspy_script(portable(program)),
    ),
    ExportFormat(
        "dspy_state",
        "DSPy state",
        "What was tuned as DSPy saves it: program.load(path) reads it there.",
        "dspy_state.json",
        state_text,
    ),
    ExportFormat(
        "messages",
        "Messages",
        "The exact messages of every step, to read or to paste.",
        "messages.txt",
        messages_text,
    ),
    ExportFormat(
        "messages_json",
        "Messages as JSON",
        "The same messages as data.",
        "messages.json",
        messages_json,
    ),
    ExportFormat(
        "openai_request",
        "Request bodies",
        "A chat completions request for every step, for any language that can send one.",
        "openai_request.json",
        openai_requests,
    ),
    ExportFormat(
        "markdown",
        "Markdown page",
        "Fields, instructions and solved examples as a page for a wiki or a review.",
        "program.md",
        markdown_page,
    ),
    ExportFormat(
        "workflow",
        "GitHub workflow",
        "Fails a change of the program that makes it surely worse on your examples: runs tuneboard check.",
        "check.yml",
        workflow,
    ),
    ExportFormat(
        "weights",
        "Program with its model",
        "A tuned model's weights with the program and a script that runs both. For a hosted model: its name at the provider.",
        "program_weights.zip",
        program_with_weights,
        on_demand=True,
    ),
    ExportFormat(
        "container",
        "Container",
        "A folder to build a container from, with Tuneboard in it: serves the program over HTTP, behind a token.",
        "program_container.zip",
        container,
        on_demand=True,
    ),
)


def get_export(name: str) -> ExportFormat:
    """Return a form by its name. Raises UnknownNameError."""
    return entry_named("export format", name, {form.name: form for form in EXPORTS})
