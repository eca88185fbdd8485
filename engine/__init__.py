"""The engine: build, evaluate and tune programs of language-model calls.

Names are loaded when they are first used, so `import engine` costs next to nothing.

The packages, top to bottom; nothing imports upwards (checked by `lint-imports`):

    cli           the `tuneboard` command
    compat        names, module paths and arguments of programs written for DSPy; only `engine` and the command know of it
    serve         a compiled program as a web service and as an MCP tool
    runs          a run as data, the worker process that carries it out, and the child process that answers pages
    export        a compiled program as a file, a script, a container, a DSPy program; the report
    store         the SQLite file: projects, datasets, runs and what happened in them
    extraction    records from documents: Prompter
    registry      the table of contents: every optimizer, module, metric, adapter and export
    optimizers    one algorithm a file or folder; generators of asks that do no I/O
    search        the contract of a search, its driver, meter, events, estimate and verdict
    streaming     a program's answer as it is written
    evaluate      a program over rows, concurrently; telemetry: calls as OpenTelemetry spans
    pipeline      the declarative pipeline that forms edit, and the program it becomes
    modules       strategies for answering one signature; metrics: how good an answer is
    retrieval     passages for a query
    adapters      a signature as messages, a reply as typed fields; lm: models, cache, prices; tools: functions, sandbox
    documents     pages of texts, PDFs and pictures, and where a value is found in them
    types         field values beyond JSON: images, sound, files, documents; dataset: tables of examples
    signature     typed contracts; loop: the event loop all model calls run on
    prediction    a program's answer
    records       the frozen nouns everything else passes around; home, addresses
    callbacks     hooks round calls
    runtime       model, adapter, middleware and observers in force, in a context variable
    errors        every exception; statistics, text, similarity: pure functions; children: short-lived child processes
    testing       stand-in models, and the contract tests of an optimizer

The words:

    signature, field, instructions, demo   as in DSPy
    module, program      a strategy for one signature; anything callable made of modules
    pipeline, step       a program as data; one named predictor in it
    example, dataset     a labelled row; the table; split: its train, validation and test rows
    metric               how good: score, the number; feedback, why in words
    candidate            what an optimizer may change, frozen
    trial                one candidate scored on some rows
    outcome              one row answered and scored, or failed: the only record of it
    optimizer            the algorithm; search: its generator; ask: what that yields
    budget               the limits; ledger: enforces them; meter: what a search sees of it; estimate: the forecast
    leaderboard          candidates ranked by what is known
    frozen part          what an optimizer must not change
    user request         what a person asks of a running search
    playground, preview  a prompt tried on one input; a few rows answered before a run
    snapshot             a run's state at one moment, for a page
    project, draft, run, worker, store, event, verdict, report, export   as they are

A program in five lines, with the names users of DSPy know:

    import engine
    engine.configure(lm=engine.LM("offline/learner"))
    route = engine.Predict("message -> team: Literal['billing', 'shipping']")
    print(route(message="Where is my parcel?").team)
    route.save("route.json")
"""

from __future__ import annotations

import importlib
from typing import Any

from engine.compat import RENAMED, advice, module_at, open_packages

