"""How a signature becomes messages, and a reply becomes typed fields.

`base` says what an adapter is and how an unreadable reply is repaired; `chat` and `json` are the layouts; `plan`
keeps what depends on the signature alone; `reading` turns text into types, `loose_json` copes with the JSON that
models write, `notes` and `schema` tell a model what is wanted, `values` writes one value.
"""

from __future__ import annotations

from engine.adapters.base import Adapter
from engine.adapters.chat import ChatAdapter
from engine.adapters.json import JSONAdapter

__all__ = ["Adapter", "ChatAdapter", "JSONAdapter"]
