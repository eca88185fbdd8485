"""The red pen: a prompt as a document, with what each rule and solved example does in the margin, and parts to strike out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import streamlit as st

from dashboard.components import ui
from dashboard.results.compare import prompt_choice
from dashboard.results.comparison import row_number
from dashboard.results.more_scores import score_button
from dashboard.services import (
    Candidate,
    PartEffect,
    PromptPart,
    StepState,
    counted,
    in_points,
    part_effects,
    percent,
    points_gained,
    prompt_parts,
    score_without,
    without_parts,
)
from dashboard.state import candidates, more_scores
from dashboard.state.candidates import PARAM, ComparedCandidate, key_of
from dashboard.state.writing import read_only
from dashboard.text import escape_markdown, prompt_name

MOST = 40
"""Parts of each kind that are listed."""
SHOWN = 220
"""Characters of a part that are shown."""
OPEN, TALL = 12, 430
"""With more parts than these their list scrolls, in a box of this many pixels."""
MARGIN = 210
"""Pixels of the margin."""
NOTHING_STRUCK = "Strike out at least one rule or example first."


def struck_parts(one: ComparedCandidate) -> list[PromptPart]:
    """Return the parts of a prompt that are struck out: what its boxes say, wherever on the page they are drawn."""
    boxes = ((_key(one, part), part) for part in prompt_parts(one.candidate.candidate))
    return [part for key, part in boxes if not st.session_state.get(key, True)]


def struck_score(one: ComparedCandidate, score: float | None) -> float | None:
    """Return an estimate of a prompt's score without the parts that are struck out; None without any."""
    struck, whole = struck_parts(one), candidates.whole(one.run).values()
    rows = max((trials["validation"].rows_total for trials in whole if "validation" in trials), default=0)
    if not struck or not rows or score is None:
        return None
    return score_without(score, list(_effects(one, struck).values()), rows)


def red_pen(picked: Sequence[ComparedCandidate]) -> None:
    """Show a prompt as a document: what each of its parts does is in the margin, and parts can be struck out."""
    prompt = picked[prompt_choice("Prompt", picked, "parts_of")]
    parts = prompt_parts(prompt.candidate.candidate)
    effects = _effects(prompt, parts[: 2 * MOST])
    margin = "In the margin: the rows that a rule or example fixes and breaks."
    unknown = "What its rules and examples do is known once a version without them is scored."
    st.caption(
        f"{margin if effects else unknown} Take a tick away to strike a part out.",
        help="A part fixes a row where the prompt does better on it with the part than without. Estimated: from the search's "
        "own scores. Measured: by a version without the part, on the rows to choose by.",
    )
    height: int | Literal["content"] = TALL if len(parts) > OPEN else "content"
    with st.container(gap="xxsmall", key="red_pen", height=height, border=False):
        for step, state in prompt.candidate.candidate.steps.items():
            _step(prompt, step, state, [part for part in parts if part.step == step], effects)
    if parts:
        _version(prompt, struck_parts(prompt))
    else:
        st.caption(
            "This prompt has no list of rules and no solved examples, so there is nothing to strike out."
        )


def _step(
    one: ComparedCandidate,
    step: str,
    state: StepState,
    parts: Sequence[PromptPart],
    effects: Mapping[PromptPart, PartEffect],
) -> None:
    """Draw a step's instruction line by line, then its solved examples."""
    if len(one.candidate.candidate.steps) > 1:
        st.markdown(f"**Step {escape_markdown(step)}**")
    rules = {part.place: part for part in parts if part.kind == "rule"}
    for place, line in enumerate(state.instructions.splitlines()):
        if place in rules:
            _part(one, rules[place], effects.get(rules[place]))
        elif line.strip():
            st.text(line)
    examples = [part for part in parts if part.kind == "example"]
    if examples:
        st.text(f"Solved examples ({len(examples)})")
    for part in examples[:MOST]:
        _part(one, part, effects.get(part))
    if len(examples) > MOST:
        st.caption(f"The first {MOST} are listed; each input is shown the nearest of all {len(examples)}.")


