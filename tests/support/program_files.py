"""Program files for tests."""

from engine.export.program import program_file, to_text, write_text


def save_program(spec, candidate, path, **more):
    """Write a program file; `more` is what `program_file` takes."""
    write_text(to_text(program_file(spec, candidate, **more)), path)
