"""The gepa package's options as options of GEPA here: arguments of `gepa.optimize` (0.1.4) and of DSPy's GEPA.

Same name: candidate_selection_strategy, frontier_type, skip_perfect_score, perfect_score,
reflection_minibatch_size, reflection_prompt_template (a text, or one for each step), use_merge,
max_merge_invocations, merge_val_overlap_floor, max_metric_calls, acceptance_criterion, seed.
Another name: reflection_lm is prompt_model; module_selector is component_selector; sampling_strategy is
num_parallel_proposals with num_parents, selection_strategy is validate_best; stop_callbacks are score_threshold,
patience, max_candidate_proposals and max_tracked_candidates. The package's own objects are recognised by the name of
their class, so the package is not needed. batch_sampler and val_evaluation_policy have one value.
No effect: loggers and trackers, since the driver records every run.
Refused, with a message: options that would call models outside the budget, or stop without the driver.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.errors import ConfigurationError


def gepa_options(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments as those of GEPA here. Raises ConfigurationError for what has no meaning here.

    >>> gepa_options({"module_selector": "all", "gepa_kwargs": {"use_wandb": True}})
    {'component_selector': 'all'}
    """
    own = {**arguments, **(arguments.get("gepa_kwargs") or {})}
    own = {name: value for name, value in own.items() if name not in (*OBSERVERS, "gepa_kwargs")}
    for theirs, ours in (("module_selector", "component_selector"), ("reflection_lm", "prompt_model")):
        if theirs in own:
            own[ours] = own.pop(theirs)
    if "metric" in own:
        own["metric"] = _metric_of_two(own["metric"])
    stoppers = own.pop("stop_callbacks", None)
    if stoppers is not None and not isinstance(stoppers, Sequence):
        stoppers = [stoppers]
    for stopper in stoppers or ():
        own |= _object_options("stop_callbacks", stopper)
    for name in _MAY_BE_OBJECTS:
        if (given := own.get(name)) is not None and not isinstance(given, str):
            del own[name]
            own |= _object_options(name, given)
    if isinstance(template := own.get("reflection_prompt_template"), Mapping):
        del own["reflection_prompt_template"]
        own["reflection_prompt_templates"] = dict(template)
    for name, (value, why) in _ONE_VALUE.items():
        if (given := own.pop(name, None)) is not None and given != value:
            raise ConfigurationError(f"GEPA here has no {name}={given!r}: {why}.")
    return own


def _metric_of_two(metric: Any) -> Any:
    """Return a metric written for GEPA's five arguments as a function of (example, prediction); others unchanged."""
    try:
        parameters: Sequence[Any] = list(inspect.signature(metric).parameters.values())
    except (TypeError, ValueError):
        return metric
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(positional) < 5:
        return metric
    return lambda example, prediction: metric(example, prediction, None, None, None)


def _object_options(name: str, given: object) -> dict[str, Any]:
    """Return the options that match one of the package's objects."""
    read = _OBJECTS.get(type(given).__name__)
    if read is None:
        why = "an object of your own would make calls, or stop, behind the driver's back"
        instead = _INSTEAD.get(name, "give one of the names")
        raise ConfigurationError(f"GEPA here has no {name}={given!r}: {why}; {instead}.")
    return read(given)


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

_OBJECTS: Mapping[str, Callable[[Any], dict[str, Any]]] = {
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

OBSERVERS = (
    "failure_score",
    "add_format_failure_as_feedback",
    "warn_on_score_mismatch",
    "track_best_outputs",
    "use_wandb",
    "wandb_api_key",
    "wandb_init_kwargs",
    "wandb_attach_existing",
    "use_mlflow",
    "mlflow_tracking_uri",
    "mlflow_experiment_name",
    "mlflow_attach_existing",
    "tracking_key_prefix",
    "cache_evaluation",
    "callbacks",
    "display_progress_bar",
    "logger",
    "raise_on_exception",
    "run_dir",
    "use_cloudpickle",
)
"""Arguments that only watch a run, or are decided here: a row that fails scores 0 and says why."""

_OWN_WRITER = "its calls would not be counted; say it with reflection_prompt_template"

# Arguments with one value only, and why there is no other.
_ONE_VALUE = {
    "batch_sampler": ("epoch_shuffled", "every row comes once before any comes again"),
    "val_evaluation_policy": ("full_eval", "only scores over all validation rows decide"),
    "max_reflection_cost": (None, "limit the money with budget=Budget(usd=...)"),
    "reflection_lm_kwargs": (None, "give them to the model that is reflection_lm"),
    "instruction_proposer": (None, _OWN_WRITER),
    "code_proposer": (None, _OWN_WRITER),
    "custom_candidate_proposer": (None, _OWN_WRITER),
    "reflection_strategy": (None, _OWN_WRITER),
}
