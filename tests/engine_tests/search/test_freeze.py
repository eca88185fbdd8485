"""What is frozen stays, whatever searches; what cannot be frozen is refused in a sentence; people's words reach the search."""

from __future__ import annotations

import pytest
from support.run_setup import PIPELINE, add_data, spec

from engine import loop
from engine.errors import ConfigurationError
from engine.metrics.base import Grade
from engine.optimizers.copro import COPRO
from engine.optimizers.few_shot import BootstrapFewShot
from engine.optimizers.gepa import GEPA
from engine.optimizers.shared.texts import feedback_of
from engine.records import Candidate, Demo, Outcome, StepState
from engine.runs.prepare import feedback_by_row, prepare
from engine.runs.spec import Feedback, Named, ProjectDraft
from engine.search.contract import Keep, Propose, Score, relay
from engine.search.driver import Driver
from engine.search.estimate import estimate
from engine.search.freeze import Freeze, check_frozen, demo_key, restored
from engine.search.settings import make_problem
from engine.store.store import Store
from engine.testing.contract import ToyLM, frozen_program, toy_metric, toy_rows, toy_settings

SEED = Candidate({"a": StepState("Be kind. Say the team. Never promise a refund.", (Demo({"q": "1"}),))})


def sentence(text: str) -> Freeze:
    return Freeze(step="a", part="sentence", text=text)


def test_lost_sentences_come_back_in_their_place() -> None:
    found = SEED.with_step("a", instructions="Name the team.")
    frozen = [sentence("Never promise a refund."), sentence("Be kind."), sentence("Say  the\nteam.")]
    text = restored(found, SEED, frozen).steps["a"].instructions
    assert text == "Be kind.\nName the team.\nSay  the\nteam.\nNever promise a refund."


def test_a_kept_sentence_is_not_said_twice() -> None:
    found = SEED.with_step("a", instructions="Never promise\na refund. Name the team.")
    assert restored(found, SEED, [sentence("Never promise a refund.")]) is found


def test_a_lost_example_comes_first() -> None:
    found = SEED.with_step("a", demos=(Demo({"q": "2"}),))
    frozen = [Freeze(step="a", part="demo", text=demo_key(Demo({"q": "1"})))]
    assert [d.values["q"] for d in restored(found, SEED, frozen).steps["a"].demos] == ["1", "2"]


def test_nothing_left_is_the_start_itself() -> None:
    found = SEED.with_step("a", instructions="Other.").derived("Rewrote it.", SEED)
    assert restored(found, SEED, [Freeze(step="a", part="instructions")]) is SEED


