"""Solves short word problems: finds the numbers, chooses an operation, computes.

The operation comes from demonstrations (which expression over their numbers gives their answer?), from an
instruction that names it ("'altogether' means add"), and last from a few cue words. Knows numbers and words;
nothing of prompts.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

from engine.lm.offline.neighbours import remember, vote
from engine.lm.offline.rules import judge, read_rules
from engine.lm.offline.words import stem_set


@dataclass(frozen=True, slots=True)
class Solution:
    """A number, the expression it came from, and what decided."""

    value: float
    expression: str
    because: str


def solve(
    question: str, solved: tuple[tuple[str, float], ...], instruction: str, *, steps: bool
) -> Solution | None:
    """Return the answer to a word problem, or None where it holds no two numbers.

    `solved` are demonstrations (question, answer). `steps` allows expressions of more than one operation.

    >>> solve("Ana has 3 pens and buys 4 more. How many in all?", (), "", steps=False).value
    7.0
    """
    numbers = numbers_in(question)
    if len(numbers) < 2:
        return None
    used = numbers if steps and len(numbers) <= 4 else numbers[:2]
    scores: dict[str, float] = {}
    taught = _taught(solved, len(used))
    if taught is not None:
        row = (("question", question),)
        votes = vote(row, remember(tuple((("question", q),) for q, _ in taught), tuple(t for _, t in taught)))
        best = max(votes.scores.values(), default=0.0) or 1.0
        trust = min(1.0, votes.closest[1] / 0.3)
        scores = {t: 1.2 * trust * s / best for t, s in votes.scores.items()}
    shown = bool(scores)
    for template, weight in _cued(question, instruction, used).items():
        scores[template] = scores.get(template, 0.0) + weight
    for template in sorted(scores, key=lambda t: -scores[t]):
        value = evaluate(template, used)
        if value is not None and value >= 0:
            because = "the operation of the most similar example" if shown else "the words of the question"
            return Solution(value, _written(template, used), because)
    return None


def numbers_in(text: str) -> tuple[float, ...]:
    """Return the numbers of a text in order, those in words included.

    >>> numbers_in("Three boxes of 1,200 nails, 2.5 kg, twice")
    (3.0, 1200.0, 2.5, 2.0)
    """
    found = []
    for match in _NUMBER.finditer(text.casefold()):
        word = match[0]
        if len(word) > 18:  # an order number or the like, nothing to compute with
            continue
        found.append(float(_WORDS[word]) if word in _WORDS else float(word.replace(",", "")))
    return tuple(found)


def evaluate(template: str, numbers: Sequence[float]) -> float | None:
    """Return a template's value over numbers, None where it cannot be computed. "a*b+c" reads left to right."""
    order, signs = template.split("|")
    if len(order) != len(numbers):
        return None
    values = [numbers[int(i)] for i in order]
    result = values[0]
    for sign, value in zip(signs, values[1:], strict=True):
        if sign in "/" and value == 0:
            return None
        result = _OPERATIONS[sign](result, value)
    return result


def named_operation(question: str, answer: float) -> str | None:
    """Return the one operation ("add" ...) that makes an answer of a question's two numbers, if there is one."""
    numbers = numbers_in(question)
    if len(numbers) != 2:
        return None
    fitting = [t for t in _templates(2) if _close(evaluate(t, numbers), answer)]
    return dict(zip("+-*/", _NAMES, strict=False)).get(fitting[0][-1]) if fitting else None


def expression_for(
    question: str,
    numbers: tuple[float, float],
    shown: tuple[tuple[str, str], ...],
    instruction: str,
    likely: dict[str, float] | None = None,
) -> str:
    """Return two numbers with the sign between them that a question calls for, the larger first in - and /.

    `shown` are (question, sign) of solved examples; the instruction may name operations; `likely` are further weights.

    >>> expression_for("How much do 3 pens cost, each at the price found?", (3.0, 2.5), (), "")
    '3 * 2.5'
    """
    scores = {template[-1]: weight for template, weight in _cued(question, instruction, numbers).items()}
    for sign, weight in (likely or {}).items():
        scores[sign] = scores.get(sign, 0.0) + weight
    if shown:
        row = (("question", question),)
        votes = vote(row, remember(tuple((("question", q),) for q, _ in shown), tuple(s for _, s in shown)))
        best = max(votes.scores.values(), default=0.0) or 1.0
        for sign, share in votes.scores.items():
            scores[sign] = scores.get(sign, 0.0) + 1.2 * min(1.0, votes.closest[1] / 0.3) * share / best
    sign = max(scores, key=lambda s: scores[s])
    swap = sign in "-/" and numbers[0] < numbers[1]
    return _written(f"{'10' if swap else '01'}|{sign}", numbers)


