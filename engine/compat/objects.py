"""DSPy's small functions and types that the engine itself has no use for."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import Any, TypedDict

from engine.basics.data import JsonObject
from engine.errors import LMError
from engine.signature.prediction import Prediction


class LMBillingError(LMError):
    """The account has no credit. Never raised here: that is LMAuthError, with `status` 402."""


class LMCollectionLimitError(LMError):
    """A stream was too long to collect. Never raised here: streams have no such limit."""


class LMLockTimeoutError(LMError):
    """A key's lock was not free in time. Never raised here: keys need no lock."""


class LMStreamAssemblyError(LMError):
    """A stream could not be put together. Never raised here: that is LMUnexpectedError."""


class LMUnsupportedFeatureError(LMError):
    """A model lacks a feature. Never raised here: what a model lacks is asked for in text."""


def is_retryable_lm_error(error: BaseException) -> bool:
    """Return whether the same call may succeed later.

    >>> is_retryable_lm_error(ValueError("no"))
    False
    """
    return bool(getattr(error, "retryable", False))


def enable_logging() -> None:
    """Show the engine's log messages."""
    logging.getLogger("engine").disabled = False
    logging.getLogger("engine").setLevel(logging.INFO)


def disable_logging() -> None:
    """Hide the engine's log messages."""
    logging.getLogger("engine").setLevel(logging.CRITICAL + 1)


def configure_dspy_loggers(root_module_name: str = "engine") -> None:
    """Write the log messages of a package to stderr, with time, level and name."""
    logger = logging.getLogger("engine" if root_module_name == "dspy" else root_module_name)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.set_name("engine")
    logger.handlers = [*(h for h in logger.handlers if h.get_name() != "engine"), handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def enable_litellm_logging() -> None:
    """Show litellm's log messages."""
    logging.getLogger("LiteLLM").setLevel(logging.DEBUG)


def disable_litellm_logging() -> None:
    """Hide litellm's log messages but errors."""
    logging.getLogger("LiteLLM").setLevel(logging.ERROR)


class dotdict(JsonObject):  # noqa: N801 - DSPy's name
    """A dictionary whose keys are attributes too.

    >>> dotdict(text="a").text
    'a'
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.get(name)

    def __setattr__(self, name: str, value: object) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        del self[name]


def deduplicate(seq: Iterable[str]) -> list[str]:
    """Return the items without repeats, in their order.

    >>> deduplicate(["b", "a", "b"])
    ['b', 'a']
    """
    return list(dict.fromkeys(seq))


def flatten(data_list: Iterable[Iterable[object]]) -> list[Any]:
    """Return the items of several lists as one list."""
    return [item for part in data_list for item in part]


def parse_integer_answer(answer: str, only_first_line: bool = True) -> int:
    """Return the last whole number in an answer, or 0.

    >>> parse_integer_answer("It is 1,200 euros.")
    1200
    """
    text = answer.strip().split("\n")[0] if only_first_line else answer
    numbers = [word for word in text.split() if any(letter.isdigit() for letter in word)]
    digits = "".join(letter for letter in numbers[-1].split(".")[0] if letter.isdigit()) if numbers else ""
    return int(digits or 0)


def gsm8k_metric(gold: Any, pred: Any, trace: object = None) -> bool:  # noqa: ARG001 - a metric's signature
    """Return whether two answers hold the same whole number."""
    return parse_integer_answer(str(gold.answer)) == parse_integer_answer(str(pred.answer))


def answer_exact_match_str(prediction: str, answers: Iterable[str], frac: float = 1.0) -> bool:
    """Return whether an answer equals one of several, or overlaps with it by `frac`."""
    from engine.metrics import EM, F1

    accepted = list(answers)
    return bool(EM(prediction, accepted) if frac >= 1.0 else F1(prediction, accepted) >= frac)


def HotPotF1(prediction: str, answers_list: Iterable[str]) -> float:  # noqa: N802 - DSPy's name
    """Return F1 over words, the best of several answers; "yes", "no" and "noanswer" match themselves alone.

    >>> HotPotF1("yes, indeed", ["yes"]), HotPotF1("big cat", ["big dog"])
    (0.0, 0.5)
    """
    from engine.metrics import F1, normalize_text

    def score(answer: str) -> float:
        either = {normalize_text(prediction), normalize_text(answer)}
        return 0.0 if len(either) == 2 and either & {"yes", "no", "noanswer"} else F1(prediction, [answer])

    return max(map(score, answers_list), default=0.0)


class ScoreWithFeedback(Prediction):
    """Return value of a GEPA metric of DSPy's: a score and feedback."""

    score: float
    feedback: str


DSPyTrace = list[tuple[Any, JsonObject, Prediction]]
"""Trace of a program: predictor, inputs and prediction of each step."""


class ReflectiveExample(TypedDict):
    """A row as an instruction proposer sees it; the keys are DSPy's."""

    Inputs: JsonObject
    Generated_Outputs: JsonObject | str
    Feedback: str