@pytest.mark.parametrize(
    ("freeze", "words"),
    [
        (Freeze(step="b", part="step"), "no step 'b' to freeze.*steps are: a"),
        (sentence("Be rude."), "'Be rude.' is not in the instructions of the step 'a'"),
        (sentence(" "), "not in the instructions"),
        (Freeze(step="a", part="demo", text="0123"), "no example '0123'"),
        (Freeze(step="a", part="step"), "Everything is frozen, so COPRO has nothing to change"),
    ],
)
def test_what_cannot_be_frozen_is_said(freeze: Freeze, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        check_frozen([freeze], SEED, who="COPRO")


def test_an_optimizer_with_nothing_to_change_is_refused() -> None:
    rows = list(toy_rows().values())
    demos, wording = (Freeze(step="self", part=part) for part in ("demos", "instructions"))
    program = frozen_program()
    with pytest.raises(ConfigurationError, match="The examples of every step are frozen"):
        BootstrapFewShot(toy_metric, task_model=ToyLM()).compile(program, trainset=rows, frozen=[demos])
    with pytest.raises(ConfigurationError, match="The wording of every step is frozen"):
        COPRO(toy_metric, task_model=ToyLM()).compile(program, trainset=rows, frozen=[wording])


def test_a_search_knows_its_candidates_by_its_own_ids() -> None:
    """Answers name the candidate that was asked about; what ran is the restored one, its parents too."""
    seen = []

    def search(problem):
        first = problem.seed.with_step("self", instructions="One.").derived("One.", problem.seed)
        second = first.with_step("self", instructions="Two.").derived("Two.", first)
        answers = yield [Score(first, problem.validation), Score(second, problem.validation)]
        seen.extend(e.candidate_id == c.id for e, c in zip(answers, (first, second), strict=True))
        yield [Keep(second, answers[1].score)]

    frozen = (Freeze(step="self", part="sentence", text="Never guess."),)
    settings = toy_settings(ToyLM(), program=frozen_program(), frozen=frozen)
    result = loop.run(Driver(settings).search(search))
    assert seen == [True, True]
    first, second = (t.candidate for t in result.trials)
    assert second.parents == (first.id,)
    assert result.best.id == second.id
    assert result.best.steps["self"].instructions == "Two.\nNever guess."


def test_the_estimate_counts_no_proposals_that_cannot_be_used() -> None:
    free = toy_settings(ToyLM(), program=frozen_program())
    frozen = toy_settings(
        ToyLM(), program=frozen_program(), frozen=(Freeze(step="self", part="instructions"),)
    )
    optimizer = GEPA(max_metric_calls=150)
    assert estimate(optimizer.search, frozen).calls.high < estimate(optimizer.search, free).calls.typical


def test_a_run_is_refused_for_an_unknown_freeze(tmp_path) -> None:
    dataset = add_data(tmp_path)
    bad = (Freeze(step="nowhere", part="step"),)
    with Store.open(tmp_path) as store, pytest.raises(ConfigurationError, match="no step 'nowhere'"):
        prepare(store, spec(dataset, frozen=bad))


def test_a_draft_says_what_is_wrong_with_what_is_frozen() -> None:
    draft = ProjectDraft(
        pipeline=PIPELINE, optimizer=Named(name="COPRO"), frozen=(Freeze(step="nowhere", part="step"),)
    )
    said = [p.sentence for p in draft.problems() if p.step == "tune"]
    assert len(said) == 1
    assert "no step 'nowhere'" in said[0]


# People's words on earlier answers


def test_remarks_are_sentences_by_row() -> None:
    said = feedback_by_row(
        [
            Feedback(row=1, thumbs=-1, reason="It is a\nrefund.", answer="shipping"),
            Feedback(row=1, thumbs=1, answer="billing"),
            Feedback(row=2),
            Feedback(row=3, reason="Too long."),
        ]
    )
    assert said == {
        1: "A person called the answer 'shipping' wrong: It is a refund. A person called the answer 'billing' right.",
        3: "A person said of an earlier answer: Too long.",
    }


def test_remarks_are_part_of_an_outcomes_feedback() -> None:
    settings = toy_settings(
        ToyLM(), metric=lambda *_: Grade(0.5, "Half right."), feedback={18: "A person called it wrong: no."}
    )
    scored = loop.run(Driver(settings).score(settings.program.candidate(), (18, 19)))
    assert [o.feedback for o in scored.outcomes] == [
        "Half right. A person called it wrong: no.",
        "Half right.",
    ]


def test_a_metric_without_words_still_tells_the_right_answer_beside_a_remark() -> None:
    problem = make_problem(toy_settings(ToyLM(), feedback={0: "A person said: no."}))
    outcome = Outcome(0, 0.0, {"label": "blue"}, "A person said: no.")
    assert feedback_of(problem, outcome) == "It scored 0.00 of 1. Right is label: red. A person said: no."


@pytest.mark.parametrize(
    "name", ["GEPA", "SIMBA", "AvatarOptimizer", "COPRO", "MIPROv2", "InferRules", "Autotune"]
)
def test_remarks_reach_whoever_writes_wordings(name: str) -> None:
    from support.small_optimizers import SMALL

    from engine.registry import get_optimizer

    settings = toy_settings(
        ToyLM(), feedback=dict.fromkeys(range(18), "A person called it wrong: it is warm.")
    )
    asked: list[Propose] = []

    def noted(problem):
        search = get_optimizer(name)(**SMALL.get(name, {})).search(problem)
        return relay(search, lambda asks: asked.extend(a for a in asks if isinstance(a, Propose)))

    loop.run(Driver(settings).search(noted))
    assert any("it is warm" in repr(ask.inputs) for ask in asked)


def test_a_run_carries_what_people_said(tmp_path) -> None:
    dataset = add_data(tmp_path)
    said = (Feedback(row=5, thumbs=-1, reason="Wrong shelf.", answer="red"),)
    with Store.open(tmp_path) as store:
        settings = prepare(store, spec(dataset, feedback=said)).settings
    assert settings.feedback == {5: "A person called the answer 'red' wrong: Wrong shelf."}
