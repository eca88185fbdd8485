"""`import dspy` answered by the engine, and a program written for DSPy run that way, unchanged.

After the run, `missing_names` reads the files that import `dspy` and lists what they use that is not here.
"""

from __future__ import annotations

import ast
import importlib.util
import runpy
import sys
from collections.abc import Collection, Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from engine.basics.public_names import find
from engine.compat import paths
from engine.errors import ConfigurationError


class _DSPyFinder:
    """Finds `dspy` and all below it, before any installed DSPy. It is the first finder, so it sees every import."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, *_: object) -> ModuleSpec | None:
        """Return the spec of `dspy` or `dspy.<path>`. Raises ModuleNotFoundError for a path that is not here."""
        if name != "dspy" and not name.startswith("dspy."):
            return None
        spec = paths.spec_of(name)
        if spec is None and path is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return spec


def answer_dspy() -> None:
    """Answer `import dspy` with the engine from now on. Raises ConfigurationError if DSPy itself is imported."""
    imported = sys.modules.get("dspy")
    if imported is not None and not isinstance(imported, paths.DSPyModule):
        raise ConfigurationError("DSPy itself is imported already. Call this before anything imports dspy.")
    if _DSPyFinder not in sys.meta_path:
        sys.meta_path.insert(0, _DSPyFinder)


class Use(NamedTuple):
    """A name of DSPy's that a program uses and that is not here."""

    name: str
    file: Path
    line: int
    instead: str

    def __str__(self) -> str:
        return f"{self.name} ({self.file}:{self.line}): {self.instead or 'there is nothing like it here'}"


def run(arguments: Sequence[str]) -> int:
    """Run `script.py [arguments]` or `-m module [arguments]` as Python would, and return its exit code.

    SystemExit passes. Any other error is shown with the script's own traceback. A report of missing names follows
    on stderr.
    """
    answer_dspy()
    as_module = arguments[0] == "-m"
    if as_module and len(arguments) == 1:
        raise ConfigurationError("-m needs the name of a module.")
    target, given = (arguments[1], arguments[2:]) if as_module else (arguments[0], arguments[1:])
    if not as_module and not Path(target).exists():
        raise ConfigurationError(f"There is no file {target!r}.")
    sys.argv = [target, *given]
    sys.path[0:0] = [str(Path.cwd() if as_module else Path(target).resolve().parent)]
    before = set(sys.modules)
    try:
        if as_module:
            runpy.run_module(target, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(target, run_name="__main__")
    except Exception as error:  # noqa: BLE001 - shown as Python shows what a script raises
        sys.excepthook(type(error), error, _own_frames(error))
        return 1
    finally:
        _report({file.resolve() for file in _files(target, as_module, before)})
    return 0


def missing_names(file: Path) -> list[Use]:
    """Return what a file uses of `dspy` that is not here, in the order of its lines."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return []
    parts = ((line, _missing_part(name)) for line, name in sorted(_names(tree), reverse=True))
    uses = {name: line for line, name in parts if name}
    return sorted(
        (Use(f"dspy.{name}", file, line, _advice(name)) for name, line in uses.items()),
        key=lambda use: (use.line, use.name),
    )


def _names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of everything that a file takes from `dspy`."""
    known = {"dspy": ""}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                root, _, path = alias.name.partition(".")
                if root == "dspy":
                    known[alias.asname or root] = path if alias.asname else ""
                    if path:
                        yield node.lineno, path
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            root, _, path = node.module.partition(".")
            if root == "dspy":
                yield from (
                    (node.lineno, f"{path}.{a.name}".lstrip(".")) for a in node.names if a.name != "*"
                )
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            parts = ast.unparse(node).split(".")
            if parts[0] in known and all(part.isidentifier() for part in parts):
                yield node.lineno, ".".join([*filter(None, [known[parts[0]]]), *parts[1:]])


def _missing_part(name: str) -> str:
    """Return a dotted name up to its first part that is not here, or "". What belongs to an object is not followed."""
    path = ""
    for part in name.split("."):
        below = f"{path}.{part}".lstrip(".")
        if (
            part in paths.names_in(path)
            or part.startswith("__")
            or (not path and part in find("engine", "__all__"))
        ):
            return ""
        if not paths.is_path(below):
            return below
        path = below
    return ""


def _advice(name: str) -> str:
    parts = name.split(".")
    return next((paths.MISSING[part] for part in reversed(parts) if part in paths.MISSING), "")


def _files(target: str, as_module: bool, before: set[str]) -> Iterator[Path]:
    """Yield the script and the modules it imported that are not installed packages."""
    spec = importlib.util.find_spec(target) if as_module else None
    yield Path(spec.origin if spec and spec.origin else target)
    for name in sys.modules.keys() - before:  # read only: the modules that the script has imported
        file = getattr(sys.modules[name], "__file__", None)
        if isinstance(file, str) and file.endswith(".py") and "site-packages" not in file:
            yield Path(file)


def _report(files: Collection[Path]) -> None:
    """Write what the files use and is not here to stderr."""
    package = Path(__file__).parents[1]
    uses = [use for file in sorted(files) if not file.is_relative_to(package) for use in missing_names(file)]
    if uses:
        lines = "\n".join(f"  {use}" for use in uses)
        sys.stderr.write(f"\nUsed of DSPy, and not here:\n{lines}\n")


def _own_frames(error: BaseException) -> TracebackType | None:
    """Return the traceback from the script's first frame on."""
    trace = error.__traceback__
    while trace and (trace.tb_frame.f_globals.get("__name__") in (__name__, "runpy")):
        trace = trace.tb_next
    error.__traceback__ = trace
    return trace
