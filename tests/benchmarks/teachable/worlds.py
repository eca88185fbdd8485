"""The hidden worlds of the teachable model: rules, rows and what a model knows without being taught.

A world is drawn from a task's name and a seed, so that server and clients draw the same one. Standard library
only: the peer's interpreter imports it too. It knows no prompt.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Rule:
    """A rule: if all `words` occur in a step's input, `field` is `value`. `known`: the model needs no teaching."""

    field: str
    words: tuple[str, ...]
    value: str
    weight: float
    known: bool = False


@dataclass(frozen=True)
class Step:
    """One step of the program: what it reads and writes. Free text that it writes speaks of the `points`."""

    name: str
    instructions: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    points: tuple[str, ...] = ()

    @property
    def decides(self) -> tuple[str, ...]:
        """The outputs that rules of this step set, or the points of its free text."""
        return self.points or self.writes


@dataclass(frozen=True)
class Nature:
    """Peculiarities of a world.

    Of the rules that a writer adds, `wrong_rules` have a wrong value. Each rule and example in a prompt beyond
    `free_load` costs `load` of the chance to be right, `most_load` in all; each example off the topic costs `distraction`.
    `label_noise` of the training and validation rows have a wrong label, and `judge_noise` of the answers get the opposite
    of their score. `off_topic` of the training rows belong to another task. Reasoning first adds `thinking` to the chance
    (if negative: takes it away), and the program does it from the start where it hurts. `together`: a rule is followed where it
    is both stated and shown. `agent`: the program is an agent that calls one tool, named by the first step, and then answers.
    """

    wrong_rules: float = 0.04
    load: float = 0.0015
    free_load: int = 12
    most_load: float = 0.1
    distraction: float = 0.0
    label_noise: float = 0.0
    judge_noise: float = 0.0
    off_topic: float = 0.0
    thinking: float = 0.0
    together: bool = False
    agent: bool = False


@dataclass(frozen=True, eq=False)
class World:
    """One task: its steps, its rules, the values each field can have, and the labelled outputs (none: feedback only)."""

    name: str
    steps: tuple[Step, ...]
    rules: tuple[Rule, ...]
    values: Mapping[str, tuple[str, ...]]
    labels: tuple[str, ...]
    nature: Nature = Nature()
    sizes: tuple[int, int] = (100, 100)
    rows: Mapping[str, Sequence[Mapping[str, str]]] = field(default_factory=dict)


TEST_ROWS = 400
TASKS = ("classify", "two_step", "extract", "nothing")
MORE_TASKS = (
    "feedback",
    "liar",
    "noisy_labels",
    "off_topic",
    "long_hurts",
    "exceptions",
    "many_labels",
    "noisy_judge",
    "fifteen",
    "three_steps",
    "think_helps",
    "think_hurts",
    "together",
    "agent",
)
KEPT_TASKS = ("kept_reply", "kept_chain")
"""Not to be looked at by the one who tunes an optimizer, until the end."""

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
    "verdict": ("alpha", "beta", "gamma", "delta"),
    "remedy": ("refund", "exchange", "repair", "voucher", "apology", "callback"),
    "tone": ("calm", "angry", "worried"),
    "manner": ("formal", "warm", "brief", "cheerful", "solemn"),
    "closing": ("regards", "cheers", "sincerely", "yours", "farewell", "greetings"),
    "queue": ("falcon", "heron", "osprey", "plover", "raven", "swift"),
    "desk": ("granite", "willow", "harvest", "beacon", "copper", "velvet"),
}


@cache
def world(task: str, seed: int) -> World:
    """Return the world of a task, e.g. ("classify", 0)."""
    rng = random.Random(f"{task}:{seed}")
    made = _MAKERS[task](rng)
    sizes = {"train": made.sizes[0], "validation": made.sizes[1], "test": TEST_ROWS}
    numbers = iter(rng.sample(range(1000, 9999), sum(sizes.values())))
    rows = {split: [_row(made, next(numbers), rng) for _ in range(n)] for split, n in sizes.items()}
    for split in ("train", "validation"):
        _spoil(made, rows[split], rng, off_topic=made.nature.off_topic if split == "train" else 0.0)
    return replace(made, name=f"{task}.{seed}", rows=rows)


