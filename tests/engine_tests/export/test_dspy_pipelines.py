"""Pipelines with searches, tools, agents, ratings, branches and lists leave for DSPy: same passages, same predictions."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from support.dspy_exports import answers_here, answers_in_dspy, same_in_dspy, script_for
from support.servers.openai_server import OpenAIServer
from support.step_fields import fields

from engine.export.dspy_parts import SEARCHING, TOOL_CODE
from engine.export.program import ProgramFile, program_file
from engine.pipeline.build import build_program
from engine.pipeline.spec import Condition, CorpusSpec, Each, FieldSpec, PipelineSpec, StepOptions, StepSpec
from engine.pipeline.strategies import TOOLS
from engine.records import Demo
from engine.retrieval import BM25, Embeddings

HOUSE = CorpusSpec(
    passages=("Refunds take five days.", "Parcels go out on Mondays.", "Phones answer until six.")
)


def pipeline(*steps: StepSpec) -> PipelineSpec:
    return PipelineSpec(steps=steps)


WIRED = pipeline(
    StepSpec(
        name="sort",
        inputs=fields("text"),
        outputs=(FieldSpec(name="kind", choices=("sum", "talk")), *fields("expression")),
        adapter="json",
    ),
    StepSpec(name="find", strategy="retrieve", inputs=fields("text"), options=StepOptions(corpus=HOUSE, k=2)),
    StepSpec(
        name="look",
        inputs=fields("passage", "text"),
        outputs=fields("note"),
        each=Each(field="passages", item="passage"),
    ),
    StepSpec(
        name="work",
        strategy="tool",
        inputs=fields("expression"),
        outputs=fields("total:float"),
        options=StepOptions(tools=("calculator",)),
        when=Condition(field="kind", values=("sum",)),
    ),
    StepSpec(
        name="say",
        strategy="chain_of_thought",
        inputs=fields("text", "note:list[str]", "total:Optional[float]"),
        outputs=fields("answer"),
        when=Condition(field="kind", values=("sum",), negated=True),
    ),
    StepSpec(
        name="count",
        inputs=fields("total:float"),
        outputs=fields("answer"),
        when=Condition(field="kind", values=("sum",)),
    ),
)
AGENT = pipeline(
    StepSpec(
        name="agent",
        strategy="react",
        inputs=fields("text"),
        outputs=fields("answer"),
        options=StepOptions(tools=("search", "calculator"), corpus=HOUSE, max_iters=4),
    )
)
RATED = pipeline(
    StepSpec(
        name="draft",
        strategy="best_of_n",
        inputs=fields("text"),
        outputs=fields("draft"),
        options=StepOptions(tries=2),
    ),
    StepSpec(
        name="mend",
        strategy="refine",
        inputs=fields("draft"),
        outputs=fields("answer"),
        options=StepOptions(tries=2),
    ),
)
CODED = pipeline(
    StepSpec(
        name="code",
        strategy="program_of_thought",
        inputs=fields("text", "numbers:list[int]"),
        outputs=fields("answer:int"),
    )
)
ROWS = ["refunds and parcels", "when do phones answer", "parcels on mondays"]


def tuned(spec: PipelineSpec) -> ProgramFile:
    candidate = build_program(spec).candidate()
    for path in candidate.steps:
        candidate = candidate.with_step(path, instructions=f"{candidate.steps[path].instructions} ZEBRA")
    if "agent.react" in candidate.steps:
        told = {
            **candidate.steps["agent.react"].tool_descriptions,
            "search": "Looks in the ZEBRA house rules.",
        }
        candidate = candidate.with_step("agent.react", tool_descriptions=told)
    if "say.predict" in candidate.steps:
        demo = Demo({"text": "hello", "note": ["a"], "answer": "hi"}, augmented=True)
        candidate = candidate.with_step("say.predict", demos=(demo,))
    return program_file(spec, candidate)


def answer(body: dict[str, Any]) -> str:
    """An answer that depends on what was tuned and what went in, whichever library wrote the prompt."""
    system, last = body["messages"][0]["content"], body["messages"][-1]["content"]
    wanted = re.findall(r"\[\[ ## (\w+) ## \]\](?=`)|^\{(?=$)", last) or re.findall(
        r"`(\w+)`", last.rpartition("\n\n")[2]
    )
    given = re.search(r"\[\[ ## text ## \]\]\n(.*)", last)
    seed = f"{'ZEBRA' in system} {given[1] if given else ''} {'Refunds take' in last} {len(body['messages'])}"
    number = int(hashlib.sha256(seed.encode()).hexdigest(), 16)
    steps = len(re.findall(r"Tool name: |\[\[ ## tool_name_\d+ ## \]\]\n", last))
    action = [("search", {"query": "refund"}), ("calculator", {"expression": "6 * 7"}), ("finish", {})][
        min(steps, 2)
    ]
    values: dict[str, Any] = {
        "kind": ("sum", "talk")[number % 2],
        "expression": "(3 + 4) * 2",
        "note": f"note {number % 9}",
        "answer": "42"
        if "generated_code" in system or "code_output" in last
        else f"answer {number % 97} {'14' in last} {'42' in last}",
        "draft": f"draft {number % 7}",
        "next_thought": "On.",
        "next_tool_name": action[0],
        "next_tool_args": json.dumps(action[1]),
        "explanation": "Well.",
        "score": "0.95",
        "generated_code": "sum(numbers)",
        "reasoning": "So.",
    }
    names = list(dict.fromkeys(n for n in wanted if n in values))
    if "JSON" in last or "json" in last.casefold():
        return json.dumps({n: values[n] for n in ("kind", "expression")})
    return "\n\n".join([*(f"[[ ## {n} ## ]]\n{values[n]}" for n in names), "[[ ## completed ## ]]"])


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        pytest.param(WIRED, ["kind", "passages", "note", "total", "answer"], id="wired"),
        pytest.param(AGENT, ["answer"], id="agent"),
        pytest.param(RATED, ["draft", "answer"], id="rated"),
    ],
)
def test_dspy_gives_the_same_predictions_and_its_file_loads_here(
    spec: PipelineSpec, names: list[str], tmp_path: Path
):
    same_in_dspy(tuned(spec), answer, [{"text": row} for row in ROWS], names, tmp_path)


def test_a_program_of_thought_runs_in_dspy_with_its_inputs_as_variables(tmp_path: Path):
    file = tuned(CODED)
    rows = [{"text": "add them", "numbers": [1, 2, 39]}]
    with OpenAIServer(answer=answer) as server:
        expected = answers_here(file.build(), server.url, rows, ["answer"])
        script_for(file, server.url, tmp_path)
        settings = "import dspy; dspy.configure(interpreter_factory=dspy.LocalInterpreter);"
        assert answers_in_dspy(tmp_path, rows, ["answer"], settings) == expected == [[42]]


def test_the_scripts_search_finds_what_ours_finds():
    corpus = (Path(__file__).parents[3] / "sample_data/lending_corpus.csv").read_text().splitlines()
    corpus += ["Déjà vu: the Café's déjà-vu policies", "policies, policies", ""]
    space: dict[str, Any] = {}
    exec(SEARCHING, space)
    search, index = space["Search"](BM25, corpus, 4), BM25(corpus, 4)
    near, vectors = space["Search"](Embeddings, corpus, 4), Embeddings(corpus, k=4)
    for query in (
        "late fee of the roof box",
        "deja vu policy",
        "Who shows the drill?",
        "nothing whatever xyz",
        "a the",
    ):
        assert search.find(query) == index(query).passages
        assert near.find(query) == vectors(query).passages


@pytest.mark.parametrize("text", ["(3 + 4) * 2 ** 5", "sqrt(2) / pi", "-7 // 2", "10 % 4 + max(1, 2)", "1/8"])
def test_the_scripts_calculator_gives_what_ours_gives(text: str):
    space: dict[str, Any] = {}
    exec("import ast, math, operator\n" + TOOL_CODE["calculator"], space)
    assert float(space["calculator"](text)) == pytest.approx(float(TOOLS["calculator"](expression=text)))
    for wrong in ("open('x')", "().__class__", "9 ** 9 ** 9", "x"):
        with pytest.raises((ValueError, SyntaxError)):
            space["calculator"](wrong)
