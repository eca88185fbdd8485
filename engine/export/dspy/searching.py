"""Pieces of the scripts for DSPy, as text: searches, and steps that choose their examples by the input.

The comparison of texts is the engine's own code, which scripts carry, so that they find what the program found.
"""

from __future__ import annotations

SEARCHING = '''

class Search:
    """Finds the passages nearest to its first input by their words (BM25)."""

    def __init__(self, passages, k, field="passages", listed=True):
        self.field, self.listed = field, listed
        self.index(passages, k)

    def index(self, passages, k):
        self.find = BM25(passages, k).find

    def __call__(self, **inputs):
        query = next(iter(inputs.values()), None)
        found = self.find(" ".join(query) if isinstance(query, list) else str(query)) if query else []
        return dspy.Prediction(**{self.field: found if self.listed else numbered(found)})

'''

NEAR_SEARCHING = '''

class NearSearch(Search):
    """Finds the passages nearest to its first input as vectors of hashed words and runs of letters."""

    def index(self, passages, k):
        self.passages, self.k = passages, k
        self.vectors = unit(hashed(passages))

    def find(self, query):
        scores = self.vectors @ unit(hashed([query]))[0]
        best = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
        return [self.passages[i] for i in best[: self.k]]

'''
"""Comes after the code of `engine.similarity`."""

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
"""Comes after the code of `engine.similarity`."""
