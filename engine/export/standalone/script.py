"""A tuned program as a Python script that stands alone: Python 3.9's standard library, no package, no Tuneboard.

The script is PROGRAM, the program as data; the engine's own code that reads replies, fills in values and runs steps;
and what is special to a script (`runner`, `calling`, `rows`, `stand_ins`).
"""

from __future__ import annotations

import re
from typing import Any, Literal, get_args, get_origin

from engine.adapters.notes import UNIONS, NoneType
from engine.export.carried import carried
from engine.export.program import ProgramFile
from engine.export.standalone.data import program_data
from engine.export.standalone.rows import option
from engine.export.standalone.stand_ins import HERE, REPLACED

PARTS = {
    "chat": "engine.adapters.chat.chat_values",
    "json": "engine.adapters.json.json_values",
    "xml": "engine.adapters.xml.xml_values",
    "nearest": "engine.similarity.NearestTexts",
    "bm25": f"{HERE}.BM25",
}
"""What only some programs need: layouts, the choice of examples, searches."""

ALWAYS = (
    "engine.export.standalone.rows.main",
    "sys",
    "datetime",
    "typing.Any",
    "typing.Literal",
    "typing.Union",
)
WIDTH = 100
SHORT = 30
"""Characters up to which a text stays on one line, its line breaks written as such."""


def standalone_script(program: ProgramFile) -> str:
    """Return a script that answers as the program does, with the same messages to the same model.

    Raises ProgramFileError, naming the step, the field or the model, for what takes more than asking a model.
    """
    data = program_data(program)
    steps = data["steps"]
    wanted = {step.get("layout", "bm25") for step in steps} | {
        "nearest" for step in steps if "nearest" in step
    }
    parts = {name: path for name, path in PARTS.items() if name in wanted}
    imports, code = carried([*ALWAYS, *parts.values()], REPLACED)
    title = " ".join(str(program.metadata.get("title") or "A program tuned with Tuneboard").split())
    options = " ".join(f'{option(name)} "..."' for name in data["inputs"])
    head = HEAD.format(title=title.replace("\\", "/").replace('"', "'").rstrip("."), options=options)
    named = ", ".join(f'"{name}": {path.rpartition(".")[2]}' for name, path in parts.items())
    return f"{head}\n{imports}\n\n{PROGRAM}PROGRAM: dict[str, Any] = {literal(data)}\n\n{code}\n\n\n{TAIL.format(parts=named)}"


# Values as Python source that a person can read


def literal(value: Any, indent: int = 0) -> str:
    """Return a value of JSON types, and types in it, as a Python expression: long lists one item a line.

    >>> made = literal({"name": "gpt", "system": "You are asked to read this" + chr(10) + "text.", "type": int | None})
    >>> print(made.replace('"', "'"))
    {
        'name': 'gpt',
        'system': '''\\
    You are asked to read this
    text.''',
        'type': Union[int, None],
    }
    """
    if isinstance(value, str):
        return _text_literal(value)
    if isinstance(value, dict | list | tuple) and value:
        if isinstance(value, dict):
            items = [f"{literal(key)}: {literal(item, indent + 4)}" for key, item in value.items()]
        else:
            items = [literal(item, indent + 4) for item in value]
        before, after = "{}" if isinstance(value, dict) else "[]"
        short = f"{before}{', '.join(items)}{after}"
        if len(short) + indent <= WIDTH and "\n" not in short:
            return short
        inside = "".join(f"{' ' * (indent + 4)}{item},\n" for item in items)
        return f"{before}\n{inside}{' ' * indent}{after}"
    return (
        type_literal(value) if value is Any or isinstance(value, type) or get_origin(value) else repr(value)
    )


def type_literal(annotation: Any) -> str:
    """Return a type as Python 3.9 writes it."""
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation is NoneType:
        return "None"
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, args))}]"
    if origin in UNIONS:
        return f"Union[{', '.join(map(type_literal, args))}]"
    if origin is not None:
        return f"{origin.__name__}[{', '.join(map(type_literal, args))}]"
    if annotation is Any:
        return "Any"
    return (
        f"datetime.{annotation.__name__}" if annotation.__module__ == "datetime" else str(annotation.__name__)
    )


def _text_literal(text: str) -> str:
    """Return a text's source: of several lines as it stands, unless something in it would not be seen or be read otherwise."""
    if "\n" in text and len(text) > SHORT and text.replace("\n", "").isprintable():
        source = re.sub(r'"(?="|\Z)', r'\\"', text.replace("\\", "\\\\"))
        return f'"""\\\n{source}"""'
    shown = repr(text)
    if shown.startswith("'") and '"' not in shown and "\\'" not in shown:
        return f'"{shown[1:-1]}"'
    return shown


HEAD = '''\
"""{title}.

    python program.py {options}
    python program.py rows.csv --output answers.csv

It needs Python 3.9 or newer and nothing else. The model, the prompts and the solved examples are in PROGRAM, just as
they were tuned; the code below it, which is Tuneboard's own, puts a row's values in, asks the model and reads the reply.
A reply that cannot be read is sent back once with what is wrong with it (Tuneboard would then ask once more, for JSON),
else the row fails with its error. The key is read from the environment and is not in this file.
"""

from __future__ import annotations
'''
PROGRAM = """\
# The tuned program. The model is given "system" and "examples", and a row's own values.
"""
TAIL = """\
if __name__ == "__main__":
    try:
        sys.exit(main(PROGRAM, {{{parts}}}))
    except KeyboardInterrupt:
        sys.exit(130)
"""
