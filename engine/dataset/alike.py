"""Which texts are alike: spelling variants of an answer, rows that nearly repeat each other, answers unlike their neighbours'.

Texts by number in, numbers out; it knows no tables. Fast enough for 100,000 short texts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from zlib import crc32

NEAR = 93
"""Percent of equal letters from which two texts are nearly the same."""

LOOKED_AT = 2000
"""Rows whose neighbours are compared; of more, as many evenly spread ones."""

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

    ranked = sorted(counts, key=lambda text: -counts[text])
    kept: dict[str, str] = {}
    merged: dict[str, str] = {}
    for text in ranked:
        folded = _folded(text)
        if folded in kept:
            merged[text] = kept[folded]
            continue
        slip = next(
            (
                original
                for known, original in kept.items()
                if min(len(known), len(folded)) >= 5
                and not _NUMBERS.search(known + folded)
                and counts[text] <= max(2, counts[original] // 10)
                and fuzz.ratio(known, folded) >= 88
            ),
            None,
        )
        if slip is None:
            kept[folded] = text
        else:
            merged[text] = slip
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

    Neighbours are the texts that share most rare words. Where neighbours do not tell labels in general (less than
    80 % right), nothing is odd: the labels follow something else than the words.
    """
    import numpy as np

    step = max(1, -(-len(texts) // LOOKED_AT))
    looked_at = list(range(0, len(texts), step))
    if len(looked_at) < 20:
        return {}, len(looked_at)
    vectors = _vectors([texts[i] for i in looked_at])
    alike = vectors @ vectors.T
    np.fill_diagonal(alike, 0)
    nearest = np.argpartition(-alike, min(_NEIGHBOURS, len(looked_at) - 1), axis=1)[:, :_NEIGHBOURS]
    weights = np.square(np.take_along_axis(alike, nearest, axis=1))
    names = sorted(set(labels))
    numbers = {name: i for i, name in enumerate(names)}
    own = np.array([numbers[labels[i]] for i in looked_at])
    votes = np.zeros((len(looked_at), len(names)), dtype=np.float32)
    for k in range(nearest.shape[1]):
        np.add.at(votes, (np.arange(len(looked_at)), own[nearest[:, k]]), weights[:, k])
    total = votes.sum(axis=1)
    best = votes.argmax(axis=1)
    sure = total > _NEIGHBOURS * 0.09
    if sure.sum() < 20 or (best == own)[sure].mean() < 0.8:
        return {}, len(looked_at)
    share = votes / np.maximum(total, 1e-9)[:, None]
    mine = share[np.arange(len(own)), own]
    odd = sure & (best != own) & (share.max(axis=1) >= 0.8) & (mine <= 0.1)
    return {looked_at[i]: names[best[i]] for i in np.flatnonzero(odd)}, len(looked_at)


def _vectors(texts: Sequence[str]) -> Any:
    """Return unit vectors of words weighted by rarity, words folded into a fixed width."""
    import numpy as np

    words = [Counter(_WORDS.findall(text[:2000].casefold())) for text in texts]
    seen = Counter(word for counted in words for word in counted)
    made = np.zeros((len(texts), _WIDTH), dtype=np.float32)
    rarity = {word: float(np.log(len(texts) / count)) + 0.1 for word, count in seen.items()}
    place = {word: crc32(word.encode("utf-8", "replace")) % _WIDTH for word in seen}
    for at, counted in enumerate(words):
        for word, times in counted.items():
            made[at, place[word]] += rarity[word] * (1 + np.log(times) if times > 1 else 1.0)
    lengths = np.linalg.norm(made, axis=1, keepdims=True)
    return made / np.maximum(lengths, 1e-9)


def _folded(text: str) -> str:
    return "".join(_WORDS.findall(text.casefold())).replace("_", "")
