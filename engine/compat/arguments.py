"""DSPy's arguments that have no effect here, or another name: taken by public names, unknown to what they stand for.

`IGNORED` names arguments that are dropped, by function, class (its constructor) or method ("Module.batch").
`OTHER_NAMES` holds DSPy's names of single arguments and ours, `TRANSLATED` functions that turn DSPy's arguments
into ours. What a class takes, its subclasses take too.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.basics.data import JsonObject, Values
from engine.compat.settings import with_dspy_settings
from engine.errors import ConfigurationError

Arguments = JsonObject


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
        for path in dict.fromkeys((*IGNORED, *TRANSLATED, *OTHER_NAMES)):
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
    ignored, translate, names = IGNORED.get(path, ()), TRANSLATED.get(path), OTHER_NAMES.get(path, {})
    if not ignored and translate is None and not names:
        return function
    signature = inspect.signature(function)
    positional = [p.name for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]

    @functools.wraps(function)
    def call(*args: Any, **named: Any) -> Any:
        named = {names.get(name, name): value for name, value in named.items() if name not in ignored}
        given = dict(zip(positional, args, strict=False))
        if translate is None or len(args) > len(given) or given.keys() & named.keys():
            return function(*args, **named)
        return function(**translate(given | named))

    call.__signature__ = _with_names(signature, (*ignored, *names))  # type: ignore[attr-defined]  # inspect reads it
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


def _lm(arguments: Arguments) -> Arguments:
    """Translate an engine of the user's into a transport. Raises ConfigurationError for what would ask another endpoint."""
    if arguments.pop("provider", None) is not None:
        raise ConfigurationError(
            "LM: provider trains models; here engine.BootstrapFinetune(trainer=...) does."
        )
    engine, other = arguments.get("engine"), arguments.pop("async_engine", None)
    if engine is None or isinstance(engine, str):
        if other is not None:
            raise ConfigurationError("LM: async_engine goes with engine=, an object of your own.")
        return {n: v for n, v in arguments.items() if engine is None or n != "transport"}
    if own := [name for name in _CONNECTION if arguments.get(name) is not None]:
        raise ConfigurationError(f"LM: {own[0]} is of a connection that the engine has itself: set it there.")
    from engine.compat.lm15 import EngineTransport

    transport = EngineTransport(other or engine)
    return {**{n: v for n, v in arguments.items() if n != "engine"}, "transport": transport}


_CONNECTION = "api_key api_base base_url headers extra_headers organization custom_llm_provider".split()


def _without_none(*names: str) -> Callable[[Arguments], Arguments]:
    """Return a translation in which None means the default of these arguments."""
    return lambda arguments: {n: v for n, v in arguments.items() if v is not None or n not in names}


# The gepa package


def gepa_options(arguments: Values) -> dict[str, object]:
    """Return arguments of `gepa.optimize` (gepa 0.1.4) or of DSPy's GEPA as those of GEPA here.

    Same name: candidate_selection_strategy, frontier_type, skip_perfect_score, perfect_score,
    reflection_minibatch_size, reflection_prompt_template (a text, or one for each step), use_merge,
    max_merge_invocations, merge_val_overlap_floor, max_metric_calls, acceptance_criterion, seed. Another name:
    reflection_lm is prompt_model; module_selector is component_selector; custom_candidate_proposer is
    instruction_proposer; sampling_strategy is num_parallel_proposals with num_parents, selection_strategy is
    validate_best; stop_callbacks are score_threshold, patience, max_candidate_proposals and max_tracked_candidates.
    The package's own objects are recognised by the name of their class, so the package is not needed. batch_sampler
    and val_evaluation_policy have one value. No effect: loggers and trackers, since the driver records every run.

    Raises ConfigurationError for options that would call models outside the budget, or stop without the driver.

    >>> gepa_options({"module_selector": "all", "gepa_kwargs": {"use_wandb": True}})
    {'component_selector': 'all'}
    """
    prompts = {**arguments, **(arguments.get("gepa_kwargs") or {})}
    prompts = {name: value for name, value in prompts.items() if name not in (*OBSERVERS, "gepa_kwargs")}
    for theirs, ours in _GEPA_NAMES:
        if theirs in prompts:
            prompts[ours] = prompts.pop(theirs)
    stoppers = prompts.pop("stop_callbacks", None)
    if stoppers is not None and not isinstance(stoppers, Sequence):
        stoppers = [stoppers]
    for stopper in stoppers or ():
        prompts |= _object_options("stop_callbacks", stopper)
    for name in _MAY_BE_OBJECTS:
        if (
            name == "component_selector"
            and type(prompts.get(name)).__name__ not in _OBJECTS
            and callable(prompts.get(name))
        ):
            continue  # a function of the user's
        if (given := prompts.get(name)) is not None and not isinstance(given, str):
            del prompts[name]
            prompts |= _object_options(name, given)
    if isinstance(template := prompts.get("reflection_prompt_template"), Mapping):
        del prompts["reflection_prompt_template"]
        prompts["reflection_prompt_templates"] = dict(template)
    for name, (value, why) in _ONE_VALUE.items():
        if (given := prompts.pop(name, None)) is not None and given != value:
            raise ConfigurationError(f"GEPA here has no {name}={given!r}: {why}.")
    return prompts


