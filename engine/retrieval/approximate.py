"""An index that finds the vectors near another without comparing them all, by faiss where it is installed.

Vectors are put into groups by k-means, and a search looks into the nearest groups only (Jégou et al. 2011, "Product
quantization for nearest neighbor search", its inverted file). The groups' centres are saved with an index, so that
they are not sought again. It knows vectors and nothing of passages.
"""

from __future__ import annotations

import importlib.util
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]

_GROUPS = 2
"""Groups, as a multiple of the square root of the number of vectors."""

_LOOKED_INTO = 16


def approximate(vectors: Vectors, centres: Vectors | None = None) -> Groups | None:
    """Return an index over vectors (compared by dot product), or None where faiss is not installed.

    `centres` are those of an earlier index over the same vectors.
    """
    return Groups(vectors, centres) if importlib.util.find_spec("faiss") else None


class Groups:
    """Finds the places of vectors near another; `centres` are worth saving with them."""

    def __init__(self, vectors: Vectors, centres: Vectors | None) -> None:
        import faiss
        import numpy as np

        plain = np.ascontiguousarray(vectors)
        groups = max(1, int(_GROUPS * math.sqrt(len(plain))))
        if centres is None or centres.shape != (groups, plain.shape[1]):
            means = faiss.Clustering(plain.shape[1], groups)
            means.min_points_per_centroid, means.spherical = 1, True
            means.train(plain, faiss.IndexFlatIP(plain.shape[1]))
            centres = faiss.vector_to_array(means.centroids).reshape(groups, plain.shape[1])
        middle = faiss.IndexFlatIP(plain.shape[1])
        middle.add(np.ascontiguousarray(centres))
        self._index: Any = faiss.IndexIVFFlat(middle, plain.shape[1], groups, faiss.METRIC_INNER_PRODUCT)
        self._index.add(plain)
        self._index.nprobe = min(groups, max(_LOOKED_INTO, groups // _LOOKED_INTO))
        self._middle = middle  # faiss keeps a bare pointer to it
        self.centres: Vectors = centres

    def __call__(self, vector: Vectors, n: int) -> npt.NDArray[np.int64]:
        """Return about the `n` nearest places, in no order that counts."""
        import numpy as np

        found = np.asarray(self._index.search(vector[None, :], n)[1][0], np.int64)
        return found[found >= 0]  # fewer than asked for are filled up with -1
