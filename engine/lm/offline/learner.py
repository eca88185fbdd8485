"""OfflineLM: the model a fresh install starts with. No key, no network, no cost, and the same answer every time.

It is a small in-context learner. It knows only the messages of one request.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

from engine.lm.base import BaseLM, Choice, Reply, Request
from engine.lm.offline.acting import next_action
from engine.lm.offline.choosing import REASONING, Answer, Mood
from engine.lm.offline.outputs import answer_field
from engine.lm.offline.reading import Asked, Declared, Shown, as_text, content_text, read_messages, stated
from engine.lm.offline.spans import first_sentence
from engine.lm.offline.writing import wants_writing, write_fields
from engine.records import Usage

MODEL = "offline/learner"


class OfflineLM(BaseLM):
    """Answers from the demonstrations and the instruction it is shown, by similarity and by reading rules.

    Temperature 0 (or none) is deterministic; above 0 the answer varies with the request and its rollout id.

    >>> import asyncio
    >>> system = "Input:\\n1. `text` (str)\\nOutput:\\n1. `label` (Literal['post', 'login'])\\n\\n[[ ## label ## ]]\\n{label}"
    >>> messages = [{"role": "system", "content": system + "\\n\\nTask:\\n        Passwords go to login."},
    ...             {"role": "user", "content": "[[ ## text ## ]]\\nI forgot my password"}]
    >>> lm = OfflineLM()
    >>> print(asyncio.run(lm.complete(lm.request(messages))).text.splitlines()[1])
    login
    """

    def __init__(
        self,
        model: str = MODEL,
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        **params: Any,
    ) -> None:
        super().__init__(model, temperature=temperature, max_tokens=max_tokens, **params)

    async def complete(self, request: Request) -> Reply:
        """Answer at once; raises nothing."""
        count = max(int(request.params.get("n") or 1), 1)
        texts = [reply_text(request, position) for position in range(count)]
        read = sum(_tokens(content_text(m)) for m in request.messages)
        usage = Usage(calls=1, input_tokens=read, output_tokens=sum(map(_tokens, texts)), cost=0.0)
        return Reply(tuple(Choice(t, "stop") for t in texts), usage, self.model)

    def price(self) -> tuple[float, float] | None:
        """Return zero dollars a token."""
        return 0.0, 0.0


def reply_text(request: Request, position: int = 0) -> str:
    """Return the text of a request's completion number `position`."""
    asked = read_messages(request.messages)
    if asked is None:
        said = next((content_text(m) for m in reversed(request.messages) if m.get("role") == "user"), "")
        return PLAIN.format(said=first_sentence(said, 80))
    temperature = float(request.params.get("temperature") or 0.0)
    sampled = temperature > 0 or request.rollout_id is not None or position > 0
    rng = random.Random(f"{request.key()}/{position}" if sampled else 0)
    mood = Mood(0.12 * min(temperature, 2.0), rng)
    told = dict(stated(asked.text, [f.name for f in asked.declared.outputs]))
    if len(told) == len(asked.declared.outputs):
        # The input says what every output is, line by line: somebody's answer, out of which they are to be taken.
        return _laid_out(asked.declared, told)
    if wants_writing(asked):
        return _laid_out(asked.declared, write_fields(asked, rng if sampled else None))
    action = next_action(asked, mood)
    answers = {
        f.name: answer_field(f, asked, mood) for f in asked.declared.outputs if f.name not in REASONING
    }
    if action is not None:
        values = (action.tool, action.args, action.why)
        acted = zip(("next_tool_name", "next_tool_args", "next_thought"), values, strict=True)
        answers |= {name: Answer(value, action.why) for name, value in acted if name in answers}
    laid = {
        f.name: answers[f.name].value if f.name in answers else _reasoning(answers)
        for f in asked.declared.outputs
    }
    return _laid_out(asked.declared, laid)


def _reasoning(answers: Mapping[str, Answer]) -> str:
    return " ".join(
        f"{name.replace('_', ' ').capitalize()} is {_brief(a.value)}: {a.why}." for name, a in answers.items()
    )


def _brief(value: Any) -> str:
    text = as_text(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _laid_out(declared: Declared, values: Mapping[str, Any]) -> str:
    """Return the outputs in the layout the prompt showed."""
    if declared.layout == "json":
        return orjson.dumps(values, option=orjson.OPT_INDENT_2).decode()
    if declared.layout == "lines":
        return "\n\n".join(f"{name}: {as_text(value)}" for name, value in values.items())
    if declared.layout == "tags":
        return "\n".join(f"<{name}>\n{as_text(value)}\n</{name}>" for name, value in values.items())
    parts = [f"[[ ## {name} ## ]]\n{as_text(value)}\n" for name, value in values.items()]
    return "\n".join([*parts, "[[ ## completed ## ]]"])


@lru_cache(maxsize=8192)
def _tokens(text: str) -> int:
    """Return about how many tokens a text has (four characters each, as English has)."""
    return (len(text) + 3) // 4


PLAIN = "I am the offline learner: I answer prompts that declare output fields. You wrote: {said}"

__all__ = ["MODEL", "Asked", "OfflineLM", "Shown", "reply_text"]
