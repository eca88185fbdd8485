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
    PricedPrompt,
    RowUse,
    TrialRow,
    Unit,
    answering_models,
    in_percent,
    listed,
    percent,
    unbeaten,
)
from dashboard.text import model_name, prompt_name

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


def beaten(found: Sequence[PricedPrompt]) -> set[str]:
    """Return the ids of the prompts that another one beats: at least as good and cheaper."""
    # Each point once: thousands of prompts may have the same score and length.
    points = list(dict.fromkeys((p.score, -p.use) for p in found))
    front = {points[place] for place in unbeaten(points)}
    return {p.candidate for p in found if (p.score, -p.use) not in front}


def fewer(found: Sequence[PricedPrompt], best_id: str) -> list[PricedPrompt]:
    """Return the prompts that a chart can show: all that none beats, and of the others the best."""
    if len(found) <= MOST_VARIANTS:
        return list(found)
    worse = beaten(found)
    ranked = sorted((p for p in found if p.candidate in worse), key=lambda p: (-p.score, p.use))
    left_out = {p.candidate for p in ranked[MOST_VARIANTS:]} - {best_id}
    return [p for p in found if p.candidate not in left_out]


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


def priced_prompts(
    tried: Sequence[CandidateRow],
    trials: Mapping[str, TrialRow],
    uses: Mapping[str, RowUse],
    unit: Unit,
    run_model: str,
) -> list[PricedPrompt]:
    """Return the prompts scored on all validation rows, each with what a row takes; with their models where there are several."""
    known = [(c, answering_models(c.candidate)) for c in tried if c.id in trials and c.id in uses]
    several = len({models for _, models in known}) > 1

    def name(number: int, models: Sequence[str]) -> str:
        by = f" on {listed([model_name(m) for m in models or (run_model,)])}" if several else ""
        return f"{prompt_name(number)}{by}"

    return [
        PricedPrompt(c.id, c.number, name(c.number, models), trials[c.id].score or 0.0, unit.of(uses[c.id]))
        for c, models in sorted(known, key=lambda pair: pair[0].number)
    ]


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


def variants_figure(
    found: Sequence[PricedPrompt], best_id: str, unit: Unit, most: float, within: str
) -> dict[str, object]:
    """Draw quality against cost, with a line at the most a row may take, and a ring round the best one `within` it.

    Prompts that another beats outright are grey, the chosen one is a star.
    """
    outdone, worth, chosen = "Beaten by another", "Worth a look", "Chosen"
    markers: dict[str, dict[str, object]] = {
        outdone: {"color": "$muted", "size": 9, "opacity": 0.6},
        worth: {"color": "$accent", "size": 13},
        chosen: CHOSEN,
    }
    worse = beaten(found)
    scores = [in_percent(p.score) for p in found]
    limit: JsonObject = {"type": "scatter", "mode": "lines", "name": "Your limit", "hoverinfo": "skip"}
    limit |= {"x": [most, most], "y": [min(scores), max(scores)]}
    traces: list[JsonObject] = [limit | {"line": {"color": "$accent", "width": 2, "dash": "dash"}}]
    hover = "Prompt %{customdata}: <b>%{y:.1f} %</b><br>%{x:.4g} " + unit.title.lower()
    for name, marker in markers.items():
        group = [
            p
            for p in found
            if name == (chosen if p.candidate == best_id else outdone if p.candidate in worse else worth)
        ]
        if group:
            dots = _dots(name, [(p.number, p.use, in_percent(p.score)) for p in group], marker, hover)
            # A prompt on several models: the point is named by the model.
            texts = [escape(p.name.partition(" on ")[2].rpartition("/")[2] or str(p.number)) for p in group]
            bare = name == outdone and texts == [str(p.number) for p in group]
            traces.append(dots | {"text": texts} | ({"mode": "markers"} if bare else {}))
    ring = [(p.number, p.use, in_percent(p.score)) for p in found if p.candidate == within]
    look: dict[str, object] = {
        "symbol": "circle-open",
        "size": 28,
        "color": "$accent",
        "line": {"width": 2.5},
    }
    traces.append(_dots("Best within it", ring, look, hover) | {"mode": "markers"})
    layout = {
        "xaxis": _axis(unit.title, rangemode="tozero"),
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
