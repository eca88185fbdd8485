"""The engine's own functions as the text of a script: what some of them need, and nothing else.

A standalone script carries this code, so that a program means the same there. Names are followed through the
engine's modules; what needs an installed package is replaced by a stand-in. The text is for Python 3.9.
"""

from __future__ import annotations

import ast
import builtins
import re
import symtable
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

NEWER = frozenset({"Self"})
"""Names of `typing` that Python 3.9 lacks; they occur in annotations only."""


class Place(NamedTuple):
    """A definition: its module, and its name there ("": the whole module)."""

    module: str
    name: str

    @property
    def standard(self) -> bool:
        """True if it is the standard library's."""
        return self.module.partition(".")[0] in sys.stdlib_module_names


@dataclass(frozen=True, slots=True)
class Source:
    """A module's text: its definitions by name in the order of the file, and what its imports make known."""

    text: str
    about: str
    definitions: Mapping[str, ast.stmt]
    imports: Mapping[str, Place]
    notes: Mapping[ast.stmt, ast.stmt]
    """A constant -> the text below it that describes it."""


@cache
def source_of(module: str) -> Source:
    """Return a module's source, read once a process."""
    found = find_spec(module)
    if found is None or found.origin is None:
        raise LookupError(f"{module!r} has no source.")
    text = Path(found.origin).read_text(encoding="utf-8")
    tree = ast.parse(text)
    definitions: dict[str, ast.stmt] = {}
    imports: dict[str, Place] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            definitions[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            definitions.update((t.id, node) for t in targets if isinstance(t, ast.Name))
        elif isinstance(node, ast.Import):
            imports.update((a.asname or a.name.partition(".")[0], Place(a.name, "")) for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            imports.update((a.asname or a.name, Place(str(node.module), a.name)) for a in node.names)
    pairs = zip(tree.body, tree.body[1:], strict=False)
    notes: dict[ast.stmt, ast.stmt] = {
        one: after for one, after in pairs if isinstance(one, ast.Assign | ast.AnnAssign) and _is_text(after)
    }
    return Source(text, (ast.get_docstring(tree) or "").partition("\n")[0], definitions, imports, notes)


def carried(
    roots: Iterable[str], replaced: Mapping[str, str], packages: Collection[str] = ()
) -> tuple[str, str]:
    """Return the imports, and the code of some functions with all that they need; paths are dotted.

    `replaced` gives stand-ins: path -> path. `packages` are there where the script runs. Raises LookupError for what
    cannot be carried, and where two different things have one name.

    >>> imports, code = carried(["engine.adapters.scalars.unfenced"], {})
    >>> imports, code.count("def ")
    ('import re', 1)
    """
    made = _Carried(replaced, packages)
    for root in roots:
        made.add(_place(root))
    taken: dict[str, Place] = {}
    for place in made.needed:
        if taken.setdefault(place.name, place) != place:
            raise LookupError(
                f"Two things are called {place.name!r}: in {place.module} and {taken[place.name].module}."
            )
    code = made.code()
    return made.imports(), code


def _place(path: str) -> Place:
    module, _, name = path.rpartition(".")
    return Place(module, name) if module else Place(name, "")


@dataclass(slots=True)
class _Carried:
    """Code under way: the definitions that are needed with the names that they use, and what is imported."""

    replaced: Mapping[str, str]
    packages: Collection[str]
    needed: dict[Place, dict[str, Place]] = field(default_factory=dict)
    imported: set[Place] = field(default_factory=set)

    def add(self, place: Place) -> Place:
        """Add a definition and everything it needs; return where it is defined."""
        place = self._resolved(place)
        if place.standard:
            self.imported.add(place)
            return place
        if place in self.needed:
            return place
        source = source_of(place.module)
        node = source.definitions.get(place.name)
        if node is None:
            raise LookupError(
                f"{'.'.join(filter(None, place))} cannot be carried: no Python code defines it."
            )
        names = self.needed[place] = {}
        for name in used_names(node):
            if name in source.definitions:
                names[name] = self.add(Place(place.module, name))
            elif name in source.imports:
                names[name] = self.add(source.imports[name])
            elif not hasattr(builtins, name):
                raise LookupError(f"{place.module}.{place.name} uses {name!r}, which is not defined there.")
        return place

    def _resolved(self, place: Place) -> Place:
        """Return where something is defined: past stand-ins, and past modules that only import it."""
        path = ".".join(filter(None, place))
        if path in self.replaced:
            return self._resolved(_place(self.replaced[path]))
        if not place.module.startswith("engine."):
            return place
        source = source_of(place.module)
        if place.name in source.definitions or place.name not in source.imports:
            return place
        return self._resolved(source.imports[place.name])

    def imports(self) -> str:
        """Return the lines that import what is needed of the standard library; call it after `code`."""
        named: dict[str, set[str]] = {}
        for one in self.imported:
            if one.name:
                named.setdefault(one.module, set()).add(one.name)
        whole = sorted(f"import {one.module}" for one in self.imported if not one.name)
        return "\n".join([*whole, *(f"from {m} import {', '.join(sorted(named[m]))}" for m in sorted(named))])

    def code(self) -> str:
        """Return the definitions, module by module; a module comes after those that it uses."""
        modules: dict[str, None] = {}
        for place in self.needed:
            self._add_module(place.module, modules, set())
        return "\n\n\n".join(self._module_code(module) for module in modules)

    def _add_module(self, module: str, done: dict[str, None], begun: set[str]) -> None:
        if module in done or module in begun:
            return
        begun.add(module)
        used = (
            one for place, names in self.needed.items() if place.module == module for one in names.values()
        )
        for one in used:
            if not one.standard:
                self._add_module(one.module, done, begun)
        done[module] = None

    def _module_code(self, module: str) -> str:
        source = source_of(module)
        names = {
            node: name for name, node in source.definitions.items() if Place(module, name) in self.needed
        }
        text = f"# {source.about}\n"
        for node, name in names.items():
            gap = "\n" if isinstance(node, ast.Assign | ast.AnnAssign) else "\n\n\n"
            text += gap + self._definition(source, node, self.needed[Place(module, name)])
        return text

    def _definition(self, source: Source, node: ast.stmt, names: Mapping[str, Place]) -> str:
        """Return one definition as it is written, changed where Python 3.9 or another name asks for it."""
        edits = _Edits(source.text)
        for one in ast.walk(node):
            if isinstance(one, ast.Name) and one.id in names and names[one.id].name not in ("", one.id):
                edits.replace(one, names[one.id].name)
        known = {place.name for place in self.needed}
        for annotation in _annotations(node):
            wanted = {one.id for one in ast.walk(annotation) if isinstance(one, ast.Name)}
            found = {source.imports[name] for name in wanted & source.imports.keys() - NEWER}
            if (
                wanted - {one.name or one.module for one in found if one.standard}
                <= known | vars(builtins).keys()
            ):
                self.imported |= {one for one in found if one.standard}
            else:
                self.imported.add(Place("typing", "Any"))
                edits.replace(annotation, "Any")
        for inner in ast.walk(node):
            _lower(inner, edits)
            self._check(inner)
        text = edits.text_of(node, source.notes.get(node, node))
        return re.sub(r"  # (?:noqa|type: ignore).*", "", text)

    def _check(self, node: ast.AST) -> None:
        """Refuse what a script cannot hold. Raises LookupError."""
        modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        modules += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
        there = all(Place(one, "").standard or one.partition(".")[0] in self.packages for one in modules)
        if isinstance(node, ast.Match | ast.TryStar) or not there:
            raise LookupError(f"{ast.unparse(node)!r} cannot stand in this script.")


def used_names(node: ast.stmt) -> list[str]:
    """Return the names that a definition looks up outside itself, in order; not those in its annotations.

    >>> code = "def f(a: int, b=one):\\n    c = a + two\\n    return [c + d + three for d in b]"
    >>> used_names(ast.parse(code).body[0])
    ['one', 'three', 'two']
    """
    found: set[str] = set()
    tables = [symtable.symtable(f"from __future__ import annotations\n{ast.unparse(node)}", "", "exec")]
    for table in tables:
        outermost = table.get_type() == "module"
        symbols = [one for one in table.get_symbols() if one.is_global() or outermost]
        found |= {one.get_name() for one in symbols if one.is_referenced()}
        tables += table.get_children()
    return sorted(found)


def _annotations(node: ast.AST) -> Iterator[ast.expr]:
    for one in ast.walk(node):
        if isinstance(one, ast.arg | ast.AnnAssign) and one.annotation is not None:
            yield one.annotation
        elif isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.returns is not None:
            yield one.returns


# Python 3.9


def _lower(node: ast.AST, edits: _Edits) -> None:
    """Write one thing that Python 3.9 does not know in its older form; cut the examples out of a docstring."""
    if isinstance(node, ast.Call):
        function = ast.unparse(node.func).rpartition(".")[2]
        if function in ("isinstance", "issubclass") and isinstance(node.args[1], ast.BinOp):
            edits.replace(node.args[1], f"({ast.unparse(node.args[1]).replace(' | ', ', ')})")
        for keyword in node.keywords:
            if (function, keyword.arg) in (("dataclass", "slots"), ("zip", "strict")):
                edits.cut_argument(node, keyword)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and _is_text(node.body[0]):
        edits.shorten(node.body[0])


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


class _Edits:
    """Replacements in a source text, by syntax node."""

    def __init__(self, text: str) -> None:
        self._data = text.encode()
        lengths = [len(line) for line in self._data.splitlines(keepends=True)]
        self._lines = [0, *(sum(lengths[:n]) for n in range(1, len(lengths) + 1))]
        self._edits: list[tuple[int, int, bytes]] = []

    def replace(self, node: ast.expr | ast.stmt, text: str) -> None:
        """Put a text in a node's place."""
        self._edits.append((*self._span(node), text.encode()))

    def cut_argument(self, call: ast.Call, keyword: ast.keyword) -> None:
        """Leave an argument out of a call."""
        arguments = sorted([*call.args, *call.keywords], key=self._end)
        place = arguments.index(keyword)
        begins = self._end(arguments[place - 1] if place else call.func) + (not place)
        self._edits.append((begins, self._end(keyword), b""))

    def shorten(self, docstring: ast.stmt) -> None:
        """Cut the examples out of a docstring."""
        start, end = self._span(docstring)
        before, mark, _ = self._data[start:end].partition(b">>>")
        if mark:
            self._edits.append((start, end, before.rstrip() + b'"""'))

    def text_of(self, first: ast.stmt, last: ast.stmt) -> str:
        """Return the text from one node to another with what was replaced."""
        start, end = self._span(first)[0], self._span(last)[1]
        data, at = b"", start
        for begins, ends, new in sorted(set(self._edits)):
            if begins >= at:
                data += self._data[at:begins] + new
                at = ends
        return (data + self._data[at:end]).decode()

    def _span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        decorators = getattr(node, "decorator_list", None)
        line, column = node.lineno, node.col_offset
        if decorators:
            line, column = decorators[0].lineno, decorators[0].col_offset - 1
        return self._lines[line - 1] + column, self._end(node)

    def _end(self, node: Any) -> int:
        return self._lines[(node.end_lineno or 1) - 1] + (node.end_col_offset or 0)