_HOMES: dict[str, str] = {
    "Adapter": "engine.adapters.base",
    "AdapterParseError": "engine.errors",
    "Assert": "engine.modules.assertions",
    "Audio": "engine.types.media",
    "Autotune": "engine.optimizers.autotune.optimizer",
    "AvatarOptimizer": "engine.optimizers.avatar",
    "BAMLAdapter": "engine.adapters.baml",
    "BLEU": "engine.metrics.similarity",
    "BM25": "engine.retrieval.indexes",
    "BaseCallback": "engine.callbacks",
    "BaseLM": "engine.lm.base",
    "BayesianSignatureOptimizer": "engine.optimizers.mipro",
    "BestOfN": "engine.modules.best_of_n",
    "BetterTogether": "engine.optimizers.better_together",
    "BootstrapFewShot": "engine.optimizers.few_shot",
    "BootstrapFewShotWithOptuna": "engine.optimizers.few_shot_search",
    "BootstrapFewShotWithRandomSearch": "engine.optimizers.few_shot_search",
    "BootstrapFinetune": "engine.optimizers.finetune",
    "Budget": "engine.search.budget",
    "COPRO": "engine.optimizers.copro",
    "Candidate": "engine.records",
    "ChainOfThought": "engine.modules.predict",
    "ChatAdapter": "engine.adapters.chat",
    "ChrF": "engine.metrics.similarity",
    "Citations": "engine.types.textual",
    "Code": "engine.types.textual",
    "CodeAct": "engine.modules.code_act",
    "ColBERTv2": "engine.retrieval.colbert",
    "CompleteAndGrounded": "engine.metrics.judge",
    "Completions": "engine.prediction",
    "ConfigurationError": "engine.errors",
    "Contains": "engine.metrics.matching",
    "ContextWindowExceededError": "engine.errors",
    "Correlation": "engine.metrics.whole_set",
    "Dataset": "engine.dataset",
    "Demo": "engine.records",
    "Document": "engine.types.textual",
    "EM": "engine.metrics.matching",
    "EditDistance": "engine.metrics.similarity",
    "Embedder": "engine.lm.embedder",
    "EmbeddingSimilarity": "engine.metrics.similarity",
    "Embeddings": "engine.retrieval.indexes",
    "EmbeddingsWithScores": "engine.retrieval.indexes",
    "EngineError": "engine.errors",
    "Ensemble": "engine.optimizers.ensemble",
    "Evaluate": "engine.evaluate",
    "Evidence": "engine.documents.evidence",
    "EvaluationResult": "engine.evaluate",
    "ExactMatch": "engine.metrics.matching",
    "Example": "engine.records",
    "Extract": "engine.modules.extract",
    "F1": "engine.metrics.similarity",
    "FieldByField": "engine.optimizers.field_by_field",
    "FallbackLM": "engine.lm.base",
    "FieldGrade": "engine.metrics.base",
    "File": "engine.types.media",
    "Freeze": "engine.search.freeze",
    "GRPO": "engine.optimizers.grpo",
    "GEPA": "engine.optimizers.gepa",
    "Grade": "engine.metrics.base",
    "History": "engine.types.textual",
    "Image": "engine.types.media",
    "InferRules": "engine.optimizers.infer_rules",
    "InputField": "engine.signature",
    "JSONAdapter": "engine.adapters.json",
    "JSONMatch": "engine.metrics.json_fields",
    "KNN": "engine.modules.retrieve",
    "KNNFewShot": "engine.optimizers.few_shot",
    "LM": "engine.lm.client",
    "LMError": "engine.errors",
    "LMTimeoutError": "engine.errors",
    "LabeledFewShot": "engine.optimizers.few_shot",
    "MIPROv2": "engine.optimizers.mipro",
    "MacroF1": "engine.metrics.whole_set",
    "Metric": "engine.metrics.base",
    "Module": "engine.modules.module",
    "MultiChainComparison": "engine.modules.best_of_n",
    "NumberWithin": "engine.metrics.matching",
    "OpenTelemetryCallback": "engine.telemetry",
    "Outcome": "engine.records",
    "OutputField": "engine.signature",
    "PDF": "engine.types.media",
    "PagedDocument": "engine.documents.paged",
    "Parallel": "engine.modules.parallel",
    "Predict": "engine.modules.predict",
    "Prediction": "engine.prediction",
    "Prompter": "engine.extraction.prompter",
    "ProgramOfThought": "engine.modules.code_act",
    "PyodideInterpreter": "engine.tools.pyodide",
    "PythonInterpreter": "engine.tools.interpreter",
    "PythonMetric": "engine.metrics.python_code",
    "RLM": "engine.modules.rlm",
    "ROUGE": "engine.metrics.similarity",
    "ReAct": "engine.modules.react",
    "Reasoning": "engine.types.textual",
    "Refine": "engine.modules.best_of_n",
    "Regex": "engine.metrics.matching",
    "Retrieve": "engine.modules.retrieve",
    "Rubric": "engine.metrics.judge",
    "SIMBA": "engine.optimizers.simba",
    "SemanticF1": "engine.metrics.judge",
    "Signature": "engine.signature",
    "SignatureError": "engine.errors",
    "StatusMessage": "engine.streaming",
    "StatusMessageProvider": "engine.streaming",
    "StreamListener": "engine.streaming",
    "StreamResponse": "engine.streaming",
    "Suggest": "engine.modules.assertions",
    "TokenF1": "engine.metrics.similarity",
    "Tool": "engine.tools.function",
    "ToolCall": "engine.types.tool",
    "ToolCallResults": "engine.types.tool",
    "ToolCalls": "engine.types.tool",
    "TwoStepAdapter": "engine.adapters.two_step",
    "Type": "engine.types.base",
    "Usage": "engine.records",
    "WeightedSum": "engine.metrics.custom",
    "XMLAdapter": "engine.adapters.xml",
    "answer_exact_match": "engine.metrics.matching",
    "answer_passage_match": "engine.metrics.matching",
    "asyncify": "engine.modules.parallel",
    "build_program": "engine.pipeline.build",
    "choose_optimizer": "engine.optimizers.choose",
    "configure": "engine.runtime",
    "configure_cache": "engine.lm.cache",
    "context": "engine.runtime",
    "ensure_signature": "engine.signature",
    "evidence_for": "engine.documents.evidence",
    "import_dspy": "engine.export.dspy_script",
    "inspect_history": "engine.lm.history",
    "majority": "engine.modules.best_of_n",
    "make_signature": "engine.signature",
    "normalize_text": "engine.text",
    "read_corpus": "engine.retrieval.corpus",
    "read_dataset": "engine.dataset",
    "read_document": "engine.documents.paged",
    "register_evaluator": "engine.metrics.comparers",
    "save_dspy": "engine.export.dspy_script",
    "settings": "engine.runtime",
    "spec_of": "engine.pipeline.importers.program",
    "streamify": "engine.streaming",
    "streaming_response": "engine.streaming",
    "syncify": "engine.modules.parallel",
    "track_usage": "engine.runtime",
}
"""Public name -> the module that defines it."""

__all__ = sorted([*_HOMES, *RENAMED])


_PACKAGES = {
    "adapters": "engine.adapters",
    "callbacks": "engine.callbacks",
    "dataset": "engine.dataset",
    "errors": "engine.errors",
    "evaluate": "engine.evaluate",
    "lm": "engine.lm",
    "metrics": "engine.metrics",
    "modules": "engine.modules",
    "optimizers": "engine.optimizers",
    "retrieval": "engine.retrieval",
    "signature": "engine.signature",
    "streaming": "engine.streaming",
    "types": "engine.types",
}
"""Packages that can be reached as attributes without a separate import."""


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        package = importlib.import_module(_PACKAGES[name])
        open_packages()
        return package
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("tuneboard")
    home, attribute = RENAMED.get(name) or (_HOMES.get(name), name)
    if home is None:
        if not name.startswith("_") and (module := module_at(name)) is not None:
            return module
        raise AttributeError(f"module 'engine' has no attribute {name!r}{advice(name)}")
    adapted = importlib.import_module("engine.compat.arguments").adapted
    value = adapted(getattr(importlib.import_module(home), attribute))
    open_packages()
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, *_PACKAGES])
