"""The layer for programs written for DSPy; only `engine/__init__.py` and the command line know of it.

DSPy's names for what has another name are at the end of `engine/__init__.pyi`. The modules:

    paths       one table of DSPy's module paths, and the finder that serves them
    arguments   DSPy's arguments that have no effect here, or another name; options of the gepa package
    adapters    overrides of an adapter's call and of the pieces of its prompt
    programs    overrides of a program's `__call__` and `acall`
    settings    the object `settings`, and DSPy's settings that the engine has no use for
    models      overrides of a model's methods, and responses in the OpenAI form
    datasets    DataLoader and Dataset
    gepa_results  a GEPA search afterwards
    prompter    records from documents under DSPydantic's names (`engine.extraction`)
    lm15        request and response of `LM(engine=...)`
    agents      ReActV2
    objects     DSPy's small functions and types that the engine itself has no use for
    running     `import dspy` answered by the engine: for `tuneboard as-dspy` and notebooks
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType


def as_dspy() -> None:
    """Answer `import dspy` with the engine, in this process. In a notebook: `import engine; engine.compat.as_dspy()`.

    Raises ConfigurationError if DSPy itself is imported already.
    """
    importlib.import_module("engine.compat.running").answer_dspy()


def module_at(path: str) -> ModuleType | None:
    """Return the module at one of DSPy's paths ("teleprompt"), or None. `engine.<path>` imports the same."""
    return importlib.import_module("engine.compat.paths").module_at(f"engine.{path}")  # type: ignore[no-any-return]


def advice(name: str) -> str:
    """Return what to use instead of a name of DSPy's that is not here, as the rest of an error message."""
    return importlib.import_module("engine.compat.paths").advice(name)  # type: ignore[no-any-return]


def extend_loaded() -> None:
    """Extend what is loaded by DSPy's ways: packages by its names and modules, the base classes by its methods."""
    for home, (last, extension) in _EXTENSIONS.items():
        # Another thread may be loading it: `import_module` waits for that; inside that thread it is not yet whole.
        if (
            home in sys.modules
            and extension not in _installed
            and hasattr(importlib.import_module(home), last)
        ):
            _installed.add(extension)
            importlib.import_module(extension).install()
    for package in _SHARED:
        module = sys.modules.get(f"engine.{package}")
        if module is not None and "__getattr__" not in vars(module):
            module.__dict__["__getattr__"] = _names_in(package)


def _names_in(package: str) -> Callable[[str], object]:
    def name_in(name: str) -> object:
        if not name.startswith("__"):
            paths = importlib.import_module("engine.compat.paths")
            if name in paths.names_in(package):
                return paths.found(name)
            if (module := paths.module_at(f"engine.{package}.{name}")) is not None:
                return module
        raise AttributeError(f"module 'engine.{package}' has no attribute {name!r}")

    return name_in


_EXTENSIONS = {
    "engine.lm.base": ("completion", "engine.compat.models"),
    "engine.adapters.base": ("NOT_SUPPLIED", "engine.compat.adapters"),
    "engine.modules.predict": ("ChainOfThought", "engine.compat.programs"),
    "engine.optimizers.gepa.optimizer": ("auto_rows", "engine.compat.gepa_results"),
}
"""Modules -> the last name they define, and the module whose `install` gives their classes DSPy's methods and results."""

_installed: set[str] = set()

_SHARED = ("adapters", "evaluate")


class _Finder:
    """Finds DSPy's module paths below `engine`. It comes last, so it is asked only for what does not exist."""

    @staticmethod
    def find_spec(name: str, *_: object) -> ModuleSpec | None:
        """Return the spec of `engine.<DSPy's path>`."""
        if not name.startswith("engine.") or name.startswith("engine.compat"):
            return None
        return importlib.import_module("engine.compat.paths").spec_of(name)  # type: ignore[no-any-return]


if not any(getattr(finder, "__name__", "") == "_Finder" for finder in sys.meta_path):
    sys.meta_path.append(_Finder)
