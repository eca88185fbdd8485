"""OfflineLM: the model a fresh install starts with. No key, no network, no cost, and the same answer every time.

It is a small in-context learner. It knows only the messages of one request.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Mapping
from typing import Any

import orjson

from engine.basics.data import JsonObject
from engine.basics.text import cut
from engine.lm.base import BaseLM, Choice, Reply, Request
from engine.lm.choice import PACED
from engine.lm.exchange import text_tokens
from engine.lm.offline.answers import REASONING, answer_field
from engine.lm.offline.copying import best_sentences, observations, question_and_passages
from engine.lm.offline.labels import Answer
from engine.lm.offline.reading import (
    PromptContent,
    as_text,
    content_text,
    json_value,
    lines,
    read_messages,
    shown,
)
from engine.lm.offline.sums import expression, sign_scores
from engine.lm.offline.text import first_sentence, numbers_in
from engine.lm.offline.writing import wants_writing, write_fields
from engine.records import Usage

MODEL = "offline/learner"
LEAST_SECONDS, MOST_SECONDS = 0.5, 1.4
"""Time of an answer of the paced model."""


class OfflineLM(BaseLM):
    """Answers from the demos and the instruction it is shown, by similarity and by reading rules.

    Temperature 0 (or none) is deterministic; above 0 the answer varies with the request and its rollout id.

    >>> import asyncio
    >>> system = "Input:\\n1. `text` (str)\\nOutput:\\n1. `label` (Literal['post', 'login'])\\n\\n[[ ## label ## ]]\\n{label}"
    >>> messages = [{"role": "system", "content": system + "\\n\\nTask:\\n        Passwords go to login."},
    ...             {"role": "user", "content": "[[ ## text ## ]]\\nI forgot my password"}]
    >>> lm = OfflineLM()
    >>> print(asyncio.run(lm.complete(lm.request(messages))).text.splitlines()[1])
    login
    """

    def __init__(self, model: str = MODEL, **params: Any) -> None:
        super().__init__(model, **params)

    async def complete(self, request: Request) -> Reply:
        """Answer at once, or at the pace of a real model where it is the paced one; raises nothing."""
        due = time.monotonic()
        if self.model == PACED:
            due += LEAST_SECONDS + random.Random(request.key()).random() * (MOST_SECONDS - LEAST_SECONDS)
        count = max(int(request.params.get("n") or 1), 1)
        texts = [reply_text(request, position) for position in range(count)]
        if (left := due - time.monotonic()) > 0:  # on a slow machine the answer itself takes some of the time
            await asyncio.sleep(left)
        read = sum(text_tokens(content_text(m)) for m in request.messages)
        usage = Usage(calls=1, input_tokens=read, output_tokens=sum(map(text_tokens, texts)), cost=0.0)
        return Reply(tuple(Choice(t, "stop") for t in texts), usage, self.model)

    def price(self) -> tuple[float, float] | None:
        """Return zero dollars a token."""
        return 0.0, 0.0


def reply_text(request: Request, position: int = 0) -> str:
    """Return the text of a request's completion number `position`."""
    prompt = read_messages(request.messages)
    if prompt is None:
        users = (content_text(m) for m in reversed(request.messages) if m.get("role") == "user")
        return PLAIN.format(text=first_sentence(next(users, ""), 80))
    temperature = float(request.params.get("temperature") or 0.0)
    sampled = temperature > 0 or request.rollout_id is not None or position > 0
    rng = random.Random(f"{request.key()}/{position}" if sampled else 0)
    names = [f.name for f in prompt.wanted]
    answered = dict(lines(prompt.text, names))
    if len(answered) == len(names):
        # The input holds every output line by line: an answer in free form, from which they are to be taken.
        return _in_layout(prompt.layout, answered)
    if wants_writing(prompt):
        return _in_layout(prompt.layout, write_fields(prompt, rng if sampled else None))
    if temperature > 0:
        prompt = prompt._replace(noise=lambda: rng.gauss(0, 0.12 * min(temperature, 2.0)))
    answers = {f.name: answer_field(f, prompt) for f in prompt.wanted if f.name not in REASONING}
    if {"next_tool_name", "next_tool_args"} <= answers.keys():
        tool, args, reason = _next_action(prompt)
        values = {"next_tool_name": tool, "next_tool_args": args, "next_thought": reason}
        answers |= {name: Answer(value, reason) for name, value in values.items() if name in answers}
    why = " ".join(
        f"{name.replace('_', ' ').capitalize()} is {cut(as_text(a.value), 60)}: {a.why}."
        for name, a in answers.items()
    )
    return _in_layout(
        prompt.layout, {name: answers[name].value if name in answers else why for name in names}
    )


