"""Copying, saving, loading and batch runs of programs.

The file is DSPy's JSON state, except that fields are saved by name, not by position. Knows nothing of pipelines;
`engine.export` saves those whole.
"""

from __future__ import annotations

import copy
import logging
import platform
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import starmap, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from engine import loop
from engine.adapters import ADAPTERS, get_adapter
from engine.basics.data import JsonObject, Values
from engine.basics.home import write_whole
from engine.errors import (
    ConfigurationError,
    EngineError,
    ProgramFileError,
    ProgramFileMissingError,
    RunError,
    StepMissingError,
)
from engine.lm.base import BaseLM, models_shared
from engine.lm.keys import without_secrets
from engine.runtime import current

if TYPE_CHECKING:
    from engine.adapters.base import Adapter
    from engine.modules.module import Module


_log = logging.getLogger(__name__)


def dump_adapter(adapter: Adapter) -> JsonObject | None:
    """Return a step's own adapter as JSON values; None for a user's own class, which a file cannot store."""
    if type(adapter) not in ADAPTERS:
        _log.warning("%s is not saved with its step: set it again after loading.", type(adapter).__name__)
        return None
    extraction = getattr(adapter, "extraction_model", None)
    more = {} if extraction is None else {"extraction_model": dump_lm(extraction)}
    return {"name": adapter.name, **adapter.options(), **more}


def load_adapter(saved: Values) -> Adapter:
    """Return the adapter that `dump_adapter` wrote down. Raises UnknownNameError."""
    options = {name: value for name, value in saved.items() if name != "name"}
    if options.get("extraction_model"):
        options["extraction_model"] = load_lm(options["extraction_model"])
    return get_adapter(str(saved["name"]))(**options)


_NOT_TAKEN_OVER = ("api_base", "base_url", "model_list")
"""The address of a saved model is written down but ignored on loading: a file must not redirect calls."""


def copied(value: object, memo: dict[int, object]) -> Any:
    """Return a deep copy of an attribute; models and what cannot be copied are shared."""
    if isinstance(value, BaseLM):
        return value
    try:
        with models_shared(memo):
            return copy.deepcopy(value, memo)
    except (TypeError, copy.Error, NotImplementedError, RecursionError):  # what refusing a copy raises
        # Locks, connections and some objects of libraries refuse a copy: the copy of the program shares them.
        return value


def replace_part(program: Any, path: str, new: object) -> None:
    """Put another object at a step's path ("steps[0]", "solve.predict", "by_name['a']")."""
    *parents, last = re.findall(r"\[(?:\d+|'[^']*'|\"[^\"]*\")\]|[^.\[\]]+", path)
    holder = program
    for part in parents:
        holder = holder[_key(part)] if part.startswith("[") else getattr(holder, part)
    if last.startswith("["):
        holder[_key(last)] = new
    elif path != "self":
        setattr(holder, last, new)


def held(attributes: Mapping[str, object]) -> Iterator[tuple[str, Module]]:
    """Iterate over the modules in some attributes, and in their lists, tuples and dicts, with their paths; not theirs."""

    def found(value: Any, path: str) -> Iterator[tuple[str, Module]]:
        if hasattr(value, "named_predictors"):
            yield path, value
        elif isinstance(value, list | tuple):
            for i, part in enumerate(value):
                yield from found(part, f"{path}[{i}]")
        elif isinstance(value, dict):
            for key, part in value.items():
                yield from found(part, f"{path}[{key!r}]")

    for name, value in attributes.items():
        yield from found(value, name)


def _key(part: str) -> Any:
    inner = part[1:-1]
    return int(inner) if inner.isdigit() else inner[1:-1]


def dump_lm(lm: BaseLM | None) -> JsonObject | None:
    """Return a step's own model as JSON values, without anything secret."""
    if lm is None:
        return None
    plain = without_secrets({**lm.kept(), **lm.params})
    others = [dump_lm(one) for one in getattr(lm, "lms", ())]
    return {"model": lm.model, **plain, **({"fallbacks": others} if others else {})}


def load_lm(saved: Values) -> BaseLM:
    """Return the model that `dump_lm`, or DSPy, wrote down; its address and keys come from the settings here."""
    from engine.lm.client import LM  # brings the network in
    from engine.lm.fallback import FallbackLM

    if saved.get("fallbacks"):
        return FallbackLM([load_lm(one) for one in saved["fallbacks"]])
    left_out = (*_NOT_TAKEN_OVER, "provider", "finetuning_model", "launch_kwargs", "train_kwargs")
    params = {k: v for k, v in saved.items() if k not in left_out and not k.startswith("_") and k != "model"}
    return LM(str(saved["model"]), **params)


def save(program: Module, path: Path, save_program: bool) -> None:
    """Write a program's state to a JSON file."""
    if save_program or path.suffix == ".pkl":
        raise ConfigurationError(
            "Programs are saved as JSON state only: a pickled program could run any code when it is loaded. "
            "Use program.save('name.json')."
        )
    metadata = {"dependency_versions": {"python": ".".join(platform.python_version_tuple()[:2])}}
    steps = program.dump_state()
    # Under DSPy's path as well, so that the file can be read there.
    theirs = {old: steps[path] for path, old in _dspy_paths(program) if path in steps and old not in steps}
    data = {**steps, **theirs, "metadata": metadata}
    write_whole(path, orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS))


