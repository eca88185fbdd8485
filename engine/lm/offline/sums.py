"""Sums of the numbers in a text: the operation by an instruction's rules, by solved examples and by everyday words."""

from __future__ import annotations

import operator
from collections.abc import Sequence

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
    used = numbers if steps and len(numbers) <= 4 else numbers[:2]
    examples = [(q, sign) for q, answer in solved if (sign := sign_between(numbers_in(q), answer))]
    scores = sign_scores(question, examples, instruction)
    results = ((_result(sign, used), sign) for sign in sorted(scores, key=lambda sign: -scores[sign]))
    return next(
        ((value, expression(sign, used)) for value, sign in results if value is not None and value >= 0), None
    )


def sign_scores(question: str, examples: Sequence[tuple[str, str]], instruction: str) -> dict[str, float]:
    """Return how much speaks for each sign; `examples` are (question, sign).

    >>> scores = sign_scores("How much do 3 pens cost, each at 2 euros?", (), "")
    >>> max(scores, key=scores.get)
    '*'
    """
    scores = dict.fromkeys(_COMPUTE, 0.0) | {"+": 0.05}
    for weight, text in ((0.8, instruction), (0.4, _EVERYDAY_WORDS)):
        for name, fit in best_fits(question, read_rules(text, tuple(SIGNS))).items():
            scores[SIGNS[name]] += weight * fit
    for sign, share in vote(question, examples).items():
        scores[sign] += 0.5 * share
    return scores


def sign_between(numbers: Sequence[float], answer: float) -> str | None:
    """Return the sign that makes an answer of some numbers, if there is one.

    >>> sign_between((3.0, 12.0), 4.0)
    '/'
    """
    results = ((sign, _result(sign, numbers)) for sign in _COMPUTE if len(numbers) <= 4)
    return next((sign for sign, value in results if value is not None and abs(value - answer) < 0.006), None)


def expression(sign: str, numbers: Sequence[float]) -> str:
    """Return numbers with a sign between them: "12 / 3"."""
    return f" {sign} ".join(map(plain_number, _ordered(sign, numbers)))


def _result(sign: str, numbers: Sequence[float]) -> float | None:
    """Return what two or more numbers make from left to right, None where it cannot be computed."""
    first, *others = _ordered(sign, numbers) or (0.0,)
    if not others or (sign == "/" and 0 in others):
        return None
    for number in others:
        first = _COMPUTE[sign](first, number)
    return first


def _ordered(sign: str, numbers: Sequence[float]) -> Sequence[float]:
    """Return two numbers with the larger first where the order matters."""
    return sorted(numbers, reverse=True) if sign in "-/" and len(numbers) == 2 else numbers


SIGNS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}
"""Names of operations -> their signs."""
_COMPUTE = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
_EVERYDAY_WORDS = """
Add: 'altogether', 'total', 'more', 'all'.
Subtract: 'left', 'remain', 'less'.
Multiply: 'each', 'every', 'per'.
Divide: 'split', 'share', 'equally'.
"""
"""Words that call for an operation, written as an instruction."""
