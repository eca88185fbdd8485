"""`majority` and `MultiChainComparison`: one answer from several.

Source of the method: Wang et al. 2022, "Self-Consistency Improves Chain of Thought Reasoning". It asks no model.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.errors import ConfigurationError
from engine.modules.module import Module
from engine.modules.predict import Predict
from engine.prediction import Completions, Prediction
from engine.signature import InputField, OutputField, ensure_signature

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def majority(
    completions: Prediction | Completions | Sequence[Mapping[str, object]],
    normalize: Callable[[object], object] | None = None,
    field: str | None = None,
) -> Prediction:
    """Return the completion whose `field` (the last one by default) most others share; the earliest of equals.

    Values are compared as `normalize` makes them (by default: texts without letter case, articles and punctuation); a
    value it makes None does not vote. Raises ValueError when there is nothing to choose from.

    >>> majority([{"answer": "The cat."}, {"answer": "dog"}, {"answer": "cat"}]).answer
    'The cat.'
    """
    rows: list[Mapping[str, object]] = list(
        completions.completions if isinstance(completions, Prediction) else completions
    )
    if not rows:
        raise ValueError("There are no completions to choose from.")
    name = field if field is not None else list(rows[0])[-1]
    votes = [(normalize or default_normalize)(row.get(name)) for row in rows]
    voting = [vote for vote in votes if vote is not None]
    if not voting:
        return Prediction(rows[0])
    winner = max(voting, key=voting.count)
    return Prediction(rows[votes.index(winner)])


def default_normalize(value: object) -> Any:
    """Return a value as it is compared: a text without letter case, articles and punctuation; a blank one as None.

    >>> default_normalize(" The  Answer! "), default_normalize(4), default_normalize(" ")
    ('answer', 4, None)
    """
    if not isinstance(value, str):
        return value
    words = _ARTICLES.sub(" ", value.lower().translate(_PUNCTUATION)).split()
    return " ".join(words) or (value.strip() or None)


class MultiChainComparison(Module):
    """Compare exactly `M` attempts (predictions or dicts with the outputs and, best, a reasoning) in one call.

    The answer holds `rationale` and the outputs. The step inside is `predict`.

    >>> from engine import context
    >>> from engine.testing import ScriptedLM
    >>> tries = [{"reasoning": "2 + 2 is 4.", "answer": "4"}, {"reasoning": "It looks like 5.", "answer": "5"}]
    >>> with context(lm=ScriptedLM([{"rationale": "The first adds up.", "answer": "4"}])):
    ...     MultiChainComparison("question -> answer", M=2)(tries, question="2 + 2?").answer
    '4'
    """

    def __init__(self, signature: Any, M: int = 3, temperature: float = 0.7, **config: Any) -> None:  # noqa: N803 - DSPy's name
        super().__init__()
        self.M = M
        extended = ensure_signature(signature)
        self.last = list(extended.output_fields)[-1]
        for i in range(1, M + 1):
            extended = extended.append(
                f"reasoning_attempt_{i}", InputField(desc=f"Attempt {i}: {ATTEMPT}"), str
            )
        extended = extended.prepend("rationale", OutputField(desc=RATIONALE), str)
        self.predict = Predict(extended, temperature=temperature, **config)

    async def aforward(self, completions: Sequence[Mapping[str, object]], **kwargs: object) -> Prediction:
        """Compare attempts; `kwargs` are the signature's inputs."""
        if len(completions) != self.M:
            raise ConfigurationError(
                f"MultiChainComparison was made for {self.M} attempts and got {len(completions)}. Set M to their number."
            )
        attempts = {f"reasoning_attempt_{i}": self._text(one) for i, one in enumerate(completions, 1)}
        answer: Prediction = await self.predict.acall(**kwargs, **attempts)
        return answer

    def _text(self, attempt: Mapping[str, object]) -> str:
        thought = str(attempt.get("reasoning") or attempt.get("rationale") or "").strip()
        return f"{thought} {self.last}: {attempt.get(self.last)}".strip()


ATTEMPT = "somebody's reasoning and answer, which may be wrong"
RATIONALE = "What the attempts get right and wrong, put together step by step"
