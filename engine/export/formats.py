"""The contract of an export form: a tuned program as one file, or as a folder.

The forms are listed in `engine.parts.EXPORTS`; adding one is a module with an `ExportFormat`, and one line there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from engine import parts
from engine.errors import ProgramFileError
from engine.export.program import ProgramFile
from engine.export.weights import LARGEST, Files, weights_size, write_folder, zipped


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """A form as an optional part: see `engine.parts.Part`."""

    name: str
    title: str
    about: str
    file_name: str
    """Name of its file; `.zip` for a folder."""
    render: Callable[[ProgramFile], str | bytes | Files]
    """Makes the content. Raises ProgramFileError for a program that the form cannot hold."""
    on_demand: bool = False
    """True for a large form, which is not written at the end of every run."""

    @property
    def is_folder(self) -> bool:
        """True if it has several files, which go into one zip or into a folder."""
        return self.file_name.endswith(".zip")

    def content(self, program: ProgramFile) -> bytes:
        """Return the file's bytes, of a folder as a zip. Raises ProgramFileError, also for what is too large for a zip."""
        content = self.render(program)
        if isinstance(content, str):
            return content.encode()
        if isinstance(content, bytes):
            return content
        if problem := self._too_large(content):
            raise ProgramFileError(problem)
        return zipped(content)

    def write_folder(self, program: ProgramFile, folder: Path) -> Path:
        """Write the files of a form that is a folder, also very large ones; return the folder. Raises ProgramFileError."""
        content = self.render(program)
        if not isinstance(content, Mapping):
            raise ProgramFileError(f"{self.title} is one file. Name a file for it.")
        return write_folder(content, folder)

    def too_large(self, program: ProgramFile) -> str:
        """Return what to do with a program whose weights are too large for a zip; "" where they fit. Raises ProgramFileError."""
        content = self.render(program)
        return self._too_large(content) if isinstance(content, Mapping) else ""

    def _too_large(self, files: Files) -> str:
        size = weights_size(files)
        if size <= LARGEST:
            return ""
        return (
            f"The weights take {size / 1e9:.1f} GB, too much for a zip. Write them as a folder: "
            f"tuneboard export RUN_ID --format {self.name} --output FOLDER"
        )


def export_forms() -> tuple[ExportFormat, ...]:
    """Return every form."""
    return parts.loaded(parts.EXPORTS)


def get_export(name: str) -> ExportFormat:
    """Return a form by its name. Raises UnknownNameError."""
    form: ExportFormat = parts.load(parts.EXPORTS, name, "export format")
    return form
