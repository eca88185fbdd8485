"""How the rows are divided: two sliders, a seed, and what each part is for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from dashboard.components.guard import guarded
from dashboard.components.look import share_bar
from dashboard.components.page import Current, complain
from dashboard.example_checks import split_of
from dashboard.glossary import explain
from dashboard.plain import plain
from engine.errors import EngineError
from engine.runs.spec import ProjectDraft, SplitSpec

if TYPE_CHECKING:
    from engine.dataset import Split

PARTS = (
    ("Learn from", "train", "blue", "rows to learn from"),
    ("Choose by", "validation", "orange", "rows to choose by"),
    ("Final test", "test", "green", "final test"),
)


def split_editor(now: Current) -> None:
    """Show and change the split; the sizes shown are the real ones."""
    shares = now.draft.split
    with st.container(border=True, key="split_card"):
        st.markdown(
            "**How the rows are divided**",
            help="Scores on rows that were searched on flatter the result. That is why some rows are kept apart. "
            "Rows with equal inputs stay on one side, and every answer is spread evenly.",
        )
        left, right = st.columns([5, 1], gap="medium", vertical_alignment="bottom")
        cut = left.slider(
            "Where learning ends and where the test begins, in percent of the rows",
            5,
            95,
            (round(100 * shares.train), round(100 * (shares.train + shares.validation))),
            step=5,
            format="%d %%",
            key=f"split_{now.id}",
            on_change=_changed,
            args=(now.id,),
        )
        right.number_input(
            "Seed",
            0,
            999_999,
            shares.seed,
            key=f"seed_{now.id}",
            on_change=_changed,
            args=(now.id,),
            help=explain("seed"),
        )
        if cut[1] - cut[0] < 5:
            st.caption(":orange[:material/pending:] Leave at least 5 % between the two marks.")
        try:
            split = split_of(now.draft)
        except EngineError as error:
            complain(error)
            return
        share_bar((name, size) for (_, name, _, _), size in zip(PARTS, split.sizes, strict=True))
        with st.grid(3, gap="small", key="split_parts"):
            for (title, name, colour, term), size in zip(PARTS, split.sizes, strict=True):
                with st.container(border=True, height="stretch", gap="xsmall", key=f"split_{name}"):
                    st.markdown(f":{colour}-badge[{title}]")
                    st.markdown(f"#### {size:,} rows")
                    st.caption(explain(term))
        st.caption(f"{spread_of(split)} {steps_of(split.sizes[1])}")
        for note in split.notes[:3]:
            st.caption(plain(note))


def spread_of(split: Split) -> str:
    """Return in words how the rows were divided."""
    by = (
        f" and every value of {plain(split.stratified_by, 60)} is spread evenly"
        if split.stratified_by
        else ""
    )
    return f"Drawn by chance with the seed; rows that ask the same stay on one side{by}."


def steps_of(rows: int) -> str:
    """Return how finely so many rows to choose by can tell two prompts apart, in words.

    >>> steps_of(75)
    'With 75 rows to choose by, one more right answer moves the score by 1.3 points.'
    """
    return f"With {rows:,} rows to choose by, one more right answer moves the score by {100 / max(rows, 1):.1f} points."


def _changed(project_id: str) -> None:
    low, high = st.session_state[f"split_{project_id}"]
    seed = int(st.session_state[f"seed_{project_id}"] or 0)
    if high - low < 5:
        return

    def change(draft: ProjectDraft) -> ProjectDraft:
        shares = SplitSpec(
            train=low / 100, validation=round((high - low) / 100, 4), test=round(1 - high / 100, 4), seed=seed
        )
        return draft.model_copy(update={"split": shares})

    guarded(project_id, change, "examples")
