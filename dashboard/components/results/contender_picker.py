"""Which prompts are set side by side: two to four, of this run or of another one that can be compared with it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import contenders
from dashboard.contenders import MOST, Contender, key_of
from dashboard.glossary import explain
from dashboard.plain import count, distinct, plain
from engine.errors import EngineError
from engine.store.rows import RunRow


def contender_picker(run: RunRow, best: str, runs: Sequence[RunRow]) -> list[Contender]:
    """Show the choice; return the prompts chosen, in their order. `runs` can be compared with `run`, itself first."""
    picked = contenders.chosen(run, best, st.query_params.get(contenders.PARAM, ""), runs)
    names = {key_of(run.id, c.id): contenders.name_of(c, best) for c in contenders.listed(run, best)}
    names |= {
        c.key: f"{c.name} · {contenders.name_of(c.candidate, '')}" for c in picked if c.key not in names
    }
    keys = [c.key for c in picked]
    key = _widget_key(run.id, keys)
    shown = distinct(names)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="contender_bar"):
        st.multiselect(
            "Prompts to compare",
            list(shown),
            keys,
            format_func=lambda k: shown.get(k, k),
            key=key,
            max_selections=MOST,
            on_change=_picked,
            args=(key,),
            help="Up to four. The others are compared with the first one.",
        )
        full = len(picked) >= MOST
        # With a prompt more it is another popover, and so a closed one.
        with st.popover(
            "Another one",
            icon=":material/add:",
            key=f"another_{len(picked)}",
            disabled=full,
            help="Four stand side by side; take one out first." if full else None,
        ):
            _another(run, picked, runs)
    return picked


def add_contender(run_id: str, candidate_id: str, picked: Sequence[Contender]) -> None:
    """Put one more prompt side by side, in place of the last where there is no more room; redraw."""
    keys = [c.key for c in picked]
    new = key_of(run_id, candidate_id)
    if new not in keys:
        _write([*keys[: MOST - 1], new])
        st.rerun()


def _another(run: RunRow, picked: Sequence[Contender], runs: Sequence[RunRow]) -> None:
    by_id = {r.id: r for r in runs}
    titles = distinct({r.id: "This run" if r.id == run.id else r.title for r in runs})
    chosen = st.selectbox("From the run", list(titles), format_func=lambda i: titles[i], key="another_run")
    other = by_id[chosen]
    total = len(contenders.index(other))
    number = st.number_input(
        "Number of the prompt",
        min_value=0,
        value=0,
        step=1,
        key="another_number",
        help=explain("candidate", "0 is the starting prompt; the others are numbered as found."),
    )
    left = len(runs) - 1
    st.caption(
        f"It has {count(total, 'prompt')}. "
        + (
            f"{count(left, 'other run')} can be compared."
            if left
            else "No other run can be compared with this one."
        )
    )
    if st.button("Set beside", key="another_add", type="primary"):
        try:
            add_contender(other.id, contenders.by_number(other, int(number)), picked)
        except EngineError as error:
            st.caption(f":red[:material/error:] {plain(str(error))}")
    best = str((other.result or {}).get("best_candidate", ""))
    if other.id != run.id and best and st.button("Its best prompt", key="another_best"):
        add_contender(other.id, best, picked)


def _widget_key(run_id: str, keys: Sequence[str]) -> str:
    """Return the widget's key: a new one when the address says something else than the widget, and the address counts."""
    version = int(st.session_state.get(f"contender_version_{run_id}", 0))
    said = st.session_state.get(f"contenders_{run_id}_{version}")
    if said is not None and list(said) != list(keys):
        version += 1
        st.session_state[f"contender_version_{run_id}"] = version
    return f"contenders_{run_id}_{version}"


def _picked(key: str) -> None:
    _write(st.session_state[key])


def _write(keys: Sequence[str]) -> None:
    if keys:
        st.query_params[contenders.PARAM] = ",".join(keys)
    else:
        st.query_params.pop(contenders.PARAM, None)
