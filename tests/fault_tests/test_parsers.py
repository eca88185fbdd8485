"""Made-up input to every parser of bytes from outside, the same few inputs each time; `make test-faults` asks for minutes."""

import pytest
from fault_tests.parsers import PARSERS, failures


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_nothing_but_the_engines_own_errors_comes_out(parser):
    _, error = failures(parser, 60)
    if error is not None:
        raise error
