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
from engine.lm.offline.reading import FieldTexts, PromptContent, ShownRow, as_text, json_value
from engine.lm.offline.sums import SIGNS, sign_between
from engine.lm.offline.text import COMMON, numbers_in, sentences, stem, tokens

Signals = dict[tuple[str, str], Counter[str]]
"""(output field, value) -> words with their weight."""


def wants_writing(prompt: PromptContent) -> bool:
    """Return whether a prompt asks for text about examples or about a task, not for an answer to one row."""
    names = [f.name for f in prompt.wanted if f.name not in _EXPLAINING]
    if prompt.demos or not names or not all(_WRITTEN.search(n) for n in names):
        return False
    return any(_GROUNDS.search(name) or len(labelled_rows(value)) > 1 for name, value in prompt.inputs)


def write_fields(prompt: PromptContent, rng: random.Random | None) -> dict[str, str]:
    """Return the texts asked for. With `rng` they vary; without, they are always the same."""
    material = [value for name, value in prompt.inputs if "current" not in name]
    rows = [row for value in material for row in labelled_rows(value)]
    words_each, purity, lead = 6, 0.6, LEADS[0]
    if rng:
        words_each, purity = rng.randint(4, 9), rng.choice((0.6, 0.67, 0.75))
        lead = rng.choice(LEADS)
        rows = rng.sample(rows, k=int(len(rows) * rng.uniform(0.85, 1.0))) if len(rows) > 8 else rows
    signals = _signals(rows, purity)
    carried: Signals = {}  # from earlier observations
    for name, value, words in _RULE.findall("\n".join(material)):
        ranked = {word.strip("'"): 14 - min(i, 9) for i, word in enumerate(re.split(r", | or ", words))}
        carried.setdefault((name.strip().replace(" ", "_"), value.strip()), Counter()).update(ranked)
    signals |= {key: signals.get(key, Counter()) | words for key, words in carried.items()}
    written = rule_sentences(signals, words_each) + _form_sentences(rows)
    current = next((v for name, v in prompt.inputs if "instruction" in name and v.strip()), "")
    task = [line for line in current.splitlines() if line.strip() and not _OURS.search(line)] or [PLAIN_TASK]
    texts = {}
    for name in (f.name for f in prompt.wanted):
        texts[name] = " ".join(written) or NOTHING
        if "instruction" in name:
            texts[name] = "\n".join([*task, *([lead] * bool(written and lead)), *(f"- {s}" for s in written)])
        elif name in _EXPLAINING:
            texts[name] = (
                f"The {len(rows)} examples in the prompt were compared by the words in their inputs."
            )
    return texts


@lru_cache(maxsize=128)
def labelled_rows(text: str) -> tuple[ShownRow, ...]:
    """Return the examples in a JSON list of rows with "inputs" and "outputs"; feedback may tell the right output.

    >>> labelled_rows('[{"inputs": {"t": "a"}, "outputs": {"y": "1"}}]')
    (ShownRow(inputs=(('t', 'a'),), outputs=(('y', '1'),)),)
    """
    value = json_value(text)
    rows = []
    for record in value if isinstance(value, list) else ():
        inputs, outputs = (
            (record.get("inputs"), record.get("outputs")) if isinstance(record, dict) else (None, None)
        )
        if isinstance(inputs, dict) and isinstance(outputs, dict):
            values = _values(outputs)
            expected = re.search(r"[Ee]xpected:? ['\"`]([^'\"`]+)['\"`]", str(record.get("feedback", "")))
            if expected and len(values) == 1:
                values = ((values[0][0], expected[1]),)
            rows.append(ShownRow(_values(inputs), values))
    return tuple(rows)


def _values(record: Mapping[str, object]) -> FieldTexts:
    return tuple((str(k), as_text(v)) for k, v in record.items() if v is not None)


