"""Writes instructions, observations and summaries: plain sentences that tell the examples in a prompt apart.

For each value of each output, the words that come with it more often than chance would have it; for free text, how
short it is or which sentence is copied. The sentences are ones that the offline model can read.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache

from engine.basics.text import listed
from engine.lm.offline.copying import word_weights
from engine.lm.offline.labels import SIGNS, sign_between
from engine.lm.offline.reading import Demo, Prompt, Values, as_text, json_value
from engine.lm.offline.text import COMMON, numbers_in, sentences, stem, stems, tokens

Evidence = dict[tuple[str, str], Counter[str]]
"""(output field, value) -> words with their weight."""


def wants_writing(prompt: Prompt) -> bool:
    """Return whether a prompt asks for text about examples or about a task, not for an answer to one row."""
    names = [f.name for f in prompt.task.outputs if f.name not in _EXPLAINING]
    if prompt.demos or not names or not all(_WRITTEN.search(n) for n in names):
        return False
    return any(_GROUNDS.search(name) or len(find_rows(value)) > 1 for name, value in prompt.inputs)


def write_fields(prompt: Prompt, rng: random.Random | None) -> dict[str, str]:
    """Return the texts asked for. With `rng` they vary; without, they are always the same."""
    material = [value for name, value in prompt.inputs if "current" not in name]
    rows = [row for value in material for row in find_rows(value)]
    words_each, purity, lead = 6, 0.6, LEADS[0]
    if rng:
        words_each, purity = rng.randint(4, 9), rng.choice((0.6, 0.67, 0.75))
        lead = rng.choice(LEADS)
        rows = rng.sample(rows, k=int(len(rows) * rng.uniform(0.85, 1.0))) if len(rows) > 8 else rows
    evidence = merged(observe(rows, purity), _read_back("\n".join(material)))
    written = rule_sentences(evidence, words_each) + form_sentences(rows)
    values: dict[str, str] = {}
    for f in prompt.task.outputs:
        values[f.name] = " ".join(written) or NOTHING
        if "instruction" in f.name:
            values[f.name] = "\n".join(
                [*_kept_lines(prompt), *([lead] * bool(written and lead)), *(f"- {s}" for s in written)]
            )
        elif f.name in _EXPLAINING:
            values[f.name] = (
                f"The {len(rows)} examples in the prompt were compared by the words in their inputs."
            )
    return values


def _kept_lines(prompt: Prompt) -> list[str]:
    """Return the instruction in use now without earlier sentences of this kind."""
    current = next((v for name, v in prompt.inputs if "instruction" in name and v.strip()), "")
    return [line for line in current.splitlines() if line.strip() and not _OURS.search(line)] or [PLAIN_TASK]


# Examples in a prompt


@lru_cache(maxsize=128)
def find_rows(text: str) -> tuple[Demo, ...]:
    """Return the examples in a text: JSON rows (flat, or with "inputs" and "outputs"), or blocks of "field: value".

    In a flat row the last field is the output.

    >>> rows = find_rows('[{"inputs": {"t": "a"}, "outputs": {"y": "1"}}]')
    >>> rows[0].inputs, rows[0].outputs
    ((('t', 'a'),), (('y', '1'),))
    >>> len(find_rows("text: hello\\nlabel: x\\n\\ntext: bye\\nlabel: y\\n\\ntext: hi\\nlabel: x"))
    3
    """
    rows = []
    for record in _json_records(text) or _line_records(text):
        given, wanted = record.get("inputs"), record.get("outputs")
        if isinstance(given, Mapping) and isinstance(wanted, Mapping):
            rows.append(Demo(_values(given), _corrected(_values(wanted), str(record.get("feedback", "")))))
        elif len(flat := _values(record)) > 1:
            rows.append(Demo(flat[:-1], flat[-1:]))
    return tuple(rows)


def _corrected(outputs: Values, feedback: str) -> Values:
    """Return the outputs as the feedback says they should be ("Expected 'x', got 'y'.")."""
    expected = re.search(r"[Ee]xpected:? ['\"`]([^'\"`]+)['\"`]", feedback)
    return ((outputs[0][0], expected[1]),) if expected and len(outputs) == 1 else outputs


def _values(record: Mapping[str, object]) -> Values:
    return tuple((str(k), as_text(v)) for k, v in record.items() if v is not None)


def _json_records(text: str) -> list[dict[str, object]]:
    """Return the objects of a JSON value, or of lines."""
    value = json_value(text)
    if value is None:
        value = [
            json_value(line.strip().rstrip(",")) for line in text.splitlines() if line.strip()[:1] == "{"
        ]
    return [v for v in (value if isinstance(value, list) else [value]) if isinstance(v, dict)]


def _line_records(text: str) -> list[dict[str, object]]:
    """Return the records of lines "name: value": a name that comes again begins the next."""
    records: list[dict[str, object]] = []
    for match in _LINE.finditer(text):
        name = match[1].strip().lower().replace(" ", "_")
        if not records or name in records[-1]:
            records.append({})
        records[-1][name] = match[2].strip()
    alike = [r for r in records if r.keys() == records[0].keys() and len(r) > 1]
    return alike if len(alike) > len(records) / 2 > 0.5 else []


# What tells labels apart


def observe(rows: Sequence[Demo], purity: float) -> Evidence:
    """Return for each output and value the words that give it away, by count over what chance would give.

    A word counts for a value if it is in at least two of its rows and at least the share `purity` of the rows
    with the word have the value. The label of a computed number is the operation that makes it.
    """
    evidence: Evidence = {}
    for name in dict.fromkeys(k for row in rows for k, _ in row.outputs):
        known = [(_telling_words(row), label) for row in rows if (label := _label(row, name))]
        sizes = Counter(label for _, label in known)
        if not 2 <= len(sizes) <= max(2, 0.7 * len(known)) or max(map(len, sizes)) > 60:
            continue
        totals = Counter(base for words, _ in known for base in words)
        for value, size in sizes.items():
            forms: dict[str, Counter[str]] = {}
            for base, word in (pair for words, label in known if label == value for pair in words.items()):
                forms.setdefault(base, Counter())[word] += 1
            counts = {base: found.total() for base, found in forms.items()}
            pure = {
                b: n for b, n in counts.items() if n / totals[b] >= purity and totals[b] < 0.8 * len(known)
            }
            # A word seen once is as likely chance; it is used only where a value has nothing better.
            least = min(2, max(pure.values(), default=1))
            key = ("operation" if sizes.keys() <= SIGNS.keys() else name, value)
            for base, n in pure.items():
                if n >= least and (weight := round(10 * n * (n / totals[base] - size / len(known)))) > 0:
                    evidence.setdefault(key, Counter())[forms[base].most_common(1)[0][0]] = weight
    return evidence


def _label(row: Demo, name: str) -> str:
    value = dict(row.outputs).get(name, "").strip()
    numbers = numbers_in("\n".join(v for _, v in row.inputs))
    if re.fullmatch(r"-?\d+(?:\.\d+)?", value) and len(numbers) > 1:
        sign = sign_between(numbers, float(value)) if len(numbers) == 2 else None
        return next((operation for operation, own in SIGNS.items() if own == sign), "")
    return value


def _telling_words(row: Demo) -> dict[str, str]:
    """Return a row's telling words by their stems."""
    words = {stem(word): word for _, text in row.inputs for word in tokens(text)}
    return {
        base: word for base, word in words.items() if base not in COMMON and (len(base) > 2 or base == "?")
    }


