"""Choice of the prompts to compare: two to four, of this run or of another one that is comparable."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard.components import ui
from dashboard.components.glossary import explain
from dashboard.components.prompts import prompt_diff, prompt_text
from dashboard.components.tables import data_table
from dashboard.services import Demo, RunRow, StepState, counted, data_home, value_text
from dashboard.state import candidates, more_scores
from dashboard.state.candidates import MOST, ComparedCandidate, key_of
from dashboard.state.session import COMPARED_NAMES, COMPARED_VERSION
from dashboard.state.writing import writing
from dashboard.text import distinct, escape_markdown, upper_first


def candidate_picker(run: RunRow, best: str, runs: Sequence[RunRow]) -> list[ComparedCandidate]:
    """Show the choice; return the prompts chosen, in their order. `runs` can be compared with `run`, itself first."""
    picked = candidates.chosen(run, best, st.query_params.get(candidates.PARAM, ""), runs)
    names = {key_of(run.id, c.id): candidates.name_of(c, best) for c in candidates.listed(run, best)}
    names |= {
        c.key: f"{c.name} · {candidates.name_of(c.candidate, '')}" for c in picked if c.key not in names
    }
    keys = [c.key for c in picked]
    shown = distinct(names)
    key = _widget_key(run.id, keys, [shown[k] for k in keys if k in shown])
    with ui.row("compared_bar", "bottom"):
        st.multiselect(
            "Prompts to compare",
            list(shown),
            keys,
            format_func=lambda k: shown.get(k, k),
            max_selections=MOST,
            **ui.saved(key, _write),
            help="Up to four. The others are compared with the first one.",
        )
        full = len(picked) >= MOST
        # With a prompt more it is another popover, and so a closed one.
        with st.popover(
            "Another one",
            icon=":material/add:",
            key=f"another_{len(picked)}",
            disabled=full,
        ):
            _another(run, picked, runs)
    if full:
        st.caption("Four are the most side by side: take one out to add another one.")
    return picked


def prompt_choice(label: str, prompts: Sequence[ComparedCandidate], key: str) -> int:
    """Let the user choose one of the prompts, at first the last; return its place."""
    names = prompt_names(prompts)
    places = range(len(names))
    return (
        ui.segments(label, places, default=places[-1], format_func=lambda at: names[at], key=key)
        if len(names) > 1
        else 0
    )


def prompt_names(prompts: Sequence[ComparedCandidate]) -> list[str]:
    """Return what the prompts are called in a table."""
    return list(distinct({c.key: c.name for c in prompts}).values())


def add_candidate(run_id: str, candidate_id: str, picked: Sequence[ComparedCandidate]) -> None:
    """Put one more prompt side by side, in place of the last where there is no more room; redraw."""
    keys = [c.key for c in picked]
    new = key_of(run_id, candidate_id)
    if new not in keys:
        _write([*keys[: MOST - 1], new])
        st.rerun()


def take_candidate(run_id: str, candidate: str) -> None:
    """Make a prompt the one that Export, Try it and Versions use."""
    from dashboard.services import take_prompt

    with ui.problem_kept(f"take_refused_{run_id}"), writing(f"took {candidate}", run_id) as store:
        take_prompt(data_home(), store, run_id, candidate)


def _another(run: RunRow, picked: Sequence[ComparedCandidate], runs: Sequence[RunRow]) -> None:
    by_id = {r.id: r for r in runs}
    titles = distinct({r.id: "This run" if r.id == run.id else r.title for r in runs})
    other = by_id[ui.select("From the run", titles, key="another_run")]
    total = len(candidates.index(other))
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
        f"It has {counted(total, 'prompt')}. "
        + (
            f"{counted(left, 'other run')} can be compared."
            if left
            else "No other run can be compared with this one."
        )
    )
    if ui.button("Compare", "another_add", type="primary"):
        with ui.errors_shown():
            add_candidate(other.id, candidates.by_number(other, int(number)), picked)
    if other.id != run.id and other.best and ui.button("Its best prompt", "another_best"):
        add_candidate(other.id, other.best, picked)


def _widget_key(run_id: str, keys: Sequence[str], names: Sequence[str]) -> str:
    """Return the widget's key: a new one when the address says something else than the widget, and the address counts.

    The browser keeps the names that were chosen: a score that is new makes it another widget too.
    """
    version = COMPARED_VERSION.get(run_id)
    selected = st.session_state.get(f"compared_{run_id}_{version}")
    before = COMPARED_NAMES.get(run_id) or names
    COMPARED_NAMES.set(names, run_id)
    if selected is not None and (list(selected) != list(keys) or list(before) != list(names)):
        version += 1
        COMPARED_VERSION.set(version, run_id)
    return f"compared_{run_id}_{version}"


def _write(keys: Sequence[str]) -> None:
    if keys:
        st.query_params[candidates.PARAM] = ",".join(keys)
    else:
        st.query_params.pop(candidates.PARAM, None)


def candidate_compare(found: Sequence[ComparedCandidate]) -> None:
    """Compare the prompts step by step."""
    heads(found)
    one_step = max((len(c.candidate.candidate.steps) for c in found), default=0) < 2
    view = "In one"
    with ui.row("diff_bar"):
        if len(found) == 2:
            view = ui.segments("View", ["Side by side", "In one"], default="Side by side", key="diff_view")
        only = not one_step and st.toggle(
            "Only steps that differ", True, key="diff_only", persist_state="session"
        )
    first = found[0].candidate.candidate.steps
    same: list[str] = []
    for path, before in first.items():
        states = [c.candidate.candidate.steps.get(path, before) for c in found]
        if only and all(state == before for state in states):
            same.append(path)
            continue
        with st.container(border=not one_step, key=f"diff_{path}"):
            if not one_step:
                st.markdown(f"**Step {escape_markdown(path)}**")
            _step(path, states, split=view == "Side by side")
    if same:
        st.caption(f"The same in all of them: {escape_markdown(', '.join(same))}.")


def heads(found: Sequence[ComparedCandidate]) -> None:
    """Show each prompt's name, score and why it exists."""
    for column, prompt in zip(st.columns(max(2, len(found)), gap="medium"), found, strict=False):
        with column, st.container(gap="xxsmall", key=f"head_{prompt.key.replace('.', '_')}"):
            scored = candidates.score_words(prompt.candidate)
            if prompt.candidate.tested is None:
                scored = f":gray[{scored}]"
            elif more_scores.after_choice(prompt):
                scored += ", looked at after the choice"
            st.markdown(f"**{escape_markdown(prompt.name, 80)}** · {scored}", help=explain("practice score"))
            st.text(upper_first(prompt.candidate.candidate.reason) or "The starting prompt.")


