"""While rows run, the collector leaves alone what was there before, and only then."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref

import pytest

from engine import Evaluate, ExactMatch, Example, Predict, context
from engine.evaluate.rows import older_objects_left_alone
from engine.testing import ScriptedLM


class Ring:
    def __init__(self) -> None:
        self.me = self


def test_overlapping_blocks_end_with_the_last():
    first, second = older_objects_left_alone(), older_objects_left_alone()
    with first:
        with second:
            assert gc.get_freeze_count() > 0
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0


def test_what_is_made_inside_is_collected_and_an_error_ends_it():
    with older_objects_left_alone():
        gone = weakref.ref(Ring())
        gc.collect()
        assert gone() is None
    with pytest.raises(ZeroDivisionError), older_objects_left_alone():
        _ = 1 / 0
    assert gc.get_freeze_count() == 0


def test_what_a_process_froze_for_good_stays_frozen():
    code = (
        "import gc; gc.freeze(); from engine.evaluate.rows import older_objects_left_alone as calm\n"
        "with calm(): pass\n"
        "print(gc.get_freeze_count() > 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_an_evaluation_does_it():
    seen = []

    def answer(_request):
        seen.append(gc.get_freeze_count())
        return {"a": "1"}

    with context(lm=ScriptedLM(answer)):
        Evaluate(devset=[Example(q="1", a="1").with_inputs("q")], metric=ExactMatch())(Predict("q -> a"))
    assert seen[0] > 0
    assert gc.get_freeze_count() == 0
