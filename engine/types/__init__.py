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

_HOMES = {
    "Audio": "media",
    "Citation": "textual",
    "Citations": "textual",
    "Code": "textual",
    "Document": "textual",
    "File": "media",
    "History": "textual",
    "Image": "media",
    "PDF": "media",
    "Reasoning": "textual",
    "ToolCall": "tool",
    "ToolCallResult": "tool",
    "ToolCallResults": "tool",
    "ToolCalls": "tool",
    "ToolForm": "tool",
    "Type": "base",
}
"""Public name -> the module that defines it."""

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'engine.types' has no attribute {name!r}")
    return getattr(importlib.import_module(f"engine.types.{_HOMES[name]}"), name)
