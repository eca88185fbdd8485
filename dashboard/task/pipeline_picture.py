"""A task's steps as a picture: boxes in columns, lines between them by field. No Streamlit in here.

`picture` lays a spec out in plain numbers; the component draws them. All texts are data, never markup.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Literal, NamedTuple

from dashboard.services import JsonObject, PipelineSpec, StepSpec

Kind = Literal["inputs", "step", "search", "tool", "side", "outputs"]

WIDE, NARROW = (176, 62), (134, 44)
"""Width of a box and the room to the next one, in pixels: of up to four columns, and of more."""

GAP_Y, MARGIN = 22, 8
LINE, HEAD = 17, 30
LANE = 18
MOST_LINES = 5
_KINDS: dict[str, Kind] = {"retrieve": "search", "tool": "tool"}


class StepBox(NamedTuple):
    """One box: its place, its text, and the step it opens (-1: none)."""

    id: str
    kind: Kind
    title: str
    lines: tuple[str, ...]
    x: int
    y: int
    height: int
    step: int


class FieldLine(NamedTuple):
    """One line from a box to a box, with the fields that go along it.

    One that passes other columns runs below all boxes, in its own `lane` (1 and up; 0: straight).
    """

    source: str
    target: str
    label: str
    dashed: bool = False
    lane: int = 0


class Picture(NamedTuple):
    """The boxes and lines of a task, and how much room they take, in pixels; lanes begin at `bottom`."""

    boxes: tuple[StepBox, ...]
    lines: tuple[FieldLine, ...]
    width: int
    bottom: int
    height: int
    box: int

    def data(self) -> JsonObject:
        """Return the picture as plain data, for the component."""
        return {
            "boxes": [{**b._asdict(), "lines": list(b.lines), "width": self.box} for b in self.boxes],
            "lines": [line._asdict() for line in self.lines],
            "width": self.width,
            "bottom": self.bottom,
            "lane": LANE,
            "height": self.height,
        }

    def words(self) -> str:
        """Return the picture in words, for those who cannot see it."""
        names = {b.id: b.title for b in self.boxes}
        return "; ".join(f"{names[a.source]} to {names[a.target]}: {a.label}" for a in self.lines if a.label)


def picture(spec: PipelineSpec, how: Mapping[str, str]) -> Picture:
    """Return the picture of a task. `how` is strategy -> its plain name.

    >>> from engine.pipeline.importers.task import import_task
    >>> made = picture(PipelineSpec(steps=(import_task("question -> answer").step,)), {"predict": "Answer directly"})
    >>> [b.title for b in made.boxes], [(a.source, a.target, a.label) for a in made.lines]
    (['Goes in', 'solve', 'Comes out'], [('in', 'step0', 'question'), ('step0', 'out', 'answer')])
    """
    columns, lines = _wired(spec)
    last = 1 + max(columns)
    width, gap = WIDE if last < 4 else NARROW
    column_of: dict[str, int] = {}
    tall: dict[int, int] = defaultdict(lambda: MARGIN)
    boxes: list[StepBox] = []

    def place(identity: str, kind: Kind, title: str, texts: tuple[str, ...], column: int, step: int) -> None:
        height = HEAD + LINE * max(1, len(texts)) + 6
        x = MARGIN + column * (width + gap)
        column_of[identity] = column
        boxes.append(StepBox(identity, kind, title, texts, x, tall[column], height, step))
        tall[column] += height + GAP_Y

    place("in", "inputs", "Goes in", _few([f.name for f in spec.inputs]), 0, -1)
    for at, step in enumerate(spec.steps):
        side = _side(step)
        if side:
            place(f"side{at}", "side", side[0], side[1:], columns[at], at)
            lines.append(FieldLine(f"side{at}", f"step{at}", "", dashed=True))
        place(
            f"step{at}",
            _KINDS.get(step.strategy, "step"),
            step.name or "no name",
            _lines(step, how),
            columns[at],
            at,
        )
    place("out", "outputs", "Comes out", _few([f.name for f in spec.outputs]), last, -1)
    tallest = max(tall.values()) - GAP_Y
    centred = tuple(b._replace(y=b.y + (tallest + GAP_Y - tall[column_of[b.id]]) // 2) for b in boxes)
    drawn = _with_lanes(lines, column_of)
    lanes = max((line.lane for line in drawn), default=0)
    return Picture(
        centred,
        drawn,
        MARGIN * 2 + (last + 1) * width + last * gap,
        tallest + MARGIN,
        tallest + MARGIN + (lanes + 1) * LANE * bool(lanes),
        width,
    )


def _with_lanes(lines: list[FieldLine], column: Mapping[str, int]) -> tuple[FieldLine, ...]:
    """Give each line that passes other columns its own lane, the shortest the highest."""
    far = [a for a in lines if not a.dashed and column[a.target] - column[a.source] > 1]
    far.sort(key=lambda a: (column[a.target] - column[a.source], column[a.source]))
    lanes = {(a.source, a.target): lane for lane, a in enumerate(far, 1)}
    return tuple(a._replace(lane=lanes.get((a.source, a.target), 0)) for a in lines)


def _wired(spec: PipelineSpec) -> tuple[list[int], list[FieldLine]]:
    """Return each step's column, and the lines that carry fields."""
    makers: dict[str, list[int]] = {}
    columns: list[int] = []
    carried: dict[tuple[str, str], list[str]] = {}
    for at, step in enumerate(spec.steps):
        reads = [f.name for f in step.needs]
        decides = [step.when.field] if step.when and step.when.field not in reads else []
        column = 1
        for name in [*reads, *decides]:
            for maker in makers.get(name, []):
                column = max(column, columns[maker] + 1)
                carried.setdefault((f"step{maker}", f"step{at}"), []).append(name)
            if name not in makers:
                carried.setdefault(("in", f"step{at}"), []).append(name)
        columns.append(column)
        for f in step.makes:
            # Of two steps that make one field, either may have made it.
            makers.setdefault(f.name, []).append(at)
    for f in spec.outputs:
        for maker in makers.get(f.name, []):
            carried.setdefault((f"step{maker}", "out"), []).append(f.name)
    return columns, [FieldLine(a, b, _label(names)) for (a, b), names in carried.items()]


