"""The layer for programs written for DSPy; nothing else knows of it. `engine/__init__.py` applies it to public names.

Here are DSPy's names and module paths for what has another name; in `arguments` its arguments that have no effect here,
or another name, and the options and objects of the gepa package.
"""

from __future__ import annotations

RENAMED: dict[str, tuple[str, str]] = {
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
    "Teleprompter": ("engine.optimizers.base", "Optimizer"),
    "load": ("engine.export.program", "load_program"),
}
"""DSPy's name -> the module and the name here."""

PACKAGES = {"retrievers": "engine.retrieval", "signatures": "engine.signature"}
"""DSPy's package -> ours."""
