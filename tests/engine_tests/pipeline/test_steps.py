"""Searches, tool calls, conditions and lists: what such steps answer, how they are counted, and what is refused."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from engine import LM, ExactMatch, Example, LabeledFewShot, context
from engine.errors import PipelineError, ToolError
from engine.evaluate import run_rows
from engine.pipeline.build import Pipeline, build_program
from engine.pipeline.check import spec_problems
from engine.pipeline.corpora import corpus_of, pinned
from engine.pipeline.spec import Condition, CorpusSpec, Each, FieldSpec, PipelineSpec, StepOptions, StepSpec
from engine.search.estimate import estimate
from engine.search.settings import Settings
from engine.testing import ScriptedLM, asked

HOUSE = CorpusSpec(
    passages=("Refunds take five days.", "Parcels go out on Mondays.", "Phones answer until six.")
)


def field(text: str) -> FieldSpec:
    """A field written as "name: type", or "name: a|b" for a choice."""
    name, _, kind = (part.strip() for part in text.partition(":"))
    choices = tuple(kind.split("|")) if "|" in kind else ()
    return FieldSpec(name=name, type=kind if kind and not choices else "str", choices=choices)


def step(name: str, fields: str, strategy: Any = "predict", **more: Any) -> StepSpec:
    """A step written as "question, context: list[str] -> answer"; what a strategy can be told goes to its options."""
    options = {k: more.pop(k) for k in list(more) if k in StepOptions.model_fields}
    left, _, right = fields.partition("->")
    inputs, outputs = (tuple(field(f) for f in side.split(";") if f.strip()) for side in (left, right))
    return StepSpec(
        name=name, strategy=strategy, inputs=inputs, outputs=outputs, options=StepOptions(**options), **more
    )


def pipeline(*steps: StepSpec) -> PipelineSpec:
    return PipelineSpec(steps=steps)


def when(name: str, *values: str, negated: bool = False) -> Condition:
    return Condition(field=name, values=values, negated=negated)


RAG = pipeline(
    step("find", "question ->", "retrieve", corpus=HOUSE, k=1),
    step("answer", "passages: list[str]; question -> answer"),
)
BRANCHES = pipeline(
    step("sort", "text -> kind: sum|talk"),
    step("add", "text; expression -> answer", "chain_of_thought", when=when("kind", "sum")),
    step("reply", "text -> answer", when=when("kind", "sum", negated=True)),
)
ITEMS = pipeline(
    step("split", "text -> lines: list[str]"),
    step("label", "line; text -> tag", each=Each(field="lines", item="line")),
    step("sum_up", "tag: list[str] -> verdict"),
)


def run(spec: PipelineSpec, replies: Any, **inputs: Any) -> tuple[dict[str, Any], ScriptedLM]:
    lm = ScriptedLM(replies)
    with context(lm=lm):
        return dict(build_program(spec)(**inputs)), lm


def test_a_search_feeds_the_next_step():
    answer, lm = run(RAG, [{"answer": "five"}], question="How long does a refund take?")
    assert answer == {"passages": ["Refunds take five days."], "answer": "five"}
    assert "Refunds take five days." in lm.requests[0].messages[-1]["content"]
    assert [f.name for f in RAG.inputs] == ["question"]


def test_a_search_may_name_its_output_and_give_one_text():
    spec = pipeline(
        step("find", "question -> notes: str", "retrieve", corpus=HOUSE, k=2),
        step("answer", "notes; question -> answer"),
    )
    answer, _ = run(spec, [{"answer": "x"}], question="refunds and parcels")
    assert answer["notes"] == "[1] «Refunds take five days.»\n[2] «Parcels go out on Mondays.»"
    assert run(spec, [{"answer": "x"}], question="")[0]["notes"] == "N/A"


def test_a_search_by_meaning_and_a_folder(tmp_path: Path):
    (tmp_path / "a.md").write_text("# Refunds\n\nMoney comes back after five days.\n")
    (tmp_path / "b.txt").write_text("Parcels leave on Mondays.")
    for kind in ("bm25", "embeddings"):
        find = step("find", "q ->", "retrieve", corpus=CorpusSpec(file=str(tmp_path)), k=1, retriever=kind)
        answer, _ = run(
            pipeline(find, step("say", "passages -> answer")), [{"answer": "x"}], q="refund money"
        )
        assert answer["passages"] == ["Refunds | Money comes back after five days."]


def test_a_tool_reads_its_arguments_and_types_its_result():
    spec = pipeline(
        step("plan", "question -> expression"),
        step("work", "expression -> total: float", "tool", tools=("calculator",)),
        step("say", "total: float; question -> answer"),
    )
    answer, lm = run(spec, [{"expression": "(3 + 4) * 2"}, {"answer": "14"}], question="?")
    assert answer["total"] == 14.0
    assert asked(lm.requests[1])[0]["total"] == "14.0"
    with pytest.raises(ToolError, match="cannot be worked out"):
        run(spec, [{"expression": "3 +"}], question="?")
    whole = pipeline(
        *(
            s.model_copy(update={"outputs": (field("total: bool"),)}) if s.name == "work" else s
            for s in spec.steps[:2]
        )
    )
    with pytest.raises(ToolError, match="no value of 'total'"):
        run(whole, [{"expression": "7 + 0.5"}], question="?")


@pytest.mark.parametrize(
    ("kind", "replies"), [("sum", [{"reasoning": "r", "answer": "3"}]), ("talk", [{"answer": "hi"}])]
)
def test_only_the_branch_that_applies_is_asked(kind: str, replies: list[Any]):
    answer, lm = run(BRANCHES, [{"kind": kind}, *replies], text="t", expression="1+2")
    assert answer["answer"] == replies[0]["answer"]
    assert len(lm.requests) == 2


def test_a_later_step_may_replace_an_answer_where_it_runs():
    spec = pipeline(
        step("write", "text -> summary"),
        step("check", "summary; text -> verdict: fine|too long"),
        step("shorten", "text; verdict -> summary", when=when("verdict", "too long")),
    )
    assert spec_problems(spec) == []
    kept, _ = run(spec, [{"summary": "a"}, {"verdict": "fine"}], text="t")
    mended, _ = run(spec, [{"summary": "a"}, {"verdict": "too long"}, {"summary": "b"}], text="t")
    assert (kept["summary"], mended["summary"]) == ("a", "b")
    assert list(mended)[-1] == "summary"


def test_a_field_of_a_step_left_out_is_empty():
    spec = pipeline(
        step("look", "text -> found: yes|no"),
        step("note", "text -> remark", when=when("found", "yes")),
        step("end", "text; remark: Optional[str] -> answer"),
    )
    answer, lm = run(spec, [{"found": "no"}, {"answer": "x"}], text="t")
    assert answer["remark"] is None
    assert asked(lm.requests[1])[0]["remark"] == "null"


def test_items_run_side_by_side_and_come_back_in_order():
    def reply(request: Any) -> Any:
        inputs, wanted = asked(request)
        if "lines" in wanted:
            return {"lines": ["a", "b", "c"]}
        return {"tag": inputs["line"].upper()} if "tag" in wanted else {"verdict": inputs["tag"]}

    answer, lm = run(ITEMS, reply, text="a b c")
    assert answer["tag"] == ["A", "B", "C"]
    assert answer["verdict"] == '["A","B","C"]'
    assert len(lm.requests) == 5


@pytest.mark.parametrize("lines", [[], None])
def test_no_items_no_calls(lines: Any):
    spec = pipeline(*ITEMS.steps[1:])
    assert [(f.name, f.type) for f in spec.inputs] == [("lines", "list[str]"), ("text", "str")]
    answer, lm = run(spec, [{"verdict": "none"}], text="t", lines=lines)
    assert answer["tag"] == []
    assert len(lm.requests) == 1


def test_what_is_no_list_is_told():
    with pytest.raises(PipelineError, match="which is no list"):
        run(pipeline(*ITEMS.steps[1:]), [], text="t", lines="abc")


def test_traces_of_items_come_in_order_whichever_ends_first():
    class Slow(ScriptedLM):
        async def complete(self, request: Any) -> Any:
            inputs, _ = asked(request)
            await asyncio.sleep(0.03 if inputs.get("line") == "a" else 0)
            return await super().complete(request)

    def reply(request: Any) -> Any:
        inputs, wanted = asked(request)
        return {"tag": inputs["line"]} if "tag" in wanted else {"verdict": "x"}

    program = build_program(pipeline(*ITEMS.steps[1:]))
    row = Example(text="t", lines=["a", "b"], verdict="x").with_inputs("text", "lines")
    with context(lm=Slow(reply)):
        (outcome,) = asyncio.run(run_rows(program, [(0, row)], lambda e, p: 1.0, limit=1, trace=True))
    assert [(t.path, t.outputs) for t in outcome.trace] == [
        ("label", {"tag": "a"}),
        ("label", {"tag": "b"}),
        ("sum_up", {"verdict": "x"}),
    ]


def test_the_trace_holds_searches_and_tools_too():
    program = build_program(
        pipeline(
            step("find", "question ->", "retrieve", corpus=HOUSE, k=1),
            step("plan", "passages: list[str] -> expression"),
            step("work", "expression -> answer", "tool", tools=("calculator",)),
        )
    )
    row = Example(question="refund", answer="5").with_inputs("question")
    with context(lm=ScriptedLM([{"expression": "2 + 3"}])):
        (outcome,) = asyncio.run(run_rows(program, [(0, row)], ExactMatch(), limit=1, trace=True))
    assert outcome.score == 1.0
    assert [(t.path, t.outputs) for t in outcome.trace] == [
        ("find", {"passages": ["Refunds take five days."]}),
        ("plan", {"expression": "2 + 3"}),
        ("work", {"answer": "5"}),
    ]


def test_a_failing_item_fails_the_row_by_name():
    def reply(request: Any) -> Any:
        inputs, wanted = asked(request)
        return "" if inputs.get("line") == "b" else dict.fromkeys(wanted, "x")

    program = build_program(pipeline(*ITEMS.steps[1:]))
    row = Example(text="t", lines=["a", "b"], verdict="x").with_inputs("text", "lines")
    with context(lm=ScriptedLM(reply)):
        (outcome,) = asyncio.run(run_rows(program, [(0, row)], lambda e, p: 1.0, limit=1))
    assert outcome.error
    assert "empty" in outcome.error


@pytest.mark.parametrize(("spec", "calls"), [(RAG, 1), (BRANCHES, 2), (ITEMS, 5)])
def test_calls_a_row_leave_out_what_asks_no_model(spec: PipelineSpec, calls: int):
    assert build_program(spec).calls_a_row == calls


def test_steps_are_tuned_and_copied_as_any_other():
    program = build_program(RAG)
    other = program.with_candidate(program.candidate().with_step("answer", instructions="Be brief."))
    assert isinstance(other, Pipeline)
    assert [path for path, _ in other.named_predictors()] == ["answer"]
    assert other.find.retrieve.rm is program.find.retrieve.rm


@pytest.mark.parametrize("name", ["json", "chat"])
def test_a_step_may_have_its_own_layout(name: Any):
    spec = pipeline(step("plan", "text -> query", adapter=name), step("answer", "query -> answer"))
    program = build_program(spec)
    assert type(program.plan.adapter).__name__.lower().startswith(name)
    assert program.answer.adapter is None


def test_a_corpus_is_told_apart_by_its_hash(tmp_path: Path):
    file = tmp_path / "rules.csv"
    file.write_text("id,text\n1,Refunds take five days.\n2,Parcels go out on Mondays.\n")
    spec = pinned(CorpusSpec(file=str(file), column="text"))
    assert corpus_of(spec).hash == spec.hash
    inside = pinned(CorpusSpec(file=str(file), column="text"), largest=1000)
    assert inside.passages == ("Refunds take five days.", "Parcels go out on Mondays.")
    assert inside.file == ""
    file.write_text("id,text\n1,Refunds take nine days.\n")
    with pytest.raises(PipelineError, match=r"rules\.csv' are not those this program was made with"):
        corpus_of(spec)
    assert len(corpus_of(inside)) == 2
    file.unlink()
    with pytest.raises(PipelineError, match="There is no file or folder"):
        corpus_of(spec)


TALK = step("talk", "passages: list[str] -> answer")


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (pipeline(step("find", "q ->", "retrieve"), TALK), "There is nothing to search of the step 'find'."),
        (pipeline(step("find", "q; r ->", "retrieve", corpus=HOUSE), TALK), "A search has one input"),
        (
            pipeline(step("find", "q -> passages; more", "retrieve", corpus=HOUSE), TALK),
            "A search makes one output",
        ),
        (
            pipeline(step("find", "q -> passages: int", "retrieve", corpus=HOUSE), TALK),
            "A search makes a list of texts",
        ),
        (
            pipeline(step("find", "q ->", "retrieve", corpus=CorpusSpec(file="/no/such.csv")), TALK),
            "There is no file or folder '/no/such.csv' to search",
        ),
        (
            pipeline(
                step("find", "q ->", "retrieve", corpus=CorpusSpec(file="x.csv", passages=("a",))), TALK
            ),
            "either as a list or as a file, not both",
        ),
        (pipeline(step("find", "q ->", "retrieve", corpus=CorpusSpec(passages=(" ",))), TALK), "are blank"),
        (pipeline(step("a", "code ->", "tool"), step("b", "result -> c")), "Choose the one tool"),
        (
            pipeline(step("a", "code ->", "tool", tools=("browser",)), step("b", "result -> c")),
            "There is no tool 'browser'",
        ),
        (
            pipeline(step("a", "sum ->", "tool", tools=("calculator",)), step("b", "result -> c")),
            "The tool 'calculator' takes no argument 'sum' of the step 'a'. Rename the input; it takes: expression.",
        ),
        (
            pipeline(step("a", "sum ->", "tool", tools=("calculator",)), step("b", "result -> c")),
            "The tool 'calculator' needs the argument 'expression'",
        ),
        (pipeline(step("a", "q -> b", "react", tools=("search",))), "There is nothing to search."),
        (
            pipeline(step("a", "q -> b"), step("c", "q -> d: Optional[str]", when=when("x", "y"))),
            "Whether the step 'c' runs depends on 'x', which no earlier step makes and no step reads. Choose one of: q, b.",
        ),
        (
            pipeline(step("a", "q -> b"), step("c", "b -> d", when=when("", "y"))),
            "Choose the field that decides",
        ),
        (
            pipeline(step("a", "q -> b"), step("c", "b -> d", when=when("b"))),
            "Give at least one value of 'b'",
        ),
        (
            pipeline(step("a", "q -> b: x|y"), step("c", "b; q -> d", when=when("b", "z"))),
            "The step 'c' looks for 'z' in 'b', which is never that. Its values are: x, y.",
        ),
        (
            pipeline(step("a", "q -> b: x|y"), step("c", "b; q -> d", when=when("b", "x"))),
            "Where the last step 'c' is left out, nothing makes the answer 'd'.",
        ),
        (
            pipeline(
                step("a", "q -> b: x|y|z"),
                step("c", "q -> d", when=when("b", "x", "y")),
                step("e", "q -> d", when=when("b", "y", "z")),
            ),
            "The steps 'c' and 'e' both make 'd'. Rename one, for example to 'e_d', or let them run for different values",
        ),
        (
            pipeline(
                step("a", "q -> b: x|y"),
                step("c", "q -> d", when=when("b", "x")),
                step("e", "q -> d: int", when=when("b", "y")),
            ),
            "make 'd' with different types (str and int)",
        ),
        (
            pipeline(step("a", "q -> b"), step("c", "i -> d", each=Each(field="b", item="i"))),
            "runs for each item of 'b', which is no list but str. Make it a list, for example list[str].",
        ),
        (
            pipeline(step("a", "q -> b: list[str]"), step("c", "j -> d", each=Each(field="b", item="i"))),
            "none of its inputs (j) is the item 'i'",
        ),
        (
            pipeline(step("a", "q -> b: list[str]"), step("c", "q -> d", each=Each(field="b", item="q"))),
            "The item 'q' of the step 'c' is called like another field",
        ),
        (
            pipeline(step("c", "i -> d", each=Each(field="b", item="i")), step("a", "q -> b: list[str]")),
            "reads 'b', which only the later step 'a' makes. Move 'a' before 'c'",
        ),
        (
            pipeline(step("a", "x -> y"), step("b", "y -> z"), step("c", "z -> x")),
            "The steps 'a' and 'c' wait for each other: each reads what the other makes. Take 'x' out of 'a'",
        ),
        (
            pipeline(step("a", "q -> b: list[str]"), step("c", "b: int -> d")),
            "The step 'c' reads 'b' as int, but 'a' makes a list.",
        ),
        (
            pipeline(step("c", "q -> d: Optional[str]", when=when("b", "x")), step("a", "d; q -> b: x|y")),
            "depends on 'b', which only the later step 'a' makes",
        ),
    ],
)
def test_one_sentence_for_each_problem_of_the_new_parts(spec: PipelineSpec, sentence: str):
    found = spec_problems(spec)
    assert any(sentence in s for s in found), found
    assert all("\n" not in s for s in found)
    with pytest.raises(PipelineError):
        build_program(spec)


@pytest.mark.parametrize("spec", [RAG, BRANCHES, ITEMS])
def test_good_wiring_has_no_problems(spec: PipelineSpec):
    assert spec_problems(spec) == []
    assert PipelineSpec.model_validate_json(spec.model_dump_json()) == spec


def test_the_estimate_counts_branches_and_items_and_calls_no_tool():
    spec = pipeline(
        step("plan", "question -> expression; kind: sum|talk"),
        step("work", "expression -> total: float", "tool", tools=("calculator",)),
        step("say", "total: float; question -> answer", when=when("kind", "sum")),
        step("chat", "question -> answer", when=when("kind", "talk")),
    )
    rows = {i: Example(question=f"{i} + {i}?", answer=str(2 * i)).with_inputs("question") for i in range(6)}
    settings = Settings(
        build_program(spec), ExactMatch(), rows, (0, 1, 2), (3, 4, 5), lm=LM("offline/learner", cache=False)
    )
    found = estimate(LabeledFewShot().search, settings, baseline_rows=(3, 4, 5))
    assert found.calls.high == 12  # three validation rows of two candidates, two calls each
    assert found.calls.low == 12
