"""Programs with searches, tools, branches and lists, exported and read back: as data, as a script, with their passages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.program_files import save_program
from support.step_fields import fields

import engine
from engine.errors import PipelineError, ProgramFileError
from engine.export.formats import get_export
from engine.export.messages import step_messages
from engine.export.program import load_program, parse_program, program_file, to_text
from engine.pipeline.build import build_program
from engine.pipeline.spec import Condition, CorpusSpec, Each, FieldSpec, PipelineSpec, StepOptions, StepSpec

OFFLINE = {"name": "offline/learner"}
HOUSE = ("Refunds take five days.", "Parcels go out on Mondays.", "Phones answer until six.")


def rich(corpus: CorpusSpec) -> PipelineSpec:
    """Every kind of step and every way to answer that runs without code written by a model."""
    kinds = FieldSpec(name="kind", choices=("sum", "question"))
    return PipelineSpec(
        steps=(
            StepSpec(name="sort", inputs=fields("text"), outputs=(kinds,), adapter="json"),
            StepSpec(
                name="find",
                strategy="retrieve",
                inputs=fields("text"),
                options=StepOptions(corpus=corpus, k=2),
            ),
            StepSpec(
                name="work",
                strategy="tool",
                inputs=fields("expression"),
                outputs=fields("total:float"),
                options=StepOptions(tools=("calculator",)),
            ),
            StepSpec(
                name="look",
                inputs=fields("passage", "text"),
                outputs=fields("useful:bool"),
                each=Each(field="passages", item="passage"),
            ),
            StepSpec(
                name="agent",
                strategy="react",
                inputs=fields("text"),
                outputs=fields("answer"),
                options=StepOptions(tools=("search", "calculator"), corpus=corpus, max_iters=2),
                when=Condition(field="kind", values=("sum",)),
            ),
            StepSpec(
                name="reply",
                strategy="chain_of_thought",
                inputs=fields("text", "useful:list[bool]", "total:float"),
                outputs=fields("answer"),
                when=Condition(field="kind", values=("sum",), negated=True),
            ),
            StepSpec(
                name="grade",
                strategy="best_of_n",
                inputs=fields("answer"),
                outputs=fields("grade:int"),
                options=StepOptions(tries=2),
            ),
            StepSpec(
                name="polish",
                strategy="refine",
                inputs=fields("answer", "grade:int", "notes:list[str]"),
                outputs=fields("final"),
                options=StepOptions(tries=2),
            ),
        )
    )


INSIDE = rich(CorpusSpec(passages=HOUSE))
ROW: dict[str, Any] = {
    "text": "How long does a refund of 3 parcels take?",
    "expression": "3 * 2",
    "notes": ["short"],
}


def answer(program: Any) -> dict[str, Any]:
    with engine.context(lm=engine.LM("offline/learner", cache=False)):
        return dict(program(**ROW))


def tuned(spec: PipelineSpec) -> Any:
    return build_program(spec).candidate().with_step("sort", instructions="Say what kind it is.")


def test_the_program_file_holds_every_kind_of_step(tmp_path: Path):
    candidate = tuned(INSIDE)
    save_program(INSIDE, candidate, tmp_path / "p.json", model=OFFLINE)
    loaded = load_program(tmp_path / "p.json")
    assert loaded.candidate().steps == candidate.steps
    assert answer(loaded) == answer(build_program(INSIDE).with_candidate(candidate))
    assert type(loaded.sort.adapter).__name__ == "JSONAdapter"
    assert type(loaded.reply.predictors()[0].adapter).__name__ == "NoneType"


def test_a_step_keeps_its_own_layout_beside_the_programs():
    file = program_file(INSIDE, tuned(INSIDE), adapter="xml")
    program = file.build()
    assert type(program.sort.adapter).__name__ == "JSONAdapter"
    assert type(program.reply.predictors()[0].adapter).__name__ == "XMLAdapter"
    messages = step_messages(file)
    assert "JSON" in messages["sort"][0]["content"]
    assert "<answer>" in json.dumps(messages["reply.predict"])


def test_small_corpora_travel_in_the_file_and_large_ones_by_their_hash(tmp_path: Path):
    table = tmp_path / "rules.csv"
    table.write_text("no,rule\n" + "".join(f"{i},{rule}\n" for i, rule in enumerate(HOUSE)))
    spec = rich(CorpusSpec(file=str(table), column="rule"))
    save_program(spec, tuned(spec), tmp_path / "small.json")
    table.write_text("no,rule\n" + "".join(f"{i},{'long ' * 300}{i}\n" for i in range(1500)))
    large = rich(CorpusSpec(file=str(table), column="rule"))
    save_program(large, tuned(large), tmp_path / "large.json")
    assert (
        parse_program((tmp_path / "small.json").read_text()).pipeline.steps[1].options.corpus.passages
        == HOUSE
    )
    kept = parse_program((tmp_path / "large.json").read_text()).pipeline.steps[1].options.corpus
    assert (kept.passages, kept.file, len(kept.hash)) == ((), str(table), 64)
    find = load_program(tmp_path / "large.json").find
    assert len(find(text="long 7").passages) == 2
    table.write_text("no,rule\n1,other\n")
    with pytest.raises(PipelineError, match=r"rules\.csv' are not those this program was made with"):
        find(text="long 7")
    table.unlink()
    with pytest.raises(ProgramFileError, match=r"There is no file or folder .*rules\.csv"):
        load_program(tmp_path / "large.json")
    with pytest.raises(PipelineError, match="no file or folder"):
        program_file(large, tuned(rich(CorpusSpec(passages=HOUSE))))


@pytest.mark.parametrize("form", ["python", "dspy", "container"])
def test_a_form_that_must_hold_its_passages_refuses_a_large_corpus(form: str, tmp_path: Path):
    table = tmp_path / "rules.csv"
    table.write_text("rule\n" + "".join(f"{'long ' * 300}{i}\n" for i in range(1500)))
    options = StepOptions(corpus=CorpusSpec(file=str(table), column="rule"))
    find = StepSpec(name="find", strategy="retrieve", inputs=fields("text"), options=options)
    spec = PipelineSpec(steps=(find, StepSpec(inputs=fields("passages:list[str]"), outputs=fields("label"))))
    content = program_file(spec, build_program(spec).candidate())
    with pytest.raises(ProgramFileError, match=r"'find' searches .*rules\.csv', which is too large"):
        get_export(form).render(content)


def test_a_file_from_anybody_cannot_read_this_machines_files(tmp_path: Path):
    secret = tmp_path / "secret.txt"
    secret.write_text("nobody should see this")
    data = json.loads(to_text(program_file(INSIDE, tuned(INSIDE))))
    data["pipeline"]["steps"][1]["options"]["corpus"] = {"file": str(secret)}
    with pytest.raises(ProgramFileError, match="does not say which passages it was made with"):
        parse_program(json.dumps(data)).build()


def test_a_file_of_the_first_version_reads_the_same(tmp_path: Path):
    step = StepSpec(inputs=fields("text"), outputs=fields("label"))
    spec = PipelineSpec(steps=(step,))
    data = json.loads(to_text(program_file(spec, build_program(spec).candidate(), model=OFFLINE)))
    assert data.pop("version") == 2
    # What the first version wrote: no conditions, lists, corpora or layouts of steps.
    (old,) = data["pipeline"]["steps"]
    old = {k: v for k, v in old.items() if k not in ("when", "each", "adapter")}
    old["options"] = {k: old["options"][k] for k in ("tools", "max_iters", "tries", "threshold", "criteria")}
    data["pipeline"]["steps"] = [old]
    read = parse_program(json.dumps({**data, "version": 1}))
    assert (read.version, read.pipeline) == (2, spec)
    assert read.build().candidate().steps == build_program(spec).candidate().steps


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda s: s.update(strategy="guess"), "pipeline.steps.1.strategy"),
        (lambda s: s.update(when={"field": "x"}), "pipeline.steps.1.when.values"),
        (lambda s: s.update(each={"field": "x"}), "pipeline.steps.1.each.item"),
        (lambda s: s["options"].update(k=0), "pipeline.steps.1.options.k"),
        (lambda s: s["options"]["corpus"].update(url="http://x"), "pipeline.steps.1.options.corpus.url"),
    ],
)
def test_damaged_new_parts_are_named(change: Any, key: str):
    data = json.loads(to_text(program_file(INSIDE, tuned(INSIDE))))
    change(data["pipeline"]["steps"][1])
    with pytest.raises(ProgramFileError, match=f"damaged at '{key}'"):
        parse_program(json.dumps(data))
