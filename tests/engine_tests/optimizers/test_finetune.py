"""Optimizers that train weights: which answers are learned and as what, what is refused, and chains of prompts and weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.run_setup import COLOURS, add_data, spec
from support.small_optimizers import HintLM, TwoSteps

import engine
from engine import loop
from engine.adapters.json import JSONAdapter
from engine.errors import ConfigurationError, TrainingError
from engine.metrics.matching import ExactMatch
from engine.modules.predict import Predict
from engine.optimizers.better_together import BetterTogether
from engine.optimizers.finetune import BootstrapFinetune
from engine.optimizers.grpo import GRPO
from engine.records import Example
from engine.runs.prepare import prepare
from engine.runs.spec import Named
from engine.search.driver import Driver
from engine.search.estimate import estimate
from engine.search.freeze import Freeze
from engine.search.trainers import Order
from engine.store.store import Store
from engine.testing.contract import ToyLM, toy_metric, toy_rows, toy_settings, toy_trainer
from engine.testing.training import LookupTrainer

ROWS = list(toy_rows().values())


class KnowingLM(ToyLM):
    """A large model: it knows every word's colour."""

    async def complete(self, request):
        text = str(request.messages[-1]["content"]).split("]]\n", 1)[-1].split("\n", 1)[0]
        label = next((row.label for row in ROWS if row.text.split()[0] == text.split()[0]), "red")
        return await self.reply(request, f"large {request.key()}", f'{{"label": "{label}"}}')


def run(optimizer, lm=None, **changes):
    settings = toy_settings(lm or ToyLM(), **changes)
    return loop.run(Driver(settings).search(optimizer.search)), settings.trainers[0]


def test_a_small_model_learns_what_a_larger_one_answers_rightly():
    result, trainer = run(BootstrapFinetune(), teacher_lm=KnowingLM())
    assert result.score == 1.0
    (order,) = trainer.orders
    assert len(order.rows) == 18
    assert order.settings.base_model == "toy"
    system, user, assistant = order.rows[0].messages
    assert (system["role"], user["role"], assistant["role"]) == ("system", "user", "assistant")
    assert assistant["content"] == "[[ ## label ## ]]\nred\n\n[[ ## completed ## ]]"


def test_only_answers_that_pass_are_learned():
    _, trainer = run(BootstrapFinetune())
    assert {row.row for row in trainer.orders[0].rows} == {0, 3, 6, 9, 12, 15}


def test_rows_are_written_by_the_adapter_that_asks_later():
    result, trainer = run(
        BootstrapFinetune(adapter=JSONAdapter()), teacher_lm=KnowingLM(), adapter=JSONAdapter()
    )
    assert trainer.orders[0].rows[0].messages[-1]["content"].startswith("{")
    assert result.best.steps["self"].adapter == "json"


def test_without_examples_the_prompt_is_learned_and_asked_bare():
    program = Predict("text -> label")
    program.demos = [{"text": "coal 1", "label": "red"}]
    for without, messages in ((False, 5), (True, 3)):
        result, trainer = run(
            BootstrapFinetune(exclude_demos=without), teacher_lm=KnowingLM(), program=program
        )
        assert {len(row.messages) for row in trainer.orders[0].rows} == {messages}
        assert bool(result.best.steps["self"].demos) != without


@pytest.mark.parametrize("multitask", [True, False])
def test_two_steps_share_a_model_or_have_one_each(multitask):
    result, trainer = run(BootstrapFinetune(multitask=multitask), HintLM(), program=TwoSteps())
    steps = [{row.step for row in order.rows} for order in trainer.orders]
    assert steps == ([{"first", "second"}] if multitask else [{"first"}, {"second"}])
    found = {t.candidate.id: t.candidate for t in result.trials}.values()
    models = [tuple(state.weights for state in c.steps.values()) for c in found]
    both = [pair for pair in models if all(pair)]
    assert both
    assert all((first == second) == multitask for first, second in both)


