"""Doubtful rows: each finding with its rows and one-click ways to fix it; everything can be undone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from dashboard.components import ui
from dashboard.components.glossary import explain
from dashboard.components.project_page import ProjectPage, share_bar
from dashboard.components.sampling import sample_offer
from dashboard.components.tab_conflict import guarded
from dashboard.components.tables import data_table, row_column
from dashboard.examples.grid import save_rows, show_rows
from dashboard.services import LOOKED_AT, PipelineSpec, ProjectDraft, SplitSpec, counted
from dashboard.state import reading
from dashboard.state.editing import examples
from dashboard.state.editing.examples import findings_of, split_of
from dashboard.state.writing import read_only
from dashboard.text import escape_markdown

if TYPE_CHECKING:
    from dashboard.services import Dataset, Finding, Fix


SHOWN = 200
ICONS = {
    "column": ("orange", "visibility"),
    "blank": ("orange", "check_box_outline_blank"),
    "outside": ("orange", "rule"),
    "spelling": ("blue", "spellcheck"),
    "duplicate": ("blue", "content_copy"),
    "conflict": ("orange", "call_split"),
    "leak": ("orange", "water_drop"),
    "near": ("blue", "difference"),
    "odd": ("blue", "psychology_alt"),
    "long": ("blue", "notes"),
    "imbalance": ("blue", "balance"),
}


def preflight_card(page: ProjectPage) -> None:
    """Show what is doubtful in a project's rows."""
    if page.draft.dataset is None:
        return
    findings = findings_of(page.draft)
    table = reading.dataset(page.draft.dataset)
    with ui.card("preflight"):
        with ui.row("preflight_head"):
            st.markdown("**Before you spend anything**", help=explain("leak"), width="content")
            if findings:
                rows = len({r for f in findings for r in f.rows})
                st.badge(
                    f"{counted(len(findings), 'thing')} to look at, {counted(rows, 'row')}", color="orange"
                )
            else:
                st.badge("Nothing doubtful", icon=":material/check:", color="green")
        if not findings:
            st.caption(
                "No blanks, no rows that are there twice, no leaks into the final test, no answers that look odd."
            )
        for finding in findings:
            _finding(page, table, finding)
        if len(table) > LOOKED_AT:
            st.caption(
                f"For answers that look odd, at most {LOOKED_AT:,} of the {len(table):,} rows are looked at, evenly spread."
            )


def _finding(page: ProjectPage, table: Dataset, finding: Finding) -> None:
    colour, icon = ICONS[finding.kind]
    with st.expander(
        f":{colour}[:material/{icon}:] **{escape_markdown(finding.title, 80)}** · {counted(len(finding.rows), 'row')}",
        key=f"finding_{finding.kind}_{page.id}_{len(finding.rows)}",
        on_change="rerun",
    ) as box:
        if not box.open:
            return
        st.text(finding.sentence)
        with ui.row(f"fixes_{finding.kind}", "top"):
            for at, fix in enumerate(finding.fixes if not read_only() else ()):
                ui.button(
                    escape_markdown(fix.label, 80),
                    f"fix_{finding.kind}_{at}",
                    type="primary" if at == 0 else "secondary",
                    on_click=ui.callback(_apply, page.id, finding, fix),
                    help=f"{'Leaves out' if fix.exclude else 'Changes'} {counted(fix.rows, 'row')}. It can be undone.",
                )
            ui.button(
                "Show them in the grid",
                f"show_{finding.kind}",
                type="tertiary",
                icon="table_rows",
                on_click=ui.callback(show_rows, page.id, finding.rows),
            )
        data_table(
            _lines(table, finding, page.draft.mapping),
            f"finding_rows_{finding.kind}",
            {"Row": row_column()},
            most=6,
            height=250,
        )


def _lines(table: Dataset, finding: Finding, mapping: dict[str, str]) -> list[dict[str, object]]:
    verb = "nearly repeats" if finding.kind in ("near", "leak") else "repeats"
    lines: list[dict[str, object]] = []
    for at, row in enumerate(finding.rows[:SHOWN]):
        note = finding.notes[at] if at < len(finding.notes) else ""
        if finding.others:
            note = f"{verb} row {table.row_number(finding.others[at])}"
        (values,) = table.rows(row, row + 1)
        cells = {c: values[c][:300] for c in mapping.values() if c in values}
        lines.append({"Row": table.row_number(row), "Note": note, **cells})
    return lines


