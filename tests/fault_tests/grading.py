"""Answers and patterns that metrics take very long on."""

from __future__ import annotations

import random
from pathlib import Path

from fault_tests.check import Check, Finding, cpu_seconds

from engine.errors import ConfigurationError
from engine.metrics.base import Metric
from engine.metrics.custom import BY_NAME
from engine.metrics.matching import Regex

MOST_SECONDS = 3.0
PATTERNS = (
    (r"(a|aa)+$", "a" * 60 + "b"),
    (r"(.*?,){30}x", "1," * 500),
    (r"(\w+\s?)*!$", "word " * 4000 + "!x"),
    (r"(?=(a+)+c)a", "a" * 20_000),
    (r"((a{0,99}){0,99}){0,99}b", "a" * 20_000),
)


def measure(folder: Path, small: bool) -> Finding:
    """Grade each once and return the longest CPU time."""
    longest, which = 0.0, ""
    words = 10_000 if small else 1_000_000
    chance = random.Random(7)
    one, other = (" ".join(str(chance.randrange(3000)) for _ in range(words)) for _ in range(2))
    asked: list[tuple[str, Metric, str, str]] = [
        (name, metric(), one, other) for name, metric in BY_NAME.items() if not metric.awaits
    ]
    asked += [
        (f"Regex {pattern}", Regex(pattern=pattern), "", text)
        for pattern, text in PATTERNS[: 1 if small else None]
    ]
    for name, metric, expected, answer in asked:
        began = cpu_seconds()
        try:
            metric.compare(expected, answer)
        except ConfigurationError as error:
            if "takes more than" not in str(error) and "is not a number" not in str(error):
                raise
        taken = cpu_seconds() - began
        if taken > longest:
            longest, which = taken, name
    figure = f"{len(asked)} answers and patterns, at most {longest:.1f} s of CPU ({which})"
    return Finding(figure, met=longest <= MOST_SECONDS)


CHECK = Check(
    "grading",
    "Patterns that go back and forth, answers of a million words",
    f"graded or given up in {MOST_SECONDS:g} s each",
    measure,
)
