"""Chooses one of a closed set of values: by an instruction's rules, by demos that vote, and by the labels' own names.

A sentence of the instruction that names an allowed value is evidence for that value. "Refunds go to retention, unless
it is a gift card: then billing." gives two rules and an exception. Lists ("billing: invoices, VAT"), headings, arrows,
"otherwise" and "even if" are understood modestly; of two rules that fit alike the earlier wins.
"""

from __future__ import annotations

import operator
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

from engine.lm.offline.copying import question_of
from engine.lm.offline.reading import Demo, Field, Prompt, shown
from engine.lm.offline.text import (
    COMMON,
    first_sentence,
    numbers_in,
    plain_number,
    similarities,
    stems,
    vote,
    word_stems,
)

Phrases = tuple[frozenset[str], ...]
"""Alternatives, each a set of stems."""


class Answer(NamedTuple):
    """A JSON value and why it was chosen."""

    value: Any
    why: str


@dataclass(frozen=True, slots=True)
class Rule:
    """Evidence for one label.

    Any of the `phrases` is enough (none at all: the label is for everything else), where one of `given` (if there are
    any) holds too; a whole phrase of `exceptions` switches the rule off.
    """

    label: str
    phrases: Phrases = ()
    given: Phrases = ()
    exceptions: Phrases = ()
    weight: float = 1.0
    sentence: str = ""

    def fit(self, present: frozenset[str]) -> float:
        """Return how far the rule fits a text with these stems, 0 to about 1.5."""
        if not self.phrases:
            return DEFAULT
        covers = sorted(((len(p & present) / len(p), len(p)) for p in self.phrases), reverse=True)
        cover, size = covers[0]
        # Two words that must come together say more than one, and several alternatives more than one of them.
        fit: float = cover**1.6 * (1 + 0.15 * (size - 1)) + 0.12 * sum(c == 1 for c, _ in covers[1:4])
        if self.given:
            fit *= max(*(len(p & present) / len(p) for p in self.given), 0.1)
        return fit * self.weight * (0.05 if any(p <= present for p in self.exceptions) else 1)


def choose(field: Field, prompt: Prompt, choices: tuple[str, ...]) -> Answer:
    """Return the choice that rules, demos and names together favour."""
    rules = rules_for(field, prompt, choices)
    examples, weight = _examples(prompt.demos, field.name, choices)
    question, present = question_of(prompt.inputs), frozenset(stems(prompt.text))
    scores = dict.fromkeys(choices, 0.0) | best_fits(prompt.text, rules)
    for label, share in vote(question, examples).items():
        scores[label] += EXAMPLES * share
    for label in choices:
        words = stems(label.replace("_", " "))
        scores[label] += weight * sum(w in present for w in words) / max(len(words), 1)
        scores[label] += prompt.noise()
    top = max(scores.values())
    # Of equals, one that depends on the text alone: the same on every machine.
    picked = random.Random(prompt.text + field.name).choice([c for c in choices if scores[c] >= top - 1e-9])
    return Answer(picked, _reason(picked, prompt.text, rules, question, examples))


@lru_cache(maxsize=512)
def _examples(
    demos: tuple[Demo, ...], name: str, choices: tuple[str, ...]
) -> tuple[tuple[tuple[str, str], ...], float]:
    """Return demos as (text, label), and what it counts that a text has a label's own name."""
    spelled = {c.casefold(): c for c in choices}
    known = [(demo, spelled.get(v.strip(" '\"\n").casefold())) for demo, v in shown(demos, name)]
    examples = tuple((question_of(demo.inputs), label) for demo, label in known if label is not None)
    return examples, NAMED if examples else NAMED_ALONE


def _reason(
    label: str, text: str, rules: Sequence[Rule], question: str, examples: Sequence[tuple[str, str]]
) -> str:
    present = frozenset(stems(text))
    fit, sentence = max(((r.fit(present), r.sentence) for r in rules if r.label == label), default=(0.0, ""))
    if fit >= 0.5:
        return f'the instruction says "{first_sentence(sentence)}"'
    alike = zip(similarities(question, tuple(t for t, _ in examples)), examples, strict=True)
    likeness, nearest = max(((n, t) for n, (t, own) in alike if own == label), default=(0.0, ""))
    if likeness > 0:
        return f'the most similar example of {label} is "{first_sentence(nearest, 90)}"'
    return "nothing in the prompt says more, so this is a guess"


