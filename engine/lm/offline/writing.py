"""Writes instructions, observations and summaries: plain rule sentences that tell the examples in a prompt apart.

For each value of each output, the words that stand with it more often than chance would have it. The sentences are
ones that `rules` can read, so what is written here helps whoever is instructed with it. Knows rows and words only.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence

from engine.lm.offline.arithmetic import named_operation, numbers_in
from engine.lm.offline.examples import Row, find_rows
from engine.lm.offline.forms import OURS as FORMS
from engine.lm.offline.forms import form_sentences
from engine.lm.offline.reading import Asked
from engine.lm.offline.words import COMMON, stem, tokens

Evidence = dict[str, dict[str, Counter[str]]]
"""Output field -> value -> words with their weight."""


def wants_writing(asked: Asked) -> bool:
    """Return whether a prompt asks for text about examples or about a task, not for an answer to one row."""
    if asked.shown:
        return False
    names = [f.name for f in asked.declared.outputs if f.name not in ("reasoning", "rationale")]
    if not names or not all(_WRITTEN.search(n) for n in names):
        return False
    about = any(_GROUNDS.search(name) for name, _ in asked.inputs)
    return about or any(len(find_rows(value)) > 1 for _, value in asked.inputs)


def write_fields(asked: Asked, rng: random.Random | None) -> dict[str, str]:
    """Return the texts asked for. With `rng` they vary; without, they are always the same."""
    named = _named_outputs(asked.inputs)
    rows = [row for name, value in asked.inputs for row in find_rows(value, named) if "current" not in name]
    carried = "\n".join(v for name, v in asked.inputs if "current" not in name)
    words_each = rng.randint(4, 9) if rng else 6
    purity = rng.choice((0.6, 0.67, 0.75)) if rng else 0.6
    if rng and len(rows) > 8:
        rows = rng.sample(rows, k=int(len(rows) * rng.uniform(0.85, 1.0)))
    evidence = _merged(observe(rows, purity), _read_back(carried))
    sentences = rule_sentences(evidence, words_each)
    sentences += form_sentences(rows)
    default = _default_sentence(rows)
    if default and (rng is None or rng.random() < 0.7):
        sentences.append(default)
    about = _inputs_sentence(rows)
    values: dict[str, str] = {}
    for f in asked.declared.outputs:
        if "instruction" in f.name:
            values[f.name] = "\n".join(_instruction(asked, sentences, rng))
        elif f.name in ("reasoning", "rationale"):
            values[f.name] = (
                f"The {len(rows)} examples in the prompt were compared by the words beside each output."
            )
        else:
            values[f.name] = " ".join([about, *sentences] if about else sentences) or NOTHING
    return values


def observe(rows: Sequence[Row], purity: float) -> Evidence:
    """Return for each output and value the words that give it away, by count over what chance would give.

    A word counts for a value if it stands in at least two of its rows and at least the share `purity` of the rows
    with the word have the value.
    """
    evidence: Evidence = {}
    whole = _whole_words(rows)
    for name in dict.fromkeys(k for row in rows for k, _ in row.outputs):
        labelled = [(_said(row), _label(row, name)) for row in rows]
        known = [(words, label) for words, label in labelled if label]
        sizes = Counter(label for _, label in known)
        if len(sizes) < 2 or len(sizes) > max(2, 0.7 * len(known)) or max(map(len, sizes)) > 60:
            continue
        totals = Counter(word for words, _ in known for word in words)
        for value, size in sizes.items():
            found: Counter[str] = Counter()
            counts = Counter(w for words, label in known if label == value for w in words)
            # A word seen once is as likely chance; it is used only where a value has nothing better.
            least = 2 if any(n > 1 and n / totals[w] >= purity for w, n in counts.items()) else 1
            for word, n in counts.items():
                if n >= least and n / totals[word] >= purity and totals[word] < 0.8 * len(known):
                    found[whole[word]] = round(10 * n * (n / totals[word] - size / len(known)))
            evidence.setdefault(name, {})[value] = +found
    return evidence


def rule_sentences(evidence: Evidence, words_each: int) -> list[str]:
    """Return one sentence for each value that has words, the best supported first.

    >>> rule_sentences({"queue": {"post": Counter(parcel=9, late=4)}}, 5)
    ['The queue is post when the text mentions parcel or late.']
    """
    weighed: list[tuple[int, str]] = []
    for name, values in evidence.items():
        for value, words in values.items():
            top = ["'?'" if w == "?" else w for w, _ in words.most_common(words_each)]
            if not top:
                continue
            listed = f"{', '.join(top[:-1])} or {top[-1]}" if len(top) > 1 else top[0]
            template = OPERATION if value in _OPERATION_NAMES and name == _OPERATION else SENTENCE
            text = template.format(field=name.replace("_", " "), value=value, words=listed)
            weighed.append((words.most_common(1)[0][1], text))
    return [text for _, text in sorted(weighed, key=lambda pair: -pair[0])]


def _label(row: Row, name: str) -> str:
    """Return a row's value of an output; for a computed number, the operation that makes it of those in the text."""
    value = dict(row.outputs).get(name, "").strip()
    question = "\n".join(v for _, v in row.inputs)
    if re.fullmatch(r"-?\d+(?:\.\d+)?", value) and len(numbers_in(question)) > 1:
        return named_operation(question, float(value)) or ""
    return value


