"""The forms a tuned program can leave in, as a visible tuple. Adding one is one file and one line here.

Each turns the content of a program file into one file: a text, or the bytes of one that is made when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.errors import UnknownNameError
from engine.export.container import container
from engine.export.dspy.script import dspy_script
from engine.export.dspy.state import state_text
from engine.export.markdown import markdown_page
from engine.export.messages import messages_json, messages_text, openai_requests
from engine.export.program import ProgramFile, to_text
from engine.export.python import python_script
from engine.export.standalone.script import standalone_script


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
    render: Callable[[ProgramFile], str | bytes]
    on_demand: bool = False

    def content(self, program: ProgramFile) -> bytes:
        """Return the file's bytes. Raises ProgramFileError."""
        made = self.render(program)
        return made.encode() if isinstance(made, str) else made


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
        "Python script",
        "A script that answers one row or a whole file. It needs Python and nothing else: no package, no Tuneboard.",
        "program.py",
        standalone_script,
    ),
    ExportFormat(
        "python_tuneboard",
        "Python script with Tuneboard",
        "The same command line for every program, also with tools and code. It needs Tuneboard installed.",
        "program_tuneboard.py",
        python_script,
    ),
    ExportFormat(
        "dspy",
        "DSPy script",
        "A script that builds the same program with DSPy; it holds all that was tuned.",
        "program_dspy.py",
        dspy_script,
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
        "container",
        "Container",
        "A folder to build a container from, with Tuneboard in it: serves the program over HTTP, behind a token.",
        "program_container.zip",
        container,
        on_demand=True,
    ),
)


def get_export(name: str) -> ExportFormat:
    """Return a form by its name. Raises UnknownNameError.

    >>> get_export("python").file_name
    'program.py'
    """
    known = {form.name: form for form in EXPORTS}
    if name not in known:
        raise UnknownNameError("export format", name, known)
    return known[name]
