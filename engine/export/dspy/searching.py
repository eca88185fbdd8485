"""Pieces of the scripts for DSPy, as text: searches, and steps that choose their examples by the input.

What compares texts is the engine's own code, carried over as it is, so that a script finds what the program found.
"""

from __future__ import annotations

import ast
import inspect
from types import ModuleType


def own_code(module: ModuleType) -> str:
    """Return a module's code without its docstring and imports: it needs nothing of the engine.

    >>> from engine import similarity
    >>> own_code(similarity).lstrip().splitlines()[0]
    'DIMENSIONS = 1024'
    """
    source = inspect.getsource(module)
    first = next(node for node in ast.parse(source).body[1:] if not _imports(node))
    return "\n" + "\n".join(source.splitlines()[first.lineno - 1 :]) + "\n"


def _imports(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom | ast.If)


SEARCHING = '''

def numbered(passages):
    """Return passages as one text."""
    quoted = ("\\u00ab" + p + "\\u00bb" if "\\n" not in p else "\\u00ab" * 3 + "\\n    " + p.replace("\\n", "\\n    ") + "\\n" + "\\u00bb" * 3 for p in passages)
    return "\\n".join("[%d] %s" % pair for pair in enumerate(quoted, 1)) or "N/A"


class Search:
    """Finds the passages nearest to its first input by their words (BM25)."""

    def __init__(self, passages, k, field="passages", listed=True):
        self.passages, self.k, self.field, self.listed = passages, k, field, listed
        self.counts = [Counter(search_words(passage)) for passage in passages]
        self.lengths = [sum(counts.values()) for counts in self.counts]
        self.seen = Counter(word for counts in self.counts for word in counts)
        self.usual = sum(self.lengths) / max(len(self.lengths), 1)

    def __call__(self, **inputs):
        query = next(iter(inputs.values()), None)
        found = self.find(" ".join(query) if isinstance(query, list) else str(query)) if query else []
        return dspy.Prediction(**{self.field: found if self.listed else numbered(found)})

    def find(self, query):
        scores = [0.0] * len(self.passages)
        for word in dict.fromkeys(search_words(query)):
            n = self.seen[word]
            weight = math.log(1 + (len(self.passages) - n + 0.5) / (n + 0.5))
            for i, counts in enumerate(self.counts):
                if word in counts:
                    scores[i] += weight * counts[word] / (counts[word] + 1.5 * (0.25 + 0.75 * self.lengths[i] / self.usual))
        best = sorted((i for i in range(len(scores)) if scores[i] > 0), key=lambda i: (-round(scores[i], 5), i))
        return [self.passages[i] for i in best[: self.k]]
'''
NEAR_SEARCHING = '''

class NearSearch(Search):
    """Finds the passages nearest to its first input as vectors of hashed words and runs of letters."""

    def __init__(self, passages, k, field="passages", listed=True):
        self.passages, self.k, self.field, self.listed = passages, k, field, listed
        self.vectors = unit(hashed(passages))

    def find(self, query):
        scores = self.vectors @ unit(hashed([query]))[0]
        best = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
        return [self.passages[i] for i in best[: self.k]]

'''

SEARCH_TOOL = """
def search_in(found):
    def search(query: str) -> str:
        passages = found.find(query)
        return numbered(passages) if passages else "Nothing was found."

    return search

"""

NEAREST = '''

class Nearest(dspy.Predict):
    """Shows each input the `nearest` solved examples that are most like it, the nearest last."""

    def __init__(self, nearest, signature):
        super().__init__(signature)
        self.nearest, self.known = nearest, ([], None)

    def demos_for(self, inputs):
        if not 0 < self.nearest < len(self.demos):
            return self.demos
        names = list(self.signature.input_fields)
        if self.known[0] != self.demos:
            self.known = list(self.demos), NearestTexts([text_of_values(demo, names) for demo in self.demos])
        found = self.known[1].nearest(text_of_values(inputs, names), self.nearest)
        return [self.demos[i] for i in reversed(found)]

    def forward(self, **inputs):
        return super().forward(**{"demos": self.demos_for(inputs), **inputs})

    async def aforward(self, **inputs):
        return await super().aforward(**{"demos": self.demos_for(inputs), **inputs})

    def dump_state(self, json_mode=True):
        return {**super().dump_state(json_mode), "nearest": self.nearest}

'''
