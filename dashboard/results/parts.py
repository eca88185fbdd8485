"""The rules and solved examples of a prompt: what each does, and switches to score a version without some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import streamlit as st

from dashboard.components import ui
from dashboard.results.compare import prompt_choice
from dashboard.results.more_scores import score_button
from dashboard.services import Candidate, PromptPart, counted, prompt_parts, without_parts
from dashboard.state import candidates, more_scores
from dashboard.state.candidates import PARAM, ComparedCandidate, key_of
from dashboard.state.writing import read_only
from dashboard.text import escape_markdown, prompt_name

MOST = 40
"""Parts of each kind that are listed."""
SHOWN = 220
"""Characters of a part that are shown."""
OPEN, TALL = 12, 360
"""With more parts than these their list scrolls, in a box of this many pixels."""
TITLES = {"rule": "Rules", "example": "Solved examples"}
MOST_ROWS = 6
NOTHING_OFF = "Switch off at least one rule or example first."


class Effect(NamedTuple):
    """Effect of a part: numbers of the rows that it fixes and breaks as measured without it, or estimated counts."""

    fixed: Sequence[int] | int
    broken: Sequence[int] | int

    @property
    def words(self) -> str:
        """The effect in words."""
        if isinstance(self.fixed, int) or isinstance(self.broken, int):
            return f"estimated: fixes {self.fixed}, breaks {self.broken}"
        if not self.fixed and not self.broken:
            return "measured: no row turns without it"
        return f"measured: fixes {_rows(self.fixed)}, breaks {_rows(self.broken)}"


def _rows(numbers: Sequence[int]) -> str:
    if not numbers:
        return "none"
    named = ", ".join(str(n) for n in numbers[:MOST_ROWS])
    more = f" and {len(numbers) - MOST_ROWS} more" if len(numbers) > MOST_ROWS else ""
    return f"{'row' if len(numbers) == 1 else 'rows'} {named}{more}"


def parts_view(picked: Sequence[ComparedCandidate]) -> None:
    """Let the user choose a prompt, see what each of its parts does, and score a version without some of them."""
    prompt = picked[prompt_choice("Prompt", picked, "parts_of")]
    parts = prompt_parts(prompt.candidate.candidate)
    if not parts:
        st.caption(
            "This prompt has no list of rules and no solved examples, so there is nothing to switch off."
        )
        return
    st.caption(
        "A rule or example fixes a row where the prompt does better on it with the part than without. Estimated: from the search's "
        "own scores. Measured: by a version without the part. Switch parts off to score such a version on the rows to choose by."
    )
    effects = _effects(prompt, parts)
    off = [part for kind in TITLES for part in _switches(prompt, parts, kind, effects)]
    _version(prompt, off)


def _switches(
    one: ComparedCandidate, parts: Sequence[PromptPart], kind: str, effects: Mapping[PromptPart, Effect]
) -> list[PromptPart]:
    """Draw a switch for each part of a kind; return those that are off."""
    same_kind = [part for part in parts if part.kind == kind]
    if not same_kind:
        return []
    steps = len(one.candidate.candidate.steps) > 1
    st.markdown(f"**{TITLES[kind]}** · {len(same_kind)}")
    off = []
    height: int | Literal["content"] = TALL if len(same_kind) > OPEN else "content"
    with st.container(gap="xsmall", key=f"parts_{kind}", height=height, border=False):
        for at, part in enumerate(same_kind[:MOST]):
            key = f"part_{one.key}_{kind}_{at}".replace(".", "_")
            where = f"{part.step}: " if steps else ""
            effect = effects.get(part)
            words = f" :gray[· {effect.words}]" if effect else ""
            text = f"{escape_markdown(f'{where}{part.text}', SHOWN)}{words}"
            if not st.checkbox(text, True, key=key, disabled=read_only(), persist_state="session"):
                off.append(part)
    if len(same_kind) > MOST:
        st.caption(f"The first {MOST} are listed; each input is shown the nearest of all {len(same_kind)}.")
    return off


def _version(one: ComparedCandidate, off: Sequence[PromptPart]) -> None:
    """Offer to score the prompt without the parts that are off, or to see it where it was scored."""
    if read_only():
        return
    run, parent = one.run, one.candidate.candidate
    child = without_parts(parent, off, prompt_name(one.candidate.number))
    entry = next((c for c in candidates.index(run) if c.id == child.id), None) if off else None
    if entry is not None and "validation" in candidates.whole(run).get(child.id, {}):
        st.caption(f"This version is prompt {entry.number} of the run.")
        ui.button(
            f"Compare with prompt {entry.number}", "parts_compare", on_click=ui.callback(_compare, one, child)
        )
        return
    if not off:
        ui.button("Score this version", "parts_score_now", NOTHING_OFF, icon="playlist_add_check")
        return
    with ui.row("parts_score", "center"):
        tested = st.toggle("On the test rows, too", key="parts_test", persist_state="session")
        splits: list[more_scores.ScoredSplit] = ["validation", "test"] if tested else ["validation"]
        wanted = [more_scores.missing_rows(run, child, split) for split in splits]
        why_not = _why_not(one) or (
            "" if all(wanted) else "The run has no whole score of its start to compare with."
        )
        rows = sum(m.rows for m in wanted if m is not None)
        score_button(
            f"Score this version on {counted(rows, 'row')}",
            [m for m in wanted if m is not None],
            "parts_score_now",
            "Makes a new prompt of this run, which can be compared, taken and exported like the others. The verdict stays.",
            why_not,
            then=lambda: _compare(one, child),
        )


def _why_not(one: ComparedCandidate) -> str:
    if one.run.goes_on:
        return "The run is at work. Wait for its end."
    if one.run.result is None:
        return "This run has no result. Go on with it first."
    return ""


def _compare(one: ComparedCandidate, child: Candidate) -> None:
    st.query_params[PARAM] = f"{one.key},{key_of(one.run.id, child.id)}"


def _effects(one: ComparedCandidate, parts: Sequence[PromptPart]) -> dict[PromptPart, Effect]:
    result = one.run.result
    known = {}
    if result is not None and one.candidate.id == result.best_candidate:
        known = {(c.step, c.kind, c.text): Effect(c.fixed, c.broken) for c in result.credits}
    effects = {}
    for part in parts[: 2 * MOST]:
        effect = _measured(one, part) or known.get((part.step, part.kind, part.text))
        if effect is not None:
            effects[part] = effect
    return effects


def _measured(one: ComparedCandidate, part: PromptPart) -> Effect | None:
    """Return what a part does where the prompt without it was scored on the same rows."""
    whole = candidates.whole(one.run)
    without = whole.get(without_parts(one.candidate.candidate, [part]).id, {}).get("validation")
    with_it = whole.get(one.candidate.id, {}).get("validation")
    if without is None or with_it is None:
        return None
    scores = candidates.row_scores(one.run)
    numbers = {
        o.row: o.number if o.number is not None else o.row for o in candidates.outcomes(one, "validation")
    }
    before, after = scores.get(without.number, {}), scores.get(with_it.number, {})
    shared = sorted(before.keys() & after.keys())
    fixed = [numbers.get(r, r) for r in shared if after[r] > before[r]]
    return Effect(fixed, [numbers.get(r, r) for r in shared if after[r] < before[r]])