def _said(row: Row) -> tuple[str, ...]:
    """Return the stems of a row's telling words, each once, in the order said (a set's order changes by process)."""
    found = dict.fromkeys(stem(word) for _, text in row.inputs for word in tokens(text) if word != "#")
    return tuple(base for base in found if base not in COMMON and (len(base) > 2 or base == "?"))


def _whole_words(rows: Sequence[Row]) -> dict[str, str]:
    """Return for each stem the word that the rows use most for it (the shorter of two)."""
    forms: dict[str, Counter[str]] = {}
    for word in (w for row in rows for _, text in row.inputs for w in tokens(text)):
        forms.setdefault(stem(word), Counter())[word] += 1
    return {base: min(seen, key=lambda w: (-seen[w], len(w), w)) for base, seen in forms.items()}


def _read_back(text: str) -> Evidence:
    """Return the evidence that rule sentences in a text hold, so that observations are carried on."""
    evidence: Evidence = {}
    for match in _SENTENCE.finditer(text):
        name, value = match[1].strip().replace(" ", "_"), match[2].strip()
        words = evidence.setdefault(name, {}).setdefault(value, Counter())
        listed = [w.strip("'") for w in re.split(r", | or ", match[3]) if w]
        words.update({w: 14 - min(i, 9) for i, w in enumerate(listed)})
    for match in _OPERATION_SENTENCE.finditer(text):
        words = evidence.setdefault(_OPERATION, {}).setdefault(match[1].lower(), Counter())
        words.update({w: 12 for w in re.split(r", | or ", match[2]) if w})
    return evidence


def _merged(*parts: Evidence) -> Evidence:
    """Add evidence up; a word that stands for two values of a field stays with the one it clearly favours."""
    total: Evidence = {}
    for part in parts:
        for name, values in part.items():
            name = _OPERATION if values and set(values) & _OPERATION_NAMES else name
            for value, words in values.items():
                total.setdefault(name, {}).setdefault(value, Counter()).update(words)
    for values in total.values():
        # Observations of different rows may use different forms of one word.
        for words in values.values():
            for word in sorted(words):
                first = next(w for w in sorted(words) if stem(w) == stem(word))
                if first != word:
                    words[first] += words.pop(word)
        for word in sorted({w for words in values.values() for w in words}):
            holders = sorted(
                ((words[word], value) for value, words in values.items() if word in words), reverse=True
            )
            keep = holders[0][1] if len(holders) == 1 or holders[0][0] >= 2 * holders[1][0] else None
            for _, value in holders:
                if value != keep:
                    del values[value][word]
    return total


def _default_sentence(rows: Sequence[Row]) -> str:
    names = list(dict.fromkeys(k for row in rows for k, _ in row.outputs))
    if len(names) != 1:
        return ""
    sizes = Counter(v for row in rows for k, v in row.outputs)
    if not sizes or len(sizes) > 0.7 * len(rows):
        return ""
    return DEFAULT.format(field=names[0].replace("_", " "), value=sizes.most_common(1)[0][0])


def _inputs_sentence(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    given = ", ".join(dict.fromkeys(k.replace("_", " ") for row in rows for k, _ in row.inputs))
    wanted = ", ".join(dict.fromkeys(k.replace("_", " ") for row in rows for k, _ in row.outputs))
    return f"Each row gives {given}; {wanted} is to be found."


def _instruction(asked: Asked, sentences: Sequence[str], rng: random.Random | None) -> list[str]:
    """Return the instruction in use now, freed of earlier rule sentences, and the new rules below it."""
    current = next((v for name, v in asked.inputs if "instruction" in name and v.strip()), "")
    kept = [
        line
        for line in current.splitlines()
        if line.strip() and not _OURS.search(line) and not FORMS.search(line)
    ]
    lead = rng.choice(LEADS) if rng else LEADS[0]
    lines = kept or [PLAIN_TASK]
    return [*lines, *([lead] if sentences and lead else []), *[f"- {s}" for s in sentences]]


def _named_outputs(inputs: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    text = "\n".join(v for _, v in inputs)
    found = re.findall(r"\bwrites `?(\w+)`?", text) + re.findall(r"->\s*`?(\w+)`?", text)
    return tuple(dict.fromkeys(found))


_WRITTEN = re.compile(
    r"instruction|rule|summar|observation|description|\btip|advice|lesson|notes|insight", re.IGNORECASE
)
_GROUNDS = re.compile(
    r"program|instruction|example|dataset|data_summary|observation|rows|trace|trajector", re.IGNORECASE
)
_OPERATION_NAMES = frozenset({"add", "subtract", "multiply", "divide"})
_OPERATION = "operation"
SENTENCE = "The {field} is {value} when the text mentions {words}."
OPERATION = "To answer, {value} when the text mentions {words}."
DEFAULT = "In doubt, the {field} is {value}."
LEADS = ("These signs tell the cases apart:", "What the examples show:", "", "Judge by these signs.")
PLAIN_TASK = "Answer from the input alone, with one of the values named below."
NOTHING = "The prompt holds no examples that could be compared."
_SENTENCE = re.compile(r"The ([\w ]{1,40}?) is (\S[^.\n]{0,60}?) when the text mentions ([^.\n]+)\.")
_OPERATION_SENTENCE = re.compile(r"To answer, (\w+) when the text mentions ([^.\n]+)\.")
_OURS = re.compile(
    r"when the text mentions|^In doubt, |^(?:- )?(?:These signs tell|What the examples show|Judge by these signs)|In doubt, the "
)
