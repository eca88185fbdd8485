"""The program file, the script that asks it with Tuneboard, and both with the tuned models that answer."""

from __future__ import annotations

from engine.errors import ProgramFileError
from engine.export.answering import option
from engine.export.formats import ExportFormat
from engine.export.program import ProgramFile, literal, quotable, to_text
from engine.export.weights import Files, lineage, tuned_of, weight_files, with_provider_names


def python_script(program: ProgramFile) -> str:
    """Return the script's text. Passages that steps search are in it, of a large corpus its hash."""
    data = with_provider_names(program).model_dump(mode="json", exclude_defaults=True)
    shown = {"format": program.format, "version": program.version, **data}
    options = " ".join(f'{option(f.name)} "..."' for f in program.pipeline.inputs)
    return SCRIPT.format(title=quotable(program.title), options=options, program=literal(shown))


def program_with_weights(program: ProgramFile) -> Files:
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


SCRIPT = '''\
"""{title}.

    pip install tuneboard     (or the .whl file in program_container.zip)
    python program_tuneboard.py {options}
    python program_tuneboard.py rows.csv --output answers.csv
"""

import sys

from engine.export.answering import answer_arguments
from engine.export.program import ProgramFile

PROGRAM = {program}


def load():
    """Return the tuned program."""
    return ProgramFile.model_validate(PROGRAM).build()


if __name__ == "__main__":
    sys.exit(answer_arguments(ProgramFile.model_validate(PROGRAM)))
'''

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

PROGRAM_FILE = ExportFormat(
    name="json",
    title="Program file",
    about="Everything that was tuned, as data: engine.load(path) gives the program back.",
    file_name="program.json",
    render=to_text,
)
FORM = ExportFormat(
    name="python_tuneboard",
    title="Python script with Tuneboard",
    about="One file that asks the program in this Python. It needs Tuneboard installed.",
    file_name="program_tuneboard.py",
    render=python_script,
)
WITH_WEIGHTS = ExportFormat(
    name="weights",
    title="Program with its model",
    about="A tuned model's weights with the program and a script that runs both. For a hosted model: its name at the provider.",
    file_name="program_weights.zip",
    render=program_with_weights,
    on_demand=True,
)
