"""One prompt made and one reply read: ChatAdapter on a signature of five typed outputs."""

from __future__ import annotations

from bench_children import both, values
from bench_table import Row


def adapters() -> list[Row]:
    """Microseconds of format and parse, and of format with eight demonstrations."""
    ours, theirs = both("adapter")
    return [
        Row(
            "ChatAdapter, format + parse, five typed outputs",
            "us",
            values(ours, "us"),
            values(theirs, "us"),
            limit=60,
        ),
        Row(
            "ChatAdapter, format with 8 demonstrations",
            "us",
            values(ours, "demos_us"),
            values(theirs, "demos_us"),
        ),
    ]
