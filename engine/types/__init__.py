"""Types of fields beyond those of JSON.

    base.py     Type: how a value is shown in a message, described to a model and read from a reply
    media.py    Image, Audio, File, PDF: parts of a message, and the one door to the network, opened by `from_url` only
    textual.py  Reasoning, History, Code, Document and the Citations of it
    tool.py     ToolForm, what a tool is to a prompt, and the calls that a model asks for

No file is read and no address is asked when a value is made: `from_path` and `from_url` say so in their names. They
know nothing of adapters, models or signatures. Names are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import Any

_NAMES = {
    "base": "Type",
    "media": "Audio File Image PDF",
    "textual": "Citation Citations Code Document History Reasoning",
    "tool": "ToolCall ToolCallResult ToolCallResults ToolCalls ToolForm",
}
"""Module -> the public names that it defines."""

_HOMES = {name: home for home, names in _NAMES.items() for name in names.split()}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'engine.types' has no attribute {name!r}")
    return getattr(importlib.import_module(f"engine.types.{_HOMES[name]}"), name)
