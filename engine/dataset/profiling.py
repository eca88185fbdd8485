"""Profiles of columns: kind, how full it is, how many different values, and some of them.

Fill rates and counts are exact; kinds are judged by the most frequent values, which is as good and
keeps 100,000 rows well under a second. Kinds are for showing and guessing only: cells stay text.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from engine.basics.value_parsing import convention_of, is_date, plain_numbers, unit_of
from engine.dataset.table import Dataset

Kind = Literal["number", "yes_no", "category", "date", "text", "json", "empty"]

KIND_TITLES: dict[Kind, str] = {
    "number": "Number",
    "yes_no": "Yes or no",
    "category": "Category",
    "date": "Date",
    "text": "Text",
    "json": "List or JSON",
    "empty": "Empty",
}

SAMPLES = 3
TOP_VALUES = 20
MOST_CHOICES = 300
"""Different values of a category: more are free text."""

LONGEST_CATEGORY = 60
JUDGED_VALUES = 400

_CODED = re.compile(r"[+-]?0\d")
"""Start of digits that are no number but a code, such as 007."""

_YES_NO = ({"yes", "no"}, {"true", "false"}, {"y", "n"}, {"t", "f"}, {"0", "1"})


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """Profile of one column.

    `filled` is the share of rows with something in them, 0 to 1; `distinct` the number of different values, blank
    ones aside; `samples` a few of them in file order; `top_values` the most frequent ones with their counts (all
    of a category's, and as many of whole numbers). `whole` says that a number column holds whole numbers only;
    `longest` is the length in characters of the longest of the values judged; `unit` what its numbers count, where
    their text says so: "EUR", "percent".
    """

    name: str
    kind: Kind
    rows: int
    filled: float
    distinct: int
    samples: tuple[str, ...]
    top_values: tuple[tuple[str, int], ...]
    longest: int = 0
    whole: bool = False
    unit: str = ""

    @property
    def few(self) -> bool:
        """True where the values are few enough to list as choices."""
        return self.kind in ("category", "yes_no") and 2 <= self.distinct <= MOST_CHOICES


def profile(dataset: Dataset) -> tuple[ColumnProfile, ...]:
    """Return a profile of each column, in column order.

    >>> from engine.dataset.reading import read_dataset
    >>> first, second = profile(read_dataset(b"id,queue\\n1,a\\n2,b\\n3,a\\n4,a\\n", "x.csv"))
    >>> first.kind, second.kind, second.top_values
    ('number', 'category', (('a', 3), ('b', 1)))
    """
    return tuple(_profile_column(name, dataset.frame[name]) for name in dataset.columns)


def _profile_column(name: str, cells: object) -> ColumnProfile:
    import pyarrow as pa
    import pyarrow.compute as pc

    array = pa.array(cells)
    rows = len(array)
    stripped = pc.utf8_trim_whitespace(array)
    present = pc.filter(stripped, pc.greater(pc.binary_length(stripped), 0))
    counts = pc.value_counts(present)
    # value_counts keeps the order of first appearance, and sorting is stable: ties stay in file order.
    ranked = pc.sort_indices(pc.negate(counts.field("counts")))[:JUDGED_VALUES]
    frequent = counts.take(ranked)
    values: list[str] = frequent.field("values").to_pylist()
    times: list[int] = frequent.field("counts").to_pylist()
    kind = _kind(name, values, len(counts), len(present))
    numbers = _numbers(values) if kind == "number" else []
    whole = kind == "number" and not any(set(".eE") & set(number) for number in numbers)
    listed = MOST_CHOICES if kind == "category" or whole else TOP_VALUES
    return ColumnProfile(
        name=name,
        kind=kind,
        rows=rows,
        filled=len(present) / rows if rows else 0.0,
        distinct=len(counts),
        samples=tuple(counts.field("values")[:SAMPLES].to_pylist()),
        top_values=tuple(zip(values[:listed], times[:listed], strict=True)),
        longest=max(map(len, values), default=0),
        whole=whole,
        unit=unit_of(values[0]) if kind == "number" else "",
    )


def _kind(name: str, values: list[str], distinct: int, present: int) -> Kind:
    """Judge a column by its most frequent values; fewer repeats suffice where its name says that it is a category."""
    if not values:
        return "empty"
    folded = {v.casefold() for v in values}
    if distinct <= 6 and len(folded) == 2 and folded in _YES_NO:
        return "yes_no"
    if _numbers(values):
        return "number"
    if all(map(is_date, values)):
        return "date"
    if all(v[0] in "[{" and v[-1] in "]}" for v in values):
        return "json"
    short = all(len(v) <= LONGEST_CATEGORY and "\n" not in v for v in values)
    often = 2 if distinct <= TOP_VALUES or _CATEGORY_NAMES & set(_tokens(name)[-1:]) else 3
    repeated = present >= often * distinct and distinct <= MOST_CHOICES
    return "category" if short and (repeated or distinct == 1) else "text"


def _numbers(values: Sequence[str]) -> list[str]:
    """Return the numbers that a column's values are, in plain digits; [] unless all are numbers that count the same."""
    if any(_CODED.match(value) or not any(c.isdigit() for c in value[:40]) for value in values):
        return []
    convention = convention_of(values)
    readings = [plain_numbers(value, convention) for value in values]
    return [one[0] for one in readings] if all(readings) and len(set(map(unit_of, values))) == 1 else []


Role = Literal["input", "output", "ignore"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SYNONYMS: tuple[frozenset[str], ...] = tuple(
    _words(group)
    for group in (
        "text message body content comment review description note email document passage article post utterance",
        "question query prompt problem ask request",
        "label class category tag topic target type intent",
        "answer response output reply completion solution result expected gold truth",
        "subject title headline",
        "sentiment polarity emotion tone mood feeling",
        "queue department team route group",
        "aspect feature facet",
        "rating stars score grade",
        "summary abstract synopsis",
        "context background evidence",
        "priority urgency severity",
    )
)
_ANSWER_NAMES = _words(
    "label labels target answer answers output expected completion gold truth response solution result y"
)
_ANSWER_MARKS = frozenset(("expected", "gold", "target", "correct", "final", "is"))
_REPLY_NAMES = _words("reply replies resolution outcome followup")
_LATER_NAMES = _REPLY_NAMES | _words(
    "answer response result solution status resolved closed closing fix feedback satisfaction csat refund decision verdict"
)
_LABEL_NAMES = _words(
    "class category sentiment intent queue topic tag aspect polarity emotion department priority rating stars score "
    "summary translation verdict decision severity urgency route team type grade"
)
_CATEGORY_NAMES = _words("label class category intent")
_INPUT_NAMES = _words(
    "text message body content comment review description email document passage article question query prompt problem "
    "input subject title context utterance"
)
_THING_NAMES = _words(
    "name names surname lastname firstname person people author speaker guest customer client supplier vendor company "
    "contact sender recipient patient employee manager owner username user email phone address city id uuid ref "
    "reference number no nr sku iban"
)
_ID_NAMES = _words("id uuid guid index idx key row no nr number rownum")
_ASIDE_NAMES = _words(
    "split fold source url link author annotator timestamp date created updated time notes file filename"
)
_GOOD_MATCH = 0.62


def guess_roles(dataset: Dataset, profiles: Sequence[ColumnProfile] | None = None) -> dict[str, Role]:
    """Guess for each column whether it is an input, the answer or neither; at least one input remains.

    `profiles` saves profiling again where the caller has them.

    >>> from engine.dataset.reading import read_dataset
    >>> guess_roles(read_dataset(b"id,message,queue\\n1,Where is it?,a\\n2,Pay me back,b\\n", "x.csv"))
    {'id': 'ignore', 'message': 'input', 'queue': 'output'}
    """
    columns = profiles if profiles is not None else profile(dataset)
    usable = [c for c in columns if not _aside(c)]
    if len(usable) == 1 and columns[-1].kind == "number" and columns[-1].distinct < columns[-1].rows:
        # A last column that is called "number" is an answer where nothing else is one.
        usable = list(dict.fromkeys([*usable, columns[-1]]))
    usable = usable or [c for c in columns if c.kind != "empty"]
    outputs = {c.name for c in _outputs(usable)}
    replies = {c.name for c in usable if outputs and _reads_as_reply(c.name)}
    inputs = {c.name for c in usable} - outputs - replies
    if usable and not inputs and len(outputs) > 1:
        # Something has to be read: the column with the longest texts.
        inputs = {max(usable, key=lambda c: c.longest).name}
        outputs -= inputs
    inputs = inputs or replies - outputs
    return {
        c.name: "output" if c.name in outputs else "input" if c.name in inputs else "ignore" for c in columns
    }


def role_doubts(columns: Sequence[ColumnProfile], roles: Mapping[str, str]) -> dict[str, str]:
    """Return what a user should be asked about the roles: column -> question.

    >>> from engine.dataset.reading import read_dataset
    >>> rows = read_dataset(b"ticket,label,reply\\nWhere is it?,a,On its way.\\nPay me back,b,We did.\\n", "x.csv")
    >>> list(role_doubts(profile(rows), guess_roles(rows)))
    ['reply']
    """
    answers = [c for c in columns if roles.get(c.name) == "output"]
    short = next((c.name for c in answers if c.longest <= LONGEST_CATEGORY), "")
    doubts = {}
    for column in columns:
        name = column.name
        if answers and column not in answers and _reads_as_reply(name):
            doubts[name] = (
                f"Is {name!r} known before {answers[0].name!r}? It reads like an answer, too. Choose Input only if it is, "
                "Answer if the model should write it."
            )
        elif short and column in answers and column.kind == "text" and column.longest > LONGEST_CATEGORY:
            doubts[name] = (
                f"Should the model give both {short!r} and {name!r}? If not, set one of them to Not used."
            )
    return {name: doubt for name, doubt in doubts.items() if not _marked(name)}


def guess_mapping(
    dataset: Dataset,
    field_names: Iterable[str],
    *,
    outputs: Collection[str] = (),
    profiles: Sequence[ColumnProfile] | None = None,
) -> dict[str, str]:
    """Guess which column fills each field: field -> column. A field without a good match is left out.

    Names are compared without case and punctuation, then by synonym, then by likeness. `outputs` are
    the fields that are answers: they, and a single field left over, also take columns by their role.

    >>> from engine.dataset.reading import read_dataset
    >>> data = read_dataset(b"Customer Message,Queue\\nhi,a\\n", "x.csv")
    >>> guess_mapping(data, ["message", "queue"])
    {'message': 'Customer Message', 'queue': 'Queue'}
    """
    fields = list(dict.fromkeys(field_names))
    scored = sorted(
        ((likeness(f, c), -i, -j, f, c) for i, f in enumerate(fields) for j, c in enumerate(dataset.columns)),
        reverse=True,
    )
    mapping: dict[str, str] = {}
    used: set[str] = set()
    for score, _, _, field, column in scored:
        if score >= _GOOD_MATCH and field not in mapping and column not in used:
            mapping[field] = column
            used.add(column)
    if outputs:
        roles = guess_roles(dataset, profiles)
        for role, wanted in (
            ("output", [f for f in fields if f in outputs]),
            ("input", [f for f in fields if f not in outputs]),
        ):
            left = [f for f in wanted if f not in mapping]
            free = [c for c in dataset.columns if roles[c] == role and c not in used]
            if len(left) == 1 and free:
                mapping[left[0]] = free[0]
                used.add(free[0])
    return {f: mapping[f] for f in fields if f in mapping}


def likeness(a: str, b: str) -> float:
    """Return how alike two names are, 0 to 1.

    >>> likeness("user_question", "User Question"), likeness("text", "message") > likeness("text", "queue")
    (1.0, True)
    """
    one, two = _tokens(a), _tokens(b)
    if "".join(one) == "".join(two):
        return 1.0
    if not one or not two:
        return 0.0
    shared = len(set(one) & set(two)) / min(len(set(one)), len(set(two)))
    if shared == 1:
        return 0.9
    if any({one[-1], two[-1]} <= group for group in _SYNONYMS):
        return 0.75
    ratio = SequenceMatcher(None, "".join(one)[:_LONGEST_NAME], "".join(two)[:_LONGEST_NAME]).ratio()
    # Short names are alike by chance ("age", "page"): ask more of them.
    return ratio * 0.8 if min(len(a), len(b)) > 3 else ratio * 0.5


_LONGEST_NAME = 200
"""Characters of a column's name that are compared."""


def _tokens(name: str) -> list[str]:
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    return [t for t in re.split(r"[\W_]+", spaced.casefold()) if t]


def _aside(column: ColumnProfile) -> bool:
    """Return whether a column is neither: nothing in it, a row's identity, or a note about where it came from."""
    tokens = _tokens(column.name)
    last = tokens[-1] if tokens else ""
    if column.kind == "empty" or column.name.casefold().startswith(("unnamed", "log_")):
        return True
    if _names_answer(column.name):
        return False
    if last in _ID_NAMES:
        return True
    if last in _INPUT_NAMES | _LABEL_NAMES:
        return False
    constant = column.distinct == 1 and column.rows > 2
    counter = (
        column.whole
        and column.distinct == column.rows > 10
        and column.samples[:2] in (("0", "1"), ("1", "2"))
    )
    return constant or counter or last in _ASIDE_NAMES or column.kind == "date"


def _outputs(columns: Sequence[ColumnProfile]) -> list[ColumnProfile]:
    if len(columns) < 2:
        return []
    answers = [c for c in columns if _names_answer(c.name)]
    if answers:
        return answers
    labels = [c for c in columns if (t := _tokens(c.name)) and t[-1] in _LABEL_NAMES and _label_like(c)]
    if labels:
        return labels
    others = [c for c in columns if not set(_tokens(c.name)) & _INPUT_NAMES]
    few = [c for c in others if c.kind in ("category", "yes_no")]
    return [(few or others or list(columns))[-1]]


def _marked(name: str) -> bool:
    return bool(_ANSWER_MARKS & set(_tokens(name)[:1]))


def _reads_as_reply(name: str) -> bool:
    return bool(_REPLY_NAMES & set(_tokens(name)[-1:]))


def names_things(name: str) -> bool:
    """True where a column's name says that it holds names or ids: others than those in a table will come."""
    tokens = _tokens(name)
    return bool(_THING_NAMES & set(tokens[-1:])) and not (_LABEL_NAMES | _CATEGORY_NAMES) & set(tokens)


def comes_later(name: str) -> bool:
    """True where a column's name says that it is filled in after the answer."""
    return bool(_LATER_NAMES & set(_tokens(name)[-1:]))


def _names_answer(name: str) -> bool:
    tokens = _tokens(name)
    if len(tokens) > 1 and tokens[-1] in _ID_NAMES:
        tokens = tokens[:-1]  # "answer_idx" and "label_id" name an answer; "id" alone does not
        return tokens[-1] in _ANSWER_NAMES | {"class"} or _marked(name)
    return bool(tokens) and (tokens[-1] in _ANSWER_NAMES or _marked(name))


def _label_like(column: ColumnProfile) -> bool:
    if column.kind in ("category", "yes_no", "number", "json"):
        return True
    return (
        _tokens(column.name)[-1] in ("summary", "translation", "verdict", "decision") or column.longest <= 40
    )
