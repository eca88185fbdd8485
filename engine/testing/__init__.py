"""Stand-in models for tests: `ScriptedLM` answers from a script, `DummyLM` under DSPy's rules.

    contract  the tests that every optimizer passes: kill, pause, resume, budget, honesty of scores
    training  `LookupTrainer`, a trainer that learns at once

Nothing of the engine imports this module.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from engine.basics.data import Values
from engine.errors import LMError
from engine.lm.base import BaseLM, Choice, Reply, Request
from engine.lm.calls import history
from engine.records import Usage

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from engine.adapters.base import Adapter

    Vectors = npt.NDArray[np.float32]

Script = Iterable[Any] | Callable[[Request], Any]
"""Answers in turn, or a function of the request. An answer is a text, a dict of field values (written in the
chat layout), a list of these (several completions), a Reply, or an exception to raise."""


class ScriptedLM(BaseLM):
    """Answers from a list, in turn, or from a function of the request; keeps every request in `requests`.

    Each call is answered at once, in the order calls arrive. Raises LMError when a list is used up.

    >>> import asyncio
    >>> lm = ScriptedLM(["yes"])
    >>> asyncio.run(lm.complete(lm.request([{"role": "user", "content": "Is it?"}]))).text
    'yes'
    """

    def __init__(
        self,
        answers: Script,
        model: str = "scripted",
        *,
        price: tuple[float, float] | None = None,
        **params: Any,
    ) -> None:
        super().__init__(model, **params)
        self.requests: list[Request] = []
        self._price = price
        self._answer = answers if callable(answers) else self._in_turn(iter(answers))

    async def complete(self, request: Request) -> Reply:
        """Return the script's next answer."""
        self.requests.append(request)
        answer = self._next(request)
        if isinstance(answer, BaseException):
            raise answer
        if isinstance(answer, Reply):
            return answer
        wanted = int(request.params.get("n") or 1)
        answers = answer if isinstance(answer, list) else [answer] * wanted
        texts = [one if isinstance(one, str) else chat_answer(one) for one in answers]
        return Reply(tuple(Choice(text, "stop") for text in texts), self._usage(request, texts), self.model)

    def _next(self, request: Request) -> Any:
        return self._answer(request)

    def price(self) -> tuple[float, float] | None:
        """Return the price given, in US dollars per input and output token."""
        return self._price

    def _in_turn(self, answers: Iterator[object]) -> Callable[[Request], Any]:
        def answer(_request: Request) -> Any:
            try:
                return next(answers)
            except StopIteration:
                raise LMError(
                    f"The script of {self.model!r} has no answer left for call {len(self.requests)}."
                ) from None

        return answer

    def _usage(self, request: Request, texts: Sequence[str]) -> Usage:
        """Count one token for each four characters."""
        sent = sum(len(str(message["content"])) for message in request.messages) // 4
        received = sum(map(len, texts)) // 4
        cost = None if self._price is None else sent * self._price[0] + received * self._price[1]
        return Usage(1, 0, sent, received, cost)


class DummyLM(ScriptedLM):
    """A stand-in model under DSPy's rules, for tests written for DSPy.

    `answers` is a list of field values, one for each completion in turn; or a dict whose keys are looked for in
    the prompt's last message. With `follow_examples` a demonstration with the same inputs is repeated. Without an
    answer left the field `answer` is "No more responses". Its calls are in its history and the process's.

    >>> from engine import Predict, context
    >>> with context(lm=DummyLM({"capital of France": {"answer": "Paris"}})):
    ...     Predict("question -> answer")(question="What is the capital of France?").answer
    'Paris'
    """

    records = True

    def __init__(
        self,
        answers: Sequence[Values] | Mapping[str, Values],
        follow_examples: bool = False,
        reasoning: bool = False,
        adapter: Adapter | None = None,
        **params: Any,
    ) -> None:
        super().__init__((), "dummy", **params)
        self._by_text = answers if isinstance(answers, Mapping) else None
        self._script: Iterator[Any] = iter(() if isinstance(answers, Mapping) else answers)
        self._follow_examples, self._adapter = follow_examples, adapter
        self._thought = "Some reasoning" if reasoning else None

    def get_convo(self, index: int) -> tuple[Sequence[Values], list[str]]:
        """Return the messages of a call in the history, and its answers."""
        return self.history[index].messages, self.history[index].outputs

    def _next(self, request: Request) -> Reply:
        texts = [self._text(request) for _ in range(int(request.params.get("n") or 1))]
        choices = tuple(Choice(text, "stop", self._thought) for text in texts)
        reply = Reply(choices, Usage(calls=1), self.model)
        history.record(self.history, self.model_type, request, reply)
        return reply

    def _text(self, request: Request) -> str:
        shown = _demonstrated(request) if self._follow_examples else None
        if shown is not None:
            return shown
        if self._by_text is None:
            answer = next(self._script, NO_MORE)
        else:
            asked = str(request.messages[-1]["content"])
            answer = next((values for key, values in self._by_text.items() if key in asked), NO_MORE)
        return answer if isinstance(answer, str) else chat_answer(answer, self._adapter)


