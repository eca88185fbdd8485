"""A program that runs where Tuneboard is not installed: its file, `run.py`, and the engine's own files, unchanged.

The engine's files are found by following import statements from `answering`, those inside functions too; only what type
checkers alone read is left out. `requirements.txt` names the packages of Tuneboard's own list that these files import.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import requires, version
from pathlib import Path

from engine import parts
from engine.errors import ProgramFileError
from engine.export.answering import option
from engine.export.formats import ExportFormat
from engine.export.program import ProgramFile, quotable, to_text
from engine.export.weights import Files, portable

START = "engine.export.answering"
OLDEST = "3.11"
"""The oldest Python that the engine runs on."""


def standalone(program: ProgramFile) -> Files:
    """Return the folder's files. Raises ProgramFileError for a program that searches a corpus too large for its file."""
    for step in program.pipeline.steps:
        if step.options.corpus.file and not step.options.corpus.passages:
            raise ProgramFileError(
                f"The step {step.name!r} searches {step.options.corpus.file!r}, which is too large to go along. "
                "Take the Python script with Tuneboard."
            )
    title = quotable(program.title)
    options = " ".join(f'{option(field.name)} "..."' for field in program.pipeline.inputs)
    return {
        "README.md": README.format(title=title.replace("`", "'"), options=options, oldest=OLDEST).encode(),
        "run.py": RUN.format(title=title, options=options, oldest=OLDEST).encode(),
        "program.json": to_text(program).encode(),
        "requirements.txt": requirements().encode(),
        **engine_files(),
    }


@cache
def engine_files() -> dict[str, bytes]:
    """Return the engine's files that load and ask a program, byte for byte, by path; read once a process."""
    return {path: data for path, data, _ in _files()}


@cache
def requirements() -> str:
    """Return the packages that the engine's files import, with the installed versions, one a line."""
    imported = {name for _, _, names in _files() for name in names}
    lines = []
    for line in requires("tuneboard") or ():
        match = re.match(r"[\w.-]+", line)
        if match and "extra ==" not in line and match[0].lower().replace("-", "_") in imported:
            marker = f"; {line.partition(';')[2].strip()}" if ";" in line else ""
            lines.append(f"{match[0]}=={version(match[0])}{marker}\n")
    return "".join(sorted(lines))


@cache
def _files() -> tuple[tuple[str, bytes, frozenset[str]], ...]:
    """Return each file's path, its bytes, and the other packages that it imports."""
    waiting = [START, *(path.partition(":")[0] for _, path in parts.TRANSPORTS)]
    files: dict[str, list[tuple[str, bytes, frozenset[str]]]] = {}
    while waiting:
        module = waiting.pop()
        place = _place(module)
        if place is None or module in files:
            continue
        data = place.read_bytes()
        imported = set(_imported(ast.parse(data)))
        inside = {name for name in imported if name.partition(".")[0] == "engine"}
        waiting += [name for path in (*inside, module) for name in _and_parents(path)]
        others = frozenset({name.partition(".")[0] for name in imported - inside} - sys.stdlib_module_names)
        path = module.replace(".", "/") + ("/__init__.py" if place.name == "__init__.py" else ".py")
        files[module] = [(path, data, others)]
        stub = place.with_suffix(".pyi")  # a package may read its public names from it
        if stub.is_file():
            files[module].append((f"{path}i", stub.read_bytes(), frozenset()))
    return tuple(file for module in sorted(files) for file in files[module])


def _and_parents(module: str) -> Iterator[str]:
    """Yield a module's path, and those of the packages around it."""
    while module:
        yield module
        module = module.rpartition(".")[0]


def _place(module: str) -> Path | None:
    """Return a module's file; None where the name is not a module's, but of something in one."""
    path = Path(__file__).parents[2].joinpath(*module.split("."))
    return next((p for p in (path / "__init__.py", path.with_suffix(".py")) if p.is_file()), None)


def _imported(node: ast.AST) -> Iterator[str]:
    """Yield the paths that the import statements in a node name; `from a import b` names a and a.b."""
    for inner in ast.iter_child_nodes(node):
        if isinstance(inner, ast.Import):
            yield from (alias.name for alias in inner.names)
        elif isinstance(inner, ast.ImportFrom):
            yield from (str(inner.module), *(f"{inner.module}.{alias.name}" for alias in inner.names))
        elif isinstance(inner, ast.Call) and ast.unparse(inner.func) == "importlib.import_module":
            yield from (str(a.value) for a in inner.args if isinstance(a, ast.Constant))
            yield from _imported(inner)
        elif not (isinstance(inner, ast.If) and ast.unparse(inner.test) == "TYPE_CHECKING"):
            yield from _imported(inner)


RUN = '''\
"""{title}.

    pip install -r requirements.txt
    python run.py {options}
    python run.py rows.csv --output answers.csv

It needs Python {oldest} or newer and no Tuneboard: `engine` next to this file is the part of it that answers, unchanged.
The program is in program.json. Keys are read from the environment.
"""

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))

from engine.export.answering import main

if __name__ == "__main__":
    try:
        sys.exit(main(FOLDER))
    except KeyboardInterrupt:
        sys.exit(130)
'''

README = """\
# {title}

The tuned program with the part of Tuneboard that answers: Tuneboard itself need not be installed. It takes Python {oldest} or
newer.

```sh
pip install -r requirements.txt
python run.py {options}
python run.py rows.csv --output answers.csv
python run.py --help
```

`program.json` is the program: fields, instructions, solved examples and the name of its model. `engine` holds Tuneboard's own
files, unchanged. `requirements.txt` names the packages that they import. No key is in any of them: keys are read from the
environment. Answers are not stored.
"""

FORM = ExportFormat(
    name="python",
    title="Stand-alone program",
    about="Answers one row or a whole file where Tuneboard is not installed: the part of it that answers is in the folder. "
    "It needs Python 3.11 and the packages in requirements.txt.",
    file_name="standalone.zip",
    render=lambda program: standalone(portable(program)),
)