def _in_layout(layout: str, values: Mapping[str, object]) -> str:
    """Return the outputs in the layout that the prompt showed."""
    if layout == "json":
        return orjson.dumps(values, option=orjson.OPT_INDENT_2).decode()
    template, end = _LAYOUTS[layout]
    return "\n".join(template.format(name=name, value=as_text(v)) for name, v in values.items()) + end


def _next_action(prompt: PromptContent) -> tuple[str, JsonObject, str]:
    """Return an agent's next tool, its arguments and why: each tool once, a sum where it computes."""
    done = _TOOL_CALLED.findall(dict(prompt.inputs).get("trajectory", ""))
    question = question_and_passages(prompt.inputs)[0]
    for match in sorted(_TOOL.finditer(prompt.instruction), key=lambda m: bool(_COMPUTES.search(m[0]))):
        tool, args = match["name"], list(json_value(match["args"]) or ())
        if tool in done or not args:
            continue
        if not _COMPUTES.search(match[0]):
            return tool, {args[0]: question}, "nothing is known yet, so it is looked up"
        if computation := _computation(prompt, question):
            return tool, {args[0]: computation}, "what was found is put together"
    return "finish", {}, "what was found is enough" if done else "no tool fits"


def _computation(prompt: PromptContent, question: str) -> str | None:
    """Return a sum of the question's first number and one that was found, by an operation named or shown."""
    best = best_sentences(question, tuple(observations(dict(prompt.inputs).get("trajectory", ""))))
    # Of the passage that says most, the sentence with a price in it.
    about = [sentence.text for sentence in best if sentence.passage == best[0].passage]
    price = next((match[0] for text in about if (match := _MONEY.search(text))), "")
    amounts = numbers_in(price or next(iter(about), ""))
    numbers = (*numbers_in(question)[:1], *amounts)[:2]
    if not amounts or len(numbers) < 2:
        return None
    solved = ((demo, _SUM.search(args)) for demo, args in shown(prompt.demos, "next_tool_args"))
    taught = [(question_and_passages(demo.inputs)[0], sign[1]) for demo, sign in solved if sign]
    scores = sign_scores(question, taught, prompt.instruction)
    # Several things at a price are rather multiplied, unless words or demos say otherwise.
    scores["*"] += 0.2 if price and not _MONEY.search(question) else 0.0
    scores = {sign: score + 4 * prompt.noise() for sign, score in scores.items()}
    return expression(max(scores, key=lambda sign: scores[sign]), numbers)


PLAIN = "I am the offline learner: I answer prompts that declare output fields. You wrote: {text}"
_LAYOUTS = {
    "headers": ("[[ ## {name} ## ]]\n{value}\n", "\n[[ ## completed ## ]]"),
    "tags": ("<{name}>\n{value}\n</{name}>", ""),
    "lines": ("{name}: {value}\n", ""),
}
_MONEY = re.compile(r"[€£$]\s?\d[\d.,]*\b|\d[\d.,]* ?(?:euros?|pounds?|dollars?|[€£$])", re.IGNORECASE)
_TOOL = re.compile(r"^- `(?P<name>(?!finish\b)\w+)`: .*? Arguments: (?P<args>\{.*\})\s*$", re.MULTILINE)
_TOOL_CALLED = re.compile(r"^Tool name: (\w+)", re.MULTILINE)
_COMPUTES = re.compile(r"\b(?:arithmetic|calculat|expression|comput)", re.IGNORECASE)
_SUM = re.compile(r'"expression":\s*"[\d. (]*\d\)?\s*([-+*/])\s*[\d(]')
