"""Shared parts of optimizers that train weights: options of a training, rows that give their answer away, and the result's score."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import field_validator

from engine.basics.data import JsonObject, Values
from engine.basics.text import counted, one_case
from engine.lm.choice import variable_name, without_password
from engine.optimizers.base import Optimizer, Options, option
from engine.optimizers.shared.leaderboard import Leaderboard
from engine.records import Candidate, TraceStep
from engine.search.contract import Keep, Problem, Steps, Train, Training
from engine.search.trainers import TrainSettings
from engine.search.training import check_training, with_weights

if TYPE_CHECKING:
    from engine.search.settings import Settings

_log = logging.getLogger(__name__)


class TrainOptions(Options):
    """Options of a training of weights, as in `TrainSettings`."""

    base_model: str = option(
        "",
        "Base model",
        "The model to train: a folder, a name of the hub or of the provider; empty: the run's model.",
    )
    trainer: str = option(
        "local", "Trainer", "local: on this machine; openai: at a provider; file: only a training file."
    )
    multitask: bool = option(
        True, "One model for all steps", "Off: every step gets a model trained on its own rows."
    )
    exclude_demos: bool = option(
        False,
        "Without examples in the prompt",
        "The trained model is asked without solved examples: shorter prompts.",
    )
    learning_rate: float | None = option(
        None, "Learning rate", "Empty: the trainer's usual one for this kind of training.", gt=0
    )
    max_length: int = option(2048, "Longest row", "Tokens of one row at most.", ge=16)
    rank: int = option(16, "Rank of the adapter", "Size of the small adapter that is trained.", ge=1)
    checkpoints: int = option(4, "Checkpoints", "How often the model is scored on the validation rows.", ge=1)
    patience: int = option(
        2, "Checkpoints without a gain", "After this many the training ends; the best is kept.", ge=1
    )
    licence: str = option("", "Licence of the base model", "As you know it; it is kept with the tuned model.")
    base_url: str | None = option(None, "Address", "Of another provider or server that trains.")
    key_env: str | None = option(
        None, "Variable of the key", "Name of the environment variable with its key."
    )
    seed: int = option(0, "Seed", "Another number shuffles and samples in another way.")

    @field_validator("base_url")
    @classmethod
    def _has_no_password(cls, url: str | None) -> str | None:
        """Refuse an address with a password: options are saved, shown and exported."""
        if url and without_password(url) != url:
            raise ValueError("write the address without a user name and password")
        return url

    @field_validator("key_env")
    @classmethod
    def _is_a_name(cls, name: str | None) -> str | None:
        return name and variable_name(name)

    def train_settings(self, **changes: Any) -> TrainSettings:
        """Return the settings of a training."""
        names = TrainSettings.model_fields.keys() & type(self).model_fields.keys()
        return TrainSettings(**{name: getattr(self, name) for name in names}, **changes)


class TrainingOptimizer(Optimizer):
    """Base of optimizers that train weights. `trainer` is a registered one's name, or the user's own trainer.

    `train_kwargs` are more options by name, also by the names that DSPy's users give; what is not known is named in a warning.
    """

    changes = "weights"
    kept = (*Optimizer.kept, "adapter")
    options: TrainOptions

    def __init__(
        self,
        metric: Any = None,
        *,
        trainer: Any = None,
        train_kwargs: Values | None = None,
        adapter: Any = None,
        **arguments: Any,
    ) -> None:
        self.adapter = adapter
        trainers = () if trainer is None or isinstance(trainer, str) else (trainer,)
        if trainer is not None:
            arguments["trainer"] = trainer if isinstance(trainer, str) else trainer.name
        super().__init__(metric, **{**self._under_our_names(train_kwargs or {}), **arguments})
        self.trainers = trainers

    @classmethod
    def _under_our_names(cls, given: Values) -> JsonObject:
        named = {_OTHER_NAMES.get(name, name): value for name, value in given.items()}
        if unknown := sorted(named.keys() - cls.options_model.model_fields.keys()):
            _log.warning("%s: train_kwargs has no %s; it changes nothing.", cls.name, ", ".join(unknown))
        return {name: value for name, value in named.items() if name not in unknown}

    def settings(self, *given: Any, **named: Any) -> Settings:
        """Return the run's settings; steps are asked through this optimizer's adapter where it has one."""
        settings = super().settings(*given, **named)
        return settings if self.adapter is None else replace(settings, adapter=self.adapter)

    def train_settings(self) -> TrainSettings:
        """Return the settings of its trainings."""
        return self.options.train_settings()

    def check(self, settings: Settings) -> list[str]:
        """Return notes on the training that is to come. Raises ConfigurationError for what cannot work."""
        return check_training(settings, self.train_settings())

    def student(self, problem: Problem) -> Candidate:
        """Return the program as the trained model will be asked."""
        candidate = problem.seed
        for path in trained_steps(problem):
            if self.options.exclude_demos and problem.may_change(path, "demos"):
                candidate = candidate.with_step(path, demos=(), nearest=0)
            if self.adapter is not None:
                candidate = candidate.with_step(path, adapter=self.adapter.name)
        return (
            candidate
            if candidate is problem.seed
            else candidate.derived("The prompt that the tuned model is asked.", problem.seed)
        )

    def groups(self, problem: Problem) -> list[tuple[str, ...]]:
        """Return the steps that one model each is trained for; none where the models of all steps are frozen."""
        paths = trained_steps(problem)
        if not paths:
            return []
        return [paths] if self.options.multitask else [(path,) for path in paths]


FROZEN = "The model of every step is frozen, so nothing was trained. Unfreeze a step."

_OTHER_NAMES = {
    "num_train_epochs": "epochs",
    "n_epochs": "epochs",
    "per_device_train_batch_size": "batch_size",
    "max_seq_length": "max_length",
    "learning_rate_multiplier": "learning_rate",
    "lora_r": "rank",
    "r": "rank",
    "model": "base_model",
}
"""Names of other libraries -> ours."""

Method = Literal["lora", "full"]


def trained_steps(problem: Problem) -> tuple[str, ...]:
    """Return the steps whose model may change."""
    return tuple(path for path in problem.signatures if problem.may_change(path, "weights"))


def leak(problem: Problem) -> str:
    """Return a message where an input holds the answer in nearly all labelled rows, "" where none does.

    >>> rows = {i: {"q": f"{i}?", "hint": str(i), "a": str(i)} for i in range(6)}
    >>> problem = Problem(Candidate({}), tuple(rows), (), rows, {}, ("q", "hint"), ("a",))
    >>> leak(problem).split(":")[0]
    "The input 'hint' holds the answer 'a' in 6 of 6 rows"
    """
    for output in problem.output_fields:
        labelled = [problem.rows[row] for row in problem.train if problem.rows[row].get(output) is not None]
        if len(labelled) < _FEWEST or len({str(row[output]) for row in labelled}) < 2:
            continue
        for name in problem.input_fields:
            same = sum(one_case(str(row.get(name))) == one_case(str(row[output])) for row in labelled)
            if same >= _LEAKING * len(labelled):
                return (
                    f"The input {name!r} holds the answer {output!r} in {same} of {len(labelled)} rows: a model trained on "
                    "them would only learn to copy it. Leave that input out, or give rows as they will be later."
                )
    return ""


_FEWEST, _LEAKING = 5, 0.9


def trained_together(
    leaderboard: Leaderboard, student: Candidate, asks: Sequence[Train]
) -> Steps[list[Training]]:
    """Train, note every model's score, and of models for single steps the program that has all of them; keep the best.

    Without validation rows nothing can be compared: the tuned program is kept.
    """
    answers: list[Training] = list((yield asks))
    trained = [(ask, a) for ask, a in zip(asks, answers, strict=True) if a.candidate is not None]
    for _, answer in trained:
        if answer.candidate is None or answer.evaluation is None:
            continue
        if not leaderboard.validation:
            yield [Keep(answer.candidate, None)]
        elif keep := leaderboard.note_known(answer.candidate, answer.evaluation):
            yield keep
    if len(trained) > 1:
        whole = student
        for ask, answer in trained:
            if answer.trained is not None:
                whole = with_weights(whole, ask.steps, answer.trained.model, "")
        whole = whole.derived(f"{counted(len(trained), 'tuned model')} together.", student)
        if leaderboard.validation:
            yield from leaderboard.validate([whole], "tuned models together")
        else:
            yield [Keep(whole, None)]
    return answers


def closing(answers: Sequence[Training]) -> str | None:
    """Return what the user must know of some trainings: what failed, and where files are; None where there is nothing.

    >>> closing([Training(problem="There is no room on the disk.")])
    'The training failed: There is no room on the disk. What was there before is kept.'
    """
    problems = list(dict.fromkeys(a.problem for a in answers if a.problem))
    if problems:
        what = "The training" if len(answers) == 1 else counted(len(problems), "training")
        return f"{what} failed: {' '.join(problems)} What was there before is kept."
    files = [a.trained.file for a in answers if a.trained is not None and a.trained.file]
    if files:
        return f"No model was trained. The training {'file is' if len(files) == 1 else 'files are'} at {', '.join(files)}."
    return None


def row_calls(
    calls: Sequence[tuple[int, TraceStep]], steps: Sequence[str]
) -> tuple[tuple[int, TraceStep], ...]:
    """Return the calls of some steps."""
    return tuple((row, call) for row, call in calls if call.path in steps)
