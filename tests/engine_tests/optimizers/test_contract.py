"""Every registered optimizer passes the contract."""

import inspect

import pytest
from support.small_optimizers import small

import engine
from engine.optimizers.base import Optimizer
from engine.registry import OPTIMIZERS
from engine.testing.contract import CHECKS


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda optimizer: optimizer.name)
def test_contract(optimizer: type[Optimizer], check) -> None:
    check(small(optimizer) if optimizer.name in ("SIMBA", "GRPO") else optimizer)


@pytest.mark.parametrize("kind", OPTIMIZERS, ids=lambda kind: kind.name)
def test_the_signature_lists_every_option_with_its_type_and_default(kind: type[Optimizer]) -> None:
    public = getattr(engine, kind.name)
    parameters = inspect.signature(public).parameters
    for name, field in kind.options_model.model_fields.items():
        assert parameters[name].default == field.get_default(call_default_factory=True)
        assert parameters[name].annotation == field.annotation
    assert {"metric", "prompt_model", "task_model", "teacher_settings", "num_threads"} <= parameters.keys()
    assert not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    given = {name: p.default for name, p in parameters.items() if name in kind.options_model.model_fields}
    assert inspect.signature(public).bind(**given)


def test_the_signature_is_that_of_the_nearest_constructor() -> None:
    assert list(inspect.signature(engine.LabeledFewShot).parameters)[:1] == ["k"]
    assert list(inspect.signature(engine.KNNFewShot).parameters)[:3] == ["k", "trainset", "vectorizer"]
    assert list(inspect.signature(engine.GEPA).parameters)[:1] == ["metric"]

    class Own(Optimizer):
        def __init__(self, depth: int = 2) -> None:
            super().__init__()
            self.depth = depth

    assert str(inspect.signature(Own)).startswith("(depth: ")
    assert list(inspect.signature(Own).parameters) == ["depth"]
