"""The metrics to choose from, and the options of the chosen one; a list, weights or code has its own editor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import streamlit as st
from pydantic import BaseModel

from dashboard.components import ui
from dashboard.components.forms import options_form
from dashboard.components.glossary import explain
from dashboard.components.project_page import ProjectPage
from dashboard.components.tab_conflict import guarded_update, widget_key
from dashboard.components.tables import worked_table
from dashboard.metric.editors import code_editor, criteria_editor, weights_editor
from dashboard.services import (
    METRICS,
    Metric,
    Named,
    UnknownNameError,
    advised_metric,
    get_metric,
    is_offline,
    usual_options,
)
from dashboard.state import reading

EDITORS: Mapping[str, tuple[str, Callable[[ProjectPage, Mapping[str, object]], None]]] = {
    "Rubric": ("criteria", criteria_editor),
    "WeightedSum": ("parts", weights_editor),
    "PythonMetric": ("code", code_editor),
}
"""Metric -> the option that has its own editor, and the editor."""


def _choices(model: type[BaseModel], chosen: Named, outputs: list[str]) -> dict[str, list[object]]:
    """Return the values that only the project knows: its outputs, and the models that can judge."""
    choices: dict[str, list[Any]] = {"field": outputs} if "field" in model.model_fields else {}
    if "judge" in model.model_fields:
        # A judge is named and nothing else, so a model at its own address cannot be one.
        names = [m.name for m in reading.saved_models() if not m.base_url and not is_offline(m)]
        choices["judge"] = list(dict.fromkeys([*names, *filter(None, [chosen.options.get("judge")])]))
    return choices


def metric_options(page: ProjectPage) -> None:
    """Show the chosen metric's options; every change that makes sense is saved."""
    chosen = page.draft.metric
    if chosen is None:
        return
    try:
        metric = get_metric(chosen.name)
    except UnknownNameError as error:
        ui.show_error(error)
        return
    model = metric.Options
    edited, editor = EDITORS.get(chosen.name, ("", None))
    # With one output there is nothing to choose; a field that the task no longer has must be visible to be fixed.
    plain_case = len(page.outputs) < 2 and chosen.options.get("field") in (None, *page.outputs)
    hidden = {edited} | ({"field", "every_output"} if plain_case else set())
    hidden_options = {name: value for name, value in chosen.options.items() if name in hidden}
    about = explain("metric", "Leave its options as they are if unsure.")
    with ui.card("metric_options", f"Options of “{metric.title}”", about):
        if editor is not None:
            editor(page, chosen.options)
        if set(model.model_fields) <= hidden:
            if editor is None:
                st.caption("There is nothing to set.")
            return
        values = options_form(
            model,
            chosen.options,
            key=widget_key(f"metric_{chosen.name}", page.id),
            choices=_choices(model, chosen, page.outputs),
            hidden=hidden,
        )
        if values is not None and {**hidden_options, **values} != chosen.options:
            guarded_update(
                page.id, "metric", metric=Named(name=chosen.name, options={**hidden_options, **values})
            )


_USUAL = ("ExactMatch", "Contains", "TokenF1", "NumberWithin")


def metric_cards(page: ProjectPage) -> None:
    """Show the usual metrics and the one in use, and all others folded away; choosing one is saved at once."""
    chosen = page.draft.metric.name if page.draft.metric else ""
    first = [metric for metric in METRICS if metric.name in (*_USUAL, chosen, _advised(page))]
    others = [metric for metric in METRICS if metric not in first]
    _cards(page, first, "metric_cards")
    with st.expander(f"{len(others)} more metrics: spelling, JSON, summaries, judges, your own code"):
        _cards(page, others, "more_metric_cards")


def _cards(page: ProjectPage, metrics: list[type[Metric]], key: str) -> None:
    chosen = page.draft.metric.name if page.draft.metric else ""
    advised = _advised(page)
    with st.grid(4, min_column_width=340, key=key):
        for metric in metrics:
            _card(page, metric, chosen, advised)


def _advised(page: ProjectPage) -> str:
    """Return the name of the metric that fits the task's answers best, or ""."""
    advised = advised_metric(page.draft.pipeline)
    return advised.name if advised else ""


def _card(page: ProjectPage, metric: type[Metric], chosen: str, advised: str) -> None:
    fits = metric.name == advised
    with ui.tile(f"metric_{metric.name}"):
        with st.container(key=f"metric_body_{metric.name}"):
            with ui.row(f"metric_head_{metric.name}"):
                st.markdown(f"**{metric.title}**", width="content")
                if fits:
                    st.badge("Fits your answers", icon=":material/thumb_up:", color="green")
            _description(metric)
        named = Named(name=metric.name, options=usual_options(metric.name, page.draft.pipeline))
        use = ui.callback(guarded_update, page.id, "metric", metric=named)
        primary = "primary" if not chosen and fits else "secondary"
        ui.chosen_or_button(metric.name == chosen, f"use_{metric.name}", use, type=primary)


def _description(metric: type[Metric]) -> None:
    """Show what a metric is for, worked examples, and what speaks for it and against it."""
    st.caption(metric.plain)
    worked_table(
        (
            _option_text(e.expected),
            _option_text(e.answer),
            ", ".join(_option(metric, name, value) for name, value in e.options.items()),
            score,
        )
        for e, score in zip(metric.examples[:4], worked_scores(metric), strict=False)
    )
    lines = [
        *(ui.mark("add_circle", sentence, "green") for sentence in metric.pros),
        *(ui.mark("remove_circle", sentence) for sentence in metric.cons),
        ui.mark("payments", cost_words(metric), "gray"),
    ]
    st.caption("  \n".join(lines))


@cache
def worked_scores(metric: type[Metric]) -> tuple[float, ...]:
    """Return the scores of a metric's examples, worked out here; those of a judge or a sandbox as its tests found them.

    >>> from engine.registry import get_metric
    >>> worked_scores(get_metric("ExactMatch"))[0]
    1.0
    """
    return tuple(
        e.score if metric.awaits else float(metric(**e.options).compare(e.expected, e.answer))
        for e in metric.examples
    )


def cost_words(metric: type[Metric]) -> str:
    """Return what scoring with a metric costs, in words.

    >>> from engine.registry import get_metric
    >>> cost_words(get_metric("ExactMatch")), cost_words(get_metric("Rubric"))
    ('Free and instant.', 'One more call to a model for every row scored.')
    """
    if metric.calls:
        calls = "One more call" if metric.calls == 1 else f"{metric.calls} more calls"
        return f"{calls} to a model for every row scored."
    if metric.name == "EmbeddingSimilarity":
        return "Free offline; with an embedding model, a small charge for every text."
    if metric.name == "WeightedSum":
        return "What its metrics cost together."
    return "Free; it runs on this machine." if metric.awaits else "Free and instant."


def _option(metric: type[Metric], name: str, value: object) -> str:
    title = (metric.Options.model_fields[name].title or name).lower()
    return f"with “{title}” on" if value is True else f"with {title} {value}"


def _option_text(value: object) -> str:
    return "; ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
