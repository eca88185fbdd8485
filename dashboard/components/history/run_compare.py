"""Two runs beside each other: whether their scores can be compared at all, and if so which prompt is better."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import data, history
from dashboard.components.page import complain
from dashboard.components.prompt_diff import prompt_diff
from dashboard.history import Difference
from dashboard.plain import plain
from engine.errors import EngineError
from engine.store.rows import RunRow


def run_compare(left: RunRow, right: RunRow) -> None:
    """Compare two runs."""
    with st.container(border=True, key="run_compare"):
        st.markdown(
            "**Two runs compared**",
            help="The one that started first stands on the left. Only runs with the same data, split, metric, model "
            "and task can be compared by their scores.",
        )
        try:
            differ = history.differences(data.run_spec(left), data.run_spec(right))
        except ValueError:
            st.caption("One of them was saved by another version of Tuneboard and cannot be read.")
            return
        _guard(left, right, differ)
        for column, run in zip(st.columns(2, gap="medium"), (left, right), strict=True):
            judged = (run.result or {}).get("verdict", {})
            with column, st.container(border=True, height="stretch", key=f"side_{run.id}"):
                st.markdown(f"**{plain(run.title, 100)}**")
                if judged:
                    st.metric(
                        "Best prompt on the test rows",
                        f"{100 * judged['best']:.1f} %",
                        f"{100 * judged['difference']:+.1f} points over its baseline",
                    )
                else:
                    st.caption("No result.")
        _table(differ)
        if left.result and right.result:
            _prompts(left, right)


def _guard(left: RunRow, right: RunRow, differ: Sequence[Difference]) -> None:
    sentence = history.guard(differ)
    if sentence:
        with st.container(key="guard"):
            st.warning(plain(sentence), icon=":material/balance:")
        return
    if not (left.result and right.result):
        st.caption("They are set up alike, and one of them has no result yet.")
        return
    judged = history.between(data.test_outcomes(left.id)[1], data.test_outcomes(right.id)[1])
    with st.container(key="guard"):
        show = st.success if judged.kind in ("better", "worse") else st.info
        show(plain(history.said_between(judged)), icon=":material/balance:")


def _table(differ: Sequence[Difference]) -> None:
    if not differ:
        st.caption("They have the same settings throughout.")
        return
    st.dataframe(
        [
            {
                "Setting": d.what,
                "Left": d.left,
                "Right": d.right,
                "Scores": "not comparable" if d.matters else "comparable",
            }
            for d in differ
        ],
        hide_index=True,
        key="difference_table",
        height="content",
    )


def _prompts(left: RunRow, right: RunRow) -> None:
    try:
        first, second = data.best_candidate(left), data.best_candidate(right)
    except EngineError as error:
        complain(error)
        return
    with st.expander("Their best prompts, word by word", key="compare_prompts"):
        for path in first.steps.keys() & second.steps.keys():
            if len(second.steps) > 1:
                st.caption(plain(path))
            prompt_diff(first.steps[path].instructions, second.steps[path].instructions)
            shown = len(first.steps[path].demos), len(second.steps[path].demos)
            st.caption(f"Solved examples shown: {shown[0]} on the left, {shown[1]} on the right.")
