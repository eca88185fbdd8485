"""MIPROv2: how much it tries, what decides, and what cannot break it."""

from dataclasses import replace

import pytest
from support.small_optimizers import WriterLM, searched

from engine import MIPROv2, context, loop
from engine.errors import ConfigurationError
from engine.lm.base import Choice, Reply
from engine.modules.predict import Predict
from engine.optimizers.mipro.options import MIPROv2Options
from engine.optimizers.mipro.trials import make_plan
from engine.optimizers.shared.study import Study
from engine.records import Example
from engine.search.budget import Budget
from engine.search.contract import Score, relay
from engine.search.driver import Driver
from engine.search.settings import make_problem
from engine.testing.contract import ToyLM, toy_metric, toy_rows, toy_settings

LARGE = {"rows": toy_rows(160), "train": tuple(range(40)), "validation": tuple(range(40, 160))}


@pytest.mark.parametrize(
    ("auto", "few_shot", "zero_shot"),
    [
        # The reference's draws are 10, 20, 31 and so on: so many different ones are among them.
        ("light", (7, 19, 31), (9, 10, 15)),
        ("medium", (16, 28, 43), (18, 18, 21)),
        ("heavy", (25, 33, 50), (27, 27, 27)),
    ],
)
def test_trials_and_candidates_as_in_the_reference(auto, few_shot, zero_shot):
    problem = make_problem(toy_settings(ToyLM(), **LARGE))
    n = {"light": 6, "medium": 12, "heavy": 18}[auto]
    for steps in (1, 2, 3):
        several = replace(problem, signatures={str(i): problem.signatures["self"] for i in range(steps)})
        plan = make_plan(MIPROv2Options(auto=auto), several)
        assert (plan.trials, plan.candidates, plan.instructions) == (few_shot[steps - 1], n, n // 2)
        none = make_plan(MIPROv2Options(auto=auto, max_bootstrapped_demos=0, max_labeled_demos=0), several)
        assert (none.trials, none.instructions) == (zero_shot[steps - 1], n)
    assert make_plan(MIPROv2Options(auto=auto), problem).validation == min(120, {"light": 100}.get(auto, 120))


def test_no_minibatches_on_few_validation_rows():
    result = searched(MIPROv2())
    scored = [t for t in result.trials if t.split == "validation"]
    assert {len(t.evaluation.outcomes) for t in scored} == {18}


def test_full_scores_alone_decide_a_minibatch_search():
    result = searched(MIPROv2(), **LARGE)
    sizes = {t.label: len(t.evaluation.outcomes) for t in result.trials if t.split == "validation"}
    assert sizes == {"starting prompt": 100, "minibatch": 35, "full validation": 100}
    full = [t for t in result.trials if len(t.evaluation.outcomes) == 100]
    assert len(full) == 3
    assert len([t for t in result.trials if t.label == "minibatch"]) == 7
    assert result.score == max(t.evaluation.score for t in full)
    assert result.best.id in {t.candidate.id for t in full}


def test_it_learns_the_toy_task():
    result = searched(MIPROv2(max_labeled_demos=8), **LARGE)
    seed = next(t for t in result.trials if t.label == "starting prompt")
    assert result.score > seed.evaluation.score + 0.2


def test_zero_shot_changes_wording_only():
    result = searched(MIPROv2(max_bootstrapped_demos=0, max_labeled_demos=0), **LARGE)
    assert all(not t.candidate.steps["self"].demos for t in result.trials)
    assert result.best.steps["self"].instructions != result.seed.steps["self"].instructions


def test_no_more_calls_than_the_reference_measured():
    lm = ToyLM()
    rows = toy_rows(170)
    searched(MIPROv2(), lm, rows=rows, train=tuple(range(50)), validation=tuple(range(50, 170)))
    assert lm.paid <= 570


def test_a_single_candidate_is_the_starting_prompt():
    same = WriterLM("Read `text` and write `label`.")
    result = searched(MIPROv2(max_bootstrapped_demos=0, max_labeled_demos=0), same)
    assert (result.stopped, result.best.id) == ("finished", result.seed.id)


def test_a_budget_shrinks_the_plan_instead_of_cutting_it():
    lm = ToyLM()
    result = searched(MIPROv2(), lm, budget=Budget(calls=200), **LARGE)
    assert result.stopped == "finished", result.reason
    assert lm.paid <= 200
    assert len({t.candidate.id for t in result.trials if t.split == "validation"}) >= 3


def test_a_budget_is_used_up_on_trials_and_full_scores():
    for calls in (300, 450):
        lm = ToyLM()
        result = searched(MIPROv2(), lm, budget=Budget(calls=calls), **LARGE)
        assert result.stopped == "finished", result.reason
        assert calls - 40 <= lm.paid <= calls
    full = [t for t in result.trials if t.label == "full validation"]
    assert len(full) >= 2


def test_once_all_combinations_were_tried_the_better_half_goes_on():
    result = searched(MIPROv2(max_bootstrapped_demos=0, max_labeled_demos=0), WriterLM(numbered), **LARGE)
    small = [t.candidate.id for t in result.trials if t.label == "minibatch"]
    assert len(set(small)) == 5, "all that was proposed"
    again = small[5:]
    assert len(again) == len(set(again)) == 2
    full = [t.candidate.id for t in result.trials if t.label == "full validation"]
    assert len(full) == 2
    assert not set(full[:1]) & set(again)
    assert full[1] in again


def numbered(name, request):
    """Return another text of instructions each time; nothing else is written."""
    return f"Text {request.rollout_id}." if name == "proposed_instructions" else None


def reading():
    """Return a model whose readers of the data note another line each."""
    lm = WriterLM()
    lm.text = lambda name, _: f"Noted by reader {len(lm.shown[name])}." if name == "observations" else None
    return lm


def test_every_row_is_read_twice_and_every_note_reaches_the_proposals():
    lm = reading()
    searched(MIPROv2(), lm, **LARGE)
    rows = [LARGE["rows"][row].text for row in LARGE["train"]]
    assert len(lm.shown["observations"]) == 8
    for text in rows:
        assert sum(f'"{text}"' in shown for shown in lm.shown["observations"]) >= 2, text
    for shown in lm.shown["proposed_instructions"]:
        assert all(f"Noted by reader {i + 1}." in shown for i in range(8))


def test_proposals_do_not_wait_for_the_starting_prompts_score():
    batches = []

    def note(asks):
        batches.append(asks)

    first = MIPROv2(max_bootstrapped_demos=1)

    loop.run(Driver(toy_settings(ToyLM(), **LARGE)).search(lambda p: relay(first.search(p), note)))
    together = [b for b in batches if any(getattr(a, "label", "").startswith("instructions") for a in b)]
    assert len(together) == 1
    assert any(isinstance(a, Score) and a.label == "starting prompt" for a in together[0])


def test_readers_take_as_many_rows_as_they_are_told():
    lm = reading()
    searched(MIPROv2(view_data_batch_size=5), lm, **LARGE)
    assert len(lm.shown["observations"]) == 10
    none = reading()
    searched(MIPROv2(data_aware_proposer=False), none, **LARGE)
    assert not none.shown["observations"]


def test_proposals_see_the_runs_that_went_wrong():
    class Never(WriterLM):
        """Solves no row."""

        async def complete(self, request):
            reply = await super().complete(request)
            if "`label`" in request.messages[0]["content"].split("You write")[-1]:
                return Reply((Choice("[[ ## label ## ]]\nmistaken\n\n[[ ## completed ## ]]"),), reply.usage)
            return reply

    lm = Never()
    searched(MIPROv2(), lm, **LARGE)
    assert lm.shown["proposed_instructions"]
    assert all('"answered"' in shown and "mistaken" in shown for shown in lm.shown["proposed_instructions"])
    blind = Never()
    searched(MIPROv2(fewshot_aware_proposer=False), blind, **LARGE)
    assert all("mistaken" not in shown for shown in blind.shown["proposed_instructions"])


def test_effort_and_own_numbers_exclude_each_other():
    with pytest.raises(ConfigurationError, match="num_candidates and num_trials need auto=None"):
        MIPROv2(num_trials=5)
    with pytest.raises(ConfigurationError, match="auto=None needs num_candidates"):
        MIPROv2(auto=None, num_trials=5)


def test_compile_splits_the_trainset_and_takes_overrides():
    rows = list(toy_rows(40).values())
    with context(lm=ToyLM()):
        program = MIPROv2(metric=toy_metric, auto=None, num_candidates=3, num_trials=4).compile(
            Predict("text -> label"), trainset=rows, minibatch=False, requires_permission_to_run=False
        )
    trials = [t for t in program.tuning.trials if t.split == "validation"]
    assert {len(t.evaluation.outcomes) for t in trials} == {32}
    with pytest.raises(ConfigurationError, match="at least 2 examples"), context(lm=ToyLM()):
        MIPROv2(metric=toy_metric).compile(Predict("text -> label"), trainset=rows[:1])


def test_proposals_show_labelled_rows_of_every_label():
    lm = WriterLM()
    rows = {
        i: Example(text=f"word {i}", label="rare" if i == 7 else "common").with_inputs("text")
        for i in range(160)
    }
    searched(MIPROv2(), lm, **{**LARGE, "rows": rows})
    seen = lm.shown["proposed_instructions"]
    assert len(seen) == 2
    assert all('"label": "rare"' in text or '"label":"rare"' in text for text in seen)
    assert seen[0] != seen[1]


def test_the_study_asks_each_combination_once_while_there_are_new_ones():
    import random

    study = Study({"a": 3, "b": 2}, seed=1, first_value=0.5, rng=random.Random(0))
    asked = []
    for _ in range(4):
        wave = study.ask(2)
        asked += wave
        for option_set in wave:
            study.tell(option_set, 0.1 * option_set[0])
    assert len(asked) == len(set(asked)) == 5
    assert study.start not in asked


def test_whether_to_reason_first_can_be_part_of_the_search():
    """The toy model reads a word's label only where it may reason first."""

    class ThinkingLM(ToyLM):
        async def complete(self, request):
            reply = await super().complete(request)
            if "`label`" in str(request.messages[0]["content"]) and "`reasoning`" not in str(
                request.messages[0]["content"]
            ):
                return Reply((Choice("[[ ## label ## ]]\nnone\n\n[[ ## completed ## ]]"),), reply.usage)
            text = reply.choices[0].text
            return Reply((Choice(f"[[ ## reasoning ## ]]\nHm.\n\n{text}"),), reply.usage)

    found = searched(MIPROv2(tune_reasoning=True), ThinkingLM())
    assert found.best.steps["self"].reason_first is True
    assert "reasons first" in found.best.reason
    plain = searched(MIPROv2(), ThinkingLM())
    assert plain.best.steps["self"].reason_first is None