def test_no_row_that_passes_is_said_with_the_closest_and_what_to_do():
    def near(example, prediction, trace=None):
        return 0.6 if prediction.label == example.label else 0.1

    result, trainer = run(BootstrapFinetune(metric_threshold=0.9), metric=near)
    assert not trainer.orders
    assert result.reason.startswith(
        "No answer of the teacher passed the metric, so nothing was trained: 18 rows scored too low. "
        "The closest is row 0 with 0.60. It scored 0.60 of 1. Set lower_threshold to 0.60 to train on 6 answers like it"
    )
    result, trainer = run(BootstrapFinetune(metric_threshold=0.9, lower_threshold=0.6), metric=near)
    assert len(trainer.orders[0].rows) == 6


def test_rows_without_labels_are_learned_where_nothing_can_judge_them():
    rows = toy_rows()
    bare = {i: Example(text=row.text).with_inputs("text") if i < 9 else row for i, row in rows.items()}
    _, trainer = run(BootstrapFinetune(ExactMatch()), teacher_lm=KnowingLM(), rows=bare, metric=ExactMatch())
    assert {row.row for row in trainer.orders[0].rows} == set(range(18))
    _, trainer = run(BootstrapFinetune(toy_metric), teacher_lm=KnowingLM(), rows=bare)
    assert {row.row for row in trainer.orders[0].rows} == set(range(18))


def test_a_run_takes_rows_without_an_answer_for_the_teacher_alone(tmp_path):
    lines = [
        "text,shelf",
        *(f"a thing {i},{COLOURS[i % len(COLOURS)]}" for i in range(40)),
        "more,",
        "and more,",
    ]
    data = add_data(tmp_path, "\n".join(lines).encode())
    with Store.open(tmp_path) as store:
        tuned = prepare(
            store, spec(data, optimizer=Named(name="BootstrapFinetune", options={"trainer": "file"}))
        )
        other = prepare(store, spec(data))
    assert set(tuned.settings.train) - set(tuned.split.train) == {40, 41}
    assert "2 rows without an answer: the teacher answers what is trained on." in tuned.notes
    assert not {40, 41} & set(other.settings.rows)


@pytest.mark.parametrize("optimizer", [BootstrapFinetune, GRPO])
def test_answers_that_leak_into_inputs_are_refused(optimizer):
    rows = {
        i: Example(text=row.text, note=row.label.upper(), label=row.label).with_inputs("text", "note")
        for i, row in toy_rows().items()
    }
    result, trainer = run(optimizer(), rows=rows, program=Predict("text, note -> label"))
    assert not trainer.orders
    assert not result.trials
    assert "'note' holds the answer 'label' in 18 of 18 rows" in loop.run(leaking(optimizer, rows))


async def leaking(optimizer, rows):
    from engine.optimizers.shared.training import leak
    from engine.search.settings import make_problem

    return leak(make_problem(toy_settings(ToyLM(), rows=rows, program=Predict("text, note -> label"))))


def test_grpo_learns_without_a_teacher():
    result, trainer = run(GRPO(rounds=4, batch_size=6, group_size=3))
    assert result.score == 1.0
    assert trainer.orders[0].row_ids == tuple(range(18))


def test_a_failed_training_keeps_the_start_and_says_why():
    lm = ToyLM()
    weak = replace(toy_trainer(lm), fail_after=2)
    result, _ = run(BootstrapFinetune(), lm, trainers=(weak,))
    assert result.best.id == result.seed.id
    assert (
        result.reason == "The training failed: The provider failed half-way. What was there before is kept."
    )


def test_the_better_of_start_and_model_is_kept():
    program = Predict("text -> label")
    state = program.candidate().steps["self"]
    known = ", ".join(f"{row.text.split()[0]} is {row.label}" for row in ROWS[:12])
    good = program.with_candidate(
        program.candidate().with_step("self", instructions=f"{state.instructions} {known}.")
    )
    result, trainer = run(BootstrapFinetune(checkpoints=1, max_rounds=1), program=good)
    assert trainer.orders
    assert result.best.id == result.seed.id


@pytest.mark.parametrize(
    ("optimizer", "steps"),
    [
        (BootstrapFinetune(), {"self"}),
        (GRPO(rounds=2, batch_size=4, group_size=2), {"self"}),
        (BootstrapFinetune(multitask=False), {"first", "second"}),
    ],
)
def test_without_validation_rows_the_tuned_model_is_the_result(optimizer, steps):
    lm = HintLM() if len(steps) == 2 else None
    program = {"program": TwoSteps()} if len(steps) == 2 else {}
    result, _ = run(optimizer, lm, validation=(), teacher_lm=lm or KnowingLM(), **program)
    assert result.score is None
    assert {path for path, state in result.best.steps.items() if state.weights} == steps


