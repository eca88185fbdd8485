"""The sample projects that are shipped: a task, its file of examples, a metric and a way to tune it.

Their starting instructions are plain on purpose: the rows follow rules the instruction does not tell, so
there is something to gain. It knows specs only; `engine.samples` finds the files and makes projects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.errors import UnknownNameError
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec


@dataclass(frozen=True)
class Sample:
    """A project ready to run.

    `plain` says in one sentence what it is about; `file` is a name in `sample_data`; `mapping` is
    field -> column; `metric` and `optimizer` are registry names with their options; `budget` holds
    limits by kind (calls, tokens, usd, seconds).
    """

    name: str
    title: str
    plain: str
    file: str
    pipeline: PipelineSpec
    mapping: Mapping[str, str]
    metric: tuple[str, Mapping[str, Any]] = ("ExactMatch", {})
    optimizer: tuple[str, Mapping[str, Any]] = ("MIPROv2", {"auto": "light"})
    budget: Mapping[str, Any] = field(default_factory=lambda: {"calls": 2000})


_ROUTING = StepSpec(
    name="route",
    instructions="Read the customer's message and choose the queue.",
    inputs=(
        FieldSpec(name="message", description="What the customer wrote"),
        FieldSpec(name="plan", description="The customer's plan"),
        FieldSpec(name="channel", description="How the message came in"),
    ),
    outputs=(
        FieldSpec(
            name="queue",
            description="The team that should answer",
            choices=("billing", "escalation", "retention", "security", "shipping", "technical"),
        ),
    ),
)

_REVIEW = StepSpec(
    name="judge",
    instructions="Read the review and say what it is about and how the writer feels.",
    inputs=(
        FieldSpec(name="review", description="What the customer wrote"),
        FieldSpec(name="product", description="What was bought"),
    ),
    outputs=(
        FieldSpec(
            name="aspect",
            description="What the review is mainly about",
            choices=("comfort", "delivery", "durability", "looks", "price", "service"),
        ),
        FieldSpec(
            name="sentiment",
            description="How the writer feels about that aspect",
            choices=("mixed", "negative", "neutral", "positive"),
        ),
    ),
)

_MATHS = StepSpec(
    name="solve",
    strategy="chain_of_thought",
    instructions="Answer the question.",
    inputs=(FieldSpec(name="question", description="A word problem"),),
    outputs=(FieldSpec(name="answer", type="int", description="The result, a number alone"),),
)

SAMPLES: tuple[Sample, ...] = (
    Sample(
        name="support_tickets",
        title="Route support tickets",
        plain="Messages to a company that rents out room displays; each goes to one of six teams, by house rules.",
        file="support_tickets.csv",
        pipeline=PipelineSpec(steps=(_ROUTING,)),
        mapping={"message": "message", "plan": "plan", "channel": "channel", "queue": "queue"},
    ),
    Sample(
        name="reviews",
        title="Judge product reviews",
        plain="Reviews from an outdoor shop; each has a main aspect and a sentiment, ironic ones included.",
        file="reviews.csv",
        pipeline=PipelineSpec(steps=(_REVIEW,)),
        mapping={"review": "review", "product": "product", "aspect": "aspect", "sentiment": "sentiment"},
        metric=("ExactMatch", {}),
        optimizer=("BootstrapFewShotWithRandomSearch", {"num_candidate_programs": 8}),
    ),
    Sample(
        name="math_problems",
        title="Solve word problems",
        plain="Short arithmetic problems in everyday words; the model reasons first and answers with a number.",
        file="math_problems.csv",
        pipeline=PipelineSpec(steps=(_MATHS,)),
        mapping={"question": "question", "answer": "answer"},
        metric=("NumberWithin", {}),
        optimizer=("BootstrapFewShotWithRandomSearch", {"num_candidate_programs": 6}),
    ),
)


def get_sample(name: str) -> Sample:
    """Return a sample by its name. Raises UnknownNameError.

    >>> get_sample("support_tickets").file
    'support_tickets.csv'
    """
    known = {s.name: s for s in SAMPLES}
    if name not in known:
        raise UnknownNameError("sample", name, known)
    return known[name]