def _object_options(name: str, given: object) -> dict[str, object]:
    """Return the options that match one of the package's objects."""
    read = _OBJECTS.get(type(given).__name__)
    if read is None:
        why = "an object of your own would make calls, or stop, behind the driver's back"
        instead = _INSTEAD.get(name, "give one of the names")
        raise ConfigurationError(f"GEPA here has no {name}={given!r}: {why}; {instead}.")
    return read(given)


_GEPA_NAMES = (
    ("module_selector", "component_selector"),
    ("reflection_lm", "prompt_model"),
    ("custom_candidate_proposer", "instruction_proposer"),
)

_MAY_BE_OBJECTS = (
    "sampling_strategy",
    "selection_strategy",
    "acceptance_criterion",
    "candidate_selection_strategy",
    "component_selector",
    "batch_sampler",
    "val_evaluation_policy",
)
"""Arguments that may be an object of the package."""

_OBJECTS: Mapping[str, Callable[[Any], JsonObject]] = {
    "SingleMutationSampling": lambda _: {"num_parallel_proposals": 1},
    "SameParentSampling": lambda s: {"num_parallel_proposals": s.n, "num_parents": 1},
    "IndependentSampling": lambda s: {"num_parallel_proposals": s.n},
    "PxNSampling": lambda s: {"num_parallel_proposals": s.p * s.n, "num_parents": s.p},
    "AllImprovements": lambda _: {"validate_best": None},
    "BestImprovement": lambda _: {"validate_best": 1},
    "TopKImprovements": lambda s: {"validate_best": s.k},
    "StrictImprovementAcceptance": lambda _: {"acceptance_criterion": "strict_improvement"},
    "ImprovementOrEqualAcceptance": lambda _: {"acceptance_criterion": "improvement_or_equal"},
    "ParetoCandidateSelector": lambda _: {"candidate_selection_strategy": "pareto"},
    "CurrentBestCandidateSelector": lambda _: {"candidate_selection_strategy": "current_best"},
    "EpsilonGreedyCandidateSelector": lambda s: {
        "candidate_selection_strategy": "epsilon_greedy",
        "epsilon": s.epsilon,
    },
    "TopKParetoCandidateSelector": lambda s: {"candidate_selection_strategy": "top_k_pareto", "top_k": s.k},
    "RoundRobinReflectionComponentSelector": lambda _: {"component_selector": "round_robin"},
    "AllReflectionComponentSelector": lambda _: {"component_selector": "all"},
    "EpochShuffledBatchSampler": lambda s: {"reflection_minibatch_size": s.minibatch_size},
    "FullEvaluationPolicy": lambda _: {},
    "ScoreThresholdStopper": lambda s: {"score_threshold": s.threshold},
    "NoImprovementStopper": lambda s: {"patience": s.max_iterations_without_improvement},
    "MaxCandidateProposalsStopper": lambda s: {"max_candidate_proposals": s.max_proposals},
    "MaxTrackedCandidatesStopper": lambda s: {"max_tracked_candidates": s.max_tracked_candidates},
    "MaxMetricCallsStopper": lambda s: {"max_metric_calls": s.max_metric_calls},
}
"""The package's objects by the name of their class, and the options they stand for."""

_INSTEAD = {
    "stop_callbacks": "use budget=Budget(seconds=...), score_threshold, patience or max_candidate_proposals",
    "sampling_strategy": "use num_parallel_proposals and num_parents",
    "selection_strategy": "use validate_best",
}

