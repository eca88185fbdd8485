"""Values as Python source that a person can read: texts of several lines stand as such, long lists one item a line."""

from __future__ import annotations

import re
from typing import Any

WIDTH = 100
SHORT = 30
"""Characters up to which a text stays on one line, its line breaks written as such."""


def literal(value: Any, indent: int = 0) -> str:
    """Return a value of JSON types as a Python expression.

    >>> made = literal({"name": "gpt", "system": "You are asked to read this" + chr(10) + "text."})
    >>> print(made.replace('"', "'"))
    {
        'name': 'gpt',
        'system': '''\\
    You are asked to read this
    text.''',
    }
    """
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict | list | tuple) and value:
        if isinstance(value, dict):
            items = [f"{_text(str(key))}: {literal(item, indent + 4)}" for key, item in value.items()]
        else:
            items = [literal(item, indent + 4) for item in value]
        before, after = "{}" if isinstance(value, dict) else "[]"
        short = f"{before}{', '.join(items)}{after}"
        if len(short) + indent <= WIDTH and "\n" not in short:
            return short
        inside = "".join(f"{' ' * (indent + 4)}{item},\n" for item in items)
        return f"{before}\n{inside}{' ' * indent}{after}"
    return repr(value)


def _text(text: str) -> str:
    """Return a text's source: of several lines as it stands, unless something in it would not be seen or be read otherwise."""
    if "\n" in text and len(text) > SHORT and text.replace("\n", "").isprintable():
        source = re.sub(r'"(?="|\Z)', r'\\"', text.replace("\\", "\\\\"))
        return f'"""\\\n{source}"""'
    shown = repr(text)
    if shown.startswith("'") and '"' not in shown and "\\'" not in shown:
        return f'"{shown[1:-1]}"'
    return shown
