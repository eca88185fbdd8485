"""Texts as vectors without a model: hashed words and runs of letters, compared by spelling and wording, not meaning.

It needs numpy and nothing of the engine: exported scripts carry this code.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]

DIMENSIONS = 1024
"""Length of a hashed vector."""

_LONGEST = 20_000
_GRAMS = (3, 4, 5)
_WORD_WEIGHT = 3.0
_SHORT_WORD_WEIGHT = 0.5


def hashed(texts: Sequence[str]) -> Vectors:
    """Return vectors of length 1 of hashed words and letter runs; the same on every machine.

    Source of the method: Weinberger et al. 2009, "Feature hashing for large scale multitask learning".

    >>> late, also_late, fine = hashed(["the parcel is late", "the parcels are late", "a fine day"])
    >>> bool(late @ also_late > late @ fine)
    True
    """
    import numpy as np

    made = np.zeros((len(texts), DIMENSIONS), np.float32)
    for row, text in enumerate(texts):
        made[row] = _hashed(text[:_LONGEST])
    return made


def unit(vectors: Vectors) -> Vectors:
    """Return vectors with length 1, so that their dot products are cosines."""
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    made: Vectors = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return made


def _hashed(text: str) -> Vectors:
    import numpy as np

    words = re.findall(r"\w+", text.casefold())
    vector = np.zeros(DIMENSIONS, np.float64)
    for word in words:
        number = zlib.crc32(word.encode())
        weight = _WORD_WEIGHT if len(word) > 3 else _SHORT_WORD_WEIGHT
        vector[number % DIMENSIONS] += weight if number & 0x8000_0000 else -weight
    letters = np.frombuffer(f" {' '.join(words)} ".encode(), np.uint8).astype(np.uint64)
    for n in _GRAMS:
        count = len(letters) - n + 1
        if count < 1:
            continue
        runs: npt.NDArray[np.uint64] = np.full(count, n, np.uint64)
        for at in range(n):
            runs = (runs * np.uint64(1_099_511_628_211)) ^ letters[at : at + count]
        runs = runs ^ (runs >> np.uint64(29))
        sign = np.where((runs >> np.uint64(40)) & np.uint64(1), 1.0, -1.0)
        vector += np.bincount(
            (runs % np.uint64(DIMENSIONS)).astype(np.int64), weights=sign, minlength=DIMENSIONS
        )
    # Square roots: a word that comes ten times does not count ten times.
    vector = np.sign(vector) * np.sqrt(np.abs(vector))
    length = float(np.linalg.norm(vector))
    return (vector / length if length else vector).astype(np.float32)
