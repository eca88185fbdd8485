"""DSPy's module paths, in one table, as modules that hold nothing: every name is looked up here when it is asked for.

`engine.<path>` is found by the finder in `engine.compat`, `dspy.<path>` by the one in `engine.compat.running`.
Classes and functions are the engine's own, with their own `__module__`, so pickling and inspection see no
difference.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import partial
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

PATHS: dict[str, str] = {
    "adapters": "Adapter Audio ChatAdapter Code File History Image JSONAdapter Reasoning Tool ToolCallResults "
    "ToolCalls TwoStepAdapter Type XMLAdapter",
    "adapters.baml_adapter": "BAMLAdapter",
    "adapters.base": "Adapter",
    "adapters.chat_adapter": "ChatAdapter",
    "adapters.json_adapter": "JSONAdapter",
    "adapters.two_step_adapter": "TwoStepAdapter",
    "adapters.xml_adapter": "XMLAdapter",
    "adapters.types": "Audio Code File History Image Reasoning Tool ToolCallResults ToolCalls Type",
    "adapters.types.audio": "Audio",
    "adapters.types.base_type": "Type",
    "adapters.types.citation": "Citations",
    "adapters.types.code": "Code",
    "adapters.types.document": "Document",
    "adapters.types.file": "File",
    "adapters.types.history": "History",
    "adapters.types.image": "Image",
    "adapters.types.reasoning": "Reasoning",
    "adapters.types.tool": "Tool ToolCallResults ToolCalls",
    "clients": "BaseLM Embedder LM configure_cache disable_litellm_logging enable_litellm_logging inspect_history",
    "clients.base_lm": "BaseLM inspect_history",
    "clients.embedding": "Embedder",
    "clients.lm": "LM",
    "datasets": "DataLoader Dataset HotPotQA",
    "datasets.dataloader": "DataLoader",
    "datasets.dataset": "Dataset",
    "datasets.gsm8k": "GSM8K gsm8k_metric parse_integer_answer",
    "datasets.hotpotqa": "HotPotQA",
    "dsp": "",
    "dsp.colbertv2": "ColBERTv2",
    "dsp.utils": "deduplicate dotdict flatten settings",
    "dsp.utils.settings": "settings",
    "dsp.utils.utils": "deduplicate dotdict flatten",
    "evaluate": "CompleteAndGrounded EM Evaluate EvaluationResult SemanticF1 answer_exact_match answer_passage_match "
    "normalize_text",
    "evaluate.auto_evaluation": "CompleteAndGrounded SemanticF1",
    "evaluate.evaluate": "Evaluate EvaluationResult",
    "evaluate.metrics": "EM F1 HotPotF1 answer_exact_match answer_exact_match_str answer_passage_match normalize_text",
    "experimental": "Citations Document",
    "lm15": "Config Message Request Response TextPart ThinkingPart ToolCallPart Usage",
    "predict": "BestOfN ChainOfThought CodeAct KNN MultiChainComparison Parallel Predict ProgramOfThought RLM ReAct ReActV2 Refine "
    "Tool majority",
    "predict.aggregation": "majority",
    "predict.best_of_n": "BestOfN",
    "predict.chain_of_thought": "ChainOfThought",
    "predict.code_act": "CodeAct",
    "predict.knn": "KNN",
    "predict.multi_chain_comparison": "MultiChainComparison",
    "predict.parallel": "Parallel",
    "predict.predict": "Predict",
    "predict.program_of_thought": "ProgramOfThought",
    "predict.react": "ReAct Tool",
    "predict.react_v2": "ReActV2",
    "predict.refine": "OfferFeedback Refine",
    "predict.rlm": "RLM",
    "primitives": "BaseModule CodeExecutionError CodeInterpreterError Completions Example Module Prediction PythonInterpreter",
    "primitives.base_module": "BaseModule",
    "primitives.code_interpreter": "CodeExecutionError CodeInterpreterError",
    "primitives.example": "Example",
    "primitives.module": "Module",
    "primitives.prediction": "Completions Prediction",
    "primitives.program": "Module",
    "primitives.python_interpreter": "PythonInterpreter",
    "retrieve": "Retrieve",
    "retrievers": "Embeddings EmbeddingsWithScores Retrieve",
    "retrievers.embeddings": "Embeddings EmbeddingsWithScores",
    "retrievers.retrieve": "Retrieve",
    "signatures": "InputField OldInputField OldOutputField OutputField Signature SignatureMeta ensure_signature infer_prefix "
    "make_signature",
    "signatures.field": "InputField OldInputField OldOutputField OutputField",
    "signatures.signature": "InputField OutputField Signature SignatureMeta ensure_signature infer_prefix make_signature",
    "streaming": "StatusMessage StatusMessageProvider StreamListener StreamResponse streamify streaming_response",
    "streaming.messages": "StatusMessage StatusMessageProvider StreamResponse",
    "streaming.streamify": "streamify streaming_response",
    "streaming.streaming_listener": "StreamListener",
    "teleprompt": "AvatarOptimizer BetterTogether BootstrapFewShot BootstrapFewShotWithOptuna BootstrapFewShotWithRandomSearch "
    "BootstrapFinetune "
    "BootstrapRS COPRO Ensemble GEPA InferRules KNNFewShot LabeledFewShot MIPRO MIPROv2 SIMBA Teleprompter",
    "teleprompt.avatar_optimizer": "AvatarOptimizer",
    "teleprompt.bettertogether": "BetterTogether",
    "teleprompt.bootstrap": "BootstrapFewShot",
    "teleprompt.bootstrap_finetune": "BootstrapFinetune",
    "teleprompt.copro_optimizer": "COPRO",
    "teleprompt.ensemble": "Ensemble",
    "teleprompt.gepa": "GEPA",
    "teleprompt.gepa.gepa": "GEPA",
    "teleprompt.gepa.gepa_utils": "DSPyTrace ReflectiveExample ScoreWithFeedback",
    "teleprompt.gepa.instruction_proposal": "ReflectiveExample",
    "teleprompt.grpo": "GRPO",
    "teleprompt.infer_rules": "InferRules",
    "teleprompt.knn_fewshot": "KNNFewShot",
    "teleprompt.mipro_optimizer_v2": "MIPROv2",
    "teleprompt.random_search": "BootstrapFewShotWithRandomSearch",
    "teleprompt.simba": "SIMBA",
    "teleprompt.teleprompt": "Teleprompter",
    "teleprompt.teleprompt_optuna": "BootstrapFewShotWithOptuna",
    "teleprompt.vanilla": "LabeledFewShot",
    "utils": "BaseCallback DummyLM DummyVectorizer StatusMessage StatusMessageProvider syncify",
    "utils.asyncify": "asyncify",
    "utils.callback": "ACTIVE_CALL_ID BaseCallback with_callbacks",
    "utils.dummies": "DummyLM DummyVectorizer",
    "utils.exceptions": "AdapterParseError ContextWindowExceededError DSPyError LMAuthError LMBillingError LMCollectionLimitError "
    "LMConfigurationError LMError LMInvalidRequestError LMLockTimeoutError LMNotConfiguredError LMProviderError LMRateLimitError "
    "LMServerError LMStreamAssemblyError LMTimeoutError LMTransportError LMUnexpectedError LMUnsupportedFeatureError "
    "LMUnsupportedModelError is_retryable_lm_error",
    "utils.logging_utils": "configure_dspy_loggers disable_logging enable_logging",
    "utils.saving": "load",
    "utils.syncify": "syncify",
    "utils.usage_tracker": "UsageTracker track_usage",
}
"""DSPy's module path -> the names in it. A name is the engine's public name, or is in `HOMES`."""

_NAMES = {
    "engine.callbacks": "with_callbacks",
    "engine.compat.datasets": "DataLoader Dataset GSM8K HotPotQA",
    "engine.compat.objects": "DSPyTrace HotPotF1 ReflectiveExample ScoreWithFeedback "
    "answer_exact_match_str deduplicate dotdict flatten gsm8k_metric parse_integer_answer",
    "engine.modules.best_of_n": "OfferFeedback",
    "engine.lm.calls.usage": "UsageTracker",
    "engine.testing": "DummyLM DummyVectorizer",
}
HOMES: dict[str, str] = {
    "ACTIVE_CALL_ID": "engine.callbacks:active_call_id",
    **{name: f"{home}:{name}" for home, names in _NAMES.items() for name in names.split()},
    **{f"lm15.{name}": f"engine.compat.lm15:{name}" for name in PATHS["lm15"].split()},
}
"""Names that are not public here, or mean something else in one module of DSPy's -> where they are."""

