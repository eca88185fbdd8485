"""The engine: build, evaluate and tune programs of language-model calls.

Names are loaded when they are first used, so `import engine` costs next to nothing.

The packages, top to bottom; nothing imports upwards (checked by `lint-imports`):

    cli           the `tuneboard` command
    compat        names, module paths and arguments of programs written for DSPy and DSPydantic; only `engine` and the command know of it
    extraction    the public path of `compat.prompter`: records from documents
    serve         a compiled program as a web service and as an MCP tool
    runs          a run as data, the worker process that carries it out, and the child process that answers pages
    export        a compiled program as a file, a script, a container, a DSPy program; the report
    store         the SQLite file: projects, datasets, runs and what happened in them; users and their rights
    registry      every optimizer, module, metric and adapter, as classes
    optimizers    one algorithm a file or folder; generators of asks that do no I/O
    search        the contract of a search, its driver, meter, events, estimate and verdict
    evaluate      a program over rows, concurrently; streaming: answers as they are written; telemetry: OpenTelemetry spans
    pipeline      the declarative pipeline that forms edit, and the program it becomes
    modules       strategies for answering one signature; metrics: how good an answer is
    retrieval     passages for a query
    adapters      a signature as messages, a reply as typed fields; lm: models, cache, prices; tools: functions, sandbox
    dataset       tables of examples: files, documents, splits, profiles, checks before a run
    signature     typed contracts, the types of their fields, predictions; loop: the event loop all model calls run on
    records       the frozen nouns everything else passes around
    callbacks     hooks round calls
    runtime       model, adapter, middleware and observers in force, in a context variable
    basics        helpers that know nothing of programs: texts, numbers, statistics, the data folder, addresses, processes
    parts         the list of optional parts: optimizers, trainers, backends, transports, export forms, forms of tasks and logs
    errors        every exception
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
    leaderboard          candidates ranked by what is known; leader: the best candidate by what is known now
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
from types import ModuleType
from typing import Any

from engine.basics import public_names
from engine.compat import advice, extend_loaded, module_at


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("tuneboard")
    try:
        value = public_names.find("engine", name)
    except AttributeError as error:
        if not name.startswith("_") and (module := module_at(name)) is not None:
            return module
        raise AttributeError(f"{error}{advice(name)}") from None
    extend_loaded()
    if not isinstance(value, ModuleType | list):
        value = importlib.import_module("engine.compat.arguments").adapted(value)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(public_names.homes("engine"))
