"""People's remarks on earlier answers, as the next run will get them: how many, which, and the way to take them out."""

from __future__ import annotations

import streamlit as st

from dashboard import people
from dashboard.components.page import Current
from dashboard.example_checks import split_of
from dashboard.glossary import explain
from dashboard.plain import count, plain
from engine.errors import EngineError
from engine.runs.spec import Feedback
from engine.store.people import Remark

MOST = 200
THUMBS = {1: ":green[:material/thumb_up:]", -1: ":red[:material/thumb_down:]", 0: ":gray[:material/comment:]"}


def remarks_for(now: Current) -> tuple[Feedback, ...]:
    """Return the remarks that the next run takes: none where the person wants it without them."""
    if not st.session_state.get(_key(now), True):
        return ()
    found = people.remarks(now.id, now.draft.dataset)
    # Which rows are kept for the test takes a second to say of 100,000 rows.
    return people.feedback_of(found, held_out(now)) if found else ()


def remarks_note(now: Current) -> None:
    """Say how many remarks will be used, and let the person take some or all of them out."""
    found = people.remarks(now.id, now.draft.dataset)
    if not found or now.draft.dataset is None:
        return
    test = held_out(now)
    used = [r for r in found if r.row not in test]
    with st.container(border=True, key="remarks_note"):
        st.markdown(
            f"**{count(len(used), 'remark') if used else 'No remark'} will be used**",
            help=explain(
                "remark",
                "Said on the Results page; ways of tuning that write instructions read it beside its row.",
            ),
        )
        if used:
            st.toggle(
                "Use them in the next run", True, key=_key(now), persist_state="session", width="content"
            )
        if len(used) < len(found):
            left = len(found) - len(used)
            st.caption(
                f"{count(left, 'remark')} on rows of the final test {'is' if left == 1 else 'are'} left out: a search that "
                "knew them would spoil the test."
            )
        with st.expander("Read them", key="remarks_list"):
            for one in found[:MOST]:
                _line(now, now.draft.dataset, one, tested=one.row in test)
            st.button(
                "Forget all of them",
                key="forget_remarks",
                icon=":material/delete:",
                on_click=people.forget,
                args=(now.id, now.draft.dataset, found),
            )


def held_out(now: Current) -> frozenset[int]:
    """Return the rows that the next run keeps for its final test; none where that cannot be told yet."""
    draft = now.draft
    if draft.dataset is None or draft.pipeline is None:
        return frozenset()
    try:
        return frozenset(split_of(draft).test)
    except EngineError:
        return frozenset()


def _line(now: Current, dataset: str, one: Remark, *, tested: bool) -> None:
    with st.container(
        horizontal=True, vertical_alignment="center", gap="small", key=f"remark_{one.row}_{one.candidate_id}"
    ):
        st.markdown(THUMBS.get(one.thumbs, THUMBS[0]), width="content")
        note = " (test row, not used)" if tested else ""
        st.caption(f"Row {one.row + 2}{note}: {plain(one.reason or 'no reason given', 200)}")
        st.button(
            "",
            key=f"forget_{one.row}_{one.candidate_id}",
            icon=":material/close:",
            type="tertiary",
            help="Forget this remark.",
            on_click=people.forget,
            args=(now.id, dataset, [one]),
        )


def _key(now: Current) -> str:
    return f"use_remarks_{now.id}"