def best_fits(text: str, rules: Sequence[Rule]) -> dict[str, float]:
    """Return each label's best fit among its rules.

    >>> rules = read_rules("Refunds go to sales unless it is a gift card.", ("sales", "desk"))
    >>> best_fits("I want a refund", rules), best_fits("refund my gift card", rules)
    ({'sales': 1.0}, {'sales': 0.05})
    """
    present = frozenset(stems(text))
    scores: dict[str, float] = {}
    for rule in rules:
        scores[rule.label] = max(scores.get(rule.label, 0.0), rule.fit(present))
    return scores


def rules_for(field: Field, prompt: Prompt, choices: tuple[str, ...]) -> tuple[Rule, ...]:
    """Return the rules that the prompt holds for these choices."""
    fields = (*prompt.task.inputs, *prompt.task.outputs)
    return read_rules(prompt.description(field), choices, tuple(f.name for f in fields))


@lru_cache(maxsize=1024)
def read_rules(instruction: str, choices: tuple[str, ...], names: tuple[str, ...] = ()) -> tuple[Rule, ...]:
    """Return the rules an instruction holds for these labels; `names` of fields are no evidence."""
    reader = _Reader(choices, frozenset(s for name in names for s in stems(name.replace("_", " "))))
    found: list[Rule] = []
    heading = None
    for line in _whole_lines(instruction):
        heading = heading if line.strip() else None
        for sentence in re.split(r"(?<=[.!?;])\s+", line.strip()):
            bare = re.sub(r"[*`]", "", _BULLET.sub("", sentence)).strip()
            rules = reader.rules(bare)
            if not rules and reader.label.match(bare):
                heading = bare.rstrip(" :")
            elif not rules and heading and _BULLET.match(sentence) and (phrases := reader.phrases(bare)[0]):
                rules = [Rule(heading, phrases)]
            found += [replace(r, label=reader.spelling(r.label), sentence=sentence) for r in rules]
    return tuple(replace(r, weight=r.weight * (1 - 0.12 * i / len(found))) for i, r in enumerate(found))


def _whole_lines(text: str) -> list[str]:
    """Return a text's lines, a sentence that was wrapped over several of them put on one."""
    lines: list[str] = []
    for line in text.splitlines():
        wrapped = lines and len(lines[-1]) > 55 and lines[-1].rstrip()[-1:] not in tuple(".!?:;")
        if wrapped and line.strip() and not _BULLET.match(line):
            lines[-1] = f"{lines[-1].rstrip()} {line.strip()}"
        else:
            lines.append(line)
    return lines


