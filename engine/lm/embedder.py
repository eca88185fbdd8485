"""Texts as vectors: `Embedder`, through the LM client or on this machine without a download.

Hosted embeddings travel like every model call: cached, retried, limited, and past the run's budget. The offline ones
hash words and runs of letters, so they compare spelling and wording, not meaning. Knows nothing of retrieval or metrics.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from engine import loop, parts
from engine.basics.data import JsonObject, Values
from engine.basics.similarity import DIMENSIONS, hashed
from engine.errors import BadReplyError, ConfigurationError
from engine.lm.base import Choice, Reply, Request
from engine.lm.choice import OFFLINE_EMBEDDINGS
from engine.lm.client import LM
from engine.lm.exchange import Transport, texts_of, vector_of, vectors_of
from engine.lm.transports.openai_http import OpenAITransport
from engine.records import Usage

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]


class EmbeddingLM(LM):
    """A model that answers texts with vectors; see `engine.lm.embedder.Embedder` for plain use."""

    def _transport_class(self) -> Callable[..., Transport]:
        if self.route.protocol == "offline":
            raise ConfigurationError(
                f"There is no embedding model {self.model!r}. Without a network use 'offline/hashing'."
            )
        if self.route.protocol == "local":
            raise ConfigurationError(
                f"{self.model!r} writes text and has no embeddings: use 'offline/hashing'."
            )
        if self.route.protocol == "litellm":
            embeddings: Callable[..., Transport] = parts.load(
                parts.TRANSPORTS, "litellm embeddings", "transport"
            )
            return embeddings
        return OpenAIEmbeddings


class OpenAIEmbeddings(OpenAITransport):
    """One embedding model at one endpoint that speaks the OpenAI protocol."""

    path = "/embeddings"
    streams = False
    longest = 256 * 2**20

    def _shaped(self, body: JsonObject) -> JsonObject:
        texts = texts_of(body.pop("messages"))
        return {"input": texts, **body}

    def _choices(self, reply: Values, request: Request) -> tuple[Choice, ...]:
        return vectors_of(reply["data"], len(request.messages))

    def _counted(self, request: Request, choices: tuple[Choice, ...]) -> Usage:  # noqa: ARG002 - vectors hold no tokens
        return Usage(calls=1)


class Embedder:
    """Texts -> float32 vectors, one row a text, by a model's name or the user's own function.

    `model` is "offline/hashing", a name such as "openai/text-embedding-3-small" (any provider the LM client knows), or
    a function of a list of texts, plain or async. `batch_size` texts go in one request. Further keywords are those of
    `engine.LM` (api_base, api_key, cache, ...) or parameters of the request (dimensions). Raises LMError.

    >>> vectors = Embedder()(["the parcel is late", "the parcels are late", "a fine day"])
    >>> vectors.shape, bool(vectors[0] @ vectors[1] > vectors[0] @ vectors[2])
    ((3, 1024), True)
    """

    def __init__(
        self,
        model: str | Callable[[list[str]], Any] = OFFLINE_EMBEDDINGS,
        batch_size: int = 200,
        caching: bool = True,
        **options: Any,
    ) -> None:
        if batch_size < 1:
            raise ConfigurationError("batch_size must be 1 or more.")
        self.model = model
        self.batch_size = batch_size
        self._options = {"cache": caching, **options}
        self._lm: Any = None

    @property
    def name(self) -> str:
        """The model's name, or the function's."""
        return self.model if isinstance(self.model, str) else getattr(self.model, "__qualname__", "function")

    def __call__(
        self,
        inputs: str | Sequence[str],
        batch_size: int | None = None,
        caching: bool | None = None,
        **params: object,
    ) -> Vectors:
        """Embed and wait: a matrix for several texts, one vector for a single one."""
        return loop.run(self.acall(inputs, batch_size, caching, **params))

    async def acall(
        self,
        inputs: str | Sequence[str],
        batch_size: int | None = None,
        caching: bool | None = None,
        **params: object,
    ) -> Vectors:
        """Embed texts, in async code. `caching` and `params` hold for this call of a hosted model."""
        import numpy as np

        texts = [inputs] if isinstance(inputs, str) else list(inputs)
        size = batch_size or self.batch_size
        given = params if caching is None else {**params, "cache": caching}
        batches = [texts[at : at + size] for at in range(0, len(texts), size)]
        parts = await asyncio.gather(*(self._batch(batch, given) for batch in batches))
        vectors = np.concatenate(parts) if parts else np.zeros((0, DIMENSIONS), np.float32)
        return vectors[0] if isinstance(inputs, str) else vectors

    async def _batch(self, texts: list[str], params: Mapping[str, object]) -> Vectors:
        import numpy as np

        if callable(self.model):
            result = await loop.in_thread(self.model, texts)
            vectors = np.asarray(await result if inspect.isawaitable(result) else result, np.float32)
        elif self.model == OFFLINE_EMBEDDINGS:
            vectors = await loop.in_thread(hashed, texts) if len(texts) > 8 else hashed(texts)
        else:
            vectors = await loop.here_or_there(self._hosted(texts, params))
        if vectors.ndim != 2 or len(vectors) != len(texts):
            raise BadReplyError(
                f"The embedding model {self.name!r} gave {vectors.shape} for {len(texts)} texts: one vector for each is needed."
            )
        return vectors

    async def _hosted(self, texts: list[str], params: Values) -> Vectors:
        import numpy as np

        if self._lm is None:
            self._lm = EmbeddingLM(str(self.model), **self._options)
        # An empty text is refused by most providers.
        messages = [{"role": "user", "content": text or " "} for text in texts]
        request = self._lm.request(messages, **params)
        reply: Reply = await self._lm.send(request)
        rows = [vector_of(choice) for choice in reply.choices]
        if len({len(row) for row in rows}) > 1:
            raise BadReplyError(f"The embedding model {self.name!r} gave vectors of different lengths.")
        return np.stack(rows)

    def __deepcopy__(self, memo: dict[int, object]) -> Embedder:
        return self

    def __repr__(self) -> str:
        return f"Embedder({self.name!r})"