def test_the_file_trainer_leaves_a_file_and_no_model(tmp_path, home):
    result, _ = run(BootstrapFinetune(trainer="file"), teacher_lm=KnowingLM())
    (file,) = (tmp_path / "training").glob("*.jsonl")
    assert result.reason == f"No model was trained. The training file is at {file}."
    assert len(file.read_text().splitlines()) == 18


def test_names_of_other_libraries_are_taken():
    tuner = BootstrapFinetune(
        train_kwargs={"num_train_epochs": 2, "lora_r": 4, "wandb": True}, base_model="tiny"
    )
    settings = tuner.train_settings()
    assert (settings.epochs, settings.rank, settings.base_model) == (2, 4, "tiny")
    with pytest.raises(ConfigurationError, match="epochs"):
        BootstrapFinetune(train_kwargs={"epochs": 0})
    tuner = engine.GRPO(num_train_steps=3, num_rollouts_per_grpo_step=2, use_train_as_val=True)
    assert (tuner.options.rounds, tuner.options.group_size) == (3, 2)


def test_compile_returns_a_program_that_answers_by_the_tuned_model(tmp_path):
    lm = ToyLM()
    trainer = toy_trainer(lm)
    tuner = BootstrapFinetune(
        toy_metric, trainer=trainer, task_model=lm, teacher_settings={"lm": KnowingLM()}
    )
    program = tuner.compile(Predict("text -> label"), trainset=ROWS[:18], valset=ROWS[18:], teacher=None)
    assert program.score == 100.0
    assert program.weights == f"tuned/{trainer.orders[0].key}"
    with engine.context(models=trainer.models):
        assert program(text="moss 99").label == "green"
    program.save(tmp_path / "small.json")
    again = Predict("text -> label")
    again.load(tmp_path / "small.json")
    with engine.context(models=trainer.models):
        assert again(text="sky 99").label == "blue"


def test_a_set_up_that_cannot_train_is_refused_before_anything_is_asked():
    class Picky(LookupTrainer):
        def check(self, order: Order) -> list[str]:
            raise TrainingError(f"There is no model {order.settings.base_model!r}.")

    lm = ToyLM()
    tuner = BootstrapFinetune(toy_metric, trainer=Picky(), base_model="tinny", task_model=lm)
    with pytest.raises(TrainingError, match="There is no model 'tinny'"):
        tuner.compile(Predict("text -> label"), trainset=ROWS[:18], valset=ROWS[18:])
    assert lm.paid == 0


# Chains


def test_a_chain_tunes_prompts_and_weights_in_turn():
    lm = ToyLM()
    tuner = BetterTogether(
        toy_metric,
        p=engine.LabeledFewShot(12),
        w=BootstrapFinetune(toy_metric, checkpoints=2),
        strategy="p -> w -> p",
        task_model=lm,
    )
    result, trainer = run(tuner, lm)
    # The tuned prompt is the teacher: it gets more rows right than the start, which gets 6.
    assert len({row.row for row in trainer.orders[0].rows}) > 6
    assert result.score == 1.0
    tried = {t.candidate.id: t.candidate.steps["self"] for t in result.trials}.values()
    assert any(state.weights and state.demos for state in tried)


def colours(chain, **arguments):
    """Compile a chain of the toy program with the small model, by BetterTogether's own `compile`; return it and the orders."""
    trainer = toy_trainer(ToyLM())
    tuner = chain(trainer)
    tuner.task_model = ToyLM()
    made = tuner.compile(Predict("text -> label"), trainset=ROWS[:18], valset=ROWS[18:], **arguments)
    return made, trainer.orders


def tuned_alone(trainer, **arguments):
    return BootstrapFinetune(toy_metric, trainer=trainer, **arguments)