def _merged(
    pipeline: PipelineSpec | None, fix: Fix, table: Dataset, mapping: dict[str, str]
) -> PipelineSpec | None:
    """Return the task without the allowed values that no row will have any more; None where that changes nothing."""
    if pipeline is None:
        return None
    gone: dict[str, set[str]] = {}
    for row, name in fix.replace:
        if name in mapping:
            gone.setdefault(name, set()).add(table.frame[mapping[name]].iloc[row].strip())
    last = pipeline.steps[-1]
    outputs = tuple(
        f.model_copy(update={"choices": tuple(c for c in f.choices if c not in gone.get(f.name, ()))})
        for f in last.outputs
    )
    if outputs == last.outputs or any(len(f.choices) == 1 for f in outputs):
        return None
    return PipelineSpec(steps=(*pipeline.steps[:-1], last.model_copy(update={"outputs": outputs})))


def _apply(project_id: str, finding: Finding, fix: Fix) -> None:
    what = f"{fix.label}: {finding.title}"
    draft = reading.draft(project_id)
    mapping = draft.mapping
    cells = {(row, mapping[name]): text for (row, name), text in fix.replace.items() if name in mapping}

    def change(table: Dataset, seen: str) -> None:
        if not cells:
            examples.leave_out(project_id, what, fix.exclude, seen=seen)
            return
        task = _merged(draft.pipeline, fix, table, mapping) if finding.kind == "spelling" else None
        also: examples.TaskChange = {"pipeline": task} if task is not None else {}
        examples.change_rows(project_id, what, table, cells=cells, seen=seen, also=also)

    if save_rows(project_id, change):
        st.toast(f"{escape_markdown(fix.label, 80)}: done. Undo takes it back.", icon=":material/check:")


PARTS = (
    ("Learn from", "train", "blue", "rows to learn from"),
    ("Choose by", "validation", "orange", "rows to choose by"),
    ("Final test", "test", "green", "final test"),
)


def split_editor(page: ProjectPage) -> None:
    """Show and change the split; the sizes shown are the real ones."""
    shares = page.draft.split
    sample_offer(page)
    with ui.card(
        "split_card",
        "How the rows are divided",
        "Scores on rows that were searched on flatter the result. That is why some rows are kept apart. "
        "Rows with equal inputs stay on one side, and every answer is spread evenly.",
    ):
        left, right = st.columns([5, 1], gap="medium", vertical_alignment="bottom")
        cut = left.slider(
            "Where learning ends and where the test begins, in percent of the rows",
            5,
            95,
            (round(100 * shares.train), round(100 * (shares.train + shares.validation))),
            step=5,
            format="%d %%",
            key=f"split_{page.id}",
            on_change=ui.callback(_changed, page.id),
        )
        right.number_input(
            "Seed",
            0,
            999_999,
            shares.seed,
            key=f"seed_{page.id}",
            on_change=ui.callback(_changed, page.id),
            help=explain("seed"),
        )
        if cut[1] - cut[0] < 5:
            st.caption(":orange[:material/pending:] Leave at least 5 % between the two marks.")
        split = split_of(page.draft)
        share_bar((name, size) for (_, name, _, _), size in zip(PARTS, split.sizes, strict=True))
        with st.grid(3, key="split_parts"):
            for (title, name, colour, term), size in zip(PARTS, split.sizes, strict=True):
                with ui.card(f"split_{name}", height="stretch", gap="xsmall"):
                    st.markdown(f":{colour}-badge[{title}]")
                    st.markdown(f"#### {size:,} rows")
                    st.caption(explain(term))
        field = escape_markdown(split.stratified_by or "", 60)
        even = f" and every value of {field} is spread evenly" if field else ""
        st.caption(
            f"Drawn by chance with the seed; rows that ask the same stay on one side{even}. "
            f"{steps_of(split.sizes[1])}"
        )
        for note in split.notes[:3]:
            st.caption(escape_markdown(note))


def steps_of(rows: int) -> str:
    """Return in words how small a difference between two prompts this number of rows can show.

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
            train=low / 100,
            validation=round((high - low) / 100, 4),
            test=round(1 - high / 100, 4),
            seed=seed,
            sample=draft.split.sample,
        )
        return draft.model_copy(update={"split": shares})

    guarded(project_id, change, "examples")
