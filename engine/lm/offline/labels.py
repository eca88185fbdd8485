"""Chooses one of a closed set of values: by an instruction's rules, by demos that vote, and by the labels' own names.

A sentence of the instruction that names an allowed value is evidence for that value. "Refunds go to retention, unless
it is a gift card: then billing." gives two rules and an exception. Lists ("billing: invoices, VAT"), arrows,
"otherwise" and "even if" are understood modestly; of two rules that fit alike the earlier wins.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

from engine.lm.offline.copying import question_of
from engine.lm.offline.reading import PromptContent, PromptField, shown
from engine.lm.offline.text import COMMON, first_sentence, similarities, stems, vote, word_stems

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


def choose(field: PromptField, prompt: PromptContent, choices: tuple[str, ...]) -> Answer:
    """Return the choice that rules, demos and names together favour."""
    spelled = {choice.casefold(): choice for choice in choices}
    known = ((demo, spelled.get(v.strip(" '\"\n").casefold())) for demo, v in shown(prompt.demos, field.name))
    examples = [(question_of(demo.inputs), label) for demo, label in known if label is not None]
    rules = rules_for(field, prompt, choices)
    fits, votes = best_fits(prompt.text, rules), vote(question_of(prompt.inputs), examples)
    present, named = frozenset(stems(prompt.text)), NAMED if examples else NAMED_ALONE
    scores = {}
    for label in choices:
        words = stems(label.replace("_", " "))
        name = named * sum(word in present for word in words) / max(len(words), 1)
        scores[label] = fits.get(label, 0.0) + EXAMPLES * votes.get(label, 0.0) + name + prompt.noise()
    top = max(scores.values())
    # Of equals, one that depends on the text alone: the same on every machine.
    label = random.Random(prompt.text + field.name).choice([c for c in choices if scores[c] >= top - 1e-9])
    fit, sentence = max(((r.fit(present), r.sentence) for r in rules if r.label == label), default=(0.0, ""))
    if fit >= 0.5:
        return Answer(label, f'the instruction says "{first_sentence(sentence)}"')
    same = tuple(text for text, shown_label in examples if shown_label == label)
    likeness, text = max(
        zip(similarities(question_of(prompt.inputs), same), same, strict=True), default=(0.0, "")
    )
    if likeness > 0:
        return Answer(label, f'the most similar example of {label} is "{first_sentence(text, 90)}"')
    return Answer(label, "nothing in the prompt says more, so this is a guess")


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


def rules_for(field: PromptField, prompt: PromptContent, choices: tuple[str, ...]) -> tuple[Rule, ...]:
    """Return the rules that the prompt holds for these choices."""
    return read_rules(
        prompt.description(field), choices, tuple(f.name for f in (*prompt.given, *prompt.wanted))
    )


@lru_cache(maxsize=1024)
def read_rules(instruction: str, choices: tuple[str, ...], names: tuple[str, ...] = ()) -> tuple[Rule, ...]:
    """Return the rules an instruction holds for these labels; `names` of fields are no evidence."""
    reader = _Reader(choices, frozenset(s for name in names for s in stems(name.replace("_", " "))))
    rules = [
        replace(rule, label=reader.spelling(rule.label), sentence=sentence)
        for line in _whole_lines(instruction)
        for sentence in re.split(r"(?<=[.!?;])\s+", line.strip())
        for rule in reader.rules(re.sub(r"[*`]", "", _BULLET.sub("", sentence)).strip())
    ]
    return tuple(replace(r, weight=r.weight * (1 - 0.12 * i / len(rules))) for i, r in enumerate(rules))


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
        self._label = re.compile(rf"\b(?:{body})\b", re.IGNORECASE)

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
        named = [m for m in self._label.finditer(text) if not _DENIED.search(text[: m.start()])]
        if not named:
            return []
        if re.search(r"\w", text[: named[0].start()]) is None:
            starts, ends = [m.end() for m in named], [*(m.start() for m in named[1:]), len(text)]
        else:
            starts, ends = [0, *(m.end() for m in named[:-1])], [*(m.start() for m in named[:-1]), len(text)]
        return [
            Rule(m[0], *self.phrases(self._label.sub(" ", text[start:end])))
            for m, start, end in zip(named, starts, ends, strict=True)
        ]

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
        contents = (self._content(part) for part in separator.split(text))
        return tuple(dict.fromkeys(p for p in contents if p)), given

    def _content(self, text: str) -> frozenset[str]:
        """Return the stems of a phrase that are evidence; quoted words are, however common they are."""
        quoted = frozenset(s for quote in _QUOTE.findall(text) for s in stems(quote))
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
