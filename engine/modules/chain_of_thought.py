"""`ChainOfThought`: think first, then answer.

Source of the method: Wei et al. 2022, "Chain-of-Thought Prompting Elicits Reasoning in Large Language Models"; in the form
DSPy gave it, an extra output field before the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.modules.module import Module
from engine.modules.predict import FIELD, REASONING, Predict
from engine.prediction import Prediction
from engine.signature import OutputField, ensure_signature


class ChainOfThought(Module):
    """Answer a signature with one call that writes its `reasoning` before the outputs.

    The step inside is `predict`. `rationale_field` and `rationale_field_type` replace the reasoning field's own.

    >>> list(ChainOfThought("question -> answer").predict.signature.output_fields)
    ['reasoning', 'answer']
    """

    def __init__(
        self,
        signature: Any,
        rationale_field: Any = None,
        rationale_field_type: Any = None,
        callbacks: Sequence[Any] | None = None,
        **config: Any,
    ) -> None:
        super().__init__(callbacks)
        field = OutputField(desc=REASONING) if rationale_field is None else rationale_field
        extended = ensure_signature(signature).prepend(FIELD, field, rationale_field_type or str)
        self.predict = Predict(extended, **config)

    async def aforward(self, **kwargs: object) -> Prediction:
        """Think, then answer; the arguments are those of `Predict`."""
        return await self.predict.acall(**kwargs)
