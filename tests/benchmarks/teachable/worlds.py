"""The hidden worlds of the teachable model: rules, rows and what a model knows without being taught.

A world is drawn from a task's name and a seed, so that server and clients draw the same one. Standard library
only: the peer's interpreter imports it too. It knows no prompt.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache


@dataclass(frozen=True)
class Rule:
    """Where all `words` occur in a step's input, `field` is `value`. `known`: the model needs no teaching."""

    field: str
    words: tuple[str, ...]
    value: str
    weight: float
    known: bool = False


@dataclass(frozen=True)
class Step:
    """One step of the program: what it reads and writes."""

    name: str
    instructions: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class World:
    """One task: its steps, its rules, the values each field can have, and the labelled outputs."""

    name: str
    steps: tuple[Step, ...]
    rules: tuple[Rule, ...]
    values: Mapping[str, tuple[str, ...]]
    labels: tuple[str, ...]
    rows: Mapping[str, Sequence[Mapping[str, str]]] = field(default_factory=dict)


SIZES = {"train": 100, "validation": 100, "test": 400}
TASKS = ("classify", "two_step", "extract", "nothing")

_FILLER = [
    "please",
    "kindly",
    "today",
    "about",
    "again",
    "with",
    "from",
    "under",
    "window",
    "morning",
    "paper",
    "station",
    "little",
    "garden",
    "second",
    "follow",
    "because",
    "matter",
    "ahead",
    "number",
    "forward",
    "small",
    "several",
    "during",
    "across",
    "behind",
    "often",
    "street",
    "corner",
    "return",
    "handle",
    "between",
    "evening",
    "present",
    "before",
    "regular",
    "another",
    "version",
    "certain",
    "expect",
    "during",
    "general",
    "further",
    "market",
]
_VALUES = {
    "label": ("billing", "shipping", "technical", "returns", "account"),
    "topic": ("harbour", "meadow", "quarry", "orchard", "lantern", "saddle"),
    "team": ("amber", "cobalt", "crimson", "ivory"),
    "category": ("hardware", "software", "travel", "catering", "training"),
    "region": ("northern", "southern", "eastern", "western"),
    "tone": ("calm", "angry", "worried"),
    "verdict": ("alpha", "beta", "gamma", "delta"),
}


@cache
def world(task: str, seed: int) -> World:
    """Return the world of a task, e.g. ("classify", 0)."""
    rng = random.Random(f"{task}:{seed}")
    made = {"classify": _classify, "two_step": _two_step, "extract": _extract, "nothing": _nothing}[task](rng)
    numbers = iter(rng.sample(range(1000, 9999), sum(SIZES.values())))
    rows = {split: [_row(made, next(numbers), rng) for _ in range(n)] for split, n in SIZES.items()}
    return World(f"{task}.{seed}", made.steps, made.rules, made.values, made.labels, rows)


def applying(made: World, name: str, words: frozenset[str]) -> Rule | None:
    """Return the most specific rule for a field among words, if one applies."""
    found = [r for r in made.rules if r.field == name and words.issuperset(r.words)]
    return max(found, key=lambda r: len(r.words), default=None)


def _classify(rng: random.Random) -> World:
    rules = _rules("label", 30, rng, known=0.25)
    for common in rules[:4]:
        other = rng.choice([v for v in _VALUES["label"] if v != common.value])
        rules.append(Rule("label", (common.words[0], _word(rng)), other, common.weight / 3))
    step = Step("route", "Choose the label of the ticket.", ("text",), ("label",))
    return World("", (step,), tuple(rules), {"label": _VALUES["label"]}, ("label",))


def _two_step(rng: random.Random) -> World:
    rules = _rules("topic", 20, rng, known=0.2)
    for i, topic in enumerate(_VALUES["topic"]):
        team = _VALUES["team"][i] if i < 4 else rng.choice(_VALUES["team"])
        rules.append(Rule("team", (topic,), team, 0.0, known=i % 2 == 0))
    steps = (
        Step("first", "Name the topic of the ticket.", ("text",), ("topic",)),
        Step("second", "Name the team that handles the topic.", ("topic",), ("team",)),
    )
    return World("", steps, tuple(rules), {n: _VALUES[n] for n in ("topic", "team")}, ("team",))


def _extract(rng: random.Random) -> World:
    names = ("category", "region", "tone")
    rules = [r for name in names for r in _rules(name, 10, rng, known=0.2)]
    rules.append(Rule("amount", (), "plain", 0.0))
    writes = (*names, "amount")
    step = Step("extract", "Fill in the form about the ticket.", ("text",), writes)
    return World("", (step,), tuple(rules), {n: _VALUES[n] for n in names}, writes)


def _nothing(rng: random.Random) -> World:
    step = Step("judge", "Give the verdict on the ticket.", ("text",), ("verdict",))
    return World("", (step,), (), {"verdict": _VALUES["verdict"]}, ("verdict",))


def _rules(name: str, n: int, rng: random.Random, known: float) -> list[Rule]:
    """`n` rules, the first far more frequent than the last; some are known without teaching."""
    values = _VALUES[name]
    return [
        Rule(
            name,
            (_word(rng),),
            values[i] if i < len(values) else rng.choice(values),
            (i + 2) ** -0.8,
            rng.random() < known,
        )
        for i in range(n)
    ]


def _word(rng: random.Random) -> str:
    """An invented word of three syllables: none is like an ordinary one."""
    return "".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(3)) + rng.choice("xqz")


def _row(made: World, number: int, rng: random.Random) -> dict[str, str]:
    """A row: filler words with the words of one rule for each field, and the right outputs."""
    words = rng.choices(_FILLER, k=rng.randint(10, 16))
    for name in made.steps[0].writes:
        rules = [r for r in made.rules if r.field == name and r.weight]
        if rules:
            for word in rng.choices(rules, [r.weight for r in rules])[0].words:
                words.insert(rng.randrange(1, len(words)), word)
    row: dict[str, str] = {}
    if "amount" in made.labels:
        amount = rng.randint(10_000, 9_999_999) / 100
        words.insert(rng.randrange(1, len(words)), f"{amount:,.2f}")
        row["amount"] = f"{amount:.2f}"
    text = f"Ticket {number}: {' '.join(words)}"
    have = {"text": text}
    for step in made.steps:
        seen = frozenset(" ".join(have[n] for n in step.reads).split())
        for name in step.writes:
            rule = applying(made, name, seen)
            if rule is not None and rule.words:
                have[name] = rule.value
    if not made.rules:
        have["verdict"] = rng.choice(made.values["verdict"])
    return {"text": text, **{n: have.get(n) or row[n] for n in made.labels}}
