"""An endpoint's text in a message: marked as the endpoint's, short, and with nothing in it that a terminal obeys."""

from __future__ import annotations

import orjson
import pytest

from engine.lm.transports.failures import LONGEST_QUOTE, Place, from_status, unreachable

SECRETS = "root:x:0:0:root\n" * 1000
HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202egpj.exe "


@pytest.mark.parametrize(
    "body",
    [
        (HOSTILE + SECRETS).encode(),
        orjson.dumps({"error": {"message": HOSTILE + SECRETS, "code": HOSTILE + SECRETS}}),
        orjson.dumps([HOSTILE + SECRETS]),
    ],
    ids=("text", "error", "list"),
)
def test_what_an_endpoint_wrote_is_marked_cut_and_harmless(body: bytes) -> None:
    for status in (400, 401, 404, 429, 500):
        error = from_status(Place("127.0.0.1:9", "m"), status, body, {})
        before, mark, quote = str(error).partition(" The endpoint wrote: ")
        assert mark
        assert "root" not in before
        assert len(quote) <= LONGEST_QUOTE
        assert str(error).isprintable()
        assert len(error.provider_code or "") <= LONGEST_QUOTE


def test_what_another_server_answers_is_cut_too() -> None:
    error = unreachable(Place("127.0.0.1:9", "m"), f"Bad status line {HOSTILE + SECRETS!r}" + HOSTILE)
    assert len(str(error)) < 400
    assert str(error).isprintable()
