"""Alike texts: spelling variants of an answer, rows that nearly repeat each other, answers unlike their neighbours'.

Texts by number in, numbers out; it knows no tables. Fast enough for 100,000 short texts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from zlib import crc32

from engine.similarity import rarity, unit

NEAR = 93
"""Percent of equal letters from which two texts are nearly the same."""

LOOKED_AT = 20_000
"""Rows whose answers are judged by their neighbours'; of more, as many evenly spread ones."""

_NEAR_BY = 2000
"""Rows among which neighbours are looked for, evenly spread."""

_AT_ONCE = 1000
_HEAD = 240
_WIDTH = 1024
_NEIGHBOURS = 7
_NUMBERS = re.compile(r"\d+")
_WORDS = re.compile(r"\w+")


def nearest_choice(text: str, choices: Sequence[str]) -> str:
    """Return the allowed value that a text most likely means; "" where none is near.

    >>> nearest_choice("Biling", ["billing", "shipping"]), nearest_choice("moon", ["billing", "shipping"])
    ('billing', '')
    """
    from rapidfuzz import fuzz, process

    folded = [_folded(c) for c in choices]
    found = process.extractOne(_folded(text), folded, scorer=fuzz.ratio, score_cutoff=80)
    return choices[found[2]] if found else ""


def merged_spellings(counts: Mapping[str, int]) -> dict[str, str]:
    """Return rare ways of writing an answer -> the frequent way: other case or marks, or a slip of a letter or two.

    >>> merged_spellings({"billing": 40, "Billing": 3, "biling": 1, "shipping": 30})
    {'Billing': 'billing', 'biling': 'billing'}
    """
    from rapidfuzz import fuzz

    kept: dict[str, str] = {}
    merged: dict[str, str] = {}
    for text in sorted(counts, key=lambda text: -counts[text]):
        folded = _folded(text)
        slips = (
            original
            for known, original in kept.items()
            if min(len(known), len(folded)) >= 5
            and not _NUMBERS.search(known + folded)
            and counts[text] <= max(2, counts[original] // 10)
            and fuzz.ratio(known, folded) >= 88
        )
        usual = kept[folded] if folded in kept else next(slips, None)
        if usual is None:
            kept[folded] = text
        else:
            merged[text] = usual
    return merged


def near_pairs(texts: Mapping[int, str]) -> list[tuple[int, int]]:
    """Return pairs (earlier row, later row) of texts that differ by a few letters; each later row once.

    Texts are compared with their neighbours in two orders, from the front and from the back, so that a difference
    at either end is found. Texts with different numbers in them are different texts. (Sorted neighbourhood,
    Hernandez and Stolfo 1995.)

    >>> near_pairs({0: "please send me the invoice now", 1: "i like cats", 2: "please send me the invoise now"})
    [(0, 2)]
    """
    rows = [row for row, text in texts.items() if len(text) >= 20]
    if len(rows) < 2:
        return []
    candidates: dict[tuple[int, int], None] = {}
    for order in (sorted(rows, key=texts.__getitem__), sorted(rows, key=lambda r: texts[r][::-1])):
        for step in (1, 2):
            candidates |= dict.fromkeys(
                (a, b) if a < b else (b, a) for a, b in zip(order, order[step:], strict=False)
            )
    return _alike(texts, list(candidates))


def _alike(texts: Mapping[int, str], pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    import numpy as np
    from rapidfuzz import fuzz, process

    heads = {row: text[:_HEAD] for row, text in texts.items()}
    scores = process.cpdist(
        [heads[a] for a, _ in pairs],
        [heads[b] for _, b in pairs],
        scorer=fuzz.ratio,
        score_cutoff=NEAR,
        dtype=np.uint8,
    )
    found: dict[int, int] = {}
    for at in map(int, np.flatnonzero(scores)):
        a, b = pairs[at]
        one, other = texts[a], texts[b]
        same = (
            _NUMBERS.findall(one) == _NUMBERS.findall(other)
            and one[one.rfind("\x1e") :] == other[other.rfind("\x1e") :]
        )
        if (
            b not in found
            and same
            and (len(one) <= _HEAD >= len(other) or fuzz.ratio(one[:4000], other[:4000]) >= NEAR)
        ):
            found[b] = a
    return sorted((a, b) for b, a in found.items())


def odd_labels(texts: Sequence[str], labels: Sequence[str]) -> tuple[dict[int, str], int]:
    """Return places whose label differs from that of their neighbours -> the neighbours' label; and how many were looked at.

    Neighbours are the texts that share most rare words, among at most 2,000 of all. Where these do not tell each
    other's labels (less than 80 % right), nothing is odd: the labels follow something else than the words.
    """
    import numpy as np

    near = _spread(len(texts), _NEAR_BY)
    if len(near) < 20:
        return {}, len(near)
    names, own = np.unique(np.array(labels, dtype=object), return_inverse=True)
    weights = rarity([set(_words(texts[i])) for i in near])
    known = _vectors([texts[i] for i in near], weights)
    voting = np.eye(len(names), dtype=np.float32)[own[near]]

    def votes(vectors: Any, places: Any) -> tuple[Any, Any]:
        """Return each text's share of votes by label, and whether it has near enough neighbours to say so."""
        alike = vectors @ known.T
        # No text votes for itself.
        itself = np.minimum(np.searchsorted(near, places), len(near) - 1)
        same = np.flatnonzero(near[itself] == places)
        alike[same, itself[same]] = 0
        nearest = np.argpartition(-alike, min(_NEIGHBOURS, alike.shape[1] - 1), axis=1)[:, :_NEIGHBOURS]
        weights = np.square(np.take_along_axis(alike, nearest, axis=1))
        found = np.einsum("rn,rnl->rl", weights, voting[nearest])
        total = found.sum(axis=1)
        return found / np.maximum(total, 1e-9)[:, None], total > _NEIGHBOURS * 0.09

    share, sure = votes(known, near)
    if sure.sum() < 20 or (share.argmax(axis=1) == own[near])[sure].mean() < 0.8:
        return {}, len(near)
    looked_at = _spread(len(texts), LOOKED_AT)
    odd: dict[int, str] = {}
    for start in range(0, len(looked_at), _AT_ONCE):
        places = looked_at[start : start + _AT_ONCE]
        share, sure = votes(_vectors([texts[i] for i in places], weights), places)
        best, mine = share.argmax(axis=1), share[np.arange(len(places)), own[places]]
        found = sure & (best != own[places]) & (share.max(axis=1) >= 0.8) & (mine <= 0.1)
        odd |= {int(places[i]): str(names[best[i]]) for i in np.flatnonzero(found)}
    return odd, len(looked_at)


def _spread(length: int, most: int) -> Any:
    """Return at most `most` evenly spread places."""
    import numpy as np

    return np.arange(0, length, max(1, -(-length // most)))


def _vectors(texts: Sequence[str], weights: Mapping[str, float]) -> Any:
    """Return unit vectors of words weighted by rarity, words folded into a fixed width; a word never seen is as rare as can be."""
    import numpy as np

    rarest = max(weights.values(), default=1.0)
    place: dict[str, int] = {}
    made = np.zeros((len(texts), _WIDTH), dtype=np.float32)
    for at, text in enumerate(texts):
        for word, times in Counter(_words(text)).items():
            if word not in place:
                place[word] = crc32(word.encode("utf-8", "replace")) % _WIDTH
            weight = weights.get(word, rarest)
            made[at, place[word]] += weight * (1 + np.log(times) if times > 1 else 1.0)
    return unit(made)


def _words(text: str) -> list[str]:
    return _WORDS.findall(text[:2000].casefold())


def _folded(text: str) -> str:
    return "".join(_WORDS.findall(text.casefold())).replace("_", "")
