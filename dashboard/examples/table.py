"""The examples page: columns and their roles, one document at a time, and the parts of the page in order."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from dashboard.components import ui
from dashboard.components.document import document_view, record_rows, viewer_data
from dashboard.components.glossary import NUMBERED, explain
from dashboard.components.project_page import ProjectPage, open_page, sample_values
from dashboard.components.start_box import import_report
from dashboard.components.tab_conflict import forget_seen, guarded, renew, watch
from dashboard.components.tables import bar_column, data_table
from dashboard.examples.add import add_rows, synthetic_note
from dashboard.examples.grid import (
    example_grid,
    problem_key,
    save_rows,
    undo_button,
)
from dashboard.examples.labelling import label_tab
from dashboard.examples.preflight import preflight_card, split_editor
from dashboard.examples.source import example_source, picture_strip
from dashboard.services import (
    DOCUMENT_NAME,
    EngineError,
    FieldSpec,
    PipelineSpec,
    ProjectDraft,
    counted,
    in_percent,
    percent,
)
from dashboard.state import reading
from dashboard.state.editing import records, starting
from dashboard.state.editing.steps import title_of
from dashboard.state.session import GRID_ROWS, NEXT_TAB
from dashboard.state.writing import read_only
from dashboard.text import escape_markdown

if TYPE_CHECKING:
    from dashboard.services import ColumnProfile, Dataset, RowProblem

NONE = "Choose a column"


def mapping_cards(page: ProjectPage, pipeline: PipelineSpec, dataset_id: str) -> None:
    """Show a card for each field of the task, with the column it is filled from."""
    profiles = {p.name: p for p in reading.profiles(dataset_id)}
    with st.grid(4, min_column_width=205, key="mapping_cards"):
        for field in (*pipeline.inputs, *pipeline.outputs):
            _card(page, field, field in pipeline.outputs, profiles, dataset_id)


def _card(
    page: ProjectPage, field: FieldSpec, answer: bool, found: dict[str, ColumnProfile], dataset_id: str
) -> None:
    options = [NONE, *found]
    column = page.draft.mapping.get(field.name, "")
    known = column in found
    with ui.card(f"map_card_{field.name}", height="stretch"):
        with ui.row(f"map_head_{field.name}"):
            st.markdown(f"**{escape_markdown(field.name)}**", width="content")
            st.badge("Answer" if answer else "Input", color="orange" if answer else "blue")
        st.selectbox(
            f"Column for {escape_markdown(field.name)}",
            options,
            index=options.index(column) if known else 0,
            label_visibility="collapsed",
            **ui.saved(f"map_{field.name}_{dataset_id}_{page.id}", _map, page.id, field.name),
        )
        if known:
            filled, distinct = found[column].filled, found[column].distinct
            colour = "green" if filled >= 0.9 else "orange" if filled >= 0.7 else "red"
            share = f"{percent(filled, 0)} filled"
            shown = share if field.parsed_type.optional else f":{colour}[{share}]"
            st.caption(f"{shown} · {counted(distinct, 'different value')}")
            sample_values(_short(sample, 120) for sample in found[column].samples[:2])
        else:
            st.caption(f"{title_of(field)}. Choose the column that holds it.")


def _columns_table(profiles: Sequence[ColumnProfile], mapping: dict[str, str]) -> None:
    from dashboard.services import KIND_TITLES

    used = {column: field for field, column in mapping.items()}
    lines = [
        {
            "Column": p.name,
            "Holds": KIND_TITLES[p.kind],
            "Filled": in_percent(p.filled),
            "Different": p.distinct,
            "Values": [_short(s) for s in p.samples],
            "Used as": used.get(p.name, "not used"),
        }
        for p in profiles
    ]
    data_table(
        lines,
        "columns_table",
        {
            "Filled": bar_column("Rows with a value in it.", width="small"),
            "Different": st.column_config.NumberColumn(width="small", help="Different values."),
            "Values": st.column_config.ListColumn("Some of its values", width="large"),
            "Used as": st.column_config.TextColumn(help="The task's field that it fills."),
        },
    )


def _map(project_id: str, field: str, column: str) -> None:
    def change(draft: ProjectDraft) -> ProjectDraft:
        mapping = {f: c for f, c in draft.mapping.items() if f != field}
        if column != NONE:
            mapping[field] = column
        return draft.model_copy(update={"mapping": mapping})

    guarded(project_id, change, "examples")


def _short(text: str, longest: int = 60) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= longest else f"{flat[:longest].rstrip()}…"


def _offer_task(page: ProjectPage, dataset_id: str) -> None:
    """Offer to draft the task of the columns, where it is missing or does not fit them."""
    what = "The task's fields, types and allowed values are filled in from the rows; you look it over before it is used."
    with ui.nothing_here("offer_task", "The task does not fit these columns yet", what):
        if ui.button("Draft the task from these columns", "make_task", icon="auto_fix_high"):
            with ui.errors_shown():
                starting.use_rows(page.id, dataset_id, redraft=True)
                # The Task page's widgets keep what they showed: new keys make them take the new task.
                renew(page.id)
                forget_seen(page.id)
                open_page("review")


def answers_card(page: ProjectPage, spec: PipelineSpec, table: Dataset) -> None:
    """Lead from documents without right answers to the place where they are filled in."""
    if not spec.outputs:
        what = "Say on the Task page what is to be read out of a document. Then the right answers are filled in here."
        with ui.nothing_here("name_fields", "The record has no fields yet", what):
            ui.link("task", "Name the fields", "edit_note")
        return
    missing = records.columns_to_make(spec, page.draft.mapping, table)
    names = ", ".join(escape_markdown(name, 40) for name in missing)
    what = (
        f"No column holds the right answers of {names}. Make blank columns, then fill them in under One by one, next to each "
        "document, or in the rows below."
    )

    def make() -> None:
        save_rows(page.id, lambda _table, seen: records.make_columns(page.id, seen))
        NEXT_TAB.set("One by one")

    with ui.nothing_here("no_answers", "The right answers are missing", what):
        ui.button(
            "Make the columns",
            "make_columns",
            icon="view_column",
            type="primary",
            on_click=ui.callback(make),
        )


LINES = 500
NAMED = 12
"""Rows that are named for one thing that is wrong; the others are counted."""


def _row_problems(
    dataset_id: str, pipeline: PipelineSpec | None, mapping: dict[str, str], excluded: Collection[int] = ()
) -> bool:
    """List the rows that cannot be used, other than those left out; return whether some can."""
    table = reading.dataset(dataset_id)
    problems: list[RowProblem] = list(table.problems)
    good = len(table)
    if pipeline is not None:
        try:
            usable = reading.usable(dataset_id, pipeline, mapping)
        except EngineError as error:
            ui.show_error(error)
            return False
        gone = {table.row_number(row) for row in excluded if row < len(table)}
        problems += [p for p in usable.problems if p.row not in gone]
        good = len(usable) - sum(row in usable for row in excluded)
    if problems:
        answers = {mapping.get(f.name) for f in pipeline.outputs} if pipeline is not None else set()
        _problem_table(problems, good, answers)
    return bool(good)


def _problem_table(found: Sequence[RowProblem], good: int, answers: Collection[str | None]) -> None:
    left_out = len({p.row for p in found})
    with ui.card("row_problems"):
        st.markdown(
            f":orange[:material/report:] **{counted(left_out, 'row')} cannot be used** and will be left out; "
            f"the other {good:,} can."
        )
        lines = problem_lines(found)
        data_table(
            lines,
            "problem_table",
            {
                "What is wrong": st.column_config.TextColumn(width="large"),
                "Rows": st.column_config.TextColumn(help=explain("row", NUMBERED)),
            },
            most=6,
            height=260,
        )
        empty = [p.column in answers for p in found if p.message.endswith("is empty.")]
        if any(empty):
            st.caption(
                "A row without its right answer can be neither learned from nor tested on. Fill it in below."
            )
        if not all(empty):
            st.caption(
                "Where an input may be empty, choose *Text, or empty* as its type on the Task page: then such rows are used too."
            )


def problem_lines(found: Sequence[RowProblem]) -> list[dict[str, str]]:
    """Return one line for each thing that is wrong, with the rows where it is.

    >>> from engine.dataset import RowProblem
    >>> problem_lines([RowProblem(2, "team", "It is empty."), RowProblem(9, "team", "It is empty.")])
    [{'What is wrong': 'It is empty.', 'Column': 'team', 'Rows': '2, 9'}]
    """
    rows: dict[tuple[str, str], list[int]] = {}
    for problem in found:
        rows.setdefault((problem.message, problem.column), []).append(problem.row)
    lines = []
    for (message, column), at in list(rows.items())[:LINES]:
        more = f" and {len(at) - NAMED:,} more" if len(at) > NAMED else ""
        numbers = ", ".join(map(str, at[:NAMED])) + more
        lines.append({"What is wrong": message, "Column": column, "Rows": numbers})
    return lines


def examples_of(page: ProjectPage, dataset_id: str) -> None:
    """Show everything about a project's examples."""
    try:
        table = reading.dataset(dataset_id)
    except EngineError as error:
        ui.show_error(error)
        example_source(page)
        return
    if watch(page, "examples"):
        GRID_ROWS.pop(page.id)
    _file_line(page, table)
    import_report(page)
    for note in table.notes[:4]:
        st.caption(f":material/info: {escape_markdown(note)}")
    spec = page.draft.pipeline
    fields = [*spec.inputs, *spec.outputs] if spec is not None else []
    mapped = all(page.draft.mapping.get(f.name) in table.columns for f in fields)
    fits = spec is not None and bool(spec.inputs and spec.outputs) and mapped
    if spec is not None and fields:
        st.markdown("##### Fields and their columns")
        mapping_cards(page, spec, dataset_id)
    read = spec if fits or _is_readable(spec, page.draft.mapping, table) else None
    if not fits:
        _to_do(page, read, table)
    # Checking and dividing many rows takes a second or two: the rows themselves are shown first, below.
    checks = st.container(key="row_checks")
    _row_tabs(page, read, table)
    with checks:
        usable = _row_problems(dataset_id, spec if fits else None, page.draft.mapping, page.draft.excluded)
        if fits and usable and spec is not None:
            with ui.errors_shown():
                split_editor(page)
            with ui.errors_shown():
                preflight_card(page)


