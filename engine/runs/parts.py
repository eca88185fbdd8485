"""The parts a run spec names, made: metric, optimizer, model, adapter. Raises sentences, makes no calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import ConfigurationError, MissingKeyError
from engine.lm.choice import ModelChoice
from engine.metrics.judge import check_judge
from engine.registry import get_adapter, get_metric, get_optimizer

if TYPE_CHECKING:
    from engine.adapters.base import Adapter
    from engine.metrics.base import Metric
    from engine.optimizers.base import Optimizer
    from engine.pipeline.spec import PipelineSpec
    from engine.runs.spec import Named


def make_metric(named: Named, model: ModelChoice) -> Metric:
    """Return a metric, to score what `model` answers.

    Raises UnknownNameError, and ConfigurationError for options that do not fit or a judge that cannot judge.
    """
    metric = get_metric(named.name)(**named.options)
    if judge := judge_of(metric, model):
        check_judge(judge.name)
    return metric


def judge_of(metric: Metric, model: ModelChoice) -> ModelChoice | None:
    """Return the model that a metric asks: its own judge, else the model that answers; None where it asks none."""
    if not metric.calls:
        return None
    own = getattr(metric.options, "judge", None)
    return ModelChoice(name=own) if own else model


def make_optimizer(named: Named, metric: object = None) -> Optimizer:
    """Return an optimizer. Raises UnknownNameError, or ConfigurationError for options that do not fit."""
    return get_optimizer(named.name).from_options(named.options, metric)


def make_adapter(name: str) -> Adapter:
    """Return an adapter by its short name. Raises UnknownNameError."""
    return get_adapter(name)()


def check_key(choice: ModelChoice) -> None:
    """Raise MissingKeyError, before anything is called, where a model needs a key and none can be found."""
    from engine.lm.choice import find_route
    from engine.lm.keys import key_for

    route = find_route(choice.name, choice.base_url)
    needed = bool(choice.key_env) or (
        route.provider is not None
        and route.provider.needs_key
        and not route.custom
        and route.protocol != "offline"
    )
    if not needed:
        return
    found = key_for(route, choice.key_env)
    if found.key is None and (choice.key_env or (route.provider and route.provider.key_env)):
        raise MissingKeyError(
            f"The model {choice.name!r} needs an API key and there is none in the {found.where or 'environment'}. "
            "Set it, or enter it on the Settings page."
        )


def check_model_keys(pipeline: PipelineSpec, *choices: ModelChoice | None) -> None:
    """Raise MissingKeyError where one of these models, or one that is a step's own, needs a key and has none.

    Raises ConfigurationError for a model's name or address that is none.
    """
    for choice in choices:
        if choice is not None:
            check_key(choice)
    for step in pipeline.steps:
        for choice in step.models:
            try:
                check_key(choice)
            except MissingKeyError as error:
                raise MissingKeyError(f"The step {step.name!r} asks its own model. {error}") from error
            except ConfigurationError as error:
                raise ConfigurationError(
                    f"The step {step.name!r} cannot ask the model {choice.name!r}: {error}"
                ) from error