def _read_back(text: str) -> Evidence:
    """Return the evidence that rule sentences in a text hold, so that observations are carried on."""
    evidence: Evidence = {}
    for name, value, words in _RULE.findall(text):
        found = evidence.setdefault((name.strip().replace(" ", "_"), value.strip()), Counter())
        found.update({w.strip("'"): 14 - min(i, 9) for i, w in enumerate(re.split(r", | or ", words))})
    return evidence


def merged(*parts: Evidence) -> Evidence:
    """Put evidence together; a word keeps its largest weight."""
    total: Evidence = {}
    for part in parts:
        for key, words in part.items():
            total[key] = total.get(key, Counter()) | words
    return total


# Sentences


def rule_sentences(evidence: Evidence, words_each: int) -> list[str]:
    """Return one sentence for each value that has words, the best supported first.

    >>> rule_sentences({("queue", "post"): Counter(parcel=9, late=4)}, 5)
    ['The queue is post when the text mentions parcel or late.']
    """
    found = {key: words.most_common(words_each) for key, words in evidence.items() if words}
    return [
        RULE.format(
            field=name.replace("_", " "),
            value=value,
            words=listed([f"'{w}'" if w == "?" else w for w, _ in top], "or"),
        )
        for (name, value), top in sorted(found.items(), key=lambda item: -item[1][0][1])
    ]