_LITELLM = "give what litellm takes to engine.LM"

MISSING: dict[str, str] = {
    "Cache": "use engine.configure_cache",
    "ChainOfThoughtWithHint": "use engine.ChainOfThought and an input field `hint`",
    "CodeInterpreter": "subclass engine.tools.interpreter.Sandbox",
    "Colors": "use engine.datasets.DataLoader with a file of your own",
    "DISK_CACHE_DIR": "use engine.configure_cache(disk_cache_dir=...)",
    "FinalOutput": "end a program's work with its last expression",
    "Flex": "use engine.RLM or engine.CodeAct, whose code is written when it is needed",
    "GroundedProposer": "use engine.MIPROv2, which writes its own instructions",
    "LocalInterpreter": "use engine.PythonInterpreter: nothing runs outside a sandbox",
    "MATH": "use engine.datasets.DataLoader().from_huggingface",
    "MultiModalInstructionProposer": "use engine.GEPA, which shows pictures to the model that writes",
    "OldField": "use engine.InputField or engine.OutputField",
    "Provider": _LITELLM,
    "SandboxSerializable": "pass plain values to engine.PythonInterpreter",
    "TrainingJob": "compile with engine.BootstrapFinetune, which waits for its training and reports its progress",
    "TypedChainOfThought": "use engine.ChainOfThought: every output has its type",
    "TypedPredictor": "use engine.Predict: every output has its type",
    "Unbatchify": "use engine.Parallel",
    "bootstrap_trace_data": "read `outcomes` of engine.Evaluate's result",
    "cache": "use engine.configure_cache",
    "load_settings": "settings are not saved: call engine.configure",
    "resolve_interpreter_factory": "give interpreter_factory=engine.PythonInterpreter",
}
"""Names of DSPy's that are not here -> what to do instead."""