def _part(one: ComparedCandidate, part: PromptPart, effect: PartEffect | None) -> None:
    key = _key(one, part)
    with ui.row(f"line_{key}", "top", wrap=False):
        st.checkbox(
            escape_markdown(part.text, SHOWN),
            True,
            key=key,
            disabled=read_only(),
            persist_state="session",
            width="stretch",
        )
        if effect:
            fixed, broken = effect.sides
            marks = [f":green[✓ {fixed}]" * bool(fixed), f":red[✗ {broken}]" * bool(broken)]
            how = "measured" if effect.rows else "estimated"
            st.caption(f"{', '.join(filter(None, marks)) or 'turns no row'} · {how}", width=MARGIN)


def _key(one: ComparedCandidate, part: PromptPart) -> str:
    return f"part_{one.key}_{part.step}_{part.kind}_{part.place}".replace(".", "_")


def _version(one: ComparedCandidate, struck: Sequence[PromptPart]) -> None:
    """Say what is known of the prompt without the parts struck out; offer to score it, or to see it where it was scored."""
    before = one.candidate.score if one.candidate.tested is None else one.candidate.tested
    after = struck_score(one, before)
    if before is not None and after is not None:
        change = in_points(points_gained(before, after))
        st.markdown(
            f"Without {counted(len(struck), 'part')}: about **{percent(after)}** ({change}), :orange[an estimate].",
            help="By the rows that the parts are known to fix and break, as if no two of them bore on the same row.",
        )
    elif struck:
        st.caption("What these parts do is not known: score this version to know.")
    if read_only():
        return
    run, parent = one.run, one.candidate.candidate
    child = without_parts(parent, struck, prompt_name(one.candidate.number))
    entry = next((c for c in candidates.index(run) if c.id == child.id), None) if struck else None
    if entry is not None and "validation" in candidates.whole(run).get(child.id, {}):
        st.caption(f"This version is prompt {entry.number} of the run: {candidates.score_words(entry)}.")
        ui.button(
            f"Compare with prompt {entry.number}", "parts_compare", on_click=ui.callback(_compare, one, child)
        )
        return
    if not struck:
        ui.button("Score this version", "parts_score_now", NOTHING_STRUCK, icon="playlist_add_check")
        return
    with ui.row("parts_score", "center"):
        splits: list[more_scores.ScoredSplit] = ["validation"]
        if st.session_state.get("parts_test"):
            splits.append("test")
        wanted = [more_scores.missing_rows(run, child, split) for split in splits]
        why_not = _why_not(one) or (
            "" if all(wanted) else "The run has no whole score of its start to compare with."
        )
        rows = counted(sum(m.rows for m in wanted if m is not None), "row")
        score_button(
            f"Score this version ({rows}, {{}})",
            [m for m in wanted if m is not None],
            "parts_score_now",
            "Makes a new prompt of this run, which can be compared, taken and exported like the others. The verdict stays.",
            why_not,
            then=lambda: _compare(one, child),
        )
        st.toggle("On the test rows, too", key="parts_test", persist_state="session")


def _why_not(one: ComparedCandidate) -> str:
    if one.run.goes_on:
        return "The run is at work. Wait for its end."
    if one.run.result is None:
        return "This run has no result. Go on with it first."
    return ""


def _compare(one: ComparedCandidate, child: Candidate) -> None:
    st.query_params[PARAM] = f"{one.key},{key_of(one.run.id, child.id)}"


def _effects(one: ComparedCandidate, parts: Sequence[PromptPart]) -> dict[PromptPart, PartEffect]:
    """Return what parts of a prompt do, as far as it is known."""
    result, scores = one.run.result, candidates.row_scores(one.run)
    whole = candidates.whole(one.run).items()
    by_prompt = {c: scores.get(t["validation"].number, {}) for c, t in whole if "validation" in t}
    found = result.credits if result and one.candidate.id == result.best_candidate else ()
    rows = candidates.outcomes(one, "validation") if "validation" in one.trials else []
    numbers = {o.row: row_number(o) for o in rows}
    return part_effects(one.candidate.candidate, parts, found, by_prompt, numbers)
