"""Right or wrong: the same answer, a mention, a pattern, a number within a tolerance; and DSPy's functions for it."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from engine.basics.text import as_text, normalize_text, plain_text, quoted
from engine.basics.value_parsing import last_number
from engine.errors import ConfigurationError
from engine.metrics.base import Grade, Metric, MetricOptions, WorkedExample

if TYPE_CHECKING:
    import regex


def token_f1(answer: list[str], expected: list[str]) -> float:
    """Return the harmonic mean of precision and recall of words, counted with repeats; 0 without any in common."""
    shared = sum((Counter(answer) & Counter(expected)).values())
    return 2 * shared / (len(answer) + len(expected)) if shared else 0.0


def missing_words(expected: str, answer: str) -> str:
    """Return the first eight expected words that an answer lacks, quoted; "" without any.

    >>> missing_words("red silk scarf", "a red scarf")
    "'silk'"
    """
    had = set(normalize_text(answer).split())
    missing = [word for word in dict.fromkeys(normalize_text(expected).split()) if word not in had]
    more = ", ..." if len(missing) > 8 else ""
    return ", ".join(repr(word) for word in missing[:8]) + more


def accepted_answers(expected: Any, answer: object) -> list[Any]:
    """Return the answers that count: a list expected where one value is given holds every accepted answer."""
    return list(expected) if _is_list(expected) and not _is_list(answer) else [expected]


class ExactMatchOptions(MetricOptions):
    """Options of the comparison."""

    every_output: bool = Field(
        True,
        title="Every output",
        description="Grade every output that the examples have an answer for, and take the mean. "
        "Switch it off to grade the last one only.",
    )
    strict: bool = Field(
        False,
        title="Letter by letter",
        description="Also tell capital letters, spaces and punctuation around apart.",
    )


class ExactMatch(Metric):
    """1 when the answer is the expected one, else 0; of several outputs, the share that is right.

    Capital letters, extra spaces and punctuation around a text are overlooked unless `strict`. A list expected
    where the answer is one value holds every accepted answer.

    >>> ExactMatch().compare(["Paris", "Paris, France"], "paris.").score, ExactMatch().compare(12, "13").feedback
    (1.0, "Expected 12, got '13'.")
    """

    name = "ExactMatch"
    title = "Exact match"
    plain = "The answer is right when it is the same as the expected one; capitals and spaces do not matter. Of several outputs, the share that is right."
    examples = (
        WorkedExample("billing", "Billing", 1.0),
        WorkedExample("billing", "billing team", 0.0),
        WorkedExample("billing", "Billing", 0.0, {"strict": True}),
    )
    pros = ("Plain to read: the share of rows answered correctly.", "Right for labels, names and yes or no.")
    cons = ("A right answer in other words counts as wrong.",)

    Options = ExactMatchOptions

    options: ExactMatchOptions

    def compare(self, expected: object, answer: object) -> Grade:
        """Grade one value against the one expected, or against several accepted ones."""
        strict = self.options.strict
        accepted = accepted_answers(expected, answer)
        if any(same(one, answer, strict) for one in accepted):
            return _RIGHT
        return Grade(0.0, wrong(accepted, answer))


def wrong(accepted: Sequence[object], answer: object) -> str:
    """Return in words what is wrong with an answer that is none of the accepted ones.

    >>> wrong(["billing"], "It is for billing."), wrong([1999], "1999-05-01")
    ("Expected 'billing', got 'It is for billing.': give it alone, without other words.", "Expected 1999, got '1999-05-01'.")
    """
    wanted = " or ".join(quoted(one) for one in accepted) or "nothing"
    text = f" {normalize_text(as_text(answer))} "
    inside = any(
        isinstance(one, str | Enum) and (words := normalize_text(as_text(one))) and f" {words} " in text
        for one in accepted
    )
    hint = ": give it alone, without other words" if inside and not _is_list(answer) else ""
    return f"Expected {wanted}, got {quoted(answer)}{hint}."


def same(expected: Any, answer: Any, strict: bool = False) -> bool:
    """True if two values are the same answer: texts as texts, numbers as numbers, lists item by item."""
    if expected == answer:
        return True
    if isinstance(expected, Mapping) and isinstance(answer, Mapping):
        return expected.keys() == answer.keys() and all(
            same(expected[k], answer[k], strict) for k in expected
        )
    if _is_list(expected) and _is_list(answer):
        return len(expected) == len(answer) and all(
            same(e, a, strict) for e, a in zip(expected, answer, strict=True)
        )
    if expected is None or answer is None:
        return False
    if strict:
        return bool(_plain_value(expected) == _plain_value(answer))
    return plain_text(expected) == plain_text(answer)


def answer_exact_match(example: Any, pred: Any, trace: object = None, frac: float = 1.0) -> Grade:  # noqa: ARG001 - DSPy's signature
    """True if `pred.answer` is `example.answer` (or one of them), normalised; with `frac` < 1, their F1 reaches it.

    The grade is 1 or 0, counts as True or False, and says what was wrong.

    >>> from engine import Example
    >>> bool(answer_exact_match(Example(answer=["Paris", "Paris, France"]), Example(answer="paris!")))
    True
    """
    accepted = [example.answer] if isinstance(example.answer, str) else list(example.answer)
    if frac >= 1.0:
        right = EM(pred.answer, accepted)
    else:
        words = normalize_text(str(pred.answer)).split()
        right = max(token_f1(words, normalize_text(str(one)).split()) for one in accepted) >= frac
    return _RIGHT if right else Grade(0.0, wrong(accepted, pred.answer))


def EM(prediction: str, answers_list: Sequence[str]) -> bool:  # noqa: N802 - DSPy's name
    """True if a text equals one of several, after `normalize_text`.

    >>> EM("The Seine!", ["Rhine", "Seine"])
    True
    """
    text = normalize_text(str(prediction))
    return any(text == normalize_text(str(answer)) for answer in answers_list)


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple | set | frozenset)


def _plain_value(value: object) -> object:
    return value.value if isinstance(value, Enum) else value


_RIGHT = Grade(1.0, "Correct.")


_IN_WORD = re.compile(r"\w")


class ContainsOptions(MetricOptions):
    """Options of the search for the text."""

    whole_words: bool = Field(
        True,
        title="Whole words",
        description="'art' is then not found in 'start'; switch off to find it there.",
    )


class Contains(Metric):
    """1 when the expected text occurs in the answer; of a list expected, the share that occurs.

    >>> Contains().compare(["refund", "three days"], "You get a refund.")
    Grade(score=0.5, feedback="The answer should mention 'three days'; it was 'You get a refund.'.")
    """

    name = "Contains"
    title = "Contains"
    plain = "The answer is right when the expected text occurs somewhere in it; of several expected texts, each counts."
    examples = (
        WorkedExample("Paris", "It is Paris, of course.", 1.0),
        WorkedExample("Paris", "It is Lyon.", 0.0),
        WorkedExample(["refund", "three days"], "You get a refund.", 0.5),
    )
    pros = ("Forgives words around the answer.", "Right for key facts in a longer text.")
    cons = ("An answer that lists everything is right as well.", "'not Paris' contains Paris.")

    Options = ContainsOptions

    options: ContainsOptions

    def compare(self, expected: object, answer: object) -> Grade:
        """Grade one text against the one, or the several, that it should mention."""
        wanted = accepted_answers(expected, "")
        if not wanted:
            return Grade(1.0, "Nothing was expected.")
        text = plain_text(answer)
        missing = [one for one in wanted if not self._mentions(text, plain_text(one))]
        if not missing:
            return Grade(1.0, "Correct.")
        words = ", ".join(quoted(one) for one in missing)
        return Grade(
            1 - len(missing) / len(wanted), f"The answer should mention {words}; it was {quoted(answer)}."
        )

    def _mentions(self, text: str, wanted: str) -> bool:
        if not self.options.whole_words or not wanted:
            return wanted in text
        at = text.find(wanted)
        while at >= 0:
            end = at + len(wanted)
            if not (_IN_WORD.match(text, at - 1) if at else None) and not _IN_WORD.match(text, end):
                return True
            at = text.find(wanted, at + 1)
        return False


def answer_passage_match(example: Any, pred: Any, trace: object = None) -> Grade:  # noqa: ARG001 - DSPy's signature
    """True if one of the passages in `pred.context` holds one of the accepted answers, word for word.

    The grade is 1 or 0, counts as True or False, and says what was not found.

    >>> from engine import Example
    >>> bool(answer_passage_match(Example(answer="Ada Lovelace"), Example(context=["Written by Ada Lovelace."])))
    True
    """
    accepted = [example.answer] if isinstance(example.answer, str) else list(example.answer)
    passages = [pred.context] if isinstance(pred.context, str) else list(pred.context)
    wanted = [f" {normalize_text(as_text(one))} " for one in accepted]
    if any(one in f" {normalize_text(as_text(passage))} " for passage in passages for one in wanted):
        return Grade(1.0, "Correct.")
    names = " or ".join(quoted(one) for one in accepted)
    return Grade(0.0, f"None of the {len(passages)} passages found holds {names}: search for something else.")


_LONGEST = 20_000
"""Characters of an answer that are looked at: a pattern can take very long on a long text."""

_LONGEST_PATTERN = 10_000
_MOST_SECONDS = 1.0
"""Time for a pattern on one answer; an ordinary one takes a thousandth of that."""


@lru_cache(maxsize=512)
def _compiled(pattern: str, ignore_case: bool = False) -> regex.Pattern[str]:
    """Return a pattern for the engine that can be stopped. Raises ValueError where Python's `re` refuses it."""
    import regex

    if len(pattern) > _LONGEST_PATTERN:
        raise ValueError(f"it is longer than {_LONGEST_PATTERN:,} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of brackets in brackets, which mean themselves here
            re.compile(pattern)
            # A brace that counts nothing is a brace to `re`; here it would be a rule for approximate matches.
            plain = _OWN_BRACES.sub(lambda found: "\\{" if found[0] == "{" else found[0], pattern)
            return regex.compile(plain, regex.DOTALL | (regex.IGNORECASE if ignore_case else 0))
    except (re.error, regex.error, OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from None


_OWN_BRACES = re.compile(r"\\N\{[^}]*\}|\\.|\{(?!\d*,?\d*\})", re.DOTALL)


class RegexOptions(MetricOptions):
    """The pattern, and how it is applied."""

    pattern: str = Field(
        "",
        title="Pattern",
        description="A regular expression for every answer. Empty: each row's expected value is its pattern.",
    )
    whole: bool = Field(
        False, title="Whole answer", description="The pattern must describe all of the answer."
    )
    ignore_case: bool = Field(True, title="Ignore case", description="Capital letters do not matter.")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            _compiled(value)
        except ValueError as error:
            raise ValueError(f"is no regular expression ({error})") from None
        return value


class Regex(Metric):
    """1 when a regular expression is found in the answer, else 0.

    >>> Regex(pattern=r"\\d{4}-\\d{2}-\\d{2}").compare(None, "due 2024-05-31").score
    1.0
    """

    name = "Regex"
    title = "Pattern (regular expression)"
    plain = "The answer is right when a pattern is found in it, such as a date or an order number."
    examples = (
        WorkedExample(r"\bQM-\d{4}\b", "Your order is QM-1234.", 1.0),
        WorkedExample(r"\bQM-\d{4}\b", "Your order is 1234.", 0.0),
        WorkedExample("yes|no", "yes, of course", 0.0, {"whole": True}),
    )
    pros = ("Checks a form that answers must have.", "Also works without labels: one pattern for every row.")
    cons = ("Patterns are hard to read and to get right.",)

    Options = RegexOptions

    options: RegexOptions

    def compare(self, expected: object, answer: object) -> Grade:
        """Grade one answer. Raises ConfigurationError for a pattern that is none, or that takes too long."""
        pattern = self.options.pattern or as_text(expected)
        try:
            compiled = _compiled(pattern, self.options.ignore_case)
        except ValueError as error:
            raise ConfigurationError(
                f"The expected value {quoted(pattern)} is no regular expression ({error}). Correct the data, or set one pattern."
            ) from None
        text = as_text(answer)[:_LONGEST]
        match = compiled.fullmatch if self.options.whole else compiled.search
        try:
            match_found = match(text, timeout=_MOST_SECONDS, concurrent=True)
        except TimeoutError:
            raise ConfigurationError(
                f"The pattern {quoted(pattern)} takes more than {_MOST_SECONDS:g} second on an answer. Write it without "
                "repetitions inside repetitions."
            ) from None
        if match_found:
            return Grade(1.0, "Correct.")
        verb = "be of" if self.options.whole else "contain"
        return Grade(0.0, f"The answer should {verb} the form {quoted(pattern)}; it was {quoted(answer)}.")


_ROUNDING = 1e-9


class NumberWithinOptions(MetricOptions):
    """Tolerance of the comparison."""

    tolerance: float = Field(
        0.0,
        ge=0,
        title="Tolerance",
        description="How far the answer may be off and still be right; 0 means not at all.",
    )
    relative: bool = Field(
        False,
        title="As a share",
        description="Read the tolerance as a share of the expected number: 0.05 is 5 percent.",
    )


class NumberWithin(Metric):
    """1 when the answer's number is close enough to the expected one, else 0.

    Of a text, its last number counts ("6 x 7 = 42 apples" is 42).

    >>> NumberWithin(tolerance=0.05, relative=True).compare(100, "about 104").score
    1.0
    """

    name = "NumberWithin"
    title = "Number within tolerance"
    plain = "The answer is right when its number is the expected one, or no further off than the tolerance allows."
    examples = (
        WorkedExample(42, "The total is 42 apples.", 1.0),
        WorkedExample(100, 104, 0.0),
        WorkedExample(100, 104, 1.0, {"tolerance": 0.05, "relative": True}),
    )
    pros = (
        "Right for amounts, counts and results of calculations.",
        "Units and words around the number do not matter.",
    )
    cons = ("Only the last number of a text is read.",)

    Options = NumberWithinOptions

    options: NumberWithinOptions
    readings = staticmethod(last_number)
    """The readings of a value's number."""

    def compare(self, expected: object, answer: object) -> Grade:
        """Grade one number, or a text that ends in one. Raises ConfigurationError when no number is expected."""
        wanted, got = self.readings(expected), self.readings(answer)
        if not wanted:
            raise ConfigurationError(
                f"The expected value {quoted(expected)} is not a number. Choose another metric or correct the data."
            )
        if not got:
            return Grade(0.0, f"Expected {expected}, but {quoted(answer)} holds no number.")
        tolerance, relative = self.options.tolerance, self.options.relative
        if numbers_near(wanted, got, tolerance, relative):
            return Grade(1.0, "Correct.")
        side = "high" if got[0] > wanted[0] else "low"
        allowed = tolerance * (abs(wanted[0]) if relative else 1.0)
        how_far = f", {abs(got[0] - wanted[0]):g} too {side}" + (
            f" where {allowed:g} off is allowed" if allowed else ""
        )
        return Grade(0.0, f"Expected {expected}, got {quoted(answer)}{how_far}.")


def numbers_near(
    wanted: Sequence[float], got: Sequence[float], tolerance: float = 0.0, relative: bool = False
) -> bool:
    """True if a reading of one number is near enough to a reading of the other; `relative`: as a share of the wanted one."""
    return any(
        abs(one - other) <= tolerance * (abs(one) if relative else 1.0) + _ROUNDING * max(1.0, abs(one))
        for one in wanted
        for other in got
    )


def number_in(value: object) -> float | None:
    """Return the number a value is, or the last one in its text, as it is read most likely; None without any.

    >>> number_in("$1,250.50 in all"), number_in("none"), number_in(-3)
    (1250.5, None, -3.0)
    """
    return next(iter(last_number(value)), None)
