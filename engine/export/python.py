"""A tuned program as a Python script that uses Tuneboard: the pipeline, what was tuned, and a small command line.

The script needs Tuneboard installed and nothing else of this machine (`standalone` makes one without it). It answers one
row given as options, or every row of a CSV file. It holds no key: the model finds one in the environment.
"""

from __future__ import annotations

import re

from engine.export.program import ProgramFile, literal, quotable
from engine.lm.choice import ModelChoice


def python_script(program: ProgramFile) -> str:
    """Return the script's text. Passages that steps search are in it, of a large corpus its hash."""
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
        "TUNED": literal(program.tuned().as_dict()),
    }
    # In one pass: a text may itself hold something that looks like a mark.
    return re.sub(r"@([A-Z]+)@", lambda mark: texts[mark[1]], _SCRIPT)


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