ROOTS = ("engine", "dspy")
VERSION = "3.4.1"
"""The version of DSPy whose names these are."""


class DSPyModule(ModuleType):
    """A module of DSPy's that holds nothing: `__getattr__` finds names by the table."""

    def __getattr__(self, name: str) -> Any:
        if name == "__version__" and self.__name__ == "dspy":
            return VERSION
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        value = self._value(name)
        self.__dict__[name] = value
        return value

    def _value(self, name: str) -> Any:
        root, _, path = self.__name__.partition(".")
        below = f"{path}.{name}" if path else name
        if name in names_in(path):
            return found(name, path)
        if is_path(below):
            return importlib.import_module(f"{root}.{below}")
        if not path:
            return _public(name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}{advice(name)}")

    def __dir__(self) -> list[str]:
        path = self.__name__.partition(".")[2]
        start = f"{path}." if path else ""
        children = {one[len(start) :].split(".")[0] for one in PATHS if one.startswith(start)}
        public = importlib.import_module("engine").__all__ if not path else ()
        return sorted({*names_in(path), *children, *public})


def names_in(path: str) -> Sequence[str]:
    """Return the names in a module of DSPy's."""
    return PATHS.get(path, "").split()


def is_path(path: str) -> bool:
    """Return whether DSPy has a module at this path, as far as the table knows."""
    return path in PATHS


def found(name: str, path: str = "") -> Any:
    """Return the engine's object for a name of DSPy's in a module. Raises AttributeError if it is not here."""
    home, _, attribute = (HOMES.get(f"{path}.{name}") or HOMES.get(name, "")).partition(":")
    return getattr(importlib.import_module(home), attribute) if home else _public(name)


def advice(name: str) -> str:
    """Return what to use instead of a name that is not here, as the rest of an error message."""
    return f": {MISSING[name]}" if name in MISSING else ""


def module_at(name: str) -> ModuleType | None:
    """Import the module at `engine.<path>` if the table has the path."""
    return importlib.import_module(name) if is_path(name.partition(".")[2]) else None


def spec_of(name: str) -> ModuleSpec | None:
    """Return the spec of `engine.<path>` or `dspy.<path>`, or None for another name."""
    if name in MOVED:
        return ModuleSpec(name, _MovedLoader(), origin=MOVED[name], is_package=True)
    root, _, path = name.partition(".")
    if root not in ROOTS or not (is_path(path) or name == "dspy"):
        return None
    spec = ModuleSpec(name, _Loader(), origin="engine.compat.paths", is_package=True)
    spec.submodule_search_locations = []
    return spec


MOVED = {
    "engine.lm.cache": "engine.lm.calls.cache",
    "engine.lm.history": "engine.lm.calls.history",
    "engine.lm.limits": "engine.lm.calls.limits",
    "engine.lm.middleware": "engine.lm.calls.middleware",
    "engine.lm.speeds": "engine.lm.calls.speeds",
    "engine.lm.usage": "engine.lm.calls.usage",
    "engine.lm.waiting": "engine.lm.calls.waiting",
    "engine.optimizers.gepa.results": "engine.compat.gepa_results",
    "engine.search.objective": "engine.search.judging.objective",
    "engine.search.verdict": "engine.search.judging.verdict",
    "engine.training": "engine.optimizers.training",
    "engine.training.contract": "engine.search.trainers",
    "engine.types": "engine.signature.types",
}
"""Module paths that guides have named, or that pickled programs name -> the module that is there now."""


class _MovedLoader(Loader):
    """Makes a module that looks its names up where they are now."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module."""
        module = ModuleType(spec.name)
        module.__dict__["__getattr__"] = partial(getattr, importlib.import_module(MOVED[spec.name]))
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Execute nothing."""


class _Loader(Loader):
    """Makes a module of DSPy's; nothing is executed."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module."""
        return DSPyModule(spec.name, f"DSPy's module `{spec.name.partition('.')[2]}`: names of the engine.")

    def exec_module(self, module: ModuleType) -> None:
        """Name what `from module import *` takes."""
        module.__dict__["__all__"] = list(names_in(module.__name__.partition(".")[2])) or dir(module)


def _public(name: str) -> object:
    """Return a public name of the engine. Raises AttributeError, with what to use instead where that is known."""
    return getattr(importlib.import_module("engine"), name)
