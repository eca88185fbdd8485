"""A step's own adapter in its saved state, as JSON values: which one, and its settings."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from engine.adapters import ADAPTERS, adapter_by_name
from engine.modules.state import dump_lm, load_lm

if TYPE_CHECKING:
    from engine.adapters.base import Adapter

_log = logging.getLogger(__name__)


def dump_adapter(adapter: Adapter) -> dict[str, Any] | None:
    """Return a step's own adapter as JSON values; None for a class of somebody's own, which no file can hold."""
    if type(adapter) not in ADAPTERS:
        _log.warning("%s is not saved with its step: set it again after loading.", type(adapter).__name__)
        return None
    extraction = getattr(adapter, "extraction_model", None)
    more = {} if extraction is None else {"extraction_model": dump_lm(extraction)}
    return {"name": adapter.name, **adapter.options(), **more}


def load_adapter(saved: Mapping[str, Any]) -> Adapter:
    """Return the adapter that `dump_adapter` wrote down. Raises UnknownNameError."""
    options = {name: value for name, value in saved.items() if name != "name"}
    if options.get("extraction_model"):
        options["extraction_model"] = load_lm(options["extraction_model"])
    return adapter_by_name(str(saved["name"]))(**options)
