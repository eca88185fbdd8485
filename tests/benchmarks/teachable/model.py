"""The teachable model: answers a task's steps as far as the prompt has taught it, and writes down rules it has evidence for.

`ServerProcess(script=...)` runs it as a server of its own.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from teachable.reading import Request, evidence, names_in, read, stated
from teachable.worlds import Rule, Step, World, applying, world

NEW_RULES = 8
"""At most so many rules that the prompt did not state yet are written in one reply."""

_KEPT = 0.93
_CHURN = 0.3
_STATED, _SHOWN, _BOTH, _KNOWN = 0.88, 0.84, 0.95, 0.88
# Of a rule that is only stated or only shown, where these work together alone.
_ALONE = 0.3


class Model:
    """Answers requests; remembers only how often it was asked the same thing at a high temperature."""

    def __init__(self) -> None:
        self._asked: Counter[str] = Counter()

    def answer(self, body: Mapping[str, Any]) -> str:
        """Return the reply's text. The model's name is the task and the seed: "classify.0"."""
        task, _, seed = str(body["model"]).rpartition("/")[2].partition(".")
        made = world(task, int(seed))
        messages = body["messages"]
        key = json.dumps(messages)
        digest = blake2b(key.encode(), digest_size=12).hexdigest()
        if float(body.get("temperature") or 0.0) >= 0.5:
            self._asked[digest] += 1
            digest = f"{digest}:{self._asked[digest]}"
        request = read(messages)
        fields = [name for name in request.asked if name not in ("reasoning", "rationale")]
        own = {name for step in made.steps for name in step.writes}
        if "next_tool_name" in fields:
            tool = _outputs(made, request, made.steps[0].writes, digest)
            thought = {"next_thought": "The words of the ticket decide.", "next_tool_args": "{}"}
            return _laid_out(request, {**thought, "next_tool_name": next(iter(tool.values()))})
        if fields and own.issuperset(fields):
            if made.nature.agent:
                seen = " ".join(v for n, v in request.inputs.items() if n != "text")
                return _laid_out(request, {fields[0]: _mentioned(made.values[fields[0]], seen)})
            return _laid_out(request, _outputs(made, request, fields, digest))
        return _written(made, request, random.Random(digest))


# Doing the task


def _outputs(made: World, request: Request, fields: Sequence[str], digest: str) -> dict[str, str]:
    step = next(s for s in made.steps if fields[0] in s.writes)
    text = " ".join(request.inputs.get(n, "") for n in step.reads)
    words = frozenset(text.split())
    instructions = request.system.rpartition("[[ ## completed ## ]]")[2]
    told = stated(made, instructions)
    cost = _cost(made, request, step, len(told) + len(request.shown))
    out = {}
    for name in step.points or fields:
        shown = _shown(made, request, step, name)
        rule = applying(made, name, words)
        if rule is not None and len(rule.words) > 1 and rule not in told and rule not in shown:
            # An exception that was not taught: the common rule is followed.
            rule = next(r for r in made.rules if r.field == name and r.words == rule.words[:1])
        if name == "amount":
            out[name] = _amount(text, rule in told or rule in shown, digest)
        else:
            out[name] = _value(made, name, rule, told, shown, cost, text, digest)
    if step.points:
        return {step.writes[0]: f"We offer what you need: {', '.join(out.values())}."}
    return out


def _cost(made: World, request: Request, step: Step, load: int) -> float:
    """Loss of accuracy caused by the prompt: its length, examples off the topic, reasoning that is missing or hurts."""
    nature, cost = made.nature, 0.0
    cost += min(nature.most_load, nature.load * max(0, load - nature.free_load))
    if nature.distraction:
        off = sum(
            all(
                applying(made, n, frozenset(" ".join(i.get(r, "") for r in step.reads).split())) is None
                for n in step.decides
            )
            for i, _ in request.shown
        )
        cost += min(0.6, nature.distraction * off)
    if nature.thinking and ("reasoning" in request.asked) != (nature.thinking > 0):
        cost += abs(nature.thinking)
    return cost


def _shown(made: World, request: Request, step: Step, name: str) -> dict[Rule, set[str]]:
    """The rules that demonstrations show for a field, with the values they show."""
    found: dict[Rule, set[str]] = {}
    for inputs, outputs in request.shown:
        rule = applying(made, name, frozenset(" ".join(inputs.get(n, "") for n in step.reads).split()))
        value = outputs.get("next_tool_name" if made.nature.agent else name, "")
        if step.points:
            value = _mentioned(made.values[name], outputs.get(step.writes[0], ""))
        if rule is not None and not rule.words and re.fullmatch(r"\d+\.\d\d", value):
            found.setdefault(rule, set()).add("plain")
        elif rule is not None and value in made.values.get(name, ()):
            found.setdefault(rule, set()).add(value)
    return found


def _mentioned(values: Sequence[str], text: str) -> str:
    """Return the first of the values that a text has as a word; empty if there is none."""
    words = text.replace(",", " ").replace(".", " ").split()
    return next((word for word in words if word in values), "")


def _value(
    made: World,
    name: str,
    rule: Rule | None,
    told: Mapping[Rule, frozenset[str]],
    shown: Mapping[Rule, set[str]],
    cost: float,
    text: str,
    digest: str,
) -> str:
    values = made.values[name]
    guess = values[_hash(text, name, "guess") % len(values)]
    if _unit(text, name, "waver", digest) < _CHURN:
        guess = values[_hash(text, name, "guess", digest) % len(values)]
    if rule is None:
        return guess
    said, seen = told.get(rule, frozenset()), shown.get(rule, set())
    believed = sorted({*said, *seen})
    if not believed and not rule.known:
        return guess
    value = believed[_hash(text, name, digest) % len(believed)] if believed else rule.value
    chance = _BOTH if said and seen else _STATED if said else _SHOWN if seen else _KNOWN
    if made.nature.together and bool(said) != bool(seen):
        chance = _ALONE
    chance -= cost
    stable = _unit(text, name, "churn", digest) >= _CHURN
    drawn = _unit(text, name, "luck") if stable else _unit(text, name, "luck", digest)
    return value if drawn < chance else guess


def _amount(text: str, taught: bool, digest: str) -> str:
    found = re.search(r"[\d,]+\.\d\d", text)
    amount = found[0] if found else "0"
    return amount.replace(",", "") if taught and _unit(text, "amount", digest) < 0.97 else f"{amount} crowns"


def _laid_out(request: Request, outputs: Mapping[str, str]) -> str:
    """The reply in the chat layout, or as JSON where no header is asked for."""
    values = {name: outputs.get(name, "The words of the ticket decide.") for name in request.asked}
    if not any(f"[[ ## {name} ## ]]" in request.system for name in values):
        return json.dumps({name: _decoded(value, request.asked[name]) for name, value in values.items()})
    parts = [f"[[ ## {name} ## ]]\n{value}\n" for name, value in values.items()]
    return "\n".join([*parts, "[[ ## completed ## ]]"])


def _decoded(value: str, kind: str) -> Any:
    return json.loads(value) if kind.startswith(("list", "dict")) else value


# Writing instructions


def _written(made: World, request: Request, rng: random.Random) -> str:
    rules = _noted(made, request.text, rng)
    if not request.asked:
        return f"```\n{prose(rules, rng)}\n```"
    fields = {name: _typed(name, kind, rules, request, rng) for name, kind in request.asked.items()}
    return _laid_out(request, fields)


def _typed(name: str, kind: str, rules: Sequence[str], request: Request, rng: random.Random) -> str:
    if name in ("reasoning", "rationale", "discussion"):
        return "The rows show what the answer depends on."
    if kind.startswith("list"):
        return json.dumps(list(rules))
    if kind.startswith("dict"):
        return json.dumps({n: prose(rules, rng) for n in names_in(request.inputs)})
    if kind in ("int", "float"):
        return "1"
    if kind == "bool":
        return "True"
    return prose(rules, rng)


def _noted(made: World, text: str, rng: random.Random) -> list[str]:
    """The rules a reader of this text writes down: most of those stated, and some of those it can see in rows."""
    before = stated(made, text)
    lines = []
    noticed = [rule for rule, miss in evidence(made, text).items() if rng.random() >= miss]
    for rule, values in before.items():
        if rng.random() < _KEPT:
            # Rows that speak against a rule correct it.
            value = rule.value if rule in noticed else rng.choice(sorted(values))
            lines.append(sentence(rule, value, rng))
    noticed = [rule for rule in noticed if rule not in before]
    rng.shuffle(noticed)
    for rule in noticed[:NEW_RULES]:
        value = rule.value
        if rule.words and rng.random() < made.nature.wrong_rules:
            value = rng.choice([v for v in made.values[rule.field] if v != value])
        lines.append(sentence(rule, value, rng))
    return lines


def sentence(rule: Rule, value: str, rng: random.Random) -> str:
    """State a rule, in one of a few wordings."""
    if not rule.words:
        return "Write the amount as a plain number without commas or currency"
    words = " and ".join(f'"{w}"' for w in rule.words)
    return rng.choice(
        (
            f"If the ticket says {words}, the {rule.field} is {value}",
            f"Tickets with {words} have the {rule.field} {value}",
            f"Choose {value} as {rule.field} wherever {words} occurs",
        )
    )


def prose(rules: Sequence[str], rng: random.Random) -> str:
    """Return instructions that state these rules."""
    opening = rng.choice(
        (
            "Read the ticket closely and answer with one of the known values.",
            "You sort tickets. Look at every word before you answer.",
            "Answer for the ticket below. Be exact.",
        )
    )
    return "\n".join([opening, *(f"- {r}." for r in rules)])


def _hash(*parts: str) -> int:
    return int.from_bytes(blake2b("\x1f".join(parts).encode(), digest_size=6).digest(), "big")


def _unit(*parts: str) -> float:
    return _hash(*parts) / 2**48


if __name__ == "__main__":
    from support.servers.openai_server import main

    main(Model().answer)
