"""The parts of the review: what was recognised, the task, the rows and their split, the metric, what is doubtful."""

from __future__ import annotations

import streamlit as st

from dashboard.components import ui
from dashboard.components.project_page import ProjectPage, sample_values, share_bar
from dashboard.components.sampling import sample_offer
from dashboard.components.tab_conflict import forget_seen, renew
from dashboard.services import (
    METRICS,
    EngineError,
    FieldSpec,
    Named,
    ProjectDraft,
    advised_metric,
    counted,
    price,
    usual_options,
)
from dashboard.state import reading
from dashboard.state.editing import drafts, examples, starting
from dashboard.state.editing.steps import change_step, pipeline_of, title_of
from dashboard.state.models import title_of as model_title
from dashboard.text import escape_markdown

VALUES_SHOWN = 12
PROBLEM = "review_problem"


def guessed_lines(page: ProjectPage) -> None:
    """Say in one line what was recognised, with notes on what was guessed; offer to draft a sentence by a model."""
    guess = starting.GUESSED.get(page.id)
    if guess is None:
        return
    st.markdown(ui.mark("check_circle", guess.line, "green"))
    for note in guess.notes[:4]:
        st.caption(f":material/info: {escape_markdown(note, 300)}")
    model = starting.drafting_model() if guess.text else None
    if model is not None:
        about = price(starting.drafting_price(model), "about ")
        label = f"Draft it with {escape_markdown(model_title(model), 60)} ({escape_markdown(about)})"
        if ui.button(
            label, "draft_by_model", icon="auto_awesome", help="One call. It replaces the task below."
        ):
            with ui.problem_kept(PROBLEM), st.spinner("Asking the model"):
                paid = starting.draft_by_model(page.id, model)
                renew(page.id)
                words = escape_markdown(price(paid, "it cost "))
                st.toast(f"Drafted by the model: {words}.", icon=":material/auto_awesome:")
            st.rerun()
    ui.problem_line(PROBLEM)


def problems_card(page: ProjectPage) -> None:
    """List what is missing before a run, and what is doubtful in the rows."""
    lines = [
        p.sentence for p in page.draft.problems() if p.step in ("task", "examples") and page.draft.dataset
    ]
    try:
        findings = examples.findings_of(page.draft) if not lines else ()
    except EngineError as error:
        lines, findings = [str(error)], ()
    lines += [
        finding.sentence
        if finding.kind == "column"
        else f"{finding.title}: {counted(len(finding.rows), 'row')}."
        for finding in findings
    ]
    if not lines:
        return
    with ui.card("review_problems", "Problems found"):
        for line in lines[:6]:
            st.markdown(ui.mark("report", line))
        if findings:
            ui.link("examples", "Look at them", "table_rows", project=page.id)


def task_card(page: ProjectPage) -> None:
    """Show the drafted task: the instruction, which can be changed here, and its fields."""
    spec = page.draft.pipeline
    with ui.card("review_task", "Task"):
        if spec is None or not (spec.inputs or spec.outputs):
            st.caption("There is no task yet: say which columns are read and which are answered.")
        else:
            step = spec.steps[-1]
            st.text_area(
                "Instruction",
                step.instructions,
                height=120,
                **ui.saved(
                    f"review_instruction_{page.id}_{hash(step.instructions)}",
                    lambda text: _change_step(page.id, instructions=text),
                ),
            )
            for title, colour, fields in (("Input", "blue", spec.inputs), ("Answer", "orange", spec.outputs)):
                for field in fields:
                    _field_line(title, colour, field)

            def think(thinks: bool) -> None:
                _change_step(page.id, strategy="chain_of_thought" if thinks else "predict")

            if step.strategy in ("predict", "chain_of_thought"):
                st.toggle(
                    "Think first",
                    step.strategy == "chain_of_thought",
                    **ui.saved(f"review_think_{page.id}_{step.strategy}", think),
                    help="The model reasons before it answers: better at sums and rules; about twice the tokens.",
                )
            ui.link("task", "Change the fields", "edit_note", project=page.id)
        _roles(page)


def _field_line(title: str, colour: str, field: FieldSpec) -> None:
    with ui.row(f"review_field_{field.name}", "top", gap="xsmall"):
        st.badge(title, color=colour)  # type: ignore[arg-type]  # one of Streamlit's colours
        st.markdown(f"**{escape_markdown(field.name, 60)}**", width="content")
        values = ", ".join(field.choices[:VALUES_SHOWN])
        more = f" and {len(field.choices) - VALUES_SHOWN:,} more" if len(field.choices) > VALUES_SHOWN else ""
        st.caption(
            f"{escape_markdown(title_of(field))}{': ' if values else ''}{escape_markdown(values, 300)}{more}"
        )


def _change_step(project_id: str, **changes: object) -> None:
    def change(draft: ProjectDraft) -> ProjectDraft:
        last = len(pipeline_of(draft).steps) - 1
        return change_step(draft, last, lambda step: step.model_copy(update=changes))

    drafts.edit(project_id, change)
    renew(project_id)


