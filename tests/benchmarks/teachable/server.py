"""The teachable model as a local server that speaks the OpenAI protocol, in a process of its own.

    python tests/benchmarks/teachable/server.py --latency 0.2

The first line on standard output is the base URL. A GET answers with counters.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from pathlib import Path

sys.path[:0] = [
    str(Path(__file__).resolve().parents[1]),
    str(Path(__file__).resolve().parents[2]),
]

import orjson
from support.servers.openai_server import BareServer, ServerProcess, _http, _runner
from teachable.model import Model


class TeachableServer(BareServer):
    """Answers with the model."""

    def __init__(self, latency: float) -> None:
        super().__init__(None, latency)
        self._model = Model()

    def reply(self, body: bytes) -> bytes:
        """The HTTP response to a request's body."""
        self.served += 1
        request = orjson.loads(body)
        texts = [self._model.answer(request) for _ in range(request.get("n") or 1)]
        size = len(body) // 4, sum(map(len, texts)) // 4 + 1
        return _http(
            {
                "id": "chatcmpl-local",
                "object": "chat.completion",
                "created": 1,
                "model": request["model"],
                "choices": [
                    {"index": i, "message": {"role": "assistant", "content": t}, "finish_reason": "stop"}
                    for i, t in enumerate(texts)
                ],
                "usage": {
                    "prompt_tokens": size[0],
                    "completion_tokens": size[1],
                    "total_tokens": sum(size),
                },
            }
        )


class TeachableProcess(ServerProcess):
    """The server in a child process; `url` and `stats()` as its base class."""

    def __init__(self, latency: float = 0.0) -> None:
        super().__init__(latency)
        self._command = [sys.executable, __file__, "--latency", str(latency)]


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        _runner()(TeachableServer(options.latency).serve(0))


if __name__ == "__main__":
    main()
