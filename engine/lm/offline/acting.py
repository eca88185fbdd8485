"""Chooses an agent's next tool and its arguments, from the tools the prompt lists and what was done so far.

First what can look something up, then what can compute, then the end; demonstrations at the same step may say
otherwise. Knows prompts with tools; runs none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import orjson

from engine.lm.offline.arithmetic import expression_for, numbers_in
from engine.lm.offline.choosing import Mood
from engine.lm.offline.evidence import best_sentences, observations
from engine.lm.offline.neighbours import remember, vote
from engine.lm.offline.reading import Asked, Shown


@dataclass(frozen=True, slots=True)
class Action:
    """The next tool, its arguments, and why."""

    tool: str
    args: dict[str, Any]
    why: str


@dataclass(frozen=True, slots=True)
class _Listed:
    name: str
    plain: str
    args: tuple[str, ...]


def next_action(asked: Asked, mood: Mood) -> Action | None:
    """Return what an agent does next; None where the prompt asks for no tool."""
    outputs = {f.name for f in asked.declared.outputs}
    if not {"next_tool_name", "next_tool_args"} <= outputs:
        return None
    tools = _listed(asked.declared.instruction)
    done = _done(_value(asked.inputs, "trajectory"))
    question = _question(asked.inputs)
    looking = next((t for t in tools if _LOOKS_UP.search(f"{t.plain} {' '.join(t.args)}")), None)
    computing = next((t for t in tools if _COMPUTES.search(f"{t.plain} {' '.join(t.args)}")), None)
    shown = _shown_tool(asked, question, len(done))
    if looking is not None and looking.name not in done and shown in (None, looking.name):
        return Action(looking.name, {looking.args[0]: question}, "nothing is known yet, so it is looked up")
    if computing is not None and computing.name not in done and shown in (None, computing.name):
        expression = _expression(asked, question, mood)
        if expression is not None:
            return Action(computing.name, {computing.args[0]: expression}, "what was found is put together")
    return Action(FINISH, {}, "what was found is enough" if done else "no tool fits")


def computed(trajectory: str) -> float | None:
    """Return the last result that is a number alone, such as a calculator's; None where there is none."""
    found = [o.strip() for o in observations(trajectory)]
    numbers = [o for o in found if re.fullmatch(r"-?\d+(?:\.\d+)?", o)]
    return float(numbers[-1]) if numbers else None


def _expression(asked: Asked, question: str, mood: Mood) -> str | None:
    """Return a sum of the question's first number and the one in what was found, by an operation named or shown."""
    found = best_sentences(question, tuple(observations(_value(asked.inputs, "trajectory"))))
    asked_for = numbers_in(question)
    # Of the passage that says most, the sentence with a price in it.
    about = [one.text for one in found if one.passage == found[0].passage]
    said = next((text for text in about if _MONEY.search(text)), about[0] if about else "")
    told = numbers_in(said)
    if not told or not (asked_for or len(told) > 1):
        return None
    pair = (asked_for[0], _price(said, told)) if asked_for else (told[0], told[1])
    shown = []
    for demo in asked.shown:
        sign = _SIGN.search(f"{demo.output('next_tool_args')}\n{_value(demo.inputs, 'trajectory')}")
        if sign:
            shown.append((_question(demo.inputs), sign[1]))
    # So many things at a price are rather multiplied, unless words or examples say otherwise.
    likely = {"*": 0.2} if _MONEY.search(said) and not _MONEY.search(question) else {}
    if mood.noise:
        likely = {sign: likely.get(sign, 0.0) + mood.random.gauss(0, 4 * mood.noise) for sign in "+-*/"}
    return expression_for(question, pair, tuple(shown), asked.declared.instruction, likely)


def _price(text: str, numbers: tuple[float, ...]) -> float:
    """Return the number that stands beside a unit of money, else the last one that is no code."""
    money = re.search(
        r"[€£$]\s?(\d[\d.,]*)|(\d[\d.,]*) ?(?:euros?|pounds?|dollars?|[€£$])", text, re.IGNORECASE
    )
    found = numbers_in((money[1] or money[2]).rstrip(".,")) if money else ()
    return found[0] if found else numbers[-1]


def _shown_tool(asked: Asked, question: str, steps: int) -> str | None:
    """Return the tool that the most similar demonstrations call at the same step; None where none shows it."""
    alike: list[tuple[Shown, str]] = []
    for demo in asked.shown:
        name = demo.output("next_tool_name")
        if name and len(_done(_value(demo.inputs, "trajectory"))) == steps:
            alike.append((demo, name))
    if not alike:
        return None
    memory = remember(
        tuple((("question", _question(d.inputs)),) for d, _ in alike), tuple(name for _, name in alike)
    )
    scores = vote((("question", question),), memory).scores
    return max(scores, key=lambda name: scores[name])


def _question(inputs: tuple[tuple[str, str], ...]) -> str:
    return " ".join(v for name, v in inputs if name != "trajectory").strip()


def _value(inputs: tuple[tuple[str, str], ...], name: str) -> str:
    return next((v for k, v in inputs if k == name), "")


def _done(trajectory: str) -> list[str]:
    return _TOOL_CALLED.findall(trajectory)


def _listed(instruction: str) -> list[_Listed]:
    found = []
    for match in _TOOL.finditer(instruction):
        try:
            args = tuple(orjson.loads(match["args"]))
        except orjson.JSONDecodeError:
            args = ()
        if args and match["name"] != FINISH:
            found.append(_Listed(match["name"], f"{match['name']} {match['plain']}", args))
    return found


FINISH = "finish"
_MONEY = re.compile(r"[€£$]\s?(\d[\d.,]*)|(\d[\d.,]*) ?(?:euros?|pounds?|dollars?|[€£$])", re.IGNORECASE)
_TOOL = re.compile(r"^- `(?P<name>\w+)`: (?P<plain>.*?) Arguments: (?P<args>\{.*\})\s*$", re.MULTILINE)
_TOOL_CALLED = re.compile(r"^Tool name: (\w+)", re.MULTILINE)
_LOOKS_UP = re.compile(r"\b(?:search|find|look ?up|passages?|documents?|query|retriev)", re.IGNORECASE)
_COMPUTES = re.compile(r"\b(?:arithmetic|calculat|expression|comput)", re.IGNORECASE)
_SIGN = re.compile(r'"expression":\s*"[\d. (]*\d\)?\s*([-+*/])\s*[\d(]')
