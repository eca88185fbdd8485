"""All runs of all projects as rows of a table, the differences between two runs, and spending. No Streamlit here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from typing import NamedTuple
from urllib.parse import quote

from dashboard.state.models import models_of_steps, short_title, title_of
from engine.basics.data import JsonObject
from engine.basics.text import duration, in_percent, listed, percent, points_gained, price
from engine.export.hero import VERDICTS
from engine.records import Candidate, Evaluation, Outcome
from engine.runs.spec import ModelChoice, Named, ProjectDraft, RunSpec
from engine.search.budget import LIMIT_WORDS, Budget
from engine.search.judging.objective import Objective
from engine.search.judging.verdict import verdict as verdict_on
from engine.search.result import Verdict
from engine.store.rows import RunRow


class SettingDifference(NamedTuple):
    """One setting in which two runs differ. `matters`: their scores cannot be compared because of it."""

    what: str
    left: str
    right: str
    matters: bool


def matching_runs(
    runs: Sequence[RunRow],
    names: Mapping[str, str],
    text: str = "",
    state: str = "",
    tags: Collection[str] = (),
    project: str = "",
) -> list[RunRow]:
    """Return the runs that hold every word of a text (in title, project, note, tags, optimizer, model).

    `state`, `tags` (all of them) and `project` (an id) narrow them down further where they are given.
    """
    words = text.casefold().split()
    return [
        run
        for run in runs
        if (not state or run.state == state)
        and (not project or run.project_id == project)
        and set(tags) <= set(run.tags)
        and all(word in _search_text(run, names) for word in words)
    ]


def run_names(runs: Iterable[RunRow]) -> dict[str, str]:
    """Return a name for each run by what tells it from its project's others: way of tuning, then limits, model, seed, data."""
    by_project: dict[str, list[RunRow]] = {}
    for run in runs:
        by_project.setdefault(run.project_id, []).append(run)
    names: dict[str, str] = {}
    for some in by_project.values():
        facts = {run.id: _facts(run) for run in some}
        differ = [
            at for at, values in enumerate(zip(*facts.values(), strict=True)) if at == 0 or len({*values}) > 1
        ]
        names |= {
            id_: ", ".join(filter(None, (values[at] for at in differ))) for id_, values in facts.items()
        }
    return names


def _facts(run: RunRow) -> tuple[str, ...]:
    spec = run.spec
    model = ModelChoice.model_validate(spec.get("model") or {})
    budget = Budget.model_validate(spec.get("budget") or {})
    optimizer = str(spec.get("optimizer", {}).get("name", ""))
    way = (
        optimizer if optimizer and run.title.endswith(optimizer) else run.title
    )  # a title of the user's own stays
    data = str(spec.get("dataset_hash") or "")[:4]
    return way, budget.words, short_title(model), f"seed {spec.get('seed', 0)}", data and f"data {data}"


def grouped_runs(runs: Iterable[RunRow]) -> list[RunRow]:
    """Return runs by project and version of the data, the group of the newest run first; the newest first in each."""
    groups: dict[tuple[object, ...], list[RunRow]] = {}
    for run in sorted(runs, key=lambda run: run.created_at, reverse=True):
        groups.setdefault((run.project_id, run.spec.get("dataset_hash")), []).append(run)
    newest: dict[object, int] = {}
    for place, (project, _) in enumerate(groups):
        newest.setdefault(project, place)
    return [run for key in sorted(groups, key=lambda key: newest[key[0]]) for run in groups[key]]


