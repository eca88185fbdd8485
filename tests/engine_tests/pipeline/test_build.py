from __future__ import annotations

import asyncio
from typing import Any, Literal, get_args

import pytest

import engine
from engine.errors import PipelineError
from engine.lm.base import BaseLM, Choice, Reply, Request
from engine.pipeline.build import build_program
from engine.pipeline.infer import infer_mapping, infer_pipeline
from engine.pipeline.signatures import instruction_default, signature_of
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec


class Scripted(BaseLM):
    """Answers by the first marker of each wanted output; keeps what it was asked."""

    def __init__(self, replies: list[str]) -> None:
        super().__init__("scripted")
        self.replies = list(replies)
        self.seen: list[str] = []

    async def complete(self, request: Request) -> Reply:
        self.seen.append(request.messages[-1]["content"])
        return Reply((Choice(self.replies.pop(0)),))


def reply(**fields: Any) -> str:
    return "\n\n".join(f"[[ ## {n} ## ]]\n{v}" for n, v in fields.items()) + "\n\n[[ ## completed ## ]]"


TWO_STEPS = PipelineSpec(
    steps=(
        StepSpec(
            name="extract",
            inputs=(FieldSpec(name="text"),),
            outputs=(FieldSpec(name="facts", type="list[str]"),),
        ),
        StepSpec(
            name="judge",
            strategy="chain_of_thought",
            instructions="Judge it.",
            inputs=(FieldSpec(name="facts", type="list[str]"), FieldSpec(name="text")),
            outputs=(FieldSpec(name="label", choices=("good", "bad")),),
        ),
    )
)


def test_steps_are_wired_by_name():
    program = build_program(TWO_STEPS)
    assert [path for path, _ in program.named_predictors()] == ["extract", "judge.predict"]
    lm = Scripted([reply(facts='["warm", "dry"]'), reply(reasoning="because", label="good")])
    with engine.context(lm=lm):
        answer = program(text="a day")
    assert answer.toDict() == {"facts": ["warm", "dry"], "reasoning": "because", "label": "good"}
    assert list(answer)[-1] == "label"
    assert "warm" in lm.seen[1]
    assert "a day" in lm.seen[1]


def test_a_pipeline_runs_in_async_code_and_as_a_candidate():
    program = build_program(TWO_STEPS)
    candidate = program.candidate()
    changed = candidate.with_step("extract", instructions="List the facts.")
    other = program.with_candidate(changed)
    assert program.extract.signature.instructions == "Read the text and give the facts."
    assert other.extract.signature.instructions == "List the facts."
    lm = Scripted([reply(facts="[]"), reply(reasoning="", label="bad")])

    async def run() -> Any:
        with engine.context(lm=lm):
            return await other.acall(text="x")

    assert asyncio.run(run()).label == "bad"


def test_signatures_carry_types_descriptions_and_choices():
    step = StepSpec(
        inputs=(FieldSpec(name="n", type="int", description="How many"),),
        outputs=(
            FieldSpec(name="a", choices=("x y", "it's", '"q"')),
            FieldSpec(name="b", type="Optional[str]", choices=("p", "q")),
        ),
    )
    signature = signature_of(step)
    assert signature.annotation("n") is int
    assert signature.description("n") == "How many"
    assert get_args(signature.annotation("a")) == ("x y", "it's", '"q"')
    assert signature.annotation("b") == Literal["p", "q"] | None
    assert signature.instructions == "Read the n and give the a and the b."
    assert signature_of(step) is signature


def test_instruction_default_reads_like_a_sentence():
    step = StepSpec(
        inputs=tuple(FieldSpec(name=n) for n in ("order_no", "message", "plan")),
        outputs=(FieldSpec(name="queue"),),
    )
    assert instruction_default(step) == "Read the order no, the message and the plan and give the queue."


def read(text: str, name: str = "unseen.csv"):
    return engine.read_dataset(text.encode(), name)


def test_a_task_is_inferred_from_an_unseen_table():
    rows = "".join(
        f"{i},I would like {i} apples,{['Yes', 'no', 'YES'][i % 3]},{i % 4},{'note' if i % 2 else ''}\n"
        for i in range(24)
    )
    data = read("Ticket ID,Customer Request,is urgent,rating,remark\n" + rows)
    spec = infer_pipeline(
        data, {"Customer Request": "input", "remark": "input", "is urgent": "output", "rating": "output"}
    )
    step = spec.steps[0]
    assert [(f.name, f.type) for f in step.inputs] == [
        ("customer_request", "str"),
        ("remark", "Optional[str]"),
    ]
    assert step.outputs[0].choices == ("no", "Yes")
    assert (step.outputs[1].name, step.outputs[1].type) == ("rating", "int")
    assert infer_mapping(data, spec) == {
        "customer_request": "Customer Request",
        "remark": "remark",
        "is_urgent": "is urgent",
        "rating": "rating",
    }
    assert build_program(spec).named_predictors()[0][0] == "answer"


def test_inferred_steps_do_not_clash_with_their_fields():
    spec = infer_pipeline(read("question,answer\nHow many? 1+1,2\nHow many? 1+2,3\n"))
    assert (spec.steps[0].name, spec.steps[0].strategy) == ("solve", "chain_of_thought")
    build_program(spec)


def test_true_and_false_and_lists_keep_their_types():
    rows = "".join(f'text {i},{"true" if i % 2 else "false"},"[""a"", ""b{i}""]"\n' for i in range(10))
    spec = infer_pipeline(read("text,ok,tags\n" + rows), {"text": "input", "ok": "output", "tags": "output"})
    assert [f.type for f in spec.outputs] == ["bool", "list[str]"]


def test_a_table_without_input_or_answer_is_refused():
    data = read("text,label\na,x\nb,y\n")
    with pytest.raises(PipelineError, match="is an input"):
        infer_pipeline(data, {"label": "output"})
    with pytest.raises(PipelineError, match="is the answer"):
        infer_pipeline(data, {"text": "input"})


def test_a_note_in_brackets_is_said_in_the_description_and_not_in_the_name():
    rows = "".join(f"good {n},{1 + n % 5}\n" for n in range(30))
    table = read(f"Review [as written],Stars (1-5)\n{rows}")
    spec = infer_pipeline(table, {"Review [as written]": "input", "Stars (1-5)": "output"})
    assert [(f.name, f.description) for f in (*spec.inputs, *spec.outputs)] == [
        ("review", "Review [as written]"),
        ("stars", "Stars (1-5)"),
    ]
    assert infer_mapping(table, spec) == {"review": "Review [as written]", "stars": "Stars (1-5)"}
    assert spec.steps[0].instructions == "Read the review and give the stars."