@pytest.mark.parametrize(
    ("chain", "of_compile"),
    [
        (
            lambda t: BetterTogether(
                toy_metric, strategy="w", w=tuned_alone(t, teacher_settings={"lm": KnowingLM()})
            ),
            {},
        ),
        (
            lambda t: BetterTogether(
                toy_metric,
                strategy="w",
                optimizer_compile_args={"w": {"teacher_settings": {"lm": KnowingLM()}, "trainer": t}},
            ),
            {},
        ),
        (
            lambda t: BetterTogether(toy_metric, w=tuned_alone(t)),
            {"optimizer_compile_args": {"w": {"teacher_settings": {"lm": KnowingLM()}}}},
        ),
        (
            lambda t: BetterTogether(
                toy_metric,
                w=tuned_alone(t),
                optimizer_compile_args={"w": {"teacher": [taught_program()]}},
            ),
            {},
        ),
    ],
)
def test_the_teacher_of_a_part_answers_its_rows(chain, of_compile):
    made, (order,) = colours(chain, **of_compile)
    assert (made.score, len(order.rows)) == (100.0, 18)


def taught_program():
    teacher = Predict("text -> label")
    teacher.lm = KnowingLM()
    return teacher


def test_each_part_of_a_chain_has_its_own_teacher_and_rows():
    def chain(trainer):
        return BetterTogether(
            toy_metric,
            p=engine.BootstrapFewShot(toy_metric, max_labeled_demos=0),
            w=tuned_alone(trainer, teacher_settings={"lm": KnowingLM()}),
            strategy="p -> w",
            optimizer_compile_args={"w": {"trainset": ROWS[:6]}},
        )

    made, (order,) = colours(chain)
    assert len(order.rows) == 6
    # The small model itself has solved the rows of "p": it knows one colour of three.
    *of_prompts, of_weights = [t.evaluation.score for t in made.tuning.trials if t.split == "train"]
    assert of_weights == 1
    assert all(score < 0.5 for score in of_prompts)


def test_texts_of_a_part_are_written_by_its_prompt_model():
    writer = ToyLM()

    def chain(_):
        return BetterTogether(toy_metric, p=engine.COPRO(toy_metric, prompt_model=writer, depth=1, breadth=2))

    colours(chain)
    assert writer.paid


def test_what_a_part_cannot_have_to_itself_is_refused():
    def chain(**arguments):
        return lambda _: BetterTogether(toy_metric, **arguments)

    of_part = {"p": {"valset": ROWS[:3]}}
    for match, arguments in {
        "valset is the same for all steps. Give it to compile": {"optimizer_compile_args": of_part},
        "task_model is the same for all steps": {"p": engine.COPRO(toy_metric, task_model=ToyLM())},
        "objective is the same for all steps": {"p": engine.COPRO(toy_metric, objective="front")},
        "has no option 'colour'": {"optimizer_compile_args": {"p": {"colour": 1}}},
        "'x', which is no optimizer": {"optimizer_compile_args": {"x": {"depth": 1}}},
    }.items():
        with pytest.raises(ConfigurationError, match=match):
            colours(chain(**{"strategy": "p", **arguments}))


def test_compile_arguments_are_those_of_the_call():
    tuner = engine.BootstrapFewShot(toy_metric, task_model=ToyLM(), max_labeled_demos=0)
    exact = engine.ExactMatch()
    changed = tuner.with_options({"teacher_settings": {"lm": KnowingLM()}, "metric": exact})
    assert type(changed.teacher_settings["lm"]) is KnowingLM
    assert (changed.metric, changed.task_model) == (exact, tuner.task_model)
    knn = engine.KNNFewShot(2, ROWS, len).with_options({"k": 3})
    assert (knn.options.k, knn.trainset, knn.vectorizer) == (3, ROWS, len)


def test_an_estimate_and_frozen_parts_know_the_parts_of_a_chain():
    lm, teacher = ToyLM(), taught_program()
    tuner = BetterTogether(
        toy_metric,
        w=tuned_alone(toy_trainer(lm)),
        task_model=lm,
        optimizer_compile_args={"w": {"teacher": teacher, "teacher_settings": {"lm": KnowingLM()}}},
    )
    program = Predict("text -> label")
    expected = estimate(tuner.search, tuner.settings(program, ROWS[:18], ROWS[18:]))
    frozen = [Freeze(step="self", part="instructions")]
    made = tuner.compile(program, trainset=ROWS[:18], valset=ROWS[18:], frozen=frozen)
    assert made.score == 100.0
    assert expected.calls.low <= made.tuning.usage.calls <= expected.calls.high