def _dspy_paths(program: Module) -> Iterator[tuple[str, str]]:
    """Iterate over the paths of steps that DSPy's files name otherwise: here, there."""
    for at, part in program.named_sub_modules():
        lead = f"{at}.".removeprefix("self.")
        for path, theirs in getattr(part, "saved_as", {}).items():
            yield f"{lead}{path}", f"{lead}{theirs}"


def refuse_pickle(path: Path) -> None:
    """Raise ProgramFileError for a pickled program, or a folder with one, as DSPy writes them: a pickle can run any code."""
    if (path / "program.pkl").exists():
        what = "a folder with a pickle"
    elif path.suffix == ".pkl" and path.exists():
        what = "a pickle"
    else:
        return
    raise ProgramFileError(
        f"{path.name} cannot be read: it is {what}, and pickled programs are not opened: they could run any code. In DSPy, load it there and "
        "save its state with program.save('name.json'); then make the program here and program.load('name.json')."
    )


def read(path: Path) -> JsonObject:
    """Return a state file's content. Raises ProgramFileError naming what is wrong with it."""
    refuse_pickle(path)
    try:
        data = orjson.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ProgramFileMissingError(
            f"There is no file {path}. Check the path, or save the program first."
        ) from error
    except (orjson.JSONDecodeError, UnicodeDecodeError, OSError) as error:
        raise ProgramFileError(
            f"{path.name} cannot be read as a saved program: {error}. Save it again."
        ) from error
    if not isinstance(data, dict):
        raise ProgramFileError(
            f"{path.name} is JSON but not a saved program: it should be one object with an entry for each step."
        )
    if data.get("format") == "tuneboard.program":
        raise ProgramFileError(
            f"{path.name} holds a whole program, not the state of its steps. Load it with engine.load({path.name!r})."
        )
    return data


def load(program: Module, saved: Values) -> None:
    """Put saved state into a program's steps; all of it, or, when it does not fit, none of it."""
    if not isinstance(saved, Mapping):
        raise ProgramFileError(
            "This is not a saved program: it should be one object with an entry for each step."
        )
    try:
        orjson.dumps(saved, default=str, option=orjson.OPT_NON_STR_KEYS)
    except (TypeError, RecursionError) as error:  # half a character, a number of 20 digits, endless nesting
        raise ProgramFileError(f"The saved program holds a value that no file can hold: {error}.") from None
    steps = program.named_predictors()
    if len(steps) == 1 and steps[0][1] is program and "signature" in saved:
        saved = {steps[0][0]: saved}  # a step on its own is saved without a path
    theirs = {path: saved[old] for path, old in _dspy_paths(program) if path not in saved and old in saved}
    saved = {**saved, **theirs}
    missing = [path for path, _ in steps if path not in saved]
    if missing:
        known = ", ".join(key for key in saved if key != "metadata") or "none"
        raise StepMissingError(f"The saved program has no step {missing[0]!r}. Steps it has: {known}.")
    trial = {path: copy.deepcopy(step) for path, step in steps}
    for path, step in trial.items():
        try:
            step.load_state(saved[path])
        except EngineError:
            raise
        except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError) as error:
            raise ProgramFileError(
                f"The saved step {path!r} is damaged: {error!r}. Save the program again."
            ) from error
    for path, step in steps:
        step.__dict__.update(vars(trial[path]))


async def answered(
    rows: Sequence[tuple[object, Callable[[], Awaitable[object]]]],
    num_threads: int | None,
    max_errors: int | None,
    return_failed: bool,
) -> Any:
    """Return the answers of some (example, call), a bounded number at once; see `Parallel`."""
    failures: dict[int, Exception] = {}
    most = current().max_errors if max_errors is None else max_errors

    async def answer(place: int, row: tuple[object, Callable[[], Awaitable[object]]]) -> object:
        try:
            return await row[1]()
        except Exception as error:  # noqa: BLE001 - whatever one call raises is its own record
            failures[place] = error
            _log.warning("Example %d failed: %s: %s", place, type(error).__name__, error)
            return None

    wanted = takewhile(lambda _: most is None or len(failures) < most, enumerate(rows))
    answers = await loop.all_of(starmap(answer, wanted), num_threads or current().num_threads)
    if most is not None and failures and len(failures) >= most:
        last = list(failures.values())[-1]
        stopped = RunError(f"Stopped after {len(failures)} failed examples; the last one: {last}")
        stopped.answers = answers + [None] * (len(rows) - len(answers))  # type: ignore[attr-defined]  # so that nothing paid for is lost
        raise stopped from last
    if not return_failed:
        return answers
    places = sorted(failures)
    return answers, [rows[i][0] for i in places], [failures[i] for i in places]