OBSERVERS = tuple(
    (
        "failure_score add_format_failure_as_feedback warn_on_score_mismatch track_best_outputs use_wandb wandb_api_key "
        "wandb_init_kwargs wandb_attach_existing use_mlflow mlflow_tracking_uri mlflow_experiment_name mlflow_attach_existing "
        "tracking_key_prefix cache_evaluation callbacks display_progress_bar logger raise_on_exception run_dir use_cloudpickle"
    ).split()
)
"""Arguments that only watch a run, or are decided here: a row that fails scores 0 and says why."""

_OWN_WRITER = "its calls would not be counted; say it with reflection_prompt_template"

# Arguments with one value only, and why there is no other.
_ONE_VALUE = {
    "batch_sampler": ("epoch_shuffled", "every row comes once before any comes again"),
    "val_evaluation_policy": ("full_eval", "only scores over all validation rows decide"),
    "max_reflection_cost": (None, "limit the money with budget=Budget(usd=...)"),
    "reflection_lm_kwargs": (None, "give them to the model that is reflection_lm"),
    "code_proposer": (None, _OWN_WRITER),
    "reflection_strategy": (None, _OWN_WRITER),
}


_RUNNING = ("provide_traceback", "disable_progress_bar", "timeout", "straggler_limit")

_GRPO = "num_train_steps num_dspy_examples_per_grpo_step num_rollouts_per_grpo_step"
_GRPO_IGNORED = "use_train_as_val num_steps_for_val report_train_scores failure_score format_failure_score variably_invoked_predictor_grouping_mode variably_invoked_predictor_fill_strategy"
_TRAINING = ("finetuning_model", "launch_kwargs", "train_kwargs")

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
    "GRPO": tuple(_GRPO_IGNORED.split()),
    # Which model is trained, and how, are options of the optimizer that trains it; a server is started by its own command.
    "BaseLM": (*_TRAINING, "provider"),
    "LM": _TRAINING,
    "InputField": ("format", "parser"),
    "OutputField": ("format", "parser"),
    # Every program is async and rows are run by the one event loop; nothing is ever pickled.
    "Module.batch": _RUNNING,
    "Module.load": ("allow_pickle", "allow_unsafe_lm_state"),
    "Module.load_state": ("allow_unsafe_lm_state",),
    "Predict.load_state": ("allow_unsafe_lm_state",),
    "Module.dump_state": ("json_mode",),
    "Predict.dump_state": ("json_mode",),
    "Module.save": ("modules_to_serialize",),
    "Parallel": _RUNNING,
    "configure_cache": ("disk_size_limit_bytes", "memory_max_entries", "restrict_pickle", "safe_types"),
    "load_program": ("allow_pickle", "allow_unsafe_lm_state"),
    "streamify": ("is_async_program",),
    "syncify": ("in_place",),
    # Every row is solved once.
    "KNNFewShot": ("max_bootstrapped_demos", "max_errors"),
}

OTHER_NAMES: Mapping[str, Mapping[str, str]] = {
    "Audio.from_file": {"file_path": "path"},
    "Audio.from_path": {"file_path": "path"},
    "Completions": {"list_or_dict": "completions"},
    "File.from_bytes": {"file_bytes": "data"},
    "File.from_path": {"file_path": "path"},
    "GEPA": {**dict(_GEPA_NAMES), "gepa_kwargs": "gepa_kwargs"},
    "GRPO": dict(zip(_GRPO.split(), ("rounds", "batch_size", "group_size"), strict=True)),
    "Image.from_PIL": {"pil_image": "image"},
    "Image.from_file": {"file_path": "path"},
    "Image.from_path": {"file_path": "path"},
    "Module.load_state": {"state": "saved"},
    "Module.map_named_predictors": {"func": "function"},
    "Predict.load_state": {"state": "saved"},
    "Prediction.from_completions": {"list_or_dict": "completions"},
    "Prediction.set_lm_usage": {"value": "usage"},
    "ToolCalls.from_dict_list": {"tool_calls_dicts": "items"},
    "majority": {"prediction_or_completions": "completions"},
}
"""DSPy's name of an argument -> ours."""

TRANSLATED: Mapping[str, Callable[[Arguments], Arguments]] = {
    "AvatarOptimizer": _avatar_optimizer,
    "BayesianSignatureOptimizer": _bayesian_signature,
    "GEPA": gepa_options,
    "KNNFewShot": _without_none("metric_threshold"),
    "LM": _lm,
    "configure": with_dspy_settings,
    "context": with_dspy_settings,
}