def table_row(run: RunRow, names: Mapping[str, str], words: Mapping[str, str]) -> JsonObject:
    """Return a run as a line of the table, scores in percent. `words` is state -> its word.

    Equal prompts have no gain.
    """
    verdict = run.result.shown.verdict if run.result else None
    tested = verdict if verdict and verdict.kind != "not_tested" else None
    changed = tested if tested and tested.kind != "unchanged" else None
    return {
        "State": [words[run.state]],
        "Project": names.get(run.project_id, "deleted"),
        "Before": in_percent(tested.baseline, 0) if tested else None,
        "After": in_percent(tested.best, 0) if tested else None,
        "Gain": points_gained(changed.baseline, changed.best) if changed else None,
        "Flattered by": run.result.shown.best.flattered if run.result and changed else None,
        "Verdict": VERDICTS[verdict.kind][0] if verdict else "",
        "Started": datetime.fromtimestamp(run.created_at).astimezone(),
        "Optimizer": run.spec.get("optimizer", {}).get("name", ""),
        "Model": run.spec.get("model", {}).get("name", ""),
        "Calls": run.calls,
        "Cost": "" if run.cost is None else price(run.cost),
        "Took": duration(run.seconds),
        "Marks and note": " · ".join(marks(run)),
    }


def marks(run: RunRow) -> list[str]:
    """Return what is special about a run: its use and origin, its tags, the user's note."""
    states = {"in use": run.in_use, "from an archive": run.from_archive, "damaged": run.damaged}
    words = [word for word, holds in states.items() if holds]
    return [mark for mark in (*words, ", ".join(run.tags), run.note) if mark]


def best_scores(runs: Sequence[RunRow]) -> list[float]:
    """Return the start's score on the test rows and the best one after each run, in order; none before a verdict.

    `runs` are a project's, the newest first. Those on other data, rows, or by another metric than the newest are left
    out, and a best prompt counts where it is surely better.
    """
    tested = [(run, run.result) for run in runs if run.result and run.result.verdict.kind != "not_tested"]
    newest = _test_of(tested[0][0]) if tested else ()
    verdicts = [result.shown.verdict for run, result in reversed(tested) if _test_of(run) == newest]
    scores = [
        (v.baseline, v.best if v.kind == "better" else v.baseline) for v in verdicts if v.kind != "not_tested"
    ]
    return [scores[0][0], *accumulate((best for _, best in scores), max)] if scores else []


def _test_of(run: RunRow) -> tuple[object, ...]:
    return tuple(run.spec.get(part) for part in ("dataset", "dataset_hash", "split", "metric"))


def curve(scores: Sequence[float]) -> str:
    """Return the last scores, from 0 to 1, as a small picture of a line between 0 and 100 %, in HTML.

    >>> "80%2C4" in curve([0.2, 1.0])
    True
    """
    last = scores[-COLUMNS:]
    step = (WIDE - 2 * EDGE) / max(1, len(last) - 1)
    at = [(EDGE + n * step, EDGE + (1 - score) * (TALL - 2 * EDGE)) for n, score in enumerate(last)]
    line = " ".join(f"{x:g},{y:g}" for x, y in at)
    drawing = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDE}" height="{TALL}" fill="#2f9e68">'
        f'<path d="M0 {TALL - 1}H{WIDE}" stroke="#888" stroke-opacity=".35"/>'
        f'<polyline points="{line}" fill="none" stroke="#2f9e68" stroke-width="2" stroke-linejoin="round"/>'
        f'<circle cx="{at[-1][0]:g}" cy="{at[-1][1]:g}" r="3.4"/></svg>'
    )
    label = f"The best score by run: {', '.join(percent(score, 0) for score in last)}"
    return f'<img alt="{label}" src="data:image/svg+xml,{quote(drawing)}">'


COLUMNS, WIDE, TALL, EDGE = 12, 84, 24, 4


def differences(left: RunSpec, right: RunSpec) -> list[SettingDifference]:
    """Return every setting in which two runs differ, those first that make their scores incomparable."""
    pairs = zip(_settings(left).items(), _settings(right).values(), strict=True)
    differing = [SettingDifference(what, a, b, what not in HARMLESS) for (what, a), b in pairs if a != b]
    first, second = (spec.pipeline.with_models(lambda _: None) for spec in (left, right))
    if first != second:
        task = ("its own fields or instruction", "other fields or instruction")
        differing.append(SettingDifference("Task", *task, True))
    return sorted(differing, key=lambda difference: not difference.matters)


HARMLESS = ("Optimizer", "Budget", "Seed")
"""Settings that leave scores comparable."""


