"""Other models in a run: the same rows answered by each, and the objective decides between the programs found."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from support.run_setup import COLOURS, THINGS, add_data, add_run, csv_bytes, spec
from support.servers.openai_server import Failure, OpenAIServer
from support.servers.shelves import PRICES, compared_models, of_three
from typer.testing import CliRunner

import engine
from engine.cli.app import app
from engine.errors import ConfigurationError, RunError
from engine.export.program import read_program
from engine.lm.choice import ModelChoice
from engine.lm.prices import set_own_price
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.records import Candidate, Outcome, StepState, Usage
from engine.runs.prepare import estimate_run, prepare
from engine.runs.results.report import settings_of
from engine.runs.spec import Named, RunSpec
from engine.runs.worker import work
from engine.search.budget import Budget
from engine.search.judging.model_choice import chosen, comparison, figures, front, good_enough
from engine.search.judging.objective import Objective
from engine.search.result import RunResult
from engine.store.store import Store


@pytest.fixture
def server():
    for name, price in PRICES.items():
        set_own_price(name, (price, price))
    with OpenAIServer(of_three) as server:
        yield server


def models(server: OpenAIServer) -> dict[str, Any]:
    """The settings of a run that compares three models of one server."""
    own, *others = compared_models(server.url)
    return {
        "model": own,
        "models": tuple(others),
        "optimizer": Named(name="LabeledFewShot", options={"k": 2}),
    }


def finished(home: Path, run_id: str) -> RunResult:
    """The result of a run that is carried out now."""
    assert work(home, run_id) == 0
    with Store.open(home) as store:
        return store.runs.get(run_id).require_result()


def test_the_cheapest_model_within_some_points_is_kept_and_its_export_asks_it(
    server: OpenAIServer, tmp_path: Path
):
    run_id = add_run(
        tmp_path,
        dataset=add_data(tmp_path, csv_bytes(80)),
        objective="cheapest within 2 points",
        **models(server),
    )
    result = finished(tmp_path, run_id)
    kept = next(f for f in result.models.figures if f.candidate == result.best_candidate)
    assert kept.models == ("openai/middle",)
    assert kept.score == 1.0
    assert (result.verdict.kind, result.taken_candidate) == ("too_close", kept.candidate)
    assert result.models.sentence == (
        "On 24 validation rows openai/middle scores best, 100 %, and every cheaper choice is surely worse."
    )
    small = [f for f in result.models.figures if f.models == ("openai/small",)]
    assert all(f.high < 0 for f in small)
    assert kept.candidate in result.models.front
    assert "Kept is the cheapest within 2 points of the best, answered by openai/middle" in result.reason
    with Store.open(tmp_path) as store:
        candidate = store.trials.candidate(run_id, result.best_candidate)
        spec = RunSpec.model_validate(store.runs.get(run_id).spec)
        told = dict(settings_of(store, spec, store.runs.get(run_id)))
    assert {s.weights for s in candidate.steps.values()} == {"openai/middle"}
    assert told["Objective"] == "cheapest within 2 points"
    assert result.tuned_models == ()


def test_an_export_of_another_model_asks_it_at_its_address(server: OpenAIServer, tmp_path: Path):
    from engine.runs.results.exports import take_prompt

    run_id = add_run(tmp_path, objective="cheapest within 2 points", **models(server))
    result = finished(tmp_path, run_id)
    with Store.open(tmp_path) as store:
        paths = take_prompt(tmp_path, store, run_id, result.best_candidate)
        file = read_program(Path(paths.program))
    assert [step.model for step in file.pipeline.steps] == [
        ModelChoice(name="openai/middle", base_url=server.url)
    ]
    server.requests.clear()
    file.build()(text="a small lamp")
    assert [body["model"] for body in server.requests] == ["middle"]


def test_a_better_model_is_kept_for_the_score_only_where_it_is_surely_better(
    server: OpenAIServer, tmp_path: Path
):
    chosen = models(server)
    small = ModelChoice(name="openai/small", base_url=server.url)
    others = (chosen["model"], chosen["models"][0])
    run_id = add_run(
        tmp_path, dataset=add_data(tmp_path, csv_bytes(120)), **{**chosen, "model": small, "models": others}
    )
    result = finished(tmp_path, run_id)
    kept = next(f for f in result.models.figures if f.candidate == result.best_candidate)
    assert kept.models in (("openai/test-model",), ("openai/middle",))
    assert result.verdict.kind == "better"


def test_the_fastest_of_those_within_the_points_is_chosen():
    def candidate(name: str | None, score: float, seconds: float) -> tuple[Candidate, dict[int, Outcome]]:
        made = Candidate({"sort": StepState("Sort.", weights=name)})
        return made, {row: Outcome(row, float(row < 20 * score), seconds=seconds) for row in range(20)}

    runs = [candidate(None, 1.0, 3.0), candidate("a", 0.95, 2.0), candidate("b", 0.5, 1.0)]
    found = figures({c.id: (c, known) for c, known in runs}, runs[0][0].id)
    assert [chosen(found, Objective(goal="fastest", within=w)).models for w in (1, 5, 50)] == [
        (),
        ("a",),
        ("b",),
    ]
    assert chosen(found, Objective()).models == chosen(found, Objective(goal="front")).models == ()
    assert len(front(found)) == 3


def test_of_two_steps_each_is_asked_of_the_cheaper_model_alone_too(server: OpenAIServer, tmp_path: Path):
    steps = (
        StepSpec(name="first", inputs=(FieldSpec(name="text"),), outputs=(FieldSpec(name="note"),)),
        StepSpec(
            name="sort",
            instructions="Say on which shelf it belongs.",
            inputs=(FieldSpec(name="text"), FieldSpec(name="note")),
            outputs=(FieldSpec(name="shelf", choices=COLOURS),),
        ),
    )
    server.answer = lambda body: (
        of_three(body)
        if "on which shelf" in str(body["messages"])
        else "[[ ## note ## ]]\nseen\n\n[[ ## completed ## ]]"
    )
    run_id = add_run(
        tmp_path,
        dataset=add_data(tmp_path, csv_bytes(80)),
        objective="cheapest within 2 points",
        pipeline=PipelineSpec(steps=steps),
        **models(server),
    )
    result = finished(tmp_path, run_id)
    tried = {f.models for f in result.models.figures}
    assert ("openai/small in first",) in tried
    assert ("openai/middle in sort",) in tried


@pytest.mark.parametrize(
    ("seed", "optimizer", "erring"),
    [
        (0, "LabeledFewShot", False),
        (1, "LabeledFewShot", True),
        (1, "Autotune", False),
        (0, "Autotune", True),
    ],
)
def test_the_calls_of_a_comparison_lie_in_the_estimate_also_where_models_are_left_out_early(
    server: OpenAIServer, tmp_path: Path, seed: int, optimizer: str, erring: bool
):
    def answer(body: dict[str, Any]) -> str:
        text = of_three(body)
        if "[[ ## shelf ## ]]" not in text:  # a prompt or rules: another text each time
            return text.replace("ok", f"Read text {len(server.requests)} for what the thing is made of.")
        asked = hashlib.sha256(str(body["messages"][-1]).encode()).digest()[0]
        return text if not erring or asked > 60 else text.replace("red", "blue")

    server.answer = answer
    data = add_data(tmp_path, csv_bytes(160))
    chosen = {
        **models(server),
        "optimizer": Named(name=optimizer),
        "seed": seed,
        "budget": Budget(calls=1200),
    }
    with Store.open(tmp_path) as store:
        found = estimate_run(store, spec(data, **chosen))
    run_id = add_run(tmp_path, dataset=data, **chosen)
    finished(tmp_path, run_id)
    with Store.open(tmp_path) as store:
        run = store.runs.get(run_id)
    assert found.calls.low <= run.calls + run.cached <= found.calls.high


def test_the_comparison_fits_the_budget_and_the_estimate_covers_it(server: OpenAIServer, tmp_path: Path):
    data = add_data(tmp_path)
    alone, compared = (
        spec(data, **{**models(server), "models": others}) for others in ((), models(server)["models"])
    )
    with Store.open(tmp_path) as store:
        without, found = (estimate_run(store, one) for one in (alone, compared))
        assert found.calls.low >= without.calls.low + 2 * 12
        assert found.usd is not None
    run_id = add_run(tmp_path, dataset=data, budget=Budget(calls=70), **models(server))
    result = finished(tmp_path, run_id)
    assert result.usage.calls <= 70


def test_a_price_that_is_not_known_and_a_name_given_twice_are_refused(server: OpenAIServer, tmp_path: Path):
    unknown = ModelChoice(name="openai/never-heard-of", base_url=server.url)
    twice = (ModelChoice(name="openai/small", base_url=server.url, temperature=t) for t in (0.0, 1.0))
    data = add_data(tmp_path)
    with Store.open(tmp_path) as store:
        with pytest.raises(ConfigurationError, match="The price of the model openai/never-heard-of is not"):
            prepare(store, spec(data, **{**models(server), "models": (unknown,)}, objective="cheapest"))
        with pytest.raises(RunError, match="called 'openai/small'"):
            prepare(store, spec(data, **{**models(server), "models": tuple(twice)}))


def test_the_command_line_adds_models_and_an_objective_and_prints_the_table(
    server: OpenAIServer, tmp_path: Path
):
    (tmp_path / "rows.csv").write_bytes(csv_bytes(60))
    run = spec("rows.csv", **{**models(server), "models": ()}).model_dump(mode="json")
    (tmp_path / "run.json").write_text(json.dumps(run))
    asked = ["--model", "openai/middle", "--model", "openai/small", "--objective", "cheapest within 3 points"]
    done = CliRunner().invoke(app, ["run", str(tmp_path / "run.json"), "--trust", *asked])
    assert done.exit_code == 0, done.output
    assert "openai/middle" in done.output
    assert "openai/middle scores best, 100 %, and every cheaper" in " ".join(done.output.split())
    refused = CliRunner().invoke(app, ["run", str(tmp_path / "run.json"), "--objective", "the best"])
    assert "is no objective" in refused.output


def test_the_cheapest_that_is_not_surely_worse_is_named_in_one_sentence():
    runs = [answered(None, 0, 1.0), answered("middle", 1, 0.25), answered("small", 20, 0.01)]
    scored = {c.id: (c, known) for c, known in runs}
    found = {good_enough(scored, c.id, "large") for c, _ in runs}
    words = (
        "On 40 validation rows middle is the cheapest that is not surely worse than the best, large: 98 % against "
        "100 %, at 25 % of the price."
    )
    assert found == {(words, runs[1][0].id)}


def answered(
    name: str | None, wrong: int, cost: float | None, rows: int = 40, error: str | None = None
) -> tuple[Candidate, dict[int, Outcome]]:
    """A prompt answered by a model, with its outcomes; the first rows are wrong."""
    made = Candidate({"sort": StepState("Sort.", weights=name)})
    usage = Usage(1, input_tokens=10, cost=cost)
    return made, {row: Outcome(row, float(row >= wrong), error=error, usage=usage) for row in range(rows)}


@pytest.mark.parametrize(
    ("others", "words"),
    [
        (
            [answered("dead", 40, None, error="It is gone."), answered("small", 20, 0.01)],
            "large scores best, 100 %, and every cheaper choice is surely worse. All rows of dead failed.",
        ),
        ([answered("dear", 1, 2.0)], "large scores best, 100 %, and is the cheapest, too."),
        (
            [answered("small", 20, 0.01, rows=24)],
            "large scores best, 100 %, and every cheaper choice is surely worse.",
        ),
        (
            [answered("middle", 1, 0.5), answered("new", 0, 0.1, rows=8)],
            "middle is the cheapest that is not surely worse than the best, large: 98 % against 100 %, at 50 % of the "
            "price. Not scored on all of them: new.",
        ),
        (
            [answered("middle", 1, None), answered("small", 20, 0.01)],
            "these are not surely worse than the best: large and middle. Not all of their prices are known.",
        ),
    ],
)
def test_the_sentence_claims_no_more_than_the_rows_show(
    others: list[tuple[Candidate, dict[int, Outcome]]], words: str
):
    best = answered(None, 0, 1.0)
    scored = {c.id: (c, known) for c, known in (best, *others)}
    assert good_enough(scored, best[0].id, "large")[0] == f"On 40 validation rows {words}"


def test_a_model_whose_rows_all_failed_has_no_score_and_is_never_chosen():
    best, dead = answered(None, 0, 1.0), answered("dead", 40, 0.0, error="It is gone.")
    scored = {c.id: (c, known) for c, known in (best, dead)}
    found = comparison(scored, best[0].id, "large")
    assert [(f.answered, f.failed, f.prompt) for f in found.figures] == [
        (True, 0, best[0].id),
        (False, 40, best[0].id),
    ]
    assert found.front == (best[0].id,)
    anything = Objective(goal="cheapest", within=100)
    assert chosen(figures(scored, best[0].id), anything).candidate == best[0].id
    assert comparison({best[0].id: best}, best[0].id, "large").sentence == ""


def test_a_compared_model_that_dies_does_not_end_the_run(server: OpenAIServer, tmp_path: Path):
    """The others are compared, and the report says which one failed."""
    from engine.runs.results.report import run_report

    def gone(body: dict[str, Any]) -> Failure | None:
        real = any(t in str(body["messages"][-1]["content"]) for t in THINGS)
        return Failure(401, b"{}") if body["model"] == "small" and real else None

    server.faults = gone
    run_id = add_run(tmp_path, dataset=add_data(tmp_path, csv_bytes(110)), **models(server))
    result = finished(tmp_path, run_id)
    small = [f for f in result.models.figures if f.models == ("openai/small",)]
    assert [(f.answered, f.failed == f.rows > 25) for f in small] == [(False, True)]
    assert result.models.sentence.endswith("All rows of openai/small failed.")
    assert "openai/middle scores best" in result.models.sentence
    with Store.open(tmp_path) as store:
        assert result.models.sentence in run_report(store, run_id)
        assert store.runs.get(run_id).state == "finished"


def test_a_compared_model_that_cannot_answer_is_reported_before_anything_is_paid_for(
    server: OpenAIServer, tmp_path: Path
):
    server.models = ("test-model", "middle")
    run_id = add_run(tmp_path, **models(server))
    assert work(tmp_path, run_id) == 1
    with Store.open(tmp_path) as store:
        run = store.runs.get(run_id)
    assert run.message.startswith(
        "Compared is the model 'openai/small', which does not answer. Unknown model."
    )
    assert run.calls == 0


def test_the_offline_model_can_be_compared(server: OpenAIServer, tmp_path: Path):
    others = (ModelChoice(), models(server)["models"][0])
    run_id = add_run(tmp_path, objective="cheapest within 5 points", **{**models(server), "models": others})
    result = finished(tmp_path, run_id)
    offline = [f for f in result.models.figures if f.models == ("offline/learner",)]
    assert offline[0].cost == 0.0


def test_autotune_races_other_models_like_wordings_and_examples(server: OpenAIServer, tmp_path: Path):
    chosen = models(server)
    small = ModelChoice(name="openai/small", base_url=server.url)
    run_id = add_run(
        tmp_path,
        dataset=add_data(tmp_path, csv_bytes(120)),
        **{
            **chosen,
            "model": small,
            "models": chosen["models"][:1],
            "optimizer": Named(name="Autotune"),
            "budget": Budget(calls=600),
        },
    )
    result = finished(tmp_path, run_id)
    with Store.open(tmp_path) as store:
        raced = [t for t in store.trials.all(run_id) if t.label.startswith("race")]
        names = {
            s.weights for t in raced for s in store.trials.candidate(run_id, t.candidate_id).steps.values()
        }
    assert "openai/middle" in names
    assert result.best.test == 1.0


def test_a_library_call_takes_models_and_an_objective(server: OpenAIServer):
    large, middle = (
        engine.LM(name, api_base=server.url, api_key="sk-test")
        for name in ("openai/test-model", "openai/middle")
    )
    rows = [
        engine.Example(text=f"a {THINGS[i % 10]}", shelf=COLOURS[i % 10 % 3]).with_inputs("text")
        for i in range(16)
    ]
    step = engine.Predict("text -> shelf: Literal['red', 'green', 'blue']")
    tuner = engine.LabeledFewShot(
        k=2, metric=engine.ExactMatch(), models=[middle], objective="cheapest within 2 points"
    )
    with engine.context(lm=large):
        tuned = tuner.compile(step, trainset=rows)
    assert tuned.lm is middle
    assert tuned(text="a lamp").shelf == "red"
    with pytest.raises(ConfigurationError, match="is no objective"):
        engine.LabeledFewShot(objective="as cheap as can be")
