"""Nearness of meaning by embeddings: `EmbeddingSimilarity`."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from engine.lm.embedder import OFFLINE, Embedder
from engine.metrics.awaited import AwaitedMetric, Case
from engine.metrics.base import Grade, MetricOptions, WorkedExample
from engine.metrics.text import accepted_answers, as_text, missing_words, quoted


class EmbeddingOptions(MetricOptions):
    """Which embeddings, and from where on an answer counts."""

    model: str = Field(
        OFFLINE,
        title="Embedding model",
        description="As in openai/text-embedding-3-small. The offline one compares words and letters only.",
    )
    at_least: float = Field(
        0.0, ge=0, le=1, title="At least", description="A similarity below this counts as 0."
    )


class EmbeddingSimilarity(AwaitedMetric):
    """The cosine between the embeddings of answer and expected text, not below 0. No model judges.

    >>> EmbeddingSimilarity().compare("the parcel is late", "the parcel is late").score
    1.0
    """

    name = "EmbeddingSimilarity"
    title = "Similar text (embeddings)"
    plain = "The score is how near the answer and the expected text are as embeddings, 0 to 1."
    examples = (
        WorkedExample("the parcel is late", "the parcel is late", 1.0),
        WorkedExample("the parcel is late", "", 0.0),
    )
    pros = ("Cheap next to a judge.", "Works offline, then on words and letters.")
    cons = ("'It is' and 'it is not' are near each other.",)
    Options: ClassVar[type[MetricOptions]] = EmbeddingOptions

    options: EmbeddingOptions

    def __init__(self, *, embedder: Any = None, **options: Any) -> None:
        super().__init__(**options)
        self._embedder = embedder or Embedder(self.options.model)

    async def acompare(self, case: Case) -> Grade:
        """Grade one text by the nearest of the accepted ones. Raises LMError as the embedding model does."""
        accepted = [as_text(one) for one in accepted_answers(case.expected, case.answer)]
        got = as_text(case.answer)
        if got in accepted:
            return Grade(1.0, "Correct.")
        if not accepted or not got.strip() or not any(one.strip() for one in accepted):
            return Grade(
                0.0, f"Expected {' or '.join(map(quoted, accepted)) or 'nothing'}, got {quoted(got)}."
            )
        import numpy as np

        vectors = await self._embedder.acall([got, *accepted])
        unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        near = unit[1:] @ unit[0]
        best = int(near.argmax())
        score = min(1.0, max(0.0, float(near[best])))
        lacks = missing_words(accepted[best], got)
        said = f"Expected {quoted(accepted[best])}, got {quoted(got)}: {100 * score:.0f} % similar." + (
            f" It lacks: {lacks}." if lacks else ""
        )
        return Grade(score if score >= self.options.at_least else 0.0, said)
