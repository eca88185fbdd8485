"""Whether the models that steps have of their own answer at all: asked for one word before a run pays for anything.

A run whose own model does not answer says so at its first rows. A later step's model would only be missed after the
steps before it have been paid for.
"""

from __future__ import annotations

import asyncio

from engine.errors import RunError
from engine.lm.connection import check_connection
from engine.pipeline.spec import PipelineSpec
from engine.runs.parts import is_offline

CERTAIN = ("key", "model", "unreachable", "reply", "settings")
"""Problems that asking again will not mend. A slow or busy model is left to the run, which waits and asks again."""


async def check_step_models(pipeline: PipelineSpec) -> None:
    """Raise RunError, naming step and model, where a step's own model cannot answer. One small call for each model."""
    choices = [choice for choice in pipeline.models if not is_offline(choice)]
    reports = await asyncio.gather(*(check_connection(choice) for choice in choices))
    for choice, report in zip(choices, reports, strict=True):
        if report.problem in CERTAIN:
            step = next(s.name for s in pipeline.steps if choice in s.models)
            raise RunError(
                f"The step {step!r} asks the model {choice.name!r}, which does not answer. {report.message}"
            )
