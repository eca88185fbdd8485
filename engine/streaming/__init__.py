"""A program's answer as it is written: field by field, with messages on what it is doing.

    items     what a streamed program yields, and what says which messages are wanted
    fields    finding a field's text in a reply that is not complete yet
    streamify a program -> a function whose result is an iterator

It knows programs and nothing of the web; `engine.serve` sends what it yields.
"""

from __future__ import annotations

from engine.streaming.streamify import (
    StatusMessage,
    StatusMessageProvider,
    StreamListener,
    StreamResponse,
    every_field,
    streamify,
    streaming_response,
)

__all__ = [
    "StatusMessage",
    "StatusMessageProvider",
    "StreamListener",
    "StreamResponse",
    "every_field",
    "streamify",
    "streaming_response",
]
