"""LabeledFewShot, BootstrapFewShot and BootstrapFewShotWithRandomSearch, and `compile`."""

import copy
import random

import pytest

from engine import BootstrapFewShotWithRandomSearch, BootstrapRS, JSONAdapter, Teleprompter, context, loop
from engine.errors import ConfigurationError
from engine.modules.predict import Predict
from engine.optimizers.few_shot import BootstrapFewShot, LabeledFewShot, varied_rows
from engine.records import Example
from engine.search.budget import Budget
from engine.search.driver import Driver
from engine.search.settings import make_problem
from engine.testing import ScriptedLM
from engine.testing.contract import ToyLM, toy_metric, toy_rows, toy_settings

ROWS = list(toy_rows(36).values())


def tuned(optimizer, **changes):
    settings = toy_settings(changes.pop("lm", None) or ToyLM(), **changes)
    return loop.run(Driver(settings).search(optimizer.search)), settings


def demos(result):
    return result.best.steps["self"].demos


def test_labeled_few_shot_shows_rows_and_calls_nothing():
    lm = ToyLM()
    result, settings = tuned(LabeledFewShot(k=5), lm=lm)
    assert len(demos(result)) == 5
    assert lm.paid == 0
    shown = [settings.rows[i] for i in settings.train]
    assert all(Example(d.values) in shown for d in demos(result))


def test_drawn_examples_differ_more_than_chance_has_it():
    """Of 40 rows 32 say the same thing in the same words, and 8 something of their own."""
    rows = {
        i: Example(text=f"the parcel number {i} is late", label="late").with_inputs("text") for i in range(32)
    } | {
        32 + i: Example(text=f"{word} number {i}", label=word).with_inputs("text")
        for i, word in enumerate(WORDS)
    }
    settings = toy_settings(ToyLM(), rows=rows, train=tuple(rows), validation=(0,))
    problem = make_problem(settings)
    ours, chance = [], []
    for seed in range(50):
        drawn = varied_rows(problem, problem.train, 8, random.Random(seed))
        assert len(drawn) == len(set(drawn)) == 8
        ours.append(len({rows[row].label for row in drawn}))
        chance.append(len({rows[row].label for row in random.Random(seed).sample(list(rows), 8)}))
    assert sum(ours) > 1.6 * sum(chance)
    assert varied_rows(problem, problem.train, 8, random.Random(1)) == varied_rows(
        problem, problem.train, 8, random.Random(1)
    )
    assert sorted(varied_rows(problem, (3, 4), 8, random.Random(1))) == [3, 4]


WORDS = ("refund", "login", "invoice", "colour", "size", "address", "voucher", "warranty")


def test_labeled_few_shot_in_order():
    result, _ = tuned(LabeledFewShot(3, sample=False))
    assert [d.values["text"] for d in demos(result)] == ["apple 0", "leaf 1", "sky 2"]


def test_labeled_few_shot_with_fewer_rows_than_k():
    result, _ = tuned(LabeledFewShot(16), train=(0, 1))
    assert len(demos(result)) == 2


def test_rows_without_the_steps_fields_make_no_examples():
    rows = {i: Example(text="x", other="y").with_inputs("text") for i in range(4)}
    result, _ = tuned(LabeledFewShot(4), rows=rows, train=(0, 1), validation=(2, 3))
    assert demos(result) == ()


def test_bootstrap_stops_at_the_solved_rows_it_wants():
    lm = ToyLM()
    result, _ = tuned(BootstrapFewShot(max_bootstrapped_demos=2, max_labeled_demos=0), lm=lm)
    # Without examples the toy model knows only red: rows 0 and 3 are red, 1 and 2 are not.
    assert [d.values["text"] for d in demos(result)] == ["apple 0", "rose 3"]
    assert all(d.augmented for d in demos(result))
    assert lm.paid <= 5  # four, and a row that is asked for ahead


