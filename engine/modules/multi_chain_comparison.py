"""`MultiChainComparison`: look at several answers together and write a better one.

Source of the method: DSPy's module of the name, after Yoran et al. 2023, "Answering Questions by Meta-Reasoning over
Multiple Chains of Thought".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.errors import ConfigurationError
from engine.modules.module import Module
from engine.modules.predict import Predict
from engine.prediction import Prediction
from engine.signature import InputField, OutputField, ensure_signature


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

    async def aforward(self, completions: Sequence[Mapping[str, Any]], **kwargs: Any) -> Prediction:
        """Compare attempts; `kwargs` are the signature's inputs."""
        if len(completions) != self.M:
            raise ConfigurationError(
                f"MultiChainComparison was made for {self.M} attempts and got {len(completions)}. Set M to their number."
            )
        attempts = {f"reasoning_attempt_{i}": self._text(one) for i, one in enumerate(completions, 1)}
        answer: Prediction = await self.predict.acall(**kwargs, **attempts)
        return answer

    def _text(self, attempt: Mapping[str, Any]) -> str:
        thought = str(attempt.get("reasoning") or attempt.get("rationale") or "").strip()
        return f"{thought} {self.last}: {attempt.get(self.last)}".strip()


ATTEMPT = "somebody's reasoning and answer, which may be wrong"
RATIONALE = "What the attempts get right and wrong, put together step by step"
