"""Program files for tests."""

from engine.basics.home import write_whole
from engine.export.program import program_file, to_text


def save_program(spec, candidate, path, **more):
    """Write a program file; `more` is what `program_file` takes."""
    write_whole(path, to_text(program_file(spec, candidate, **more)).encode())