def _row_tabs(page: ProjectPage, read: PipelineSpec | None, table: Dataset) -> None:
    """Show the rows: as a grid, one by one, to label, to add to, or as columns."""
    tabs = ["Rows", "One by one", "Label", "Add rows", "Columns"]
    if tab := NEXT_TAB.pop():
        st.session_state["example_tabs"] = tab
    rows, single, labels, adding, columns = st.tabs(
        tabs, key="example_tabs", on_change="rerun", bind="query-params"
    )
    if single.open:
        with single:
            if read is not None:
                document_tab(page, read, table)
            else:
                st.caption("Make the task first: then each row can be read next to its right answer.")
    if rows.open:
        with rows:
            example_grid(page)
            picture_strip(page, table)
    if labels.open:
        with labels:
            label_tab(page, table)
    if adding.open:
        with adding:
            add_rows(page, table)
    if columns.open:
        with columns:
            _columns_table(reading.profiles(page.draft.dataset or ""), page.draft.mapping)


def _to_do(page: ProjectPage, read: PipelineSpec | None, table: Dataset) -> None:
    """Offer what is missing: the task, or the columns of right answers where documents can be read already."""
    if read is None:
        _offer_task(page, page.draft.dataset or "")
    elif not read_only():
        answers_card(page, read, table)


