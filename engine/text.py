"""Values and numbers as text: what is said the same way in prompts, feedback, exports and pages."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum


def as_text(value: object, longest_item: int | None = None) -> str:
    """Return a value as the text a person would write for it: items in a line, or numbered lines where one is longer.

    >>> as_text(["a", "b"]), as_text(None), as_text(3), as_text(["a", "long"], longest_item=3)
    ('a, b', '', '3', '1. a\\n2. long')
    """
    if isinstance(value, Enum):
        return as_text(value.value)
    if isinstance(value, list | tuple | set | frozenset):
        items = [as_text(item, longest_item) for item in value]
        if longest_item is not None and len(items) > 1 and any(len(item) > longest_item for item in items):
            return "\n".join(f"{number}. {item}" for number, item in enumerate(items, 1))
        return ", ".join(items)
    return "" if value is None else str(value)


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun.

    >>> counted(1, "row"), counted(1200, "row"), counted(2, "try", "tries")
    ('1 row', '1,200 rows', '2 tries')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def listed(names: Sequence[str], last: str = "and") -> str:
    """Return names as a list in a sentence.

    >>> listed(["a", "b", "c"]), listed(["a"])
    ('a, b and c', 'a')
    """
    return f"{', '.join(names[:-1])} {last} {names[-1]}" if len(names) > 1 else "".join(names)
