"""`Train` asks: rows as the step will ask them, checkpoints as trials, budget, stop, failure, resume, estimate."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from engine import loop
from engine.adapters.json import JSONAdapter
from engine.errors import ConfigurationError
from engine.metrics import ExactMatch
from engine.modules.predict import Predict
from engine.records import Candidate, StepState, TraceStep
from engine.search import events
from engine.search.budget import Budget
from engine.search.contract import Keep, Problem, Search, Train, Training
from engine.search.driver import Driver
from engine.search.estimate import estimate
from engine.search.freeze import Freeze
from engine.search.settings import Settings
from engine.search.trainers import Order, Trained, TrainingEstimate, TrainSettings
from engine.search.training import chat_rows, check_training, order_of
from engine.testing.contract import RecordedEvents, StopAfter, ToyLM, toy_settings, toy_trainer
from engine.testing.training import LookupTrainer

SETTINGS = TrainSettings(base_model="tiny", checkpoints=3)
GRPO = SETTINGS.model_copy(update={"method": "grpo", "rounds": 3, "batch_size": 6, "group_size": 3})


def calls_of(problem: Problem | Settings) -> tuple[tuple[int, TraceStep], ...]:
    rows = problem.rows
    return tuple(
        (i, TraceStep("self", {"text": rows[i]["text"]}, {"label": rows[i]["label"]})) for i in problem.train
    )


def search_with(answers: list[Training], settings: TrainSettings = SETTINGS):
    """A search that trains on the labels of all training rows and keeps the result."""

    def search(problem: Problem) -> Search:
        rows = problem.train if settings.method == "grpo" else ()
        calls = () if rows else calls_of(problem)
        (answer,) = yield [Train(problem.seed, ("self",), settings, calls, rows, "tuned")]
        answers.append(answer)
        if answer.candidate is not None:
            score = answer.evaluation.score if answer.evaluation else None
            yield [Keep(answer.candidate, score)]
        return answer.problem or None

    return search


def run(settings: Settings, train: TrainSettings = SETTINGS, control=None):
    answers, seen = [], RecordedEvents()
    driver = Driver(settings, seen, control)
    result = loop.run(driver.search(search_with(answers, train)))
    return result, (answers or [None])[0], seen, driver


def test_a_step_with_weights_keeps_them_and_others_keep_their_ids() -> None:
    plain = StepState("Sort.")
    assert "weights" not in plain.as_dict()
    tuned = replace(plain, weights="tuned/a")
    assert StepState.from_dict(tuned.as_dict()) == tuned
    assert Candidate({"a": plain}).id != Candidate({"a": tuned}).id


def test_a_program_with_weights_is_saved_and_loaded(tmp_path) -> None:
    program = Predict("text -> label")
    tuned = program.with_candidate(program.candidate().with_step("self", weights="tuned/a"))
    tuned.save(tmp_path / "p.json")
    again = Predict("text -> label")
    again.load(tmp_path / "p.json")
    assert again.candidate() == tuned.candidate()
    assert program.with_candidate(program.candidate()).weights is None
    again.set_lm(ToyLM())
    assert again.weights is None


def test_a_tuned_model_answers_and_is_kept_with_its_score() -> None:
    lm = ToyLM()
    result, answer, seen, _ = run(toy_settings(lm))
    assert answer.problem == ""
    assert result.best.steps["self"].weights == answer.trained.model
    assert result.score == answer.evaluation.score == 1.0
    labels = [t.label for t in result.trials]
    assert labels == ["checkpoint 6", "checkpoint 12", "checkpoint 18", "tuned"]
    assert [e.score for e in seen.of(events.TrainingProgress) if e.score is not None][-1] == 1.0
    (end,) = seen.of(events.TrainingEnded)
    assert (end.model, end.ended, end.rows, end.tokens) == (answer.trained.model, "finished", 18, 18)
    assert (
        end.text
        == f"tuned is finished: {answer.trained.model}, 100 % on the validation rows. It took 18 tokens."
    )
    # The model answers as its best checkpoint: its own trial costs nothing.
    assert lm.paid == result.usage.calls == 3 * 18
    assert result.usage.tokens > 18


def test_grpo_learns_from_rewards_of_the_programs_own_metric() -> None:
    result, answer, seen, _ = run(toy_settings(ToyLM()), GRPO)
    assert answer.problem == ""
    assert result.score == answer.evaluation.score == 1.0
    assert [e.reward for e in seen.of(events.TrainingProgress) if e.reward is not None]
    assert result.usage.calls >= 3 * 6 * 3


def test_an_unreadable_answer_is_one_rollout_and_no_second_question() -> None:
    lm = ToyLM()
    trainer = toy_trainer(lm)
    trainer.guesses = ["Who knows?", *trainer.guesses]
    found = []

    class Noting(type(trainer)):
        async def train(self, order, watch):
            policy = self_model(trainer)
            found.extend(await watch.rollouts(policy, order.row_ids[:2], 4))
            return await super().train(order, watch)

    def self_model(one):
        from engine.testing.training import LookupLM

        return LookupLM("policy", (), one.guesses, one.reply)

    noting = Noting(trainer.reply, trainer.guesses)
    run(toy_settings(lm, trainers=(noting,)), GRPO)
    assert len(found) == 8
    assert {r.group for r in found} == {"0/self", "1/self"}
    unread = [r for r in found if not r.readable]
    assert [(r.completion, r.reward) for r in unread] == [("Who knows?", 0.0)] * 2
    assert sorted({r.reward for r in found if r.readable}) == [0.0, 1.0]


@pytest.mark.parametrize("budget", [Budget(calls=20), Budget(tokens=600), Budget(seconds=1e-9)])
def test_a_budget_ends_a_training_and_keeps_the_best_checkpoint(budget: Budget) -> None:
    lm = ToyLM()
    result, answer, _, _ = run(toy_settings(lm, budget=budget))
    assert result.stopped == "budget"
    assert lm.paid <= (budget.calls or lm.paid)
    assert result.usage.tokens <= (budget.tokens or result.usage.tokens)
    if budget.calls:
        assert answer.trained.ended == "stopped"
        assert result.best.steps["self"].weights == answer.trained.model
        assert result.score is not None


def test_a_price_that_the_budget_does_not_cover_is_refused_before_the_start() -> None:
    lm = ToyLM()
    dear = replace(toy_trainer(lm), price=1.0)
    settings = toy_settings(lm, trainers=(dear,))
    driver = Driver(settings)
    driver.ledger.budget = Budget(usd=5)
    answers: list[Training] = []
    loop.run(driver.search(search_with(answers)))
    assert "would cost about 18.00 US dollars, and 5.00 US dollars are left" in answers[0].problem
    assert not dear.orders


def test_trainings_at_once_share_the_money_that_is_left() -> None:
    lm = ToyLM()
    toy = toy_trainer(lm)

    class Hosted(LookupTrainer):
        hosted = True

    dear = Hosted(toy.reply, toy.guesses, price=1.0)
    answers: list[Training] = []

    def search(problem: Problem) -> Search:
        calls = calls_of(problem)
        answers.extend(
            (yield [Train(problem.seed, ("self",), SETTINGS, part) for part in (calls[:9], calls[9:])])
        )

    driver = Driver(toy_settings(lm, trainers=(dear,)))
    driver.ledger.budget = Budget(usd=10)
    loop.run(driver.search(search))
    first, second = answers
    assert first.problem == ""
    assert "10.00 US dollars are left of the budget, 9.00 of them for trainings under way" in second.problem
    assert len(dear.orders) == 1


def test_a_provider_that_fails_half_way_is_said_with_what_was_spent() -> None:
    lm = ToyLM()
    weak = replace(toy_trainer(lm), fail_after=8, price=0.01)
    result, answer, seen, _ = run(toy_settings(lm, trainers=(weak,)))
    assert answer.problem == "The provider failed half-way."
    assert result.best.id == result.seed.id
    assert result.usage.cost == pytest.approx(0.08)
    (end,) = seen.of(events.TrainingEnded)
    assert end.ended == "failed"
    assert end.text == "tuned failed: The provider failed half-way. It took 8 tokens and 0.08 US dollars."


def test_a_stop_ends_a_training() -> None:
    result, answer, _, _ = run(toy_settings(ToyLM()), control=StopAfter(18))
    assert result.stopped == "stopped"
    assert answer.trained.ended == "stopped"
    assert result.best.steps["self"].weights == answer.trained.model


def test_an_unknown_trainer_is_a_problem_that_lists_the_known_ones() -> None:
    _, answer, _, _ = run(toy_settings(ToyLM()), SETTINGS.model_copy(update={"trainer": "nobody"}))
    assert answer.problem.startswith("There is no trainer 'nobody'")


@pytest.mark.parametrize("change", ["rows", "metric", "prompt"])
def test_reinforcement_on_another_task_is_another_training(change: str) -> None:
    settings = toy_settings(ToyLM())
    ask = Train(settings.program.candidate(), ("self",), GRPO, rows=settings.train)
    key = order_of(settings, ask).key
    assert order_of(toy_settings(ToyLM()), ask).key == key  # after a kill it goes on
    if change == "rows":
        settings = replace(settings, rows={n: row.copy(label="pink") for n, row in settings.rows.items()})
    elif change == "metric":
        settings = replace(settings, metric=ExactMatch())
    else:
        ask = replace(ask, candidate=ask.candidate.with_step("self", instructions="Another task."))
    assert order_of(settings, ask).key != key


@pytest.mark.parametrize("change", ["validation", "metric"])
def test_checkpoints_chosen_by_another_metric_or_other_rows_are_another_training(change: str) -> None:
    settings = toy_settings(ToyLM())
    calls = calls_of(settings)
    ask = Train(settings.program.candidate(), ("self",), SETTINGS, calls)
    key = order_of(settings, ask).key
    assert order_of(toy_settings(ToyLM()), ask).key == key
    if change == "metric":
        settings = replace(settings, metric=ExactMatch())
    else:
        settings = replace(settings, validation=settings.validation[1:])
    assert order_of(settings, ask).key != key


def failing_once(failed: list[int]):
    """A search that trains on the labels of the training rows but the failed ones."""

    def search(problem: Problem) -> Search:
        calls = tuple(call for call in calls_of(problem) if call[0] not in failed)
        (answer,) = yield [Train(problem.seed, ("self",), SETTINGS, calls, label="tuned")]
        if answer.candidate is not None:
            yield [Keep(answer.candidate, None)]
        return answer.problem or None

    return search


def test_a_run_driven_again_goes_on_with_the_rows_it_started_with(tmp_path) -> None:
    lm = ToyLM()
    trainer = replace(toy_trainer(lm), fail_after=8)
    settings = toy_settings(lm, trainers=(trainer,), payer="run-1", started=tmp_path)
    loop.run(Driver(settings).search(failing_once([0])))
    trainer.fail_after = None
    result = loop.run(Driver(settings).search(failing_once([])))  # row 0 passes this time
    first, second = trainer.orders
    assert (second, len(second.rows), second.run) == (first, 17, "run-1")
    assert result.best.steps["self"].weights == f"tuned/{first.key}"
    loop.run(Driver(replace(settings, payer="run-2", started=tmp_path / "run-2")).search(failing_once([])))
    assert len(trainer.orders[-1].rows) == 18


def test_a_training_that_had_started_is_stopped_and_not_forgotten(tmp_path) -> None:

    class Hosted(LookupTrainer):
        stopped: list[bool] = []

        async def train(self, order, watch):
            self.stopped.append(watch.stopped)
            return Trained("tuned/half", "stopped", 5)

    settings = toy_settings(
        ToyLM(), trainers=(Hosted(),), payer="run-1", started=tmp_path, budget=Budget(tokens=10**6)
    )
    for closed in (False, True):
        driver = Driver(settings)
        if closed:
            driver.ledger.close("The budget is used up.", "budget")
        ask = Train(driver.seed, ("self",), SETTINGS, calls_of(settings))
        answer = loop.run(driver.trainings.answer(ask))
        assert answer.trained is not None
        assert answer.trained.model == "tuned/half"
    assert Hosted.stopped == [False, True]


def test_what_an_earlier_run_trained_counts_nothing() -> None:
    class Kept(LookupTrainer):
        async def train(self, order, watch):
            trained = await super().train(order, watch)
            return replace(trained, ended="already", tokens=0, usd=0.0)

        def estimate(self, order):
            return TrainingEstimate(len(order.rows), 0, 0.0)

    lm = ToyLM()
    toy = toy_trainer(lm)
    _, answer, seen, _ = run(toy_settings(lm, trainers=(Kept(toy.reply, toy.guesses),)))
    (end,) = seen.of(events.TrainingEnded)
    assert end.ended == "already"
    assert end.text.startswith(f"tuned was trained already by an earlier run: {answer.trained.model}, 100 %")


def test_a_disk_that_fails_is_a_problem_and_the_start_is_kept() -> None:
    class NoRoom(LookupTrainer):
        async def train(self, order: object, watch: object) -> Trained:
            raise OSError(28, "No space left on device", "/data/models/tiny/model.json")

    result, answer, seen, _ = run(toy_settings(ToyLM(), trainers=(NoRoom(),)))
    assert answer.problem == (
        "/data/models/tiny/model.json cannot be written (No space left on device): free some space, or choose another data "
        "folder, and start the run again. What was trained before is kept."
    )
    assert result.best.id == result.seed.id
    assert seen.of(events.TrainingEnded)[0].ended == "failed"


def test_a_limit_in_money_needs_the_price_of_the_training() -> None:
    class Unpriced(LookupTrainer):
        def estimate(self, order: Order) -> TrainingEstimate:
            return TrainingEstimate(0, 0)

    settings = toy_settings(ToyLM(), trainers=(Unpriced(),), budget=Budget(usd=1))
    with pytest.raises(ConfigurationError, match="price of training 'tiny' is not known"):
        check_training(settings, SETTINGS)
    check_training(replace(settings, budget=Budget(tokens=1000)), SETTINGS)


def test_a_frozen_step_is_not_trained() -> None:
    frozen = (Freeze(step="self", part="weights"),)
    result, answer, _, _ = run(toy_settings(ToyLM(), frozen=frozen))
    assert result.best.steps["self"].weights is None
    assert answer.problem == "Every step that would be trained is frozen."


def test_rows_are_written_as_the_step_asks_them_and_never_show_their_own_answer() -> None:
    program = Predict("text -> label")
    demos = [{"text": "sky 1", "label": "blue"}, {"text": "leaf 2", "label": "green"}]
    program.demos = demos
    calls = [(7, TraceStep("self", {"text": "sky 1"}, {"label": "blue"})), (8, TraceStep("other", {}, {}))]
    (row,) = chat_rows(program, JSONAdapter(), calls)
    assert (row.step, row.row, row.messages[-1]["role"]) == ("self", 7, "assistant")
    assert row.messages[-1]["content"] == '{\n  "label": "blue"\n}'
    assert len(row.messages) == 5
    assert "leaf 2" in row.messages[1]["content"]


def test_an_estimate_counts_rows_tokens_rollouts_and_checkpoints() -> None:
    found = estimate(search_with([]), toy_settings(ToyLM()))
    assert found.training is not None
    assert (found.training.rows, found.training.tokens) == (18, 18)
    assert found.calls.typical == 3 * 18
    assert found.as_dict()["training"]["rows"] == 18
    rollouts = estimate(search_with([], GRPO), toy_settings(ToyLM()))
    assert rollouts.calls.typical == 3 * 18 + 3 * 6 * 3


@pytest.mark.parametrize(("hosted", "together"), [(False, 1), (True, 2)])
def test_trainings_of_a_batch_share_this_machine_and_run_at_once_elsewhere(
    hosted: bool, together: int
) -> None:
    running, most = 0, 0
    lm = ToyLM()
    toy = toy_trainer(lm)

    class Watched(type(toy)):
        async def train(self, order, watch):
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            try:
                return await super().train(order, watch)
            finally:
                running -= 1

    Watched.hosted = hosted

    def search(problem: Problem) -> Search:
        calls = calls_of(problem)
        asks = [Train(problem.seed, ("self",), SETTINGS, part) for part in (calls[:9], calls[9:], calls[:9])]
        first, second, same = yield asks
        assert first is same
        assert first.candidate.id != second.candidate.id

    seen = RecordedEvents()
    driver = Driver(toy_settings(lm, trainers=(Watched(toy.reply, toy.guesses),)), seen)
    loop.run(driver.search(search))
    assert most == together
    assert {e.training for e in seen.of(events.TrainingEnded)} == {1, 2}
    assert not driver.trainings.running


def test_the_teacher_is_scored_on_the_test_rows_as_its_own_kind_of_trial() -> None:
    lm, large = ToyLM(), ToyLM(payer="large")
    rows = tuple(range(24, 36))
    settings = toy_settings(lm, train=tuple(range(12)), validation=tuple(range(12, 24)), teacher_lm=large)
    driver = Driver(settings, seen := RecordedEvents())
    before, _ = loop.run(driver.compare(driver.seed, driver.seed, rows))
    taught = loop.run(driver.score_teacher(rows))
    assert [o.row for o in taught.outcomes] == list(rows)
    assert (lm.paid, large.paid) == (12, 12)
    assert [e.split for e in seen.of(events.TrialStarted)] == ["test", "teacher"]
    assert before.candidate_id == taught.candidate_id
    short = Driver(replace(settings, budget=Budget(calls=20)))
    loop.run(short.compare(short.seed, short.seed, rows))
    assert len(loop.run(short.score_teacher(rows)).outcomes) == 12  # known already