def _roles(page: ProjectPage) -> None:
    """Let the user say which columns are read and which are answered, where the task was made of them."""
    guess, dataset = starting.GUESSED.get(page.id), page.draft.dataset
    if dataset is None or (page.draft.pipeline is not None and not (guess and guess.by_columns)):
        return
    st.markdown("**Columns**")
    roles = role_cards(page, dataset)
    missing = missing_role(roles)
    spec, mapping = page.draft.pipeline, page.draft.mapping
    columns = (mapping.get(f.name) for f in spec.inputs) if spec else ()
    answers = (mapping.get(f.name) for f in spec.outputs) if spec else ()
    used = {**dict.fromkeys(columns, "input"), **dict.fromkeys(answers, "output")}
    if missing:
        st.caption(ui.mark("pending", missing))
    elif any(role != used.get(column, "ignore") for column, role in roles.items()):
        with ui.errors_shown():
            starting.set_roles(page.id, dataset, roles)
            renew(page.id)
            forget_seen(page.id)
            st.rerun()


def metric_card(page: ProjectPage) -> None:
    """Show the metric that fits the answers, with the others to choose from."""
    spec, chosen = page.draft.pipeline, page.draft.metric
    names = {m.name: m.title for m in METRICS}
    with ui.card("review_metric", "Metric"):
        if chosen is None or spec is None:
            st.caption("How an answer is scored is chosen when the task has an answer.")
            return
        picked = ui.select(
            "Metric",
            names,
            chosen.name,
            label_visibility="collapsed",
            key=f"review_metric_{page.id}_{chosen.name}",
        )
        if picked != chosen.name:
            drafts.update(page.id, metric=Named(name=picked, options=usual_options(picked, spec)))
            st.rerun()
        advised = advised_metric(spec)
        if advised is not None and advised.name == chosen.name:
            st.badge("Fits your answers", icon=":material/check:", color="green")
        st.caption(next(m.plain for m in METRICS if m.name == chosen.name))
        ui.link("metric", "Its options, and how it scores", "straighten", project=page.id)


def examples_card(page: ProjectPage) -> None:
    """Show the rows, how they are divided, and the way to change both."""
    dataset = page.draft.dataset
    with ui.card("review_examples", "Rows and split"):
        if dataset is None:
            st.caption(
                "There are no rows yet. Twenty are a start, a hundred are good: they are brought next."
            )
            ui.link("examples", "Bring rows", "upload_file", project=page.id)
            return
        table = reading.dataset(dataset)
        st.markdown(
            f":material/description: **{escape_markdown(table.name, 60)}** · {counted(len(table), 'row')}"
        )
        try:
            split = examples.split_of(page.draft) if page.draft.pipeline else None
        except EngineError as error:
            st.caption(ui.mark("pending", str(error)))
            split = None
        if split is not None:
            names = ("train", "validation", "test")
            share_bar(zip(names, split.sizes, strict=True))
            train, validation, test = split.sizes
            st.caption(f"{train:,} to learn from, {validation:,} to choose by, {test:,} for the final test.")
            sample_offer(page)
        ui.link("examples", "Change the rows or the split", "table_rows", project=page.id)


ROLES = {"input": "Input", "output": "Answer", "ignore": "Not used"}


def role_cards(page: ProjectPage, dataset_id: str) -> dict[str, str]:
    """Show a card for each column with some of its values, then what is doubtful in the roles.

    Returns column -> role as chosen, or as guessed until then.
    """
    from dashboard.services import guess_roles, role_doubts

    profiles = reading.profiles(dataset_id)
    guessed = guess_roles(reading.dataset(dataset_id), profiles)
    roles: dict[str, str] = {}
    with st.grid(4, min_column_width=240, key="role_cards"):
        for at, column in enumerate(profiles):
            name = escape_markdown(column.name, 40)
            with ui.card(f"role_card_{at}", name, height="stretch", gap="xsmall"):
                roles[column.name] = ui.segments(
                    f"Role of {name}",
                    list(ROLES),
                    default=str(guessed[column.name]),
                    format_func=lambda r: ROLES[r],
                    key=f"role_{at}_{dataset_id}_{page.id}",
                )
                sample_values(" ".join(sample.split())[:120] for sample in column.samples[:2])
    for question in role_doubts(profiles, roles).values():
        st.markdown(ui.mark("help", question))
    return roles


def missing_role(roles: dict[str, str]) -> str:
    """Return what is missing for a task to be made of columns with these roles, or "".

    >>> missing_role({"text": "input", "id": "ignore"})
    'Mark at least one column as Answer: it holds what the model should say.'
    """
    if "input" not in roles.values():
        return "Mark at least one column as Input."
    if "output" not in roles.values():
        return "Mark at least one column as Answer: it holds what the model should say."
    return ""
