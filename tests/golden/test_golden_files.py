"""Nothing changes unnoticed: what the engine does is what its golden files say."""

import pytest
from golden.files import CHOSEN, check, leftover
from golden.make import GOLDEN


@pytest.mark.parametrize("path", GOLDEN)
def test_the_engine_does_what_its_golden_file_says(path: str) -> None:
    check(path, GOLDEN[path]())


def test_every_golden_file_is_made() -> None:
    assert leftover() == []
    assert CHOSEN.difference(GOLDEN) == set()