def _step(path: str, states: Sequence[StepState], *, split: bool) -> None:
    before, *others = states
    if split or len(others) == 1:
        st.markdown("**Instruction**")
        prompt_diff(before.instructions, others[0].instructions, split=split)
        _descriptions(before, others[0])
        _demos((before, others[0]), path)
        return
    for at, (column, state) in enumerate(zip(st.columns(len(states)), states, strict=True)):
        with column:
            st.markdown("**Instruction**")
            if at:
                prompt_diff(before.instructions, state.instructions, split=False)
            else:
                prompt_text(state.instructions or "(no instruction)", alone=not others)
            _descriptions(before, state)
            st.markdown(f"**Solved examples** · {len(state.demos)}")
            _shown_demos(state.demos, before.demos if at else state.demos, f"{path}_{at}")


def _descriptions(before: StepState, after: StepState) -> None:
    for title, left, right in (
        ("Field descriptions", before.field_descriptions, after.field_descriptions),
        ("Tool descriptions", before.tool_descriptions, after.tool_descriptions),
    ):
        changed = [name for name in right if right[name] != left.get(name, "")]
        if changed:
            st.markdown(f"**{title}**")
            prompt_diff(
                "\n".join(f"{n}: {left.get(n, '')}" for n in changed),
                "\n".join(f"{n}: {right[n]}" for n in changed),
            )


def _demos(pair: tuple[StepState, StepState], key: str) -> None:
    before, after = pair[0].demos, pair[1].demos
    st.markdown(f"**Solved examples** · {len(before)} on the left, {len(after)} on the right")
    if not before and not after:
        st.caption("Neither prompt shows the model any solved example.")
        return
    for column, demos, others, side in zip(
        st.columns(2), (before, after), (after, before), ("left", "right"), strict=True
    ):
        with column:
            _shown_demos(demos, others, f"{side}_{key}")


def _shown_demos(demos: Sequence[Demo], others: Sequence[Demo], key: str) -> None:
    if not demos:
        st.caption("None")
        return
    known = [dict(d.values) for d in others]
    lines = [
        {
            "Only here": "" if dict(demo.values) in known else "yes",
            **{name: value_text(value) for name, value in demo.values.items()},
            "Made by": "the model's own correct answer" if demo.augmented else "your data",
        }
        for demo in demos
    ]
    data_table(lines, f"demos_{key}", most=8, height=320)
