"""The sample projects that are shipped: a task, its file of examples, a metric and a way to tune it.

Their starting instructions are plain on purpose: the rows follow rules the instruction does not tell, so
there is something to gain. It knows specs only; `engine.runs.spec` finds the files and makes projects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.basics.data import Values
from engine.errors import entry_named
from engine.pipeline.spec import Condition, CorpusSpec, FieldSpec, PipelineSpec, StepOptions, StepSpec


@dataclass(frozen=True)
class Sample:
    """A project ready to run.

    `plain` says in one sentence what it is about; `file` is a name in `sample_data`; `columns` are those that are not
    called like their fields; `metric` and `optimizer` are registry names with their options; `budget` holds limits by
    kind (calls, tokens, usd, seconds).
    """

    name: str
    title: str
    plain: str
    file: str
    pipeline: PipelineSpec
    columns: Mapping[str, str] = field(default_factory=dict)
    metric: tuple[str, Values] = ("ExactMatch", {})
    optimizer: tuple[str, Values] = ("Autotune", {})
    budget: Values = field(default_factory=lambda: {"calls": 2000})

    @property
    def mapping(self) -> dict[str, str]:
        """Field -> column."""
        fields = (*self.pipeline.inputs, *self.pipeline.outputs)
        return {f.name: self.columns.get(f.name, f.name) for f in fields}


def _texts(**descriptions: str) -> tuple[FieldSpec, ...]:
    """Return fields of texts by their names, each with its description."""
    return tuple(FieldSpec(name=name, description=said) for name, said in descriptions.items())


_ROUTING = StepSpec(
    name="route",
    instructions="Read the customer's message and choose the queue.",
    inputs=_texts(
        message="What the customer wrote", plan="The customer's plan", channel="How the message came in"
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
    inputs=_texts(review="What the customer wrote", product="What was bought"),
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
    inputs=_texts(question="A word problem"),
    outputs=(FieldSpec(name="answer", type="int", description="The result, a number alone"),),
)

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_BOOKING = StepSpec(
    name="extract",
    instructions="Read the mail and fill in the booking.",
    inputs=_texts(mail="What a guest wrote to the restaurant"),
    outputs=(
        FieldSpec(name="guest", description="The name for the booking"),
        FieldSpec(name="day", choices=_DAYS),
        FieldSpec(name="people", type="int", description="How many places to lay"),
        FieldSpec(name="room", choices=("hall", "parlour", "terrace")),
        FieldSpec(name="reference", type="Optional[str]", description="The number of an earlier booking"),
    ),
)

_LENDING = PipelineSpec(
    steps=(
        StepSpec(
            name="find",
            strategy="retrieve",
            options=StepOptions(corpus=CorpusSpec(file="sample_data/lending_corpus.csv", column="text"), k=3),
            inputs=_texts(question=""),
        ),
        StepSpec(
            name="answer",
            instructions="Answer the question from the passages.",
            inputs=(
                FieldSpec(name="question", description="What a member asks"),
                FieldSpec(name="passages", type="list[str]", description="What the house rules say"),
            ),
            outputs=_texts(answer=""),
        ),
    )
)

_FESTIVAL_CORPUS = CorpusSpec(file="sample_data/festival_corpus.csv", column="text")
_FESTIVAL = PipelineSpec(
    steps=(
        StepSpec(
            name="find_act",
            strategy="retrieve",
            options=StepOptions(corpus=_FESTIVAL_CORPUS, k=2),
            inputs=_texts(question=""),
            outputs=(FieldSpec(name="first_passages", type="list[str]"),),
        ),
        StepSpec(
            name="ask_on",
            instructions="Write what has to be looked up next to answer the question.",
            inputs=(FieldSpec(name="question"), FieldSpec(name="first_passages", type="list[str]")),
            outputs=_texts(query="A search for what is still missing"),
        ),
        StepSpec(
            name="find_stage",
            strategy="retrieve",
            options=StepOptions(corpus=_FESTIVAL_CORPUS, k=2),
            inputs=_texts(query=""),
            outputs=(FieldSpec(name="more_passages", type="list[str]"),),
        ),
        StepSpec(
            name="answer",
            instructions="Answer the question from the passages.",
            inputs=(
                FieldSpec(name="question", description="What a visitor asks"),
                FieldSpec(name="first_passages", type="list[str]"),
                FieldSpec(name="more_passages", type="list[str]"),
            ),
            outputs=_texts(answer=""),
        ),
    )
)

_SHOP = StepSpec(
    name="agent",
    strategy="react",
    options=StepOptions(
        tools=("search", "calculator"),
        corpus=CorpusSpec(file="sample_data/shop_corpus.csv", column="text"),
        k=2,
        max_iters=4,
    ),
    instructions="Answer the customer's question.",
    inputs=_texts(question="What a customer of a garden shop asks"),
    outputs=(FieldSpec(name="answer", type="float", description="Euros, or a number of things"),),
)

_SHIFT = PipelineSpec(
    steps=(
        StepSpec(
            name="write",
            instructions="Sum up the notes for the next shift in one sentence.",
            inputs=_texts(handover="The hand-over of the last shift"),
            outputs=_texts(summary=""),
        ),
        StepSpec(
            name="check",
            instructions="Is the summary what the next shift has to know?",
            inputs=_texts(handover="", summary=""),
            outputs=(FieldSpec(name="verdict", choices=("good", "besides the point", "too long")),),
        ),
        StepSpec(
            name="fix",
            instructions="The summary was found wanting. Write a better one, in one sentence.",
            inputs=_texts(handover="", verdict="What was wrong with it"),
            outputs=_texts(summary=""),
            when=Condition(field="verdict", values=("good",), negated=True),
        ),
    )
)

_INVOICE = StepSpec(
    name="read",
    instructions="Read the document and fill in the record.",
    inputs=_texts(document="The text of an invoice, a credit note or a delivery note"),
    outputs=(
        FieldSpec(name="kind", choices=("credit note", "delivery note", "invoice")),
        FieldSpec(name="number", description="The document's number"),
        FieldSpec(name="date", type="Optional[str]", description="Its date"),
        FieldSpec(name="supplier", description="The company that wrote it"),
        FieldSpec(name="customer", description="The company it was written to"),
        FieldSpec(name="currency", type="Optional[str]", description="The currency's three letters"),
        FieldSpec(name="total", type="Optional[float]", description="The amount"),
        FieldSpec(name="due", type="Optional[str]", description="The date by which to pay"),
        FieldSpec(name="articles", type="list[str]", description="What was sold, sent or taken back"),
    ),
)

SAMPLES: tuple[Sample, ...] = (
    Sample(
        name="support_tickets",
        title="Route support tickets",
        plain="Messages to a company that rents out room displays; each goes to one of six teams, by house rules.",
        file="support_tickets.csv",
        pipeline=PipelineSpec(steps=(_ROUTING,)),
        budget={"calls": 950},
    ),
    Sample(
        name="reviews",
        title="Judge product reviews",
        plain="Reviews from an outdoor shop; each has a main aspect and a sentiment, ironic ones included.",
        file="reviews.csv",
        pipeline=PipelineSpec(steps=(_REVIEW,)),
        budget={"calls": 800},
    ),
    Sample(
        name="math_problems",
        title="Solve word problems",
        plain="Short arithmetic problems in everyday words; the model reasons first and answers with a number.",
        file="math_problems.csv",
        pipeline=PipelineSpec(steps=(_MATHS,)),
        metric=("NumberWithin", {}),
        optimizer=("BootstrapFewShotWithRandomSearch", {"num_candidate_programs": 6}),
    ),
    Sample(
        name="booking_mails",
        title="Extract bookings from mails",
        plain="Mails to a restaurant become a record of five fields: guest, day, people, room and booking number.",
        file="booking_mails.csv",
        pipeline=PipelineSpec(steps=(_BOOKING,)),
        columns={n: f"correct_{n}" for n in ("guest", "day", "people", "room", "reference")},
        optimizer=("BootstrapFewShotWithRandomSearch", {"num_candidate_programs": 8}),
    ),
    Sample(
        name="lending_questions",
        title="Answer questions from a corpus",
        plain="Members ask a library of things; the answer is looked up in its house rules and given in few words.",
        file="lending_questions.csv",
        pipeline=_LENDING,
        metric=("TokenF1", {}),
        optimizer=("BootstrapFewShotWithRandomSearch", {"num_candidate_programs": 8}),
    ),
    Sample(
        name="festival_questions",
        title="Answer questions in two hops",
        plain="Who hosts the stage where a band plays? Two searches: first the band's stage, then what is asked of it.",
        file="festival_questions.csv",
        pipeline=_FESTIVAL,
        metric=("TokenF1", {}),
        optimizer=("BootstrapFewShotWithRandomSearch", {"num_candidate_programs": 8}),
    ),
    Sample(
        name="shop_questions",
        title="An agent with tools",
        plain="A garden shop's customers ask for sums; the agent searches the price list and calculates.",
        file="shop_questions.csv",
        pipeline=PipelineSpec(steps=(_SHOP,)),
        metric=("NumberWithin", {}),
        optimizer=("BootstrapFewShotWithRandomSearch", {"num_candidate_programs": 8}),
        budget={"calls": 4000},
    ),
    Sample(
        name="shift_notes",
        title="Summarize and check",
        plain="Hand-over notes become one sentence; a second step checks it, and a third fixes what falls short.",
        file="shift_notes.csv",
        pipeline=_SHIFT,
        metric=("TokenF1", {}),
        optimizer=("BootstrapFewShotWithRandomSearch", {"num_candidate_programs": 6}),
    ),
    Sample(
        name="invoices",
        title="Read invoices and delivery notes",
        plain="Invoices, credit notes and delivery notes become records with their articles; two totals and missing dates included.",
        file="invoices.csv",
        columns={f.name: f"correct_{f.name}" for f in _INVOICE.outputs},
        pipeline=PipelineSpec(steps=(_INVOICE,)),
        metric=("JSONMatch", {"every_output": True}),
        budget={"calls": 450},
    ),
)


def get_sample(name: str) -> Sample:
    """Return a sample by its name. Raises UnknownNameError.

    >>> get_sample("support_tickets").file
    'support_tickets.csv'
    """
    return entry_named("sample", name, {s.name: s for s in SAMPLES})
