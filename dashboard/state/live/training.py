"""Trainings of a run as they go: loss and validation score as a chart. No Streamlit here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from engine.basics.data import JsonObject
from engine.store.rows import EventRow

PROGRESS = "training_progress"


class Curve(NamedTuple):
    """One training: (step, loss or reward) and (step, score in percent of a checkpoint), its steps, and where it is."""

    number: int
    label: str
    losses: tuple[tuple[int, float], ...]
    scores: tuple[tuple[int, float], ...]
    rewards: tuple[tuple[int, float], ...] = ()
    step: int = 0
    steps: int = 0
    tokens: int = 0
    message: str = ""


def curves(events: Iterable[EventRow]) -> list[Curve]:
    """Return the trainings of a run in order, from its events of progress.

    >>> data = {"training": 1, "label": "sort", "step": 2, "steps": 4, "loss": 0.5, "score": None}
    >>> curves([EventRow(1, 0.0, PROGRESS, "", data)])[0].losses
    ((2, 0.5),)
    """
    by_number: dict[int, Curve] = {}
    for event in events:
        data, number = event.data, int(event.data.get("training") or 0)
        curve = by_number.get(number) or Curve(number, str(data.get("label") or ""), (), ())
        step = max(0, int(data.get("step") or 0))
        by_number[number] = curve._replace(
            losses=_with(curve.losses, step, data.get("loss")),
            rewards=_with(curve.rewards, step, data.get("reward")),
            scores=_with(curve.scores, step, data.get("score"), 100),
            step=max(curve.step, step),
            steps=max(curve.steps, int(data.get("steps") or 0)),
            tokens=max(curve.tokens, int(data.get("tokens") or 0)),
            message=str(data.get("message") or curve.message),
        )
    return [by_number[number] for number in sorted(by_number)]


def _with(
    points: tuple[tuple[int, float], ...], step: int, value: object, factor: float = 1
) -> tuple[tuple[int, float], ...]:
    """Return points with one more; a later value of a step takes the place of an earlier one."""
    if not isinstance(value, int | float):
        return points
    return (*(p for p in points if p[0] != step), (step, factor * value))


def training_chart(events: Sequence[EventRow]) -> JsonObject:
    """Return the chart of a run's latest training: the figure (None before there is one) and the text for a screen reader."""
    all_curves = curves(events)
    if not all_curves:
        return {"figure": None, "label": "No training yet", "stamp": "0"}
    last_curve = all_curves[-1]
    score = f", validation score {last_curve.scores[-1][1]:.0f} %" if last_curve.scores else ""
    loss = f", loss {last_curve.losses[-1][1]:.3f}" if last_curve.losses else ""
    name = last_curve.label or f"Training {last_curve.number}"
    return {
        "figure": _figure(last_curve),
        "label": f"{name}: step {last_curve.step:,} of {last_curve.steps:,}{loss}{score}",
        "stamp": f"{last_curve.number}.{last_curve.step}.{len(last_curve.scores)}",
    }


def _figure(curve: Curve) -> JsonObject:
    falling, name = (
        (curve.rewards, "Reward") if curve.rewards and not curve.losses else (curve.losses, "Loss")
    )
    top = max((value for _, value in falling), default=1.0)
    quiet = {"color": "$muted", "width": 2}
    loss = _trace(name, f"{name} (left)", falling, quiet, 5)
    loss["hovertemplate"] = f"step %{{x}}: {name.lower()} %{{y:.3f}}<extra></extra>"
    score = _trace(
        "Score", "Score on validation rows (right)", curve.scores, {"color": "$good", "width": 2.4}, 9
    )
    score |= {"yaxis": "y2", "cliponaxis": False, "hovertemplate": "step %{x}: %{y:.1f} %<extra></extra>"}
    right = {"overlaying": "y", "side": "right", "showgrid": False, "automargin": True}
    return {
        "part": "training",
        "traces": [loss, score],
        "layout": {
            "xaxis": {
                "title": {"text": "Steps of the training"},
                "range": [0, max(1, curve.steps, curve.step)],
            },
            "yaxis": {"title": {"text": name}, "range": [0, 1.1 * top or 1.0]},
            "yaxis2": {**right, "range": [0, 103], "ticksuffix": " %", "dtick": 20},
            "margin": {"l": 56, "r": 64, "t": 16, "b": 44},
        },
    }


def _trace(
    uid: str, name: str, points: Sequence[tuple[int, float]], line: dict[str, object], size: int
) -> JsonObject:
    return {
        "type": "scatter",
        "uid": uid,
        "name": name,
        "mode": "lines+markers",
        "x": [step for step, _ in points] or [None],
        "y": [value for _, value in points] or [None],
        "line": line,
        "marker": {"color": line["color"], "size": size},
    }