def _is_readable(spec: PipelineSpec | None, mapping: Mapping[str, str], table: Dataset) -> bool:
    """Return whether rows are documents that a task reads, with or without right answers."""
    if spec is None or not spec.inputs or not records.from_documents(table):
        return False
    return all(mapping.get(f.name) in table.columns for f in spec.inputs)


def _file_line(page: ProjectPage, table: Dataset) -> None:
    from dashboard.services import safe_csv

    with ui.row("file_line"):
        left = len(page.draft.excluded)
        out = f" · {counted(left, 'row')} left out" if left else ""
        st.markdown(
            f":material/description: **{escape_markdown(table.name, 60)}** · {counted(len(table), 'row')} · "
            f"{counted(len(table.columns), 'column')}{out}",
            width="content",
        )
        with st.popover("Use other examples", icon=":material/swap_horiz:", key="source_popover"):
            example_source(page)
        undo_button(page)
        ui.download(
            "Download",
            lambda: safe_csv(reading.dataset(page.draft.dataset or "")),
            f"{table.name.rpartition('.')[0] or 'rows'}.csv",
            "download_rows",
            help="These rows as a CSV file. A text that a spreadsheet would run as a formula gets a ' before it.",
        )
    synthetic_note(page)


def document_tab(page: ProjectPage, spec: PipelineSpec, table: Dataset) -> None:
    """Show one row at a time: what is read on one side, the right answer on the other."""
    names = table.values(DOCUMENT_NAME) if DOCUMENT_NAME in table.columns else []
    key = f"document_row_{page.id}"
    rows = range(len(table))
    with ui.row("document_choice", "bottom"):
        row = st.selectbox(
            "Document" if names else "Row",
            rows,
            format_func=lambda r: (
                f"{table.row_number(r)}: {names[r][:80]}" if names else str(table.row_number(r))
            ),
            key=key,
            width=380,
        )
        for icon, title, by in (("chevron_left", "The one before", -1), ("chevron_right", "The next one", 1)):
            why_not = "" if 0 <= row + by < len(table) else "There is none."
            ui.icon_button(
                icon,
                title,
                f"document_{by}",
                on_click=ui.callback(st.session_state.update, {key: row + by}),
                why_not=why_not,
            )
    ui.problem_line(problem_key(page.id))
    with ui.errors_shown():
        (cells,) = table.rows(row, row + 1)
        for other in spec.inputs[1:]:
            ui.named_text(other.name, cells.get(page.draft.mapping.get(other.name, ""), ""))
        document = records.document_at(table, spec, page.draft.mapping, row)

        def correct(act: str, path: str, text: str) -> None:
            save_rows(page.id, lambda _table, _seen: records.correct(page.id, row, act, path, text))

        lines = record_rows(spec.outputs, records.record_at(table, spec, page.draft.mapping, row))
        data = viewer_data(document, lines, editable=not read_only(), key=f"{page.draft.dataset}_{row}")
        document_view(data, f"document_{page.id}", correct)
        for note in document.notes:
            st.caption(escape_markdown(note))
    if not spec.outputs:
        st.caption(
            "Its right answer is filled in here, once the fields of the record are named on the Task page."
        )
        return
    st.caption(
        "Press a field to see the place of its value, or a marked place to see its field. What was not found in the text is "
        "worth a second look. Corrections go into the examples at once; Undo takes them back."
    )
