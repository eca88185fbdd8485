"""Values and numbers as text, and texts made comparable: the same way in prompts, metrics, feedback, exports and pages."""

from __future__ import annotations

import json
import math
import re
import string
import unicodedata
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from enum import Enum
from itertools import zip_longest
from typing import Any, Literal, NamedTuple, overload

LONGEST_NAME = 200
"""Characters of the name of a project, a run, a file, a field, a step or a tag; a longer one is cut where it comes in."""


def json_of(text: str) -> Any:
    """Return the value of a JSON text from outside. Raises ValueError with what is wrong with the text, to follow its name.

    >>> json_of("[1,]")
    Traceback (most recent call last):
    ValueError: is not valid JSON: line 1, column 4: Expecting value
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}"
        ) from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except ValueError:  # thousands of digits
        raise ValueError("holds a number that is too long to read") from None


def as_text(value: object) -> str:
    """Return a value as the text a person would write for it, items in a line.

    >>> as_text(["a", "b"]), as_text(None), as_text(3)
    ('a, b', '', '3')
    """
    if isinstance(value, Enum):
        return as_text(value.value)
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(map(as_text, value))
    return "" if value is None else str(value)


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun.

    >>> counted(1, "row"), counted(1200, "row"), counted(2, "try", "tries")
    ('1 row', '1,200 rows', '2 tries')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def shortened(text: str, limit: int) -> str:
    """Return a text; of a long one its head and its tail, with a note on what is left out.

    >>> shortened("x" * 50, 10)
    'xxxxx\\n... (40 of 50 characters left out) ...\\nxxxxx'
    """
    if len(text) <= limit:
        return text
    half = limit // 2
    return (
        f"{text[:half]}\n... ({len(text) - 2 * half} of {len(text)} characters left out) ...\n{text[-half:]}"
    )


def fenced_blocks(text: str) -> list[str]:
    """Return the contents of a text's fenced code blocks; the last one may lack its end.

    >>> fenced_blocks("Here:\\n```python\\nx = 1\\n```\\nand\\n```\\ny = 2")
    ['x = 1', 'y = 2']
    """
    return _FENCED.findall(text)


_FENCED = re.compile(r"```[^\n`]*\n(.*?)(?:\n?[ \t]*```|\Z)", re.DOTALL)


def harmless(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula and no terminal obeys; numbers stay numbers.

    >>> harmless("=1+1"), harmless("-5"), harmless("a=b")
    ("'=1+1", '-5', 'a=b')
    """
    return visible(f"'{text}" if is_formula(text) and not _PLAIN_NUMBER.fullmatch(text) else text)


def visible(text: str) -> str:
    r"""Return a text whose control characters, changes of direction and unpaired surrogates are written out; line ends and tabs stay.

    >>> visible("a\x1b[31m\tb\u202ec\r\n")
    'a\\x1b[31m\tb\\u202ec\r\n'
    """
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]|\r(?!\n)"
)


def is_formula(text: str) -> bool:
    """Return whether a spreadsheet could take a text for a formula; a number with a sign is one here too."""
    return _FORMULA.match(text) is not None


_FORMULA = re.compile(r"[\s\u200b\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20\t\r]")
_PLAIN_NUMBER = re.compile(r"[+-]?(\d[\d.,]*|\.\d+)(e[+-]?\d+)?%?", re.IGNORECASE)


def signed(number: float, digits: int = 0) -> str:
    """Return a number with its sign, the minus as it is printed (U+2212).

    >>> signed(4.2), signed(-0.04, 1), signed(-12) == "\u221212"
    ('+4', '0.0', True)
    """
    value = round(number, digits)
    sign = "+" if value > 0 else "\u2212" if value < 0 else ""
    return f"{sign}{abs(value):,.{digits}f}"


def points_gained(before: float, after: float, digits: int = 0) -> float:
    """Return how far a score from 0 to 1 rose, in points: the difference of the two figures as they are shown.

    >>> points_gained(0.4249, 0.8151), points_gained(0.4249, 0.8151, 1)
    (40.0, 39.0)
    """
    return round(in_percent(after, digits) - in_percent(before, digits), digits)


