"""Every registered optimizer passes the contract."""

import pytest
from support.small_optimizers import small

from engine.optimizers.base import Optimizer
from engine.registry import OPTIMIZERS
from engine.testing.contract import CHECKS


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda optimizer: optimizer.name)
def test_contract(optimizer: type[Optimizer], check) -> None:
    check(small(optimizer) if optimizer.name in ("SIMBA", "GRPO") else optimizer)
