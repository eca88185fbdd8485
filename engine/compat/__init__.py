"""The layer for programs written for DSPy; only `engine/__init__.py` and the command line know of it.

Here are DSPy's names for what has another name. The other modules:

    paths       one table of DSPy's module paths, and the finder that serves them
    arguments   DSPy's arguments that have no effect here, or another name; options of the gepa package
    datasets    DataLoader and Dataset
    lm15        request and response of `LM(engine=...)`
    agents      ReActV2
    objects     DSPy's small functions and types that the engine itself has no use for
    running     `import dspy` answered by the engine: for `tuneboard as-dspy` and notebooks
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType

_AS_THEY_ARE = {
    "engine.compat.agents": "ReActV2",
    "engine.compat.objects": "LMBillingError LMCollectionLimitError LMLockTimeoutError "
    "LMStreamAssemblyError LMUnsupportedFeatureError configure_dspy_loggers disable_litellm_logging "
    "disable_logging enable_litellm_logging enable_logging is_retryable_lm_error",
    "engine.signature.signature": "SignatureMeta infer_prefix",
}
"""Module -> DSPy's names in it, which are public as they are."""

RENAMED: dict[str, tuple[str, str]] = {
    "BaseModule": ("engine.modules.module", "Module"),
    "CodeExecutionError": ("engine.errors", "SandboxError"),
    "CodeInterpreterError": ("engine.errors", "SandboxError"),
    "DSPyError": ("engine.errors", "EngineError"),
    "LMAuthError": ("engine.errors", "AuthenticationFailedError"),
    "LMConfigurationError": ("engine.errors", "ConfigurationError"),
    "LMInvalidRequestError": ("engine.errors", "InvalidRequestError"),
    "LMNotConfiguredError": ("engine.errors", "ConfigurationError"),
    "LMProviderError": ("engine.errors", "LMError"),
    "LMRateLimitError": ("engine.errors", "RateLimitedError"),
    "LMServerError": ("engine.errors", "ProviderFailureError"),
    "LMTransportError": ("engine.errors", "UnreachableError"),
    "LMUnexpectedError": ("engine.errors", "BadReplyError"),
    "LMUnsupportedModelError": ("engine.errors", "ModelNotFoundError"),
    "BootstrapRS": ("engine.optimizers.few_shot_search", "BootstrapFewShotWithRandomSearch"),
    "MIPRO": ("engine.optimizers.mipro", "MIPROv2"),
    "OldInputField": ("engine.signature", "InputField"),
    "OldOutputField": ("engine.signature", "OutputField"),
    "Teleprompter": ("engine.optimizers.base", "Optimizer"),
    "load": ("engine.export.program", "load_program"),
    **{name: (home, name) for home, names in _AS_THEY_ARE.items() for name in names.split()},
}
"""DSPy's name -> the module and the name here."""


def as_dspy() -> None:
    """Answer `import dspy` with the engine, in this process. In a notebook: `import engine; engine.compat.as_dspy()`.

    Raises ConfigurationError if DSPy itself is imported already.
    """
    importlib.import_module("engine.compat.running").answer_dspy()


def module_at(path: str) -> ModuleType | None:
    """Return the module at one of DSPy's paths ("teleprompt"), or None. `engine.<path>` imports the same."""
    return importlib.import_module("engine.compat.paths").module_at(f"engine.{path}")  # type: ignore[no-any-return]


def advice(name: str) -> str:
    """Return what to use instead of a name of DSPy's that is not here, as the rest of an error message."""
    return importlib.import_module("engine.compat.paths").advice(name)  # type: ignore[no-any-return]


def open_packages() -> None:
    """Let packages that are DSPy's and the engine's own answer for the names and modules that DSPy has in them."""
    for package in _SHARED:
        module = sys.modules.get(f"engine.{package}")
        if module is not None and "__getattr__" not in vars(module):
            module.__dict__["__getattr__"] = _names_in(package)


def _names_in(package: str) -> Callable[[str], object]:
    def name_in(name: str) -> object:
        if not name.startswith("__"):
            paths = importlib.import_module("engine.compat.paths")
            if name in paths.names_in(package):
                return paths.found(name)
            if (module := paths.module_at(f"engine.{package}.{name}")) is not None:
                return module
        raise AttributeError(f"module 'engine.{package}' has no attribute {name!r}")

    return name_in


_SHARED = ("adapters", "evaluate", "streaming")


class _Finder:
    """Finds DSPy's module paths below `engine`. It comes last, so it is asked only for what does not exist."""

    @staticmethod
    def find_spec(name: str, *_: object) -> ModuleSpec | None:
        """Return the spec of `engine.<DSPy's path>`."""
        if not name.startswith("engine.") or name.startswith("engine.compat"):
            return None
        return importlib.import_module("engine.compat.paths").spec_of(name)  # type: ignore[no-any-return]


if not any(getattr(finder, "__name__", "") == "_Finder" for finder in sys.meta_path):
    sys.meta_path.append(_Finder)
