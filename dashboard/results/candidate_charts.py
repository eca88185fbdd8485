"""Charts of all the prompts a run tried: which rows each gets right, what came from what, quality against cost.

Records -> a small NamedTuple that can be tested -> a Plotly figure as a plain dict, as in `dashboard.state.live.score_chart`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

from dashboard.services import (
    CandidateRow,
    JsonObject,
    TrialRow,
    change_in_percent,
    counted,
    in_percent,
    percent,
    points_gained,
    unbeaten,
)
from dashboard.text import prompt_name, upper_first

MOST_CANDIDATES = 24
MOST_ROWS = 300
MOST_NODES = 300
MOST_VARIANTS = 1000


class Matrix(NamedTuple):
    """Scores (0 to 1, None: not scored) by row and candidate; rows from the hardest to the easiest."""

    candidates: tuple[str, ...]
    rows: tuple[int, ...]
    scores: tuple[tuple[float | None, ...], ...]
    left_out: int = 0

    @property
    def never(self) -> int:
        """Rows that no candidate gets wholly right."""
        return sum(all((s or 0) < 1 for s in line) for line in self.scores)

    @property
    def always(self) -> int:
        """Rows that every candidate gets wholly right."""
        return sum(all((s or 0) >= 1 for s in line) for line in self.scores)


class Node(NamedTuple):
    """One candidate in the family tree: its generation (0: came from none), and its place in it."""

    row: CandidateRow
    depth: int
    place: float


class Variant(NamedTuple):
    """One candidate by what it costs and how good it is. `beaten`: another is at least as good and cheaper."""

    number: int
    score: float
    tokens: float
    beaten: bool
    best: bool


def matrix(
    candidates: Sequence[CandidateRow],
    trials: Mapping[str, TrialRow],
    scores: Mapping[int, Mapping[int, float]],
) -> Matrix:
    """Return rows against candidates. `scores` is trial number -> row id -> score.

    With more candidates than can be read, the start and the best ones are kept.
    """
    known = [c for c in candidates if c.id in trials and scores.get(trials[c.id].number)]
    ranked = sorted(known, key=lambda c: (c.number != 0, -(trials[c.id].score or 0.0), c.number))
    drawn = sorted(ranked[:MOST_CANDIDATES], key=lambda c: c.number)
    columns = [scores[trials[c.id].number] for c in drawn]
    rows = sorted({row for column in columns for row in column})
    lines = {row: tuple(column.get(row) for column in columns) for row in rows}
    order = sorted(rows, key=lambda row: (sum(s or 0.0 for s in lines[row]), row))[:MOST_ROWS]
    names = tuple("Start" if c.number == 0 else f"{c.number}" for c in drawn)
    return Matrix(names, tuple(order), tuple(lines[row] for row in order), len(known) - len(drawn))


def family(candidates: Sequence[CandidateRow], best_id: str) -> list[CandidateRow]:
    """Return the candidates that a tree can show: the best ones with everything they came from, in the order found."""
    if len(candidates) <= MOST_NODES:
        return list(candidates)
    by_id = {c.id: c for c in candidates}
    ranked = sorted(candidates, key=lambda c: (c.id != best_id, -c.rows, -(c.score or 0.0), c.number))
    drawn: dict[str, None] = {}
    for candidate in ranked:
        if len(drawn) >= MOST_NODES:
            break
        waiting = [candidate.id]
        while waiting:
            number = waiting.pop()
            if number in by_id and number not in drawn:
                drawn[number] = None
                waiting += by_id[number].candidate.parents
    return [c for c in candidates if c.id in drawn]


def fewer(found: Sequence[Variant]) -> tuple[Variant, ...]:
    """Return the variants that a chart can show: all that none beats, and of the others the best."""
    if len(found) <= MOST_VARIANTS:
        return tuple(found)
    beaten = sorted((v for v in found if v.beaten), key=lambda v: (-v.score, v.tokens))[:MOST_VARIANTS]
    numbers = {v.number for v in (*(v for v in found if not v.beaten), *beaten)}
    return tuple(v for v in found if v.number in numbers or v.best)


def lineage(candidates: Sequence[CandidateRow]) -> tuple[Node, ...]:
    """Return the family tree: who came from whom, generation by generation."""
    ordered = sorted(candidates, key=lambda c: c.number)
    depths: dict[str, int] = {}
    sizes: Counter[int] = Counter()
    places: list[int] = []
    for row in ordered:
        depth = depths[row.id] = 1 + max((depths.get(p, -1) for p in row.candidate.parents), default=-1)
        places.append(sizes[depth])
        sizes[depth] += 1
    nodes = zip(ordered, depths.values(), places, strict=True)
    return tuple(Node(row, depth, place - (sizes[depth] - 1) / 2) for row, depth, place in nodes)


def variants(
    candidates: Sequence[CandidateRow],
    trials: Mapping[str, TrialRow],
    tokens: Mapping[str, float],
    best_id: str,
) -> tuple[Variant, ...]:
    """Return quality against cost, for candidates scored on all validation rows; `tokens` a row are by candidate id."""
    tried_prompts = [
        (c, trials[c.id].score or 0.0, tokens[c.id])
        for c in sorted(candidates, key=lambda c: c.number)
        if c.id in trials and c.id in tokens
    ]
    # Each point once: thousands of prompts may have the same score and length.
    points = list(dict.fromkeys((score, -tokens) for _, score, tokens in tried_prompts))
    front = {points[place] for place in unbeaten(points)}
    return tuple(
        Variant(c.number, score, tokens, (score, -tokens) not in front, c.id == best_id)
        for c, score, tokens in tried_prompts
    )


def trade_off(found: Sequence[Variant]) -> str:
    """Say in one sentence what quality costs, or "" where there is no choice.

    >>> trade_off([Variant(0, 0.5, 100, False, False), Variant(1, 0.8, 400, False, True)])
    'Prompt 1 scores 30 points more than the starting prompt and reads 4.0 times the tokens.'
    """
    front = sorted((v for v in found if not v.beaten), key=lambda v: v.tokens)
    if len(front) < 2 or not front[0].tokens:
        return _as_good_words(found)
    cheap, dear = front[0], front[-1]
    gain = round(points_gained(cheap.score, dear.score))
    if gain < 1:
        return _as_good_words(found)
    sentence = (
        f"{upper_first(prompt_name(dear.number))} scores {counted(gain, 'point')} more than "
        f"{prompt_name(cheap.number)} and reads {dear.tokens / cheap.tokens:.1f} times the tokens."
    )
    return f"{sentence} {_as_good_words(found)}".strip()


def _as_good_words(found: Sequence[Variant]) -> str:
    """Name the cheapest prompt that is as good as the best one, or say nothing where none is."""
    cheaper, best = as_good(found), next((v for v in found if v.best), None)
    if cheaper is None or best is None:
        return ""
    return (
        f"On these rows {prompt_name(cheaper.number)} is as good as the best, {prompt_name(best.number)}, "
        f"with {-change_in_percent(best.tokens, cheaper.tokens)} % fewer tokens."
    )


def as_good(found: Sequence[Variant]) -> Variant | None:
    """Return the cheapest prompt that scores no less than the best one on the rows to choose by; None without one.

    It is cheaper by a percent of the tokens at least.

    >>> as_good([Variant(0, 0.5, 100, False, False), Variant(1, 0.8, 400, True, True), Variant(2, 0.8, 300, False, False)]).number
    2
    """
    best = next((v for v in found if v.best), None)
    others = [
        v for v in found if best and v.score >= best.score and change_in_percent(best.tokens, v.tokens) < 0
    ]
    return min(others, key=lambda v: v.tokens, default=None)


def matrix_figure(found: Matrix, numbers: Mapping[int, int], texts: Mapping[int, str]) -> JsonObject:
    """Draw a `Matrix`. `numbers` is row id -> number in the file, `texts` row id -> what to show on hover."""
    labels = [f"Row {numbers[row]}" for row in found.rows]
    hover = [
        [
            f"{label}, prompt {name}: <b>{'not scored' if s is None else percent(s, 0)}</b><br>{escape(texts.get(row, '')[:90])}"
            for name, s in zip(found.candidates, line, strict=True)
        ]
        for row, label, line in zip(found.rows, labels, found.scores, strict=True)
    ]
    trace = {
        "type": "heatmap",
        "x": list(found.candidates),
        "y": labels,
        "z": [list(line) for line in found.scores],
        "zmin": 0,
        "zmax": 1,
        "colorscale": [[0, "$faint"], [1, "$good"]],
        "showscale": False,
        "xgap": 2,
        "ygap": 1,
        "opacity": 0.82,
        "text": hover,
        "hovertemplate": "%{text}<extra></extra>",
    }
    by_name = {"type": "category", "showgrid": False}
    rows = _axis("Validation rows, the hardest first", **by_name, autorange="reversed", nticks=20)
    layout = {"xaxis": _axis("Prompts, in the order found", **by_name), "yaxis": rows}
    return {"traces": [trace], "layout": layout}


CHOSEN: dict[str, object] = {"color": "$good", "size": 20, "symbol": "star"}


def lineage_figure(nodes: Sequence[Node], best_id: str) -> dict[str, object]:
    """Draw the family tree: generations from left to right, a line from each parent."""
    at = {n.row.id: n for n in nodes}
    lines = [(at[p], n) for n in nodes for p in n.row.candidate.parents if p in at]
    traces: list[dict[str, object]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [depth for parent, child in lines for depth in (parent.depth, child.depth, None)],
            "y": [place for parent, child in lines for place in (parent.place, child.place, None)],
            "line": {"color": "$faint", "width": 1.5},
            "hoverinfo": "skip",
            "showlegend": False,
        }
    ]
    for name, best, marker in (("Tried", False, {"color": "$accent", "size": 13}), ("Chosen", True, CHOSEN)):
        group = [n for n in nodes if (n.row.id == best_id) == best]
        dots = _dots(name, [(n.row.number, n.depth, n.place) for n in group], marker, "%{hovertext}")
        hover = {"textposition": "middle right", "hovertext": [_node_text(n.row) for n in group]}
        traces += [dots | hover] if group else []
    deepest = max((n.depth for n in nodes), default=0)
    generations = _axis("Generation", range=[-0.3, deepest + 0.6], dtick=1, showgrid=False)
    return {"traces": traces, "layout": {"xaxis": generations, "yaxis": {"visible": False}}}


def variants_figure(found: Sequence[Variant]) -> dict[str, object]:
    """Draw quality against cost; prompts that another beats outright are grey, the chosen one is a star."""
    beaten, worth, chosen = "Beaten by another", "Worth a look", "Chosen"
    markers: dict[str, dict[str, object]] = {
        beaten: {"color": "$muted", "size": 9, "opacity": 0.6},
        worth: {"color": "$accent", "size": 13},
        chosen: CHOSEN,
    }
    hover = "Prompt %{text}: <b>%{y:.1f} %</b><br>%{x:.0f} tokens a row"
    traces = []
    for name, marker in markers.items():
        group = [v for v in found if name == (chosen if v.best else beaten if v.beaten else worth)]
        points = [(v.number, v.tokens, in_percent(v.score)) for v in group]
        if group:
            dots = _dots(name, points, marker, hover)
            traces.append(dots | ({"mode": "markers"} if name == beaten else {}))
    layout = {
        "xaxis": _axis("Tokens a row", rangemode="tozero"),
        "yaxis": _axis("Score on validation rows (%)", ticksuffix=" %"),
    }
    return {"traces": traces, "layout": layout}


def _axis(title: str, **more: object) -> dict[str, object]:
    return {"title": {"text": title}, **more}


def _node_text(row: CandidateRow) -> str:
    score = "not scored" if row.score is None else percent(row.score, 1)
    reason = row.candidate.reason or "The starting prompt."
    reason = reason if len(reason) <= 160 else f"{reason[:160]}…"
    lines = [reason[i : i + 60] for i in range(0, len(reason), 60)]
    return f"Prompt {row.number}: <b>{score}</b><br>{'<br>'.join(map(escape, lines))}"


def _dots(
    name: str, points: Sequence[tuple[int, float, float]], marker: dict[str, object], hover: str
) -> JsonObject:
    """Return a trace of candidates, each at its place and with its number; points are (number, x, y)."""
    numbers = [number for number, _, _ in points]
    return {
        "type": "scatter",
        "mode": "markers+text",
        "name": name,
        "x": [x for _, x, _ in points],
        "y": [y for _, _, y in points],
        "text": [str(number) for number in numbers],
        "textposition": "top center",
        "customdata": numbers,
        "marker": marker,
        "cliponaxis": False,
        "hovertemplate": f"{hover}<extra></extra>",
    }