def _signals(rows: Sequence[ShownRow], purity: float) -> Signals:
    """Return for each output and value the words that give it away, by count over what chance would give.

    A word counts for a value if it is in at least two of its rows (one, where the value has nothing better) and at
    least the share `purity` of the rows with the word have the value. A computed number's label is its operation.
    """
    signals: Signals = {}
    for name in dict.fromkeys(k for row in rows for k, _ in row.outputs):
        known = [(_telling_words(row), label) for row in rows if (label := _label(row, name))]
        sizes = Counter(label for _, label in known)
        if not 2 <= len(sizes) <= max(2, 0.7 * len(known)) or max(map(len, sizes)) > 60:
            continue
        totals = Counter(base for words, _ in known for base in words)
        for value, size in sizes.items():
            forms = {base: word for words, label in known if label == value for base, word in words.items()}
            counts = Counter(base for words, label in known if label == value for base in words)
            shares = {base: n / totals[base] for base, n in counts.items() if totals[base] < 0.8 * len(known)}
            pure = {base: counts[base] for base, share in shares.items() if share >= purity}
            key = ("operation" if sizes.keys() <= SIGNS.keys() else name, value)
            least = min(2, max(pure.values(), default=1))
            weights = {
                forms[b]: round(10 * n * (shares[b] - size / len(known)))
                for b, n in pure.items()
                if n >= least
            }
            signals[key] = +Counter(weights)
    return signals


def _label(row: ShownRow, name: str) -> str:
    value = dict(row.outputs).get(name, "").strip()
    numbers = numbers_in(row.text)
    if re.fullmatch(r"-?\d+(?:\.\d+)?", value) and len(numbers) > 1:
        sign = sign_between(numbers, float(value)) if len(numbers) == 2 else None
        return next((operation for operation, symbol in SIGNS.items() if symbol == sign), "")
    return value


def _telling_words(row: ShownRow) -> dict[str, str]:
    """Return a row's telling words by their stems."""
    words = {stem(word): word for word in tokens(row.text)}
    return {
        base: word for base, word in words.items() if base not in COMMON and (len(base) > 2 or base == "?")
    }


def rule_sentences(signals: Signals, words_each: int) -> list[str]:
    """Return one sentence for each value that has words, the best supported first.

    >>> rule_sentences({("queue", "post"): Counter(parcel=9, late=4)}, 5)
    ['The queue is post when the text mentions parcel or late.']
    """
    rules = sorted((item for item in signals.items() if item[1]), key=lambda item: -max(item[1].values()))
    texts = []
    for (name, value), words in rules:
        top = listed([f"'{w}'" if w == "?" else w for w, _ in words.most_common(words_each)], "or")
        texts.append(RULE.format(field=name.replace("_", " "), value=value, words=top))
    return texts


def _form_sentences(rows: Sequence[ShownRow]) -> list[str]:
    """Return a sentence on the form of each free-text output: how short it is, or which sentence of the input."""
    texts: list[str] = []
    for name in dict.fromkeys(k for row in rows for k, _ in row.outputs):
        known = [(row, v.strip()) for row in rows for k, v in row.outputs if k == name and v.strip()]
        values = Counter(v for _, v in known)
        if len(known) < FEW or len(values) < MANY * len(known) or all(v.isdecimal() for v in values):
            continue
        field = name.replace("_", " ")
        longest = sorted(len(v.split()) for _, v in known)[int(0.9 * (len(known) - 1))]
        whole = [(sentences(text), v) for row, v in known for _, text in row.inputs if v in sentences(text)]
        if longest <= 5:
            texts.append(SHORT.format(field=field, count=longest))
        elif len(whole) >= 0.6 * len(known):
            weights = word_weights(whole)
            words = sorted((w for w in weights if w.isalpha()), key=lambda w: (-weights[w], w))[:8]
            texts.append(COPIED.format(field=field, words=listed(words, "or")))
    return texts


FEW, MANY = 8, 0.7
"""Rows, and the share of different values among theirs, from which on an output is taken to be free text."""
RULE = "The {field} is {value} when the text mentions {words}."
COPIED = "The {field} is the sentence of the input with {words}."
SHORT = "The {field} is short: at most {count} words, copied from the passages."
LEADS = ("These signs tell the cases apart:", "What the examples show:", "", "Judge by these signs.")
PLAIN_TASK = "Answer from the input alone, with one of the values named below."
NOTHING = "The prompt holds no examples that could be compared."
_RULE = re.compile(r"The ([\w ]{1,40}?) is (\S[^.\n]{0,60}?) when the text mentions ([^.\n]+)\.")
_OURS = re.compile(
    r"when the text mentions|In doubt, the | is short: .* copied from the passages\."
    r"| is the sentence of the input with |^(?:These signs tell|What the examples show|Judge by these signs)"
)
_WRITTEN = re.compile(
    r"instruction|rule|summar|observation|description|\btip|advice|lesson|notes|insight", re.I
)
_GROUNDS = re.compile(
    r"program|instruction|example|dataset|data_summary|observation|rows|trace|trajector", re.I
)
_EXPLAINING = ("reasoning", "rationale")