def in_points(gain: float, digits: int = 0) -> str:
    """Write a difference that is given in points.

    >>> in_points(55.0), in_points(1), in_points(4.2, 1)
    ('+55 points', '+1 point', '+4.2 points')
    """
    return f"{signed(gain, digits)} {'point' if abs(round(gain, digits)) == 1 else 'points'}"


class PrintedChange(NamedTuple):
    """Two scores and the 95 % interval of their difference as every text shows them; what is called sure is read from these."""

    before: int
    after: int
    low: int
    high: int

    @property
    def gain(self) -> int:
        """The difference shown."""
        return self.after - self.before

    @property
    def interval(self) -> str:
        """The interval in words."""
        return f"{signed(self.low)} to {signed(self.high)}"


def printed_change(before: float, after: float, low: float, high: float) -> PrintedChange:
    """Return a comparison of two scores, 0 to 1, as it is printed; the interval printed holds the gain printed.

    >>> printed_change(0.625, 0.8, 0.004, 0.22).interval, printed_change(0.506, 0.514, 0.0055, 0.0105).gain
    ('0 to +22', 0)
    >>> printed_change(0.506, 0.514, 0.0055, 0.0105).interval
    '0 to +1'
    """
    first, second, bottom, top = (round(in_percent(share, 0)) for share in (before, after, low, high))
    return PrintedChange(first, second, min(bottom, second - first), max(top, second - first))


def change_in_percent(before: float | None, after: float | None) -> int:
    """Return the change of an amount in whole percent; 0 where it cannot be seen, or one of the two is not known.

    >>> change_in_percent(753, 751), change_in_percent(400, 300), change_in_percent(None, 3)
    (0, -25, 0)
    """
    return round(100 * (after / before - 1)) if before and after else 0


def listed(names: Sequence[str], last: str = "and") -> str:
    """Return names as a list in a sentence.

    >>> listed(["a", "b", "c"]), listed(["a"])
    ('a, b and c', 'a')
    """
    return f"{', '.join(names[:-1])} {last} {names[-1]}" if len(names) > 1 else "".join(names)


def cut(text: str, limit: int) -> str:
    """Return a text; of a long one the start, `limit` characters with the dots at its end.

    >>> cut("billing", 7), cut("a long text", 7)
    ('billing', 'a lo...')
    """
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def first_of(names: Sequence[str], most: int) -> str:
    """Return the first names, with dots where there are more.

    >>> first_of(["a", "b", "c"], 2), first_of(["a"], 2)
    ('a, b ...', 'a')
    """
    return ", ".join(names[:most]) + (" ..." if len(names) > most else "")


def one_case(text: str) -> str:
    """Return a text without what makes no difference in a question or an answer: case and space."""
    return " ".join(text.casefold().split())


def short(number: float) -> str:
    """Write a large number briefly.

    >>> short(950), short(15_300), short(172_963), short(2_500_000)
    ('950', '15.3k', '173k', '2.5M')
    """
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if number >= 0.9995 * size:
            return f"{number / size:.{0 if number >= 99.95 * size else 1}f}{unit}"
    return f"{number:.0f}"


def dollars(amount: float) -> str:
    """Write US dollars with as many digits as matter.

    >>> dollars(0), dollars(0.00008), dollars(1.5), dollars(-3), dollars(math.inf)
    ('$0', '$0.00008', '$1.50', '-$3.00', 'not known')
    """
    if amount < 0:
        return f"-{dollars(-amount)}"
    if not math.isfinite(amount):
        return "not known"
    if not amount >= 1e-12:
        return "$0"
    if amount >= 0.1:
        return f"${amount:,.2f}"
    places = 1 - math.floor(math.log10(amount))
    return f"${amount:.{places}f}".rstrip("0")