def form_sentences(rows: Sequence[Demo]) -> list[str]:
    """Return sentences on each free-text output: how short it is and what is said for nothing, or which sentence it is.

    >>> rows = [Demo((("question", f"{n}?"),), (("answer", f"{n} days"),)) for n in range(8)]
    >>> form_sentences(rows)
    ['The answer is short: 2 words or fewer, copied from the passages.']
    """
    found: list[str] = []
    for name in dict.fromkeys(k for row in rows for k, _ in row.outputs):
        known = [(row, v.strip()) for row in rows for k, v in row.outputs if k == name and v.strip()]
        values = Counter(v for _, v in known)
        if len(known) < FEW or len(values) < MANY * len(known) or all(v.isdecimal() for v in values):
            continue
        field = name.replace("_", " ")
        longest = sorted(len(v.split()) for _, v in known)[int(0.9 * (len(known) - 1))]
        whole = [(sentences(text), v) for row, v in known for _, text in row.inputs if v in sentences(text)]
        if longest <= 5:
            found.append(
                SHORT.format(field=field, count=f"{longest} words or fewer" if longest > 1 else "one word")
            )
            nothing = (
                v for v, n in values.items() if n > 1 and re.search(r"\b(?:not?|none|unknown)\b", v, re.I)
            )
            found += [ABSENT.format(field=field, value=v) for v in list(nothing)[:1]]
        elif len(whole) >= 0.6 * len(known):
            weights = word_weights(whole)
            words = sorted((w for w in weights if w.isalpha()), key=lambda w: (-weights[w], w))[:8]
            found.append(COPIED.format(field=field, words=listed(words, "or")))
    return found


def described_sentence(name: str, instruction: str, inputs: Values) -> str | None:
    """Return the sentence of the input that an instruction describes by its words; None where it describes none."""
    for field, words in _COPIED.findall(instruction):
        some = [s for _, value in inputs for s in sentences(value)]
        if field.replace(" ", "_") == name and some:
            wanted = set(stems(words))
            return max(some, key=lambda s: len(wanted & set(stems(s))))
    return None


FEW, MANY = 8, 0.7
"""Rows, and the share of different values among theirs, from which on an output is taken to be free text."""
RULE = "The {field} is {value} when the text mentions {words}."
SHORT = "The {field} is short: {count}, copied from the passages."
ABSENT = "If no passage says it, the {field} is '{value}'."
COPIED = "The {field} is the sentence of the input with {words}."
LEADS = ("These signs tell the cases apart:", "What the examples show:", "", "Judge by these signs.")
PLAIN_TASK = "Answer from the input alone, with one of the values named below."
NOTHING = "The prompt holds no examples that could be compared."
_RULE = re.compile(r"The ([\w ]{1,40}?) is (\S[^.\n]{0,60}?) when the text mentions ([^.\n]+)\.")
_COPIED = re.compile(r"The ([\w ]{1,40}?) is the sentence of the input with ([^.\n]+)\.")
_OURS = re.compile(
    r"when the text mentions|In doubt, the | is short: .* copied from the passages\.|If no passage says it, "
    r"| is the sentence of the input with |^(?:These signs tell|What the examples show|Judge by these signs)"
)
_WRITTEN = re.compile(
    r"instruction|rule|summar|observation|description|\btip|advice|lesson|notes|insight", re.I
)
_GROUNDS = re.compile(
    r"program|instruction|example|dataset|data_summary|observation|rows|trace|trajector", re.I
)
_LINE = re.compile(r"^\W{0,3}([A-Za-z][\w ]{0,30}?)\s*[:=]\s*(\S.*)$", re.MULTILINE)
_EXPLAINING = ("reasoning", "rationale")
