"""Public names of a package, loaded when they are first used.

The package's stub (`__init__.pyi`) is the only list of them: type checkers and editors read it, and so does the package
itself, at the first name it is asked for. Three kinds of line count: `from package import module as module`,
`from package.module import Name as Name`, and `Other = Name`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any


@cache
def homes(package: str) -> Mapping[str, tuple[str, str]]:
    """Return each name in a package's stub, with the module that has it and its name there.

    >>> import engine.compat.prompter
    >>> homes("engine.compat.prompter")["Prompter"]
    ('engine.compat.prompter.prompter', 'Prompter')
    """
    import ast  # here: `import engine` alone is to cost next to nothing

    module: Any = sys.modules[package]
    stub = ast.parse(module.__spec__.loader.get_data(f"{module.__path__[0]}/__init__.pyi"))
    imported: dict[str, tuple[str, str]] = {}
    public: dict[str, tuple[str, str]] = {}
    for line in stub.body:
        if isinstance(line, ast.ImportFrom) and line.module is not None:
            for alias in line.names:
                imported[alias.name] = (line.module, alias.name)
                if alias.asname is not None:
                    public[alias.asname] = (line.module, alias.name)
        elif isinstance(line, ast.Assign) and isinstance(line.value, ast.Name):
            public[ast.unparse(line.targets[0])] = imported[line.value.id]
    return public


def find(package: str, name: str) -> Any:
    """Return the value of a public name; for `__all__` the list of names, without packages.

    Raises AttributeError for a name that is not in the stub.
    """
    if name == "__all__":
        return sorted(public for public, (home, _) in homes(package).items() if home != package)
    if name.startswith("__") or name not in homes(package):
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    home, attribute = homes(package)[name]
    if home == package:
        return importlib.import_module(f"{home}.{attribute}")
    value = getattr(importlib.import_module(home), attribute, None)
    return importlib.import_module(f"{home}.{attribute}") if value is None else value


def lazy(package: str) -> Callable[[str], object]:
    """Return the `__getattr__` of a package without names of another kind: it looks each up once."""

    def load(name: str) -> Any:
        value = vars(sys.modules[package])[name] = find(package, name)
        return value

    return load