def _settings(spec: RunSpec) -> dict[str, str]:
    """Return a run's settings in words, without its task."""
    return {
        "Data": (spec.dataset_hash or spec.dataset)[:12],
        "Rows divided": spec.split.words,
        "Rows left out": _left_out(spec),
        "Metric": spec.metric.words,
        "Model": title_of(spec.model),
        "Model of a step": _step_models(spec),
        "Columns": ", ".join(f"{field} from {column}" for field, column in sorted(spec.mapping.items())),
        "Layout of messages": spec.adapter,
        "Optimizer": spec.optimizer.words,
        "Budget": spec.budget.words,
        "Seed": str(spec.seed),
    }


def what_changed(before: RunSpec, now: RunSpec) -> str:
    """Return what differs in a run's settings from those of before, in words; "" where nothing does."""
    parts = []
    for what, old in before:
        new = getattr(now, what)
        if isinstance(new, Budget):
            for name, words in LIMIT_WORDS.items():
                kind = {"usd": "money", "seconds": "time"}.get(name, name)
                if (limit := getattr(new, name)) != getattr(old, name):
                    change = "removed" if limit is None else f"changed to {words(limit)}"
                    parts.append(f"the limit of {kind} was {change}")
        elif new != old:
            to = f" to {new.name}" if isinstance(new, Named | ModelChoice) else ""
            parts.append(f"the {what.replace('_', ' ')} was changed{to}")
    return listed(parts)


def same_test(left: RunSpec, right: RunSpec) -> bool:
    """Return whether two runs test on the same rows with the same metric, with whatever model and prompt."""
    decisive = ("Data", "Rows divided", "Rows left out", "Metric", "Columns")
    return not any(d.what in decisive for d in differences(left, right))


def why_not_comparable(differ: Iterable[SettingDifference]) -> str:
    """Return why two runs' scores cannot be compared, in one sentence; "" when they can.

    >>> why_not_comparable([SettingDifference("Metric", "ExactMatch", "TokenF1", True)])
    'Their scores cannot be compared: the metric differs.'
    """
    names = [d.what.lower() for d in differ if d.matters]
    if not names:
        return ""
    return (
        f"Their scores cannot be compared: the {listed(names)} {'differs' if len(names) == 1 else 'differ'}."
    )


def verdict_between(left: Sequence[Outcome], right: Sequence[Outcome]) -> Verdict:
    """Return whether the second run's best prompt beats the first run's on the test rows they share."""
    return verdict_on(Evaluation("left", tuple(left)), Evaluation("right", tuple(right)))


def draft_from(spec: RunSpec) -> ProjectDraft:
    """Return a run's settings as a draft to edit."""
    return ProjectDraft.model_validate(spec.model_dump(exclude={"dataset_hash"}))


def draft_on(spec: RunSpec, prompt: Candidate, model: ModelChoice) -> ProjectDraft:
    """Return a run's settings as a draft that tunes its prompt again on another model: the prompt's wording is the start."""
    from engine.pipeline.build import with_wording  # it takes a while to load

    pipeline = with_wording(spec.pipeline, prompt)
    steps = tuple(step.model_copy(update={"model": None}) for step in pipeline.steps)
    changes = {"pipeline": pipeline.model_copy(update={"steps": steps}), "model": model, "models": ()}
    return draft_from(spec).model_copy(update={**changes, "objective": Objective()})


def _search_text(run: RunRow, names: Mapping[str, str]) -> str:
    parts = (
        run.title,
        names.get(run.project_id, ""),
        str(run.spec.get("optimizer", {}).get("name", "")),
        str(run.spec.get("model", {}).get("name", "")),
        *marks(run),
    )
    return " ".join(parts).casefold()


def _step_models(spec: RunSpec) -> str:
    return "; ".join(f"{name} {what}" for name, what in models_of_steps(spec.pipeline)) or "the run's"


def _left_out(spec: RunSpec) -> str:
    written = f", {len(spec.synthetic)} written by a model" if spec.synthetic else ""
    return f"{len(spec.excluded)} rows{written}"
