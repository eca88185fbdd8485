"""Solves short word problems: chooses a sign and computes from left to right.

The sign comes from solved examples, from an instruction that names it ("'altogether' means add"), and last from a few
words of plain English. Knows numbers and words; nothing of prompts.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence

from engine.lm.offline.labels import best_fits, read_rules
from engine.lm.offline.text import numbers_in, plain_number, vote


def solve(
    question: str, solved: Sequence[tuple[str, float]], instruction: str, *, steps: bool
) -> tuple[float, str] | None:
    """Return the answer to a word problem and the sum that makes it, or None where it holds no two numbers.

    `solved` are examples (question, answer). With `steps` up to four numbers are used, else two.

    >>> solve("Ana has 3 pens and buys 4 more. How many in all?", (), "", steps=False)
    (7.0, '3 + 4')
    """
    numbers = numbers_in(question)
    if len(numbers) < 2:
        return None
    used = numbers if steps and len(numbers) <= 4 else numbers[:2]
    shown = [(q, sign) for q, answer in solved if (sign := sign_between(numbers_in(q), answer))]
    scores = sign_scores(question, shown, instruction)
    for sign in sorted(scores, key=lambda s: -scores[s]):
        value = _value(sign, used)
        if value is not None and value >= 0:
            return value, expression(sign, used)
    return None


def sign_scores(question: str, shown: Sequence[tuple[str, str]], instruction: str) -> dict[str, float]:
    """Return how much speaks for each sign; `shown` are (question, sign) of solved examples.

    >>> scores = sign_scores("How much do 3 pens cost, each at 2 euros?", (), "")
    >>> max(scores, key=scores.get)
    '*'
    """
    scores = dict.fromkeys(_COMPUTE, 0.0) | {"+": 0.05}
    for weight, text in ((0.8, instruction), (0.4, _COMMON_WORDS)):
        for name, fit in best_fits(question, read_rules(text, tuple(SIGNS))).items():
            scores[SIGNS[name]] += weight * fit
    for sign, share in vote(question, shown).items():
        scores[sign] += 0.5 * share
    return scores


def sign_between(numbers: Sequence[float], answer: float) -> str | None:
    """Return the sign that makes an answer of some numbers, if there is one.

    >>> sign_between((3.0, 12.0), 4.0)
    '/'
    """
    made = {sign: _value(sign, numbers) for sign in _COMPUTE} if 2 <= len(numbers) <= 4 else {}
    return next(
        (sign for sign, value in made.items() if value is not None and abs(value - answer) < 0.006), None
    )


def expression(sign: str, numbers: Sequence[float]) -> str:
    """Return numbers with a sign between them: "12 / 3"."""
    return f" {sign} ".join(map(plain_number, _ordered(sign, numbers)))


def _value(sign: str, numbers: Sequence[float]) -> float | None:
    """Return what numbers make from left to right, None where it cannot be computed."""
    result, *others = _ordered(sign, numbers)
    for number in others:
        if sign == "/" and number == 0:
            return None
        result = _COMPUTE[sign](result, number)
    return result


def _ordered(sign: str, numbers: Sequence[float]) -> Sequence[float]:
    """Return two numbers with the larger first where the order matters."""
    return sorted(numbers, reverse=True) if sign in "-/" and len(numbers) == 2 else numbers


SIGNS: Mapping[str, str] = {
    "add": "+", "subtract": "-", "multiply": "*", "divide": "/", "sum": "+", "plus": "+", "difference": "-",
    "minus": "-", "product": "*", "times": "*",
}  # fmt: skip
"""Names of operations -> their signs, the four of rules first."""
_COMPUTE: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
_COMMON_WORDS = """
Add: 'altogether', 'total', 'more', 'all'.
Subtract: 'left', 'remain', 'less'.
Multiply: 'each', 'every', 'per'.
Divide: 'split', 'share', 'equally'.
"""
"""Words that call for an operation, written as an instruction."""
