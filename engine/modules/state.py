"""The state of a program's steps as JSON values, and the file of it.

The file is DSPy's JSON state, except that fields are saved by name, not by position. Knows nothing of pipelines;
`engine.export` saves those whole.
"""

from __future__ import annotations

import copy
import logging
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from engine.adapters import ADAPTERS, get_adapter
from engine.basics.data import JsonObject, Values
from engine.basics.home import write_whole
from engine.errors import (
    ConfigurationError,
    EngineError,
    ProgramFileError,
    ProgramFileMissingError,
    StepMissingError,
)
from engine.lm.keys import without_secrets

if TYPE_CHECKING:
    from engine.adapters.base import Adapter
    from engine.lm.base import BaseLM


_log = logging.getLogger(__name__)

NamedModules = Iterable[tuple[str, object]]
"""Modules of a program with their paths."""


def dump_adapter(adapter: Adapter) -> JsonObject | None:
    """Return a step's adapter as JSON values; None for a user-defined class, which a file cannot store."""
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


def dump_lm(lm: BaseLM | None) -> JsonObject | None:
    """Return a step's model as JSON values, without anything secret."""
    if lm is None:
        return None
    plain = without_secrets({**lm.kept(), **lm.params})
    others = [dump_lm(other) for other in getattr(lm, "lms", ())]
    return {"model": lm.model, **plain, **({"fallbacks": others} if others else {})}


def load_lm(saved: Values) -> BaseLM:
    """Return the model that `dump_lm`, or DSPy, wrote down; its address and keys come from the settings here."""
    from engine.lm.client import LM  # brings the network in
    from engine.lm.fallback import FallbackLM

    if saved.get("fallbacks"):
        return FallbackLM([load_lm(other) for other in saved["fallbacks"]])
    left_out = (*_NOT_TAKEN_OVER, "provider", "finetuning_model", "launch_kwargs", "train_kwargs")
    params = {k: v for k, v in saved.items() if k not in left_out and not k.startswith("_") and k != "model"}
    return LM(str(saved["model"]), **params)


def save(path: Path, steps: JsonObject, modules: NamedModules, save_program: bool) -> None:
    """Write the states of steps to a JSON file, also under DSPy's paths, so that the file can be read there."""
    if save_program or path.suffix == ".pkl":
        raise ConfigurationError(
            "Programs are saved as JSON state only: a pickled program could run any code when it is loaded. "
            "Use program.save('name.json')."
        )
    metadata = {"dependency_versions": {"python": ".".join(platform.python_version_tuple()[:2])}}
    theirs = {old: steps[new] for new, old in _dspy_paths(modules) if new in steps and old not in steps}
    data = {**steps, **theirs, "metadata": metadata}
    write_whole(path, orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS))


def _dspy_paths(modules: NamedModules) -> Iterator[tuple[str, str]]:
    """Iterate over the paths of steps that DSPy's files name otherwise: here, there."""
    for at, module in modules:
        lead = f"{at}.".removeprefix("self.")
        for new, old in getattr(module, "saved_as", {}).items():
            yield f"{lead}{new}", f"{lead}{old}"


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


def load(steps: Sequence[tuple[str, Any]], modules: NamedModules, saved: Values) -> None:
    """Put saved state into steps, by their paths; all of it, or, when it does not fit, none of it."""
    if not isinstance(saved, Mapping):
        raise ProgramFileError(
            "This is not a saved program: it should be one object with an entry for each step."
        )
    try:
        orjson.dumps(saved, default=str, option=orjson.OPT_NON_STR_KEYS)
    except (TypeError, RecursionError) as error:  # half a character, a number of 20 digits, endless nesting
        raise ProgramFileError(f"The saved program holds a value that no file can hold: {error}.") from None
    if [path for path, _ in steps] == ["self"] and "signature" in saved:
        saved = {"self": saved}  # a step on its own is saved without a path
    theirs = {new: saved[old] for new, old in _dspy_paths(modules) if new not in saved and old in saved}
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
