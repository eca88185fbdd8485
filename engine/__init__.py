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
    errors        every exception; statistics, text, similarity, written (numbers and dates): pure functions; children: child processes
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

_NAMES: dict[str, str] = {
    "engine.adapters.baml": "BAMLAdapter",
    "engine.adapters.base": "Adapter",
    "engine.adapters.chat": "ChatAdapter",
    "engine.adapters.json": "JSONAdapter",
    "engine.adapters.two_step": "TwoStepAdapter",
    "engine.adapters.xml": "XMLAdapter",
    "engine.callbacks": "BaseCallback",
    "engine.dataset": "Dataset read_dataset",
    "engine.documents.evidence": "Evidence evidence_for",
    "engine.documents.paged": "PagedDocument read_document",
    "engine.errors": "AdapterParseError ConfigurationError ContextWindowExceededError EngineError "
    "LMError LMTimeoutError SignatureError",
    "engine.evaluate": "Evaluate EvaluationResult",
    "engine.export.dspy_script": "import_dspy save_dspy",
    "engine.extraction.prompter": "Prompter",
    "engine.lm.base": "BaseLM FallbackLM",
    "engine.lm.cache": "configure_cache",
    "engine.lm.client": "LM",
    "engine.lm.embedder": "Embedder",
    "engine.lm.history": "inspect_history",
    "engine.metrics.base": "FieldGrade Grade Metric",
    "engine.metrics.comparers": "register_evaluator",
    "engine.metrics.custom": "WeightedSum",
    "engine.metrics.json_fields": "JSONMatch",
    "engine.metrics.judge": "CompleteAndGrounded Rubric SemanticF1",
    "engine.metrics.matching": "Contains EM ExactMatch NumberWithin Regex answer_exact_match "
    "answer_passage_match",
    "engine.metrics.python_code": "PythonMetric",
    "engine.metrics.similarity": "BLEU ChrF EditDistance EmbeddingSimilarity F1 ROUGE TokenF1",
    "engine.metrics.whole_set": "Correlation MacroF1",
    "engine.modules.assertions": "Assert Suggest",
    "engine.modules.best_of_n": "BestOfN MultiChainComparison Refine majority",
    "engine.modules.code_act": "CodeAct ProgramOfThought",
    "engine.modules.extract": "Extract",
    "engine.modules.module": "Module",
    "engine.modules.parallel": "Parallel asyncify syncify",
    "engine.modules.predict": "ChainOfThought Predict",
    "engine.modules.react": "ReAct",
    "engine.modules.retrieve": "KNN Retrieve",
    "engine.modules.rlm": "RLM",
    "engine.optimizers.autotune.optimizer": "Autotune",
    "engine.optimizers.avatar": "AvatarOptimizer",
    "engine.optimizers.better_together": "BetterTogether",
    "engine.optimizers.choose": "choose_optimizer",
    "engine.optimizers.copro": "COPRO",
    "engine.optimizers.ensemble": "Ensemble",
    "engine.optimizers.few_shot": "BootstrapFewShot KNNFewShot LabeledFewShot",
    "engine.optimizers.few_shot_search": "BootstrapFewShotWithOptuna BootstrapFewShotWithRandomSearch",
    "engine.optimizers.field_by_field": "FieldByField",
    "engine.optimizers.finetune": "BootstrapFinetune",
    "engine.optimizers.gepa": "GEPA",
    "engine.optimizers.grpo": "GRPO",
    "engine.optimizers.infer_rules": "InferRules",
    "engine.optimizers.mipro": "BayesianSignatureOptimizer MIPROv2",
    "engine.optimizers.simba": "SIMBA",
    "engine.pipeline.build": "build_program",
    "engine.pipeline.importers.program": "spec_of",
    "engine.prediction": "Completions Prediction",
    "engine.records": "Candidate Demo Example Outcome Usage",
    "engine.retrieval.colbert": "ColBERTv2",
    "engine.retrieval.corpus": "read_corpus",
    "engine.retrieval.indexes": "BM25 Embeddings EmbeddingsWithScores",
    "engine.runtime": "configure context settings track_usage",
    "engine.search.budget": "Budget",
    "engine.search.freeze": "Freeze",
    "engine.signature": "InputField OutputField Signature ensure_signature make_signature",
    "engine.streaming": "StatusMessage StatusMessageProvider StreamListener StreamResponse streamify "
    "streaming_response",
    "engine.telemetry": "OpenTelemetryCallback",
    "engine.text": "normalize_text",
    "engine.tools.function": "Tool",
    "engine.tools.interpreter": "PythonInterpreter",
    "engine.tools.pyodide": "PyodideInterpreter",
    "engine.types.base": "Type",
    "engine.types.media": "Audio File Image PDF",
    "engine.types.textual": "Citations Code Document History Reasoning",
    "engine.types.tool": "ToolCall ToolCallResults ToolCalls",
}
"""Module -> the public names that it defines."""

_HOMES = {name: home for home, names in _NAMES.items() for name in names.split()}

__all__ = sorted([*_HOMES, *RENAMED])


_PACKAGES = frozenset(
    "adapters callbacks dataset errors evaluate lm metrics modules optimizers retrieval signature streaming types".split()
)
"""Packages that can be reached as attributes without a separate import."""


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        package = importlib.import_module(f"engine.{name}")
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