def test_bootstrap_fills_up_with_labelled_rows():
    result, _ = tuned(BootstrapFewShot(max_bootstrapped_demos=2, max_labeled_demos=6))
    assert [d.augmented for d in demos(result)] == [True] * 2 + [False] * 4
    assert len({d.values["text"] for d in demos(result)}) == 6


def test_bootstrap_tries_again_with_fresh_samples():
    seen = []

    class Noted(ToyLM):
        async def complete(self, request):
            seen.append((request.messages[-1]["content"].split("\n")[1], request.rollout_id))
            return await super().complete(request)

    result, _ = tuned(
        BootstrapFewShot(max_bootstrapped_demos=2, max_labeled_demos=0, max_rounds=2),
        lm=Noted(),
        train=(1, 2, 0),
    )
    assert seen == [("leaf 1", None), ("sky 2", None), ("leaf 1", 1), ("sky 2", 1), ("apple 0", None)]
    assert len(demos(result)) == 1


def test_bootstrap_threshold_and_errors():
    graded = lambda example, prediction, trace=None: 0.6 * (prediction.label == example.label)  # noqa: E731
    some, _ = tuned(BootstrapFewShot(max_labeled_demos=0, metric_threshold=0.5), metric=graded)
    none, _ = tuned(BootstrapFewShot(max_labeled_demos=0, metric_threshold=0.7), metric=graded)
    assert (len(demos(some)), len(demos(none))) == (4, 0)
    lm = ToyLM(refuse=("leaf", "sky", "grass", "sea"))
    tuned(BootstrapFewShot(max_labeled_demos=0, max_errors=2), lm=lm)
    assert lm.paid == 2  # rows 0 and 3 of the first batch of four; 1 and 2 failed


def test_bootstrap_with_no_solved_row_is_still_a_result():
    result, _ = tuned(BootstrapFewShot(), metric=lambda *_: 0)
    assert result.stopped == "finished"
    assert len(demos(result)) == 16


def test_random_search_scores_every_set_once_and_keeps_the_best():
    lm = ToyLM()
    result, settings = tuned(BootstrapRS(num_candidate_programs=4), lm=lm)
    full = [t for t in result.trials if t.label == "full validation"]
    assert len(full) == 7
    assert all(t.complete for t in full)
    assert result.score == max(t.evaluation.score for t in full)
    solving = len(settings.train)
    assert lm.paid <= 7 * 18 + solving


def test_random_search_stops_at_a_good_enough_score():
    result, _ = tuned(BootstrapRS(stop_at_score=50))
    full = [t for t in result.trials if t.label == "full validation"]
    assert 100 * full[-1].evaluation.score >= 50
    assert len(full) < 19
    assert all(100 * t.evaluation.score < 50 for t in full[:-1])


def test_random_search_restricted_to_some_sets():
    result, _ = tuned(BootstrapRS(restrict=(-3, -2)))
    assert len(result.trials) == 2


def test_random_search_plans_for_its_budget():
    result, _ = tuned(BootstrapRS(), budget=Budget(calls=110))
    full = [t for t in result.trials if t.label == "full validation"]
    assert all(t.complete for t in full)
    assert len(full) >= 4
    assert result.stopped == "finished"


# compile


def test_compile_returns_a_tuned_copy_with_what_was_tried():
    student = Predict("text -> label")
    with context(lm=ToyLM()):
        program = BootstrapFewShotWithRandomSearch(metric=toy_metric, num_candidate_programs=3).compile(
            student, trainset=ROWS[:18], valset=ROWS[18:]
        )
        assert program(text="apple 99").label == "red"
    assert student.demos == []
    assert program.demos
    assert program.score == program.candidate_programs[0]["score"]
    assert [c["score"] for c in program.candidate_programs] == sorted(
        (c["score"] for c in program.candidate_programs), reverse=True
    )
    assert program.candidate_programs[1]["program"].named_predictors()
    assert program.tuning.stopped == "finished"
    copied = copy.deepcopy(program)
    assert [path for path, _ in copied.named_predictors()] == ["self"]
    assert copied.tuning is program.tuning