def price(amount: float | None, before: str = "") -> str:
    """Write what something cost, in words where there is no figure; `before` comes before a figure.

    >>> price(None), price(0), price(1.5, "about ")
    ('price not known', 'free', 'about $1.50')
    """
    return "price not known" if amount is None else f"{before}{dollars(amount)}" if amount else "free"


def chosen_from(total: int) -> str:
    """Return what choosing among many prompts does to a verdict; the starting prompt is counted.

    >>> chosen_from(12)[:73]
    'It was chosen from 12 prompts (the starting one and 11 new ones) on the v'
    """
    new = "a new one" if total == 2 else f"{total - 1:,} new ones"
    return (
        f"It was chosen from {total:,} prompts (the starting one and {new}) on the validation rows, where the best of many "
        "looks better than it is. The test rows took no part in that, so this verdict needs no discount."
    )


def duration(seconds: float) -> str:
    """Write a stretch of time.

    >>> duration(4.2), duration(75), duration(7320), duration(math.nan)
    ('4 s', '1 min 15 s', '2 h 2 min', 'not known')
    """
    if not math.isfinite(seconds):
        return "not known"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def percent(share: float | None, digits: int = 0) -> str:
    """Write a share of 1 as percent: whole on pages and in sentences, one decimal in tables, files and on hover.

    >>> percent(0.6543), percent(0.6543, 1), percent(None)
    ('65 %', '65.4 %', 'not known')
    """
    return "not known" if share is None else f"{in_percent(share, digits):.{digits}f} %"


@overload
def in_percent(share: float, digits: int = 1) -> float: ...
@overload
def in_percent(share: float | None, digits: int = 1) -> float | None: ...
def in_percent(share: float | None, digits: int = 1) -> float | None:
    """Return a share of 1 as a number of percent, rounded as `percent` writes it; a half is rounded away from 0.

    >>> in_percent(0.81251), in_percent(0.625, 0), in_percent(-0.575, 0), in_percent(None)
    (81.3, 63.0, -58.0, None)
    """
    if share is None or not math.isfinite(share):
        return share
    scale = 10**digits
    return math.copysign(math.floor(round(abs(100 * share) * scale, 6) + 0.5) / scale, share) + 0.0


def time_taken(seconds: float | None) -> str:
    """Write a short stretch of time, milliseconds where it is under a second.

    >>> time_taken(0.0004), time_taken(0.25), time_taken(3.2), time_taken(None)
    ('under 1 ms', '250 ms', '3 s', 'not known')
    """
    if seconds is None:
        return "not known"
    if seconds < 0.001:
        return "under 1 ms"
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else duration(seconds)


Kind = Literal["same", "added", "removed"]


class Segment(NamedTuple):
    """A stretch of text and what became of it."""

    kind: Kind
    text: str


class Line(NamedTuple):
    """One line as it was and as it is; None where there is no such line."""

    before: tuple[Segment, ...] | None
    after: tuple[Segment, ...] | None

    @property
    def changed(self) -> bool:
        """True if the two sides differ."""
        return self.before != self.after


class Difference(NamedTuple):
    """All lines, and how many words came and went."""

    lines: tuple[Line, ...]
    added: int
    removed: int


def difference(before: str, after: str) -> Difference:
    """Compare two texts.

    >>> found = difference("Answer briefly.", "Answer briefly and kindly.")
    >>> found.added, found.removed
    (3, 1)
    >>> [s for s in found.lines[0].after if s.kind == "added"]
    [Segment(kind='added', text='briefly and kindly.')]
    """
    lines = tuple(_lines(before.splitlines(), after.splitlines()))
    return Difference(
        lines,
        sum(_words(s.text) for line in lines for s in line.after or () if s.kind == "added"),
        sum(_words(s.text) for line in lines for s in line.before or () if s.kind == "removed"),
    )


