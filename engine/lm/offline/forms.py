"""What free-text answers have in common, said in sentences that can be read back: how short they are, what is copied.

Knows rows and prompts; nothing of labels.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from engine.lm.offline.examples import Row
from engine.lm.offline.reading import Asked, AskedField
from engine.lm.offline.spans import sentences_of
from engine.lm.offline.words import stem_set, tokens


def form_sentences(rows: Sequence[Row]) -> list[str]:
    """Return sentences on each free-text output: that it is short, what stands where nothing is said, which sentence it is.

    >>> rows = [Row((("question", f"{n}?"),), (("answer", f"{n} days"),)) for n in range(8)]
    >>> form_sentences(rows)
    ['The answer is short: 2 words or fewer, copied from the passages.']
    """
    found = []
    for name in dict.fromkeys(k for row in rows for k, _ in row.outputs):
        known = [(row, v.strip()) for row in rows for k, v in row.outputs if k == name and v.strip()]
        values = Counter(v for _, v in known)
        if len(known) < FEW or len(values) < MANY * len(known) or all(_NUMBER.fullmatch(v) for v in values):
            continue
        said = name.replace("_", " ")
        lengths = sorted(len(v.split()) for _, v in known)
        copied = [(row, v) for row, v in known if any(v in sentences_of(text) for _, text in row.inputs)]
        if len(copied) >= 0.6 * len(known) and lengths[len(lengths) // 2] > 4:
            if words := _telling(copied):
                found.append(SENTENCE.format(field=said, words=f"{', '.join(words[:-1])} or {words[-1]}"))
        elif lengths[int(0.9 * (len(lengths) - 1))] <= 5:
            longest = lengths[int(0.9 * (len(lengths) - 1))]
            found.append(
                SHORT.format(field=said, count=f"{longest} words or fewer" if longest > 1 else "one word")
            )
            nothing = [v for v, n in values.items() if n > 1 and _NOTHING.search(v)]
            found += [NOTHING.format(field=said, value=v) for v in nothing[:1]]
    return found


def told_sentence(field: AskedField, asked: Asked) -> str | None:
    """Return the sentence of the input that the instruction describes by its words; None where it describes none."""
    for match in _SENTENCE.finditer(f"{field.description}\n{asked.declared.instruction}"):
        if match[1].replace(" ", "_") != field.name:
            continue
        words = [w for w in re.split(r", | or ", match[2]) if w]
        some = [s for _, value in asked.inputs for s in sentences_of(value)]
        if some:
            return max(some, key=lambda s: sum(1 for w in words if stem_set(w) <= stem_set(s)))
    return None


def _telling(copied: Sequence[tuple[Row, str]]) -> list[str]:
    """The words that stand in the sentences copied much more often than in those left out."""
    kept: Counter[str] = Counter()
    left: Counter[str] = Counter()
    others = 1
    for row, value in copied:
        for sentence in (s for _, text in row.inputs for s in sentences_of(text)):
            (kept if sentence == value else left).update({w for w in tokens(sentence) if w.isalpha()})
            others += sentence != value
    share = {w: n / len(copied) - left[w] / others for w, n in kept.items() if n > 1}
    best = sorted((w for w in share if share[w] > 0.1), key=lambda w: (-share[w], w))
    return best[:8] if len(best) > 1 else []


FEW, MANY = 8, 0.7
"""Rows, and the share of different values among theirs, from which on an output is taken to be free text."""
SHORT = "The {field} is short: {count}, copied from the passages."
NOTHING = "If no passage says it, the {field} is '{value}'."
SENTENCE = "The {field} is the sentence of the input with {words}."
_SENTENCE = re.compile(r"The ([\w ]{1,40}?) is the sentence of the input with ([^.\n]+)\.")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_NOTHING = re.compile(r"\b(?:not?|none|unknown)\b", re.IGNORECASE)
OURS = re.compile(
    r" is short: .* copied from the passages\.|^(?:- )?If no passage says it, | is the sentence of the input with "
)
