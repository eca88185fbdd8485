"""The top of the results: what the run came to, which of its prompts is taken, and links to its report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import streamlit as st

from dashboard.components import ui
from dashboard.components.glossary import explain
from dashboard.components.runs import finish_test, present_button
from dashboard.components.take_away import copy_button, share_link
from dashboard.results.charts import weighed
from dashboard.results.compare import take_candidate
from dashboard.results.parts import red_pen, struck_parts, struck_score
from dashboard.services import (
    VERDICT_TITLES,
    JsonObject,
    RunResult,
    RunRow,
    as_good,
    change_in_percent,
    compared_scores,
    recommended,
    result_sentences,
    run_report,
    short,
    use_of_a_row,
)
from dashboard.state import candidates, more_scores, reading
from dashboard.state.candidates import ComparedCandidate, score_words
from dashboard.text import escape_markdown

PEN = "With a red pen"

COLOURS = {"good": "green", "bad": "red", "even": "orange"}


def hero(run: RunRow, result: RunResult, notes: Sequence[str], picked: Sequence[ComparedCandidate]) -> None:
    """Show what a run came to, with notes on it, what can be done with it, and what striking out parts would do."""
    with ui.card("hero"):
        title, look = VERDICT_TITLES[result.shown.verdict.kind]
        terms = "\n\n".join(explain(term) for term in ("baseline", "best prompt", "likely gain", "token"))
        st.markdown(f"##### :{COLOURS[look]}[{title}]", help=terms)
        shown = next((c for c in picked if c.candidate.id == result.shown.best_candidate), None)
        drawn = st.session_state.get("prompt_view") == PEN
        score = struck_score(shown, result.shown.best.test) if shown and drawn else None
        st.html(reading.hero(run, (score, len(struck_parts(shown))) if shown and score is not None else None))
        with st.container(key="verdict"):
            sentences = filter(None, [*result_sentences(result), *notes, use_of_a_row(result)])
            st.caption("  \n".join(escape_markdown(s, 1000) for s in sentences))
        finish_test(run)
        copied = candidates.copied_prompt(run)
        with ui.row("hero_buttons"):
            copy_button(run)
            if copied.as_program:
                ui.link("export", "Take it as a program", "ios_share", project=run.project_id, run=run.id)
            ui.link("try_it", "Try it", "science", project=run.project_id, run=run.id)
            report = partial(reading.read_store, run_report, run.id)
            ui.download("Share the report", report, "report.html", "share_report")
            share_link(run)
            present_button(run)


def prompt_card(run: RunRow, picked: Sequence[ComparedCandidate]) -> None:
    """Show the prompt as it would be pasted, or as a document with a red pen."""
    views: dict[str, Callable[[], None]] = {"As you paste it": lambda: _pasted(run)} if run.result else {}
    views |= {PEN: lambda: red_pen(picked)} if picked else {}
    with ui.card("prompt_card"):
        with ui.row("prompt_head", side="distribute"):
            st.markdown("**The prompt**", help=explain("prompt"), width="content")
            view, *more = views
            if more:
                view = ui.segments("View", list(views), default=view, key="prompt_view", bind="query-params")
        views[view]()


def _pasted(run: RunRow) -> None:
    copied = candidates.copied_prompt(run)
    st.caption(escape_markdown(copied.about, 400))
    if copied.candidate:
        ui.plain_code(reading.prompt_text(run, copied.candidate), height=330)


class Offer(NamedTuple):
    """A prompt that can be taken: its id, what it is called, what speaks for it, its scores and its price."""

    candidate: str
    title: str
    why: str
    facts: str


def take_card(run: RunRow, result: RunResult) -> None:
    """Recommend a prompt, and let the user decide which one Export, Try it and Versions use."""
    offers = _offers(run, result)
    if len(offers) < 2:
        return
    advice = recommended(result)
    with ui.card("take", "" if advice else "Which prompt do you take?", explain("prompt taken")):
        ui.problem_line(f"take_refused_{run.id}")
        with st.container(key="offers", gap="xsmall"):
            best = advice.candidate if advice else ""
            for offer in sorted(offers, key=lambda offer: offer.candidate != best):
                _offer(run, offer, advice.sentence if advice and offer.candidate == best else "")


def _offer(run: RunRow, offer: Offer, advice: str) -> None:
    """Draw a line with a prompt that can be taken; the recommended one is in large, with a filled button."""
    with ui.row(f"offer_{offer.candidate}", side="distribute", wrap=False):
        with st.container(gap="xxsmall", key=f"offer_text_{offer.candidate}"):
            if advice:
                st.caption("Recommended", help=explain("prompt taken"))
                st.markdown(f"#### {escape_markdown(advice, 400)}")
                st.markdown(offer.why)
            else:
                st.markdown(f"**{offer.title}** · {offer.why} :gray[{escape_markdown(offer.facts, 200)}]")
        take = ui.callback(take_candidate, run.id, offer.candidate)
        look: JsonObject = {"label": "Take it", "type": "primary"} if advice else {}
        ui.chosen_or_button(offer.candidate == run.taken, f"take_{offer.candidate}", take, **look)


def _offers(run: RunRow, result: RunResult) -> list[Offer]:
    """Return the best prompt, one as good and cheaper where there is one, and the start; one alone is no choice."""
    best, start, static = result.best_candidate, result.seed_candidate, result.static
    entries = {c.id: c for c in candidates.index(run)}
    uses = candidates.row_use(run)
    every, unit = weighed(run)
    wanted = []
    if best != start:
        title = "The search's choice" if static else "The best prompt"
        wanted.append((best, title, candidates.why_best(result)))
    if (cheap := as_good(every, best)) is not None and cheap.number:
        fewer = -change_in_percent(next(p.use for p in every if p.candidate == best), cheap.use)
        why = f"As good on the rows to choose by, {fewer} % {unit.less}."
        wanted.append((cheap.candidate, f"Prompt {cheap.number}", why))
    if static:
        why = "Sends every input with the same examples: nothing is looked up."
        if against := static.validation_against_best:
            why += f" On the rows to choose by: {compared_scores(against)}."
        if static.test is None:
            cut = result.verdict.kind != "not_tested"
            why += f" It was not tested{': too little of the budget was left' if cut else ''}."
        wanted.append((static.candidate, "The best fixed prompt", why))
    surely = result.verdict.kind == "better"
    safe = "Not as good." if surely else "The safe choice: nothing is surely better."
    wanted.append((start, "The starting prompt", safe))
    for row in more_scores.made_by_hand(run):
        reason = row.candidate.reason
        wanted.append((row.id, f"Prompt {row.number}", f"You made it: {reason[:1].lower()}{reason[1:]}"))
    if run.taken in entries:
        wanted.append((run.taken, f"Prompt {entries[run.taken].number}", "You took it."))
    # The prompts that were tested have one number on this page: that of the test rows.
    tested = {
        prompt.candidate: prompt.tokens_per_row for prompt in (result.best, result.baseline, static) if prompt
    }
    offers: dict[str, Offer] = {}
    for candidate, title, why in wanted:
        if candidate in entries:
            a_row = tested.get(candidate) or (uses[candidate].tokens if candidate in uses else None)
            used = [] if a_row is None else [f"{short(a_row)} tokens a row"]
            facts = " · ".join([score_words(entries[candidate]), *used])
            offers.setdefault(candidate, Offer(candidate, title, why, facts))
    return list(offers.values())
