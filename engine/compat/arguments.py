"""DSPy's arguments that have no effect here, or another name: taken by public names, unknown to what they stand for.

`IGNORED` names arguments that are dropped, by function, class (its constructor) or method ("Module.batch").
`TRANSLATED` holds functions that turn DSPy's arguments into ours. What a class takes, its subclasses take too.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from engine.compat.gepa import OBSERVERS, gepa_options
from engine.errors import ConfigurationError

Arguments = dict[str, Any]


def adapted(value: object) -> Any:
    """Return a public function or class so that it takes DSPy's arguments; a class stays the same object.

    >>> def load(path): return path
    >>> adapted(load)("a", allow_pickle=True)
    Traceback (most recent call last):
    TypeError: load() got an unexpected keyword argument 'allow_pickle'
    """
    if not isinstance(value, type):
        return _adapted_function(value, getattr(value, "__name__", ""))
    for base in reversed(value.__mro__):
        if base in _adapted_classes:
            continue
        _adapted_classes.add(base)
        for path in dict.fromkeys((*IGNORED, *TRANSLATED)):
            owner, _, method = path.partition(".")
            if owner == base.__name__ and base.__module__.startswith("engine."):
                _adapt_method(base, method or "__init__", path)
    return value


def _adapt_method(owner: type, name: str, path: str) -> None:
    """Replace a method, class method or static method of a class by the adapted one."""
    member = inspect.getattr_static(owner, name)
    if isinstance(member, classmethod | staticmethod):
        setattr(owner, name, type(member)(_adapted_function(member.__func__, path)))
    else:
        setattr(owner, name, _adapted_function(member, path))


_adapted_classes: set[type] = set()


def _adapted_function(function: Any, path: str) -> Any:
    """Return a function that drops and translates arguments, or the function itself where there is nothing to do."""
    ignored, translate = IGNORED.get(path, ()), TRANSLATED.get(path)
    if not ignored and translate is None:
        return function
    signature = inspect.signature(function)
    positional = [p.name for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]

    @functools.wraps(function)
    def call(*args: Any, **named: Any) -> Any:
        named = {name: value for name, value in named.items() if name not in ignored}
        given = dict(zip(positional, args, strict=False))
        if translate is None or len(args) > len(given) or given.keys() & named.keys():
            return function(*args, **named)
        return function(**translate(given | named))

    call.__signature__ = _with_names(signature, ignored)  # type: ignore[attr-defined]  # inspect reads it
    return call


def _with_names(signature: inspect.Signature, names: tuple[str, ...]) -> inspect.Signature:
    """Return a signature that also has these keyword arguments."""
    known = list(signature.parameters.values())
    rest = [p for p in known if p.kind is p.VAR_KEYWORD]
    added = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=None) for n in names]
    return signature.replace(parameters=[*(p for p in known if p not in rest), *added, *rest])


def _avatar_optimizer(arguments: Arguments) -> Arguments:
    """Translate `optimize_for`: "min" turns the metric round. Raises ConfigurationError for another value."""
    goal, metric = arguments.pop("optimize_for", "max"), arguments.get("metric")
    if goal not in ("max", "min"):
        raise ConfigurationError("AvatarOptimizer: optimize_for is 'max' or 'min'.")
    if goal == "min" and metric is not None:
        arguments["metric"] = lambda example, prediction: 1.0 - float(metric(example, prediction))
    return _without_none("max_positive_inputs", "max_negative_inputs")(arguments)


def _bayesian_signature(arguments: Arguments) -> Arguments:
    """Translate `n`, the older name of num_candidates."""
    n = arguments.pop("n", None)
    return arguments if n is None else {**arguments, "auto": None, "num_candidates": n}


def _knn_few_shot(arguments: Arguments) -> Arguments:
    """Refuse a vectorizer; raises ConfigurationError."""
    if arguments.pop("vectorizer", None) is not None:
        raise ConfigurationError(
            "KNNFewShot compares texts by its own vectors, so that the program can be saved and used "
            "offline. Leave vectorizer out."
        )
    return _without_none("metric_threshold")(arguments)


def _without_none(*names: str) -> Callable[[Arguments], Arguments]:
    """Return a translation in which None means the default of these arguments."""
    return lambda arguments: {n: v for n, v in arguments.items() if v is not None or n not in names}


IGNORED: Mapping[str, tuple[str, ...]] = {
    # They print, log or ask for leave, which is the caller's business.
    "Optimizer": (
        "verbose",
        "track_stats",
        "log_dir",
        "provide_traceback",
        "requires_permission_to_run",
        "eval_kwargs",
    ),
    "GEPA": OBSERVERS,
    # Every row is solved once.
    "KNNFewShot": ("max_bootstrapped_demos", "max_errors"),
}

TRANSLATED: Mapping[str, Callable[[Arguments], Arguments]] = {
    "AvatarOptimizer": _avatar_optimizer,
    "BayesianSignatureOptimizer": _bayesian_signature,
    "GEPA": gepa_options,
    "KNNFewShot": _knn_few_shot,
}
