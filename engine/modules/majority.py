"""`majority`: the answer that most completions agree on.

Source of the method: Wang et al. 2022, "Self-Consistency Improves Chain of Thought Reasoning". It asks no model.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.prediction import Completions, Prediction

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def majority(
    completions: Prediction | Completions | Sequence[Mapping[str, Any]],
    normalize: Callable[[Any], Any] | None = None,
    field: str | None = None,
) -> Prediction:
    """Return the completion whose `field` (the last one by default) most others share; the earliest of equals.

    Values are compared as `normalize` makes them (by default: texts without letter case, articles and punctuation); a
    value it makes None does not vote. Raises ValueError when there is nothing to choose from.

    >>> majority([{"answer": "The cat."}, {"answer": "dog"}, {"answer": "cat"}]).answer
    'The cat.'
    """
    rows: list[Mapping[str, Any]] = list(
        completions.completions if isinstance(completions, Prediction) else completions
    )
    if not rows:
        raise ValueError("There are no completions to choose from.")
    name = field if field is not None else list(rows[0])[-1]
    votes = [(normalize or default_normalize)(row.get(name)) for row in rows]
    voting = [vote for vote in votes if vote is not None]
    if not voting:
        return Prediction(rows[0])
    winner = max(voting, key=voting.count)
    return Prediction(rows[votes.index(winner)])


def default_normalize(value: Any) -> Any:
    """Return a value as it is compared: a text without letter case, articles and punctuation; a blank one as None.

    >>> default_normalize(" The  Answer! "), default_normalize(4), default_normalize(" ")
    ('answer', 4, None)
    """
    if not isinstance(value, str):
        return value
    words = _ARTICLES.sub(" ", value.lower().translate(_PUNCTUATION)).split()
    return " ".join(words) or (value.strip() or None)
