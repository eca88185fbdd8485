"""A small part of each check of the table of faults; `make test-faults` measures the whole."""

import pytest
from fault_tests.table import CHECKS, measured


@pytest.mark.parametrize("check", [one for one in CHECKS if one.in_tests], ids=lambda check: check.name)
def test_the_small_part_meets_its_goal(check):
    found = measured(check, small=True)
    assert found.met, found.figure


def test_every_check_has_its_own_name():
    assert len({check.name for check in CHECKS}) == len(CHECKS)
