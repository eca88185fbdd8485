"""Part of the script that stands alone: one row through the program's steps.

The code below the imports is copied into exported scripts. A step is a dict; see `engine.export.standalone.script`, which
writes it.
"""

from __future__ import annotations

from typing import Any

from engine.export.standalone.calling import complete
from engine.export.standalone.replies import LAYOUTS, UnusableError, typed
from engine.export.standalone.values import written

FEEDBACK = """\
Your last answer could not be used. {problem}

Answer the same task again, with every output field, in exactly the layout you were given and nothing else."""
LONGEST_QUOTE = 8000
SEARCHES: dict[str, Any] = {}
"""What finds the nearest examples of a step ("nearest") and the passages of a step that searches ("passages").

Each is there in scripts that need it."""


def answer(program: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    """Return what the program answers to one row: every step's fields, the last step's last.

    Raises CallError, or UnusableError where a reply cannot be read twice.
    """
    values, made = dict(row), dict[str, Any]()
    for step in program["steps"]:
        if "when" in step and not holds(step["when"], values):
            for name in step["makes"]:
                made.setdefault(name, None)
                values.setdefault(name, None)
            continue
        given = {name: values[name] for name in step["takes"] if name in values}
        if "each" in step:
            items = values.get(step["each"]["field"]) or []
            if not isinstance(items, (list, tuple)):
                raise UnusableError(f"{step['each']['field']!r} is no list: {items!r:.80}.")
            answers = [ask(step, {**given, step["each"]["item"]: item}) for item in items]
            names = list(answers[0]) if answers else step["makes"]
            found = {name: [one[name] for one in answers] for name in names}
        else:
            found = ask(step, given)
        for name, value in found.items():
            made.pop(name, None)
            made[name] = values[name] = value
    return made


def holds(when: dict[str, Any], values: dict[str, Any]) -> bool:
    """Return whether a step with a condition runs; case and outer blanks do not count."""
    return (compared(values.get(when["field"])) in map(compared, when["values"])) is not when["negated"]


def compared(value: Any) -> str:
    """Return a value as conditions compare it."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else str(value).strip().casefold()


def ask(step: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return a step's answer; a reply that cannot be used is sent back once with what is wrong with it."""
    missing = [name for name in step["needs"] if name not in given]
    if missing:
        raise UnusableError(f"The step {step['name']!r} has no input {', '.join(missing)}.")
    if "passages" in step:
        found: dict[str, Any] = step["search"].answer(given)
        return found
    messages = prompt(step, given)
    reply, ended = complete(step["model"], messages, step["asks_for"])
    values, problem = attempt(step, reply, ended)
    if values is not None:
        return values
    if len(reply) > LONGEST_QUOTE:
        half = LONGEST_QUOTE // 2
        reply = f"{reply[:half]}\n... ({len(reply) - 2 * half} characters left out) ...\n{reply[-half:]}"
    messages.append({"role": "assistant", "content": reply if reply.strip() else "(nothing)"})
    messages.append({"role": "user", "content": FEEDBACK.format(problem=problem)})
    values, problem = attempt(step, *complete(step["model"], messages, step["asks_for"]))
    if values is None:
        raise UnusableError(f"The step {step['name']!r} was asked twice. {problem}")
    return values


def attempt(step: dict[str, Any], reply: str, ended: str) -> tuple[dict[str, Any] | None, str]:
    """Return the typed fields of a reply, or None and what is wrong with it."""
    try:
        return typed(step["outputs"], reply, LAYOUTS[step["layout"]]), ""
    except UnusableError as error:
        return None, f"{error} {ended}".strip()


def prompt(step: dict[str, Any], given: dict[str, Any]) -> list[dict[str, str]]:
    """Return the messages: the system's, the solved examples as turns, then the inputs."""
    parts = []
    for one in step["inputs"]:
        if one["name"] in given:
            parts.append(one["before"] + written(given[one["name"]], one["is_text"]) + one["after"])
    user = {"role": "user", "content": "".join(parts) + step["reminder"]}
    return [{"role": "system", "content": step["system"]}, *examples(step, given), user]


def examples(step: dict[str, Any], given: dict[str, Any]) -> list[dict[str, str]]:
    """Return the solved examples as turns: all, or those most like the inputs with the nearest last."""
    if "near" not in step:
        return list(step["examples"])
    texts = [str(given[one["name"]]) for one in step["inputs"] if given.get(one["name"]) is not None]
    places = step["near"].nearest("\n".join(texts), step["nearest"])
    found = [step["examples"][place] for place in reversed(places)]
    found.sort(key=lambda one: bool(one["complete"]))  # incomplete ones stand first
    return [turn for one in found for turn in one["turns"]]
