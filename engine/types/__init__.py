"""What a field can hold beyond JSON types.

    base.py       Type: how a value stands in a message, is described to a model and read from a reply
    image.py, audio.py, file.py   parts of a message
    document.py   a text with a title, and Citations of it
    code.py, reasoning.py         text with a use
    history.py    earlier turns of a conversation
    tool.py, tool_calls.py        what a tool is to a prompt, and the calls a model asks for
    download.py   the one door to the network, opened by `from_url` only

No file is read and no address is asked when a value is made: `from_path` and `from_url` say so in their names. They
know nothing of adapters, models or signatures. Names are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "Audio": "media",
    "Citation": "document",
    "Citations": "document",
    "Code": "textual",
    "Document": "document",
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