def _spoil(made: World, rows: list[dict[str, str]], rng: random.Random, off_topic: float) -> None:
    """Put wrong labels into rows, and rows of another task between them."""
    noise = made.nature.label_noise
    if not noise and not off_topic:
        return
    for row in rows:
        if rng.random() < off_topic:
            row["text"] = f"{row['text'].split(':')[0]}: {' '.join(rng.choices(_FILLER, k=13))}"
            row.update({n: rng.choice(made.values[n]) for n in made.labels})
        elif rng.random() < noise:
            row.update({n: rng.choice([v for v in made.values[n] if v != row[n]]) for n in made.labels})


def truth(made: World, text: str) -> dict[str, str]:
    """Return what is right for a text, by field and point."""
    have = {"text": text}
    for step in made.steps:
        seen = frozenset(" ".join(have.get(n, "") for n in step.reads).split())
        for name in step.decides:
            rule = applying(made, name, seen)
            if rule is not None and rule.words:
                have[name] = rule.value
    return have


def final_value(made: World, name: str, value: str) -> str:
    """Return the last step's value that follows from the right value of an inner field."""
    for step in made.steps:
        if name in step.reads:
            rule = applying(made, step.writes[0], frozenset([value]))
            return "" if rule is None else final_value(made, step.writes[0], rule.value)
    return value


def tools(made: World) -> list[tuple[Callable[[], str], str, str]]:
    """Return an agent's tools with their names and descriptions, all but two of which state a wrong rule."""
    desk = made.steps[0].writes[0]
    names, rules = made.values[desk], [r for r in made.rules if r.field == desk]
    found = []
    for i, name in enumerate(names):
        wrong = next(r for r in rules[i:] if r.value != name)
        text = f'Asks the {name} desk. Choose {name} wherever "{wrong.words[0]}" occurs.'
        found.append(
            (_saying(final_value(made, desk, name)), name, text if i > 1 else f"Asks the {name} desk.")
        )
    return found


def _saying(value: str) -> Callable[[], str]:
    return lambda: f"It is {value}."


def graded(
    made: World, row: Mapping[str, str], answer: Callable[[str], Any], *, exact: bool = False
) -> tuple[float, str]:
    """Return the share of right outputs or points and what to say about the wrong ones; `exact`: without the judge's noise."""
    if made.labels:
        wrong = [
            f"Expected {name} {row[name]!r}, got {answer(name)!r}."
            for name in made.labels
            if str(answer(name)).strip() != row[name]
        ]
        total = len(made.labels)
    else:
        step, right = made.steps[-1], truth(made, row["text"])
        said = frozenset(str(answer(step.writes[0])).lower().replace(",", " ").replace(".", " ").split())
        wrong = []
        for name in step.points:
            if right[name] not in said:
                got = " ".join(sorted(said.intersection(made.values[name]))) or "nothing"
                wrong.append(f"The {name} should be {right[name]}, not {got}.")
        total = len(step.points)
    score = 1 - len(wrong) / total
    text = "\x1f".join([row["text"], *(str(answer(n)) for n in made.steps[-1].writes)])
    flipped = zlib.crc32(text.encode()) / 2**32 < made.nature.judge_noise and not exact
    return 1 - score if flipped else score, " ".join(wrong) or "Right."


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
    for name in made.steps[0].decides:
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
    have = truth(made, text)
    if not made.rules:
        have["verdict"] = rng.choice(made.values["verdict"])
    return {"text": text, **{n: have.get(n) or row[n] for n in made.labels}}


def _classify_with(nature: Nature, sizes: tuple[int, int] = (100, 100)) -> Callable[[random.Random], World]:
    return lambda rng: replace(_classify(rng), nature=nature, sizes=sizes)


def _feedback(rng: random.Random) -> World:
    points = ("remedy", "manner", "closing")
    rules = tuple(r for name in points for r in _rules(name, 8, rng, known=0.05))
    step = Step("write", "Write the reply to the ticket.", ("text",), ("reply",), points)
    return World("", (step,), rules, {n: _VALUES[n] for n in points}, ())