def _lines(step: StepSpec, how: Mapping[str, str]) -> tuple[str, ...]:
    lines = [how.get(step.strategy, step.strategy)]
    if step.model is not None:
        lines.append(_cut(f"asks {step.model.name.rpartition('/')[2]}"))
    if step.when is not None:
        word = "not " if step.when.negated else ""
        lines.append(_cut(f"if {step.when.field} is {word}{' or '.join(step.when.values) or '…'}"))
    if step.each is not None:
        lines.append(_cut(f"for each {step.each.item} of {step.each.field}"))
    return tuple(lines)


def _side(step: StepSpec) -> tuple[str, ...]:
    """Return what a step looks things up in: a title and a line or two; nothing for most steps."""
    corpus, tools = step.options.corpus, step.options.tools
    texts = f"{len(corpus.passages):,} passages" if corpus.passages else _cut(corpus.file.rpartition("/")[2])
    if step.strategy == "retrieve":
        return ("Corpus", texts or "nothing yet")
    if step.strategy == "tool":
        return ("Tool", *(_few(list(tools)) or ("none yet",)))
    if step.strategy == "react":
        return ("Tools", *(_few(list(tools)) or ("none yet",)))
    return ()


def _label(names: list[str]) -> str:
    distinct_names = list(dict.fromkeys(names))
    return distinct_names[0] if len(distinct_names) == 1 else f"{len(distinct_names)} fields"


def _few(names: list[str]) -> tuple[str, ...]:
    shown = [_cut(name) for name in names]
    if len(shown) > MOST_LINES:
        shown = [*shown[: MOST_LINES - 1], f"and {len(shown) - MOST_LINES + 1} more"]
    return tuple(shown)


def _cut(text: str, longest: int = 24) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
