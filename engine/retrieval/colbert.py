"""Passages from a ColBERTv2 server over HTTP: `ColBERTv2`. Keeps no corpus."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from engine import loop
from engine.errors import BadReplyError, ConfigurationError, UnreachableError
from engine.retrieval.base import Hit, Searcher, checked_k
from engine.retrieval.corpus import Passage

_MOST = 100
_TIMEOUT = 10.0
_KEPT = 4096


class ColBERTv2(Searcher):
    """A client of a ColBERTv2 server. Answers are cached, so that a run asks each query once.

    `url` and `port` say where it listens; the server is only asked when a search is made. At most 100 passages a query.

    >>> ColBERTv2("http://localhost", port=8893).url
    'http://localhost:8893'
    """

    k = 10

    def __init__(
        self,
        url: str = "http://127.0.0.1:8893/api/search",
        port: str | int | None = None,
        post_requests: bool = False,
        *,
        timeout: float = _TIMEOUT,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigurationError(
                f"{url!r} is no address of a ColBERTv2 server: it must start with http://."
            )
        self.url = f"{url}:{port}" if port else url
        self.post_requests = post_requests
        self.timeout = timeout
        self._kept: OrderedDict[tuple[str, int], list[Hit]] = OrderedDict()

    def __call__(self, query: str, k: int = 10, simplify: bool = False) -> Any:
        """Search and wait: the hits (`hit["text"]` is the passage), or with `simplify` the texts alone."""
        hits = loop.run(self.search(query, k))
        return [hit.long_text for hit in hits] if simplify else hits

    async def search(self, query: str, k: int | None = None) -> list[Hit]:
        """Return the best passages. Raises UnreachableError or BadReplyError."""
        wanted = min(checked_k(k or self.k), _MOST)
        key = query, wanted
        if key not in self._kept:
            self._kept[key] = await loop.here_or_there(self._ask_server(query, wanted))
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return self._kept[key]

    async def _ask_server(self, query: str, k: int) -> list[Hit]:
        import aiohttp

        limit = aiohttp.ClientTimeout(total=self.timeout)
        try:
            async with aiohttp.ClientSession(timeout=limit) as session:
                if self.post_requests:
                    call = session.post(self.url, json={"query": query, "k": k}, allow_redirects=False)
                else:
                    call = session.get(self.url, params={"query": query, "k": str(k)}, allow_redirects=False)
                async with call as response:
                    status, data = response.status, await response.read()
        except TimeoutError:
            raise UnreachableError(
                f"The ColBERTv2 server {self.url} gave no answer in {self.timeout:g} seconds."
            ) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UnreachableError(f"The ColBERTv2 server {self.url} cannot be reached: {error}.") from None
        return _hits(data, status, self.url, k)


def _hits(data: bytes, status: int, url: str, k: int) -> list[Hit]:
    import orjson

    try:
        reply = orjson.loads(data)
        hits = reply["topk"]
        return [
            Hit(
                Passage(str(p["text"]), str(p.get("title") or ""), url),
                int(p.get("pid", i)),
                float(p.get("score", 0)),
                int(p.get("rank", i + 1)),
            )
            for i, p in enumerate(hits[:k])
        ]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        raise BadReplyError(
            f"The ColBERTv2 server {url} answered {status} with something that is no list of passages: {data[:80]!r}."
        ) from None
