"""A prompt is tried in each message layout."""

from __future__ import annotations

import pytest
from support.run_setup import spec

from engine import loop
from engine.pipeline.build import build_program
from engine.runs.child.playground import PlaygroundRequest, answer_input

LAYOUTS = ["chat", "json", "xml", "two_step"]


def candidate(pipeline):
    return build_program(pipeline).candidate()


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_prompt_is_tried_and_every_call_is_shown(name):
    pipeline = spec().pipeline
    request = {
        "pipeline": pipeline.model_dump(mode="json"),
        "candidates": {"start": candidate(pipeline).as_dict()},
        "inputs": {f.name: "The parcel is late" for f in pipeline.inputs},
        "adapter": name,
    }
    (attempt,) = loop.run(answer_input(PlaygroundRequest.model_validate(request)))
    assert attempt.error == ""
    assert set(attempt.answer) == {f.name for f in pipeline.outputs}
    assert len(attempt.calls) == (2 if name == "two_step" else 1)