def _lines(before: list[str], after: list[str]) -> Iterator[Line]:
    for tag, a1, a2, b1, b2 in _changes(before, after):
        if tag == "equal":
            for text in before[a1:a2]:
                yield Line((Segment("same", text),), (Segment("same", text),))
            continue
        for old, new in zip_longest(before[a1:a2], after[b1:b2]):
            if old is None:
                yield Line(None, (Segment("added", new),))
            elif new is None:
                yield Line((Segment("removed", old),), None)
            else:
                yield _inside(old, new)


def _inside(old: str, new: str) -> Line:
    a, b = re.findall(r"\s+|\S+", old), re.findall(r"\s+|\S+", new)
    before: list[Segment] = []
    after: list[Segment] = []
    for tag, a1, a2, b1, b2 in _changes(a, b):
        if tag == "equal":
            before.append(Segment("same", "".join(a[a1:a2])))
            after.append(Segment("same", "".join(b[b1:b2])))
            continue
        if a2 > a1:
            before.append(Segment("removed", "".join(a[a1:a2])))
        if b2 > b1:
            after.append(Segment("added", "".join(b[b1:b2])))
    return Line(tuple(before), tuple(after))


_SMALL = 250_000
"""Product of both lengths up to which difflib, which reads best, takes a fraction of a second."""

_LARGE = 400_000_000


def _changes(before: list[str], after: list[str]) -> Sequence[tuple[str, int, int, int, int]]:
    """Return the stretches that are equal or differ, as difflib's opcodes."""
    if len(before) * len(after) <= _SMALL:
        return SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    from rapidfuzz.distance import LCSseq

    start = _common_start(before, after)
    end = _common_start(before[start:][::-1], after[start:][::-1])
    a, b = len(before) - end, len(after) - end
    stretches: list[tuple[str, int, int, int, int]] = [("equal", 0, start, 0, start)] if start else []
    if (a - start) * (b - start) > _LARGE:
        stretches.append(("replace", start, a, start, b))
    else:
        for code in LCSseq.opcodes(before[start:a], after[start:b]):
            tag, *ends = (
                code.tag,
                *(place + start for place in (code.src_start, code.src_end, code.dest_start, code.dest_end)),
            )
            a1, a2, b1, b2 = ends
            if tag != "equal" and stretches and stretches[-1][0] != "equal":
                _, a1, _, b1, _ = stretches.pop()
                tag = "replace"
            stretches.append((tag, a1, a2, b1, b2))
    if end:
        stretches.append(("equal", a, len(before), b, len(after)))
    return stretches


def _common_start(a: Sequence[str], b: Sequence[str]) -> int:
    return next(
        (at for at, (one, other) in enumerate(zip(a, b, strict=False)) if one != other), min(len(a), len(b))
    )


def _words(text: str) -> int:
    return len(text.split())


_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_EDGES = " \t\r\n.,;:!?\"'`*_()[]{}<>"


def normalize_text(text: str) -> str:
    """Return a text without case, ASCII punctuation, the words a/an/the and extra spaces, accents decomposed.

    This is the normalisation of the SQuAD evaluation script (Rajpurkar et al. 2016).

    >>> normalize_text("The  Quick, brown fox!")
    'quick brown fox'
    """
    lowered = unicodedata.normalize("NFD", text).lower().translate(_NO_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", lowered).split())


def plain_text(value: object) -> str:
    """Return a value as text without case, extra spaces and the punctuation around it.

    What is inside stays, so that "-5" and "5", or "3.5" and "35", differ.

    >>> plain_text("  'Yes.' "), plain_text(True), plain_text("-3.5")
    ('yes', 'true', '-3.5')
    """
    text = unicodedata.normalize("NFKC", as_text(value)).casefold()
    return " ".join(text.split()).strip(_EDGES)


def quoted(value: object) -> str:
    """Return a value as it is shown in feedback, cut when it is long.

    >>> quoted("billing"), quoted(None), quoted(12)
    ("'billing'", 'nothing', '12')
    """
    if value is None or value == "":
        return "nothing"
    if isinstance(value, int | float):
        return str(value)
    return repr(cut(as_text(value), 120))
