"""Adapters: a signature becomes messages, and a reply becomes typed fields.

`base` says what an adapter is, `repair` the messages about an unreadable reply; `chat`, `json`, `xml`, `baml` and
`two_step` are the layouts. `plan` keeps what depends on the signature alone, takes out what a model gives next to
its text, and writes the turns. `values` turns text into types, and values into text and content; `scalars` reads
the loose JSON and single values that models write; `notes` describes them.
"""

from __future__ import annotations

from engine.adapters.baml import BAMLAdapter
from engine.adapters.base import Adapter
from engine.adapters.chat import ChatAdapter
from engine.adapters.json import JSONAdapter
from engine.adapters.two_step import TwoStepAdapter
from engine.adapters.xml import XMLAdapter
from engine.errors import UnknownNameError

ADAPTERS: tuple[type[Adapter], ...] = (ChatAdapter, JSONAdapter, XMLAdapter, BAMLAdapter, TwoStepAdapter)


def get_adapter(name: str) -> type[Adapter]:
    """Return an adapter's class by its short name or its class's name. Raises UnknownNameError.

    >>> get_adapter("two_step").__name__
    'TwoStepAdapter'
    """
    for adapter in ADAPTERS:
        if name in (adapter.name, adapter.__name__):
            return adapter
    raise UnknownNameError("adapter", name, [adapter.name for adapter in ADAPTERS])


adapter_by_name = get_adapter
"""The earlier name of `get_adapter`."""

__all__ = [
    "ADAPTERS",
    "Adapter",
    "BAMLAdapter",
    "ChatAdapter",
    "JSONAdapter",
    "TwoStepAdapter",
    "XMLAdapter",
    "adapter_by_name",
    "get_adapter",
]