def test_compile_takes_dspys_arguments():
    with context(lm=ToyLM()):
        labeled = LabeledFewShot(k=3).compile(Predict("text -> label"), trainset=ROWS, sample=False)
        teacher = LabeledFewShot(k=8).compile(Predict("text -> label"), trainset=ROWS)
        boot = BootstrapFewShot(metric=toy_metric, teacher_settings={"lm": ToyLM()}, max_errors=5).compile(
            Predict("text -> label"), teacher=teacher, trainset=ROWS[:18]
        )
        search = BootstrapRS(toy_metric, num_candidate_programs=2, num_threads=4).compile(
            Predict("text -> label"), trainset=ROWS[:10], valset=ROWS[10:20], restrict=range(-3, 1)
        )
    assert len(labeled.demos) == 3
    assert any(d.get("augmented") for d in boot.demos)
    assert search.score is not None
    assert issubclass(BootstrapRS, Teleprompter)


def test_another_adapter_writes_the_demonstrations(caplog):
    lm = ScriptedLM(
        lambda request: '{"label": "late"}' if "JSON" in str(request.messages) else {"label": "late"}
    )
    rows = [Example(text="where is it", label="late").with_inputs("text")]
    asked = {"adapter": JSONAdapter(), "num_threads": 2}
    with context(lm=lm):
        step = BootstrapFewShot(metric=toy_metric, teacher_settings=asked).compile(
            Predict("text -> label"), trainset=rows
        )
        assert [demo["label"] for demo in step.demos] == ["late"]
        assert all("JSON" in str(request.messages) for request in lm.requests)
        step(text="and now")
    assert "JSON" not in str(lm.requests[-1].messages)
    assert "teacher_settings takes lm and adapter; num_threads changes nothing" in caplog.text


def test_compile_without_a_metric_takes_every_answer():
    with context(lm=ToyLM()):
        program = BootstrapFewShot(max_labeled_demos=0).compile(Predict("text -> label"), trainset=ROWS[:18])
    assert [d["text"] for d in program.demos] == ["apple 0", "leaf 1", "sky 2", "rose 3"]


def test_compile_holds_a_budget():
    lm = ToyLM()
    with context(lm=lm):
        program = BootstrapRS(toy_metric).compile(
            Predict("text -> label"), trainset=ROWS[:18], valset=ROWS[18:], budget=Budget(calls=50)
        )
    assert lm.paid <= 50
    assert program.tuning.usage.calls == lm.paid


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: BootstrapFewShot(max_demos=3),
            "BootstrapFewShot has no option 'max_demos'. Its options: max_boot",
        ),
        (lambda: BootstrapFewShot(max_rounds=0), "The option 'max_rounds' of BootstrapFewShot does not fit"),
        (lambda: LabeledFewShot(k=-1), "The option 'k' of LabeledFewShot does not fit"),
        (lambda: LabeledFewShot().compile(Predict("text -> label"), trainset=[]), "The trainset is empty"),
        (
            lambda: LabeledFewShot().compile(Predict("text -> label"), trainset=[Example(other="x")]),
            r"Example 0 does not know its inputs",
        ),
        (
            lambda: BootstrapRS(toy_metric).compile(Predict("text -> label"), trainset=ROWS, valset=[]),
            "The valset is empty",
        ),
        (
            lambda: BootstrapFewShot(toy_metric).compile(
                Predict("text -> label"), trainset=ROWS, teacher=Predict("question -> answer")
            ),
            "The teacher's step 'self' has other fields than the student's",
        ),
    ],
)
def test_what_cannot_work_is_said_in_a_sentence(make, sentence):
    with context(lm=ToyLM()), pytest.raises(ConfigurationError, match=sentence):
        make()


def test_arguments_that_only_print_or_log_are_accepted():
    assert BootstrapRS(toy_metric, verbose=True, log_dir="x").options.num_candidate_programs == 16