class _Reader:
    """Reads sentences for one set of labels."""

    def __init__(self, choices: tuple[str, ...], names: frozenset[str]) -> None:
        self._ignored = _EMPTY_WORDS | names | COMMON
        self._choices = {_plain(choice): choice for choice in choices if _plain(choice)}
        forms = sorted(self._choices, key=len, reverse=True)
        body = "|".join(r"[\W_]+".join(map(re.escape, form.split())) for form in forms) or r"(?!)"
        self.label = re.compile(rf"\b(?:{body})\b", re.IGNORECASE)

    def spelling(self, label: str) -> str:
        """Return a label as the choices spell it."""
        return self._choices.get(_plain(label), label)

    def rules(self, sentence: str) -> list[Rule]:
        """Return the rules of one sentence, its exceptions among them."""
        first, *rest = _CLAUSE.split(_EVEN_IF.sub(" ", sentence))
        rules = self._assignments(first)
        condition = () if rules else self.phrases(first)[0]
        default = _ELSE.search(sentence) is not None
        for marker, clause in zip(rest[::2], rest[1::2], strict=True):
            word = marker.strip(" ,;:.-").casefold()
            inner = self._assignments(clause)
            if word == "otherwise" and rules and rules[0].given:
                # The same cases, where the condition of the sentence does not hold.
                inner = [replace(r, phrases=rules[0].phrases, weight=0.7) for r in inner]
            elif word == "then" and inner and not inner[0].phrases:
                # "unless a parcel comes up: then X" is about both clauses; "if a parcel comes up, then X" too.
                inner = [replace(inner[0], phrases=condition, given=rules[0].phrases if rules else ())]
            elif word.startswith(("unless", "except", "apart", "but not", "other than")):
                condition = inner[0].phrases if inner else self.phrases(clause)[0]
                rules = [replace(r, exceptions=r.exceptions + condition) for r in rules]
            rules += inner
        return [r for r in rules if r.phrases or default]

    def _assignments(self, text: str) -> list[Rule]:
        """Return one rule for each label a clause names, with the words next to it as evidence."""
        named = [m for m in self.label.finditer(text) if not _DENIED.search(text[: m.start()])]
        if not named:
            return []
        if re.search(r"\w", text[: named[0].start()]) is None:
            starts, ends = [m.end() for m in named], [*(m.start() for m in named[1:]), len(text)]
        else:
            starts, ends = [0, *(m.end() for m in named[:-1])], [*(m.start() for m in named[:-1]), len(text)]
        rules = [
            Rule(m[0], *self.phrases(self.label.sub(" ", text[start:end])))
            for m, start, end in zip(named, starts, ends, strict=True)
        ]
        # A bare list of the allowed values is no evidence.
        bare = len(rules) > 2 and sum(not r.phrases for r in rules) > len(rules) / 2
        return [] if bare else rules

    def phrases(self, text: str) -> tuple[Phrases, Phrases]:
        """Return the alternatives a clause lists, and what must hold besides ("outages reported by gold customers")."""
        given: Phrases = ()
        for tail in _CONDITION.finditer(text):
            before, condition = text[: tail.start()], self._content(tail[1])
            # After a comma or "and" it is one more alternative, no condition.
            if condition and self._content(before) and not re.search(r"(?:,|\band|\bor)\s*$", before):
                text, given = before, (condition,)
                break
        separator = _SEPARATOR if re.match(r"\s*(?:if|when|where)\b", text, re.I) else _SEPARATOR_AND
        found = (self._content(part) for part in separator.split(text))
        return tuple(dict.fromkeys(p for p in found if p)), given

    def _content(self, text: str) -> frozenset[str]:
        """Return the stems of a phrase that are evidence; quoted words are, however common they are."""
        quoted = frozenset(s for said in _QUOTE.findall(text) for s in stems(said))
        return quoted or frozenset(stems(text)) - self._ignored


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text.casefold()).strip()


# What counts next to a rule that fits (1.0): the demos' votes, being the value for everything else, and a label's
# own name in the text (without demos, with some).
EXAMPLES, DEFAULT, NAMED_ALONE, NAMED = 0.2, 0.3, 0.4, 0.3
_QUOTE = re.compile(r"(?<!\w)['\"\u201c]([^'\"\u201c\u201d\n]{1,40})['\"\u201d](?!\w)")
_CLAUSE = re.compile(
    r"([^\w'\"\u201d]+(?:unless|except(?: when| if| for| that)?|but not|apart from|other than|otherwise|then)\b"
    r"|^otherwise\b|; |, but\b)",
    re.I,
)
_SEPARATOR = re.compile(r"[,;:/()]|\bor\b|→|->|=>|\u2013|\u2014", re.I)
_SEPARATOR_AND = re.compile(rf"{_SEPARATOR.pattern}|\+|\band\b", re.I)
_CONDITION = re.compile(
    r"\b(?:(?:reported|sent|asked|made|raised|written)? ?\b(?:from|by)|only (?:if|when|for)|if|when) ([^,;:.]*)",
    re.I,
)
_EVEN_IF = re.compile(
    r"[,(]?\s*\b(?:even (?:if|when|though)|regardless of|no matter|whatever)\b[^,;:.)]*[,)]?", re.I
)
_DENIED = re.compile(r"\b(?:not|never|n't|rather than|instead of|isn't|than)\b[^,.;:]{0,12}$", re.I)
_ELSE = re.compile(
    r"\b(?:(?:every|any|some)thing|all|any) else|\botherwise|\bthe rest\b|\bby default|\bin doubt", re.I
)
_BULLET = re.compile(r"^\s*(?:[-*•]|#+|\d+[.)])\s*")
_EMPTY_WORDS = word_stems("""
    message text mention contain say ask answer about label class category choose use pick route send sent assign mark put
    handle treat count belong rule question request word phrase case example customer user writer person everything
    otherwise first operation mean instead unless except kind include such concern
    """)
"""Words with which instructions are written, and that are no evidence."""


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