def _exceptions(rng: random.Random) -> World:
    rules = _rules("label", 12, rng, known=0.25)
    for common in tuple(rules):
        other = rng.choice([v for v in _VALUES["label"] if v != common.value])
        rules.append(Rule("label", (common.words[0], _word(rng)), other, common.weight / 2))
    return replace(_classify(rng), rules=tuple(rules))


def _many_labels(rng: random.Random) -> World:
    labels = tuple(f"{_word(rng)[:-1]}ly" for _ in range(77))
    rules = [
        Rule("label", (_word(rng),), v, (i + 8) ** -0.5, rng.random() < 0.25) for i, v in enumerate(labels)
    ]
    made = replace(_classify(rng), rules=tuple(rules), values={"label": labels})
    return replace(made, sizes=(300, 150))


def _three_steps(rng: random.Random) -> World:
    names = ("topic", "queue", "team")
    rules = [replace(r, known=True) for r in _rules("topic", 12, rng, known=1.0)]
    queues = rng.sample(_VALUES["queue"], len(_VALUES["queue"]))
    rules += [Rule("queue", (t,), q, 0.0) for t, q in zip(_VALUES["topic"], queues, strict=True)]
    teams = _VALUES["team"]
    rules += [Rule("team", (q,), teams[i % len(teams)], 0.0, known=True) for i, q in enumerate(queues)]
    steps = (
        Step("first", "Name the topic of the ticket.", ("text",), ("topic",)),
        Step("second", "Name the queue of the topic.", ("topic",), ("queue",)),
        Step("third", "Name the team that works on the queue.", ("queue",), ("team",)),
    )
    return World("", steps, tuple(rules), {n: _VALUES[n] for n in names}, ("team",))


def _agent(rng: random.Random) -> World:
    rules = _rules("desk", 16, rng, known=0.1)
    rules += [
        Rule("remedy", (d,), r, 0.0, known=True)
        for d, r in zip(_VALUES["desk"], _VALUES["remedy"], strict=True)
    ]
    steps = (
        Step("act", "Find the remedy for the ticket: ask the right desk.", ("text",), ("desk",)),
        Step("answer", "", ("desk",), ("remedy",)),
    )
    values = {n: _VALUES[n] for n in ("desk", "remedy")}
    return World("", steps, tuple(rules), values, ("remedy",), Nature(agent=True))


def _kept_reply(rng: random.Random) -> World:
    made = _feedback(rng)
    rules = list(made.rules)
    for common in made.rules[:4]:
        other = rng.choice([v for v in _VALUES[common.field] if v != common.value])
        rules.append(Rule(common.field, (common.words[0], _word(rng)), other, common.weight / 2))
    return replace(made, rules=tuple(rules), nature=Nature(wrong_rules=0.15))


def _kept_chain(rng: random.Random) -> World:
    return replace(_two_step(rng), nature=Nature(label_noise=0.1, load=0.006, most_load=0.4, thinking=0.2))


_MAKERS: Mapping[str, Callable[[random.Random], World]] = {
    "classify": _classify,
    "two_step": _two_step,
    "extract": _extract,
    "nothing": _nothing,
    "feedback": _feedback,
    "liar": _classify_with(Nature(wrong_rules=1 / 3)),
    "noisy_labels": _classify_with(Nature(label_noise=0.1)),
    "off_topic": _classify_with(Nature(off_topic=0.4, distraction=0.08)),
    "long_hurts": _classify_with(Nature(load=0.012, free_load=6, most_load=0.6)),
    "exceptions": _exceptions,
    "many_labels": _many_labels,
    "noisy_judge": _classify_with(Nature(judge_noise=0.15)),
    "fifteen": _classify_with(Nature(), (8, 7)),
    "three_steps": _three_steps,
    "think_helps": _classify_with(Nature(thinking=0.35)),
    "think_hurts": _classify_with(Nature(thinking=-0.35)),
    "together": _classify_with(Nature(together=True)),
    "agent": _agent,
    "kept_reply": _kept_reply,
    "kept_chain": _kept_chain,
}