class DummyVectorizer:
    """Vectors of texts by hashed runs of letters, for tests: texts that share many runs are near each other.

    >>> vectors = DummyVectorizer()(["a red apple", "a red pepper", "blue"])
    >>> bool(vectors[0] @ vectors[1] > vectors[0] @ vectors[2])
    True
    """

    def __init__(self, max_length: int = 100, n_gram: int = 2) -> None:
        self.max_length, self.n_gram = max_length, n_gram

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """Return a matrix of float32, a row of length one for each text."""
        import numpy as np

        counts = np.zeros((len(texts), self.max_length), np.float32)
        for row, text in zip(counts, texts, strict=True):
            for at in range(len(text) - self.n_gram + 1):
                row[zlib.crc32(text[at : at + self.n_gram].encode()) % self.max_length] += 1
        counts -= counts.mean(axis=1, keepdims=True)
        vectors: Vectors = counts / (np.linalg.norm(counts, axis=1, keepdims=True) + 1e-10)
        return vectors


def chat_answer(values: Mapping[str, object], adapter: Adapter | None = None) -> str:
    """Return field values as a model would write them, in the chat layout unless another adapter is given.

    >>> chat_answer({"answer": 4})
    '[[ ## answer ## ]]\\n4\\n\\n[[ ## completed ## ]]'
    """
    from engine.adapters.chat import ChatAdapter
    from engine.signature import OutputField, make_signature

    if not values:
        return ""
    signature = make_signature({name: (type(value), OutputField()) for name, value in values.items()})
    return (adapter or ChatAdapter()).answer(signature, values)


def asked(request: Request) -> tuple[dict[str, str], list[str]]:
    """Return what a prompt in the chat layout asks: the inputs' texts by name, and the outputs' names.

    For scripts that answer by what they are asked: `ScriptedLM(lambda request: answer(*asked(request)))`.
    """
    last = str(request.messages[-1]["content"])
    parts = _MARKER.split(last)
    inputs = {name: text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}
    reminder = last.rsplit("\n\n", 1)[-1]
    outputs = [name for name in _MENTION.findall(reminder) if name != "completed"]
    if inputs:
        final = list(inputs)[-1]
        inputs[final] = inputs[final].removesuffix(reminder).strip()
    return inputs, outputs


def _demonstrated(request: Request) -> str | None:
    """Return the answer of the demonstration whose inputs are those asked about now."""
    asked = _inputs(str(request.messages[-1]["content"]))
    for question, answer in pairwise(request.messages[:-1]):
        is_demo = (question["role"], answer["role"]) == ("user", "assistant")
        if is_demo and _inputs(str(question["content"])) == asked:
            return str(answer["content"])
    return None


def _inputs(content: str) -> str:
    """Return a user message up to the reminder that closes it."""
    return content.rsplit("\n\n", 1)[0].strip()


_MARKER = re.compile(r"^\[\[ ## (\w+) ## \]\]$", re.MULTILINE)
_MENTION = re.compile(r"\[\[ ## (\w+) ## \]\]")

NO_MORE = {"answer": "No more responses"}
