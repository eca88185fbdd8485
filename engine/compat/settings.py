"""DSPy's settings: the object `settings`, and the settings that the engine has no use for, which are stored and read back."""

from __future__ import annotations

from typing import Any

import engine
from engine.basics.data import JsonObject, Values
from engine.runtime import Runtime, current, setting_names

DEFAULTS: Values = {
    "allow_tool_async_sync_conversion": True,
    "async_max_workers": 8,
    "branch_idx": 0,
    "caller_modules": None,
    "caller_predict": None,
    "disable_history": False,
    "experimental": False,
    "interpreter_factory": None,
    "max_trace_size": 10000,
    "provide_traceback": False,
    "send_stream": None,
    "stream_listeners": (),
    "usage_tracker": None,
    "warn_on_type_mismatch": True,
}
"""Settings of DSPy and what they are where they are not given. `disable_history` is `history=False`."""


def with_dspy_settings(arguments: JsonObject) -> JsonObject:
    """Return settings with those of DSPy that the engine has no use for among the user-defined ones."""
    if not arguments.keys() & DEFAULTS.keys():
        return arguments
    if "disable_history" in arguments:
        arguments["history"] = not arguments.pop("disable_history")
    unused = {name: arguments.pop(name) for name in arguments.keys() & DEFAULTS.keys()}
    return {**arguments, "own": {**current().own, **unused}}


class DSPySettings:
    """The settings in force, under the name DSPy users know: `settings.lm`, `settings["lm"]`; setting one configures it."""

    def __getattr__(self, name: str) -> Any:
        runtime = current()
        if name in Runtime.__dataclass_fields__:
            return getattr(runtime, name)
        if name == "disable_history":
            return not runtime.history
        if name in runtime.own or name in DEFAULTS:
            return runtime.own.get(name, DEFAULTS.get(name))
        raise AttributeError(f"There is no setting {name!r}. Settings: {setting_names()}.")

    def __setattr__(self, name: str, value: object) -> None:
        engine.configure(**{name: value})

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    __setitem__ = __setattr__

    def __contains__(self, name: object) -> bool:
        return name in self.keys()

    def __repr__(self) -> str:
        return f"settings({self.copy()!r})"

    def keys(self) -> list[str]:
        """Return the names of all settings, also of your own."""
        return [
            name for name in (*Runtime.__dataclass_fields__, *{**DEFAULTS, **current().own}) if name != "own"
        ]

    def copy(self) -> JsonObject:
        """Return all settings as they are here."""
        return {name: getattr(self, name) for name in self.keys()}

    config = property(copy)
    """All settings as they are here."""

    def get(self, key: str, default: object = None) -> Any:
        """Return a setting, or `default`."""
        return getattr(self, key, default)

    def configure(self, **values: object) -> None:
        """Set the process's default settings."""
        engine.configure(**values)

    def context(self, **values: object) -> Any:
        """Change settings inside a `with` block."""
        return engine.context(**values)


settings = DSPySettings()