def copied_number(text: str, shown: tuple[tuple[str, float], ...]) -> float | None:
    """Return the number of a text that stands among the words beside which the examples' numbers stand.

    None where the examples' numbers are mostly not to be found in their texts.

    >>> copied_number("A table for six, at 19:30", (("A table for 4 on Monday", 4.0), ("Table for 2, please", 2.0)))
    6.0
    """
    taught = [beside for source, value in shown for n, *beside in _placed(source) if n == value]
    if len(taught) < 0.6 * len(shown):
        return None
    best, found = 0.0, None
    for number, *beside in _placed(text):
        score = sum(sum(a == b for a, b in zip(beside, lesson, strict=True)) for lesson in taught)
        if score > best:
            best, found = score, number
    return found


@lru_cache(maxsize=4096)
def _placed(text: str) -> tuple[tuple[float, str, str, str], ...]:
    """A text's numbers, each with the two words before it and the one after."""
    found = []
    for match in _NUMBER.finditer(text.casefold()):
        value = numbers_in(match[0])
        before = ["^", "^", *re.findall(r"[^\W\d]+", text[: match.start()].casefold())]
        after = re.match(r"\W*([^\W\d]+)", text[match.end() :].casefold())
        stuck = (
            text[match.start() - 1 : match.start()] in tuple("-:./")
            or text[match.end() : match.end() + 1] == ":"
        )
        if value and not stuck:
            found.append((value[0], before[-2], before[-1], after[1] if after else "$"))
    return tuple(found)


def plain_number(value: float) -> str:
    """Return a number without needless digits: "7", "2.5"."""
    rounded = round(value, 2)
    return str(int(rounded)) if rounded == int(rounded) else f"{rounded:g}"


def _written(template: str, numbers: Sequence[float]) -> str:
    order, signs = template.split("|")
    text = plain_number(numbers[int(order[0])])
    for sign, i in zip(signs, order[1:], strict=True):
        text += f" {_SHOWN_SIGNS.get(sign, sign)} {plain_number(numbers[int(i)])}"
    return text


@lru_cache(maxsize=256)
def _taught(solved: tuple[tuple[str, float], ...], count: int) -> tuple[tuple[str, str], ...] | None:
    """Return (question, template) of the demonstrations that an expression over `count` numbers explains."""
    found = []
    for question, answer in solved:
        numbers = numbers_in(question)
        if len(numbers) == count:
            fitting = [t for t in _templates(count) if _close(evaluate(t, numbers), answer)]
            if fitting:
                found.append((question, fitting[0]))
    return tuple(found) or None


def _close(value: float | None, answer: float) -> bool:
    return value is not None and abs(value - answer) < 0.006


@lru_cache(maxsize=8)
def _templates(count: int) -> tuple[str, ...]:
    """Return every left-to-right expression over `count` numbers, the plainest first."""
    orders = {2: ("01", "10"), 3: ("012", "120", "021", "201"), 4: ("0123", "1230", "0132")}.get(count, ())
    signs = ["".join(s) for s in product("+-*/%", repeat=count - 1)]
    found = [f"{order}|{s}" for s in signs for order in orders]
    return tuple(t for t in found if not (count == 2 and t in ("10|+", "10|*")))


def _cued(question: str, instruction: str, numbers: Sequence[float]) -> dict[str, float]:
    """Return templates with weights from cue words and from the instruction's sentences about operations."""
    named = judge(question, read_rules(instruction, _NAMES, ())).scores
    present = stem_set(question)
    weights = dict.fromkeys("+-*/", 0.0)
    for sign, cues in _CUES.items():
        weights[sign] = 0.35 * min(2, sum(1 for cue in cues if cue in present))
    for name, score in named.items():
        weights[_NAMED[name]] += 0.8 * score
    weights["+"] += 0.05
    ranked = sorted(weights, key=lambda s: -weights[s])
    if len(numbers) == 2:
        return {f"{'10' if numbers[0] < numbers[1] and s in '-/' else '01'}|{s}": weights[s] for s in ranked}
    rest = len(numbers) - 1
    order = "".join(str(i) for i in range(len(numbers)))
    return {
        f"{order}|{a}{b * (rest - 1)}": (weights[a] + weights[b]) / 2 for a, b in product(ranked, repeat=2)
    }


_OPERATIONS: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": lambda a, b: a * b / 100,
}
_SHOWN_SIGNS = {"%": "percent of"}
_NAMES = ("add", "subtract", "multiply", "divide", "sum", "difference", "product", "minus", "plus", "times")
_NAMED = dict(zip(_NAMES, "+-*/+-*-+*", strict=True))
_CUES = {
    "+": ("altogether", "total", "more", "all", "combin", "plu", "sum"),
    "-": ("left", "remain", "still", "fewer", "less", "awa", "differenc", "minu"),
    "*": ("each", "every", "per", "tim", "twic", "doubl", "box"),
    "/": ("split", "shar", "equal", "equall", "divid", "half"),
}
_COUNTED = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty"
)
_WORDS = {word: value for value, word in enumerate(_COUNTED.split()) if word != "one"} | {
    "dozen": 12,
    "twice": 2,
    "double": 2,
    "triple": 3,
    "half": 0.5,
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
}
_NUMBER = re.compile(rf"\d[\d,]*(?:\.\d+)?(?<!,)|\b(?:{'|'.join(_WORDS)})\b")
