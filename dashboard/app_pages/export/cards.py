"""The forms of the export with their proof, and the versions that a project keeps."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

import streamlit as st

from dashboard.app_pages.try_it.answers import ROLES
from dashboard.components.layout import callback, card, in_row, show_error, tile
from dashboard.state import reading
from dashboard.state.selection import read_only, writing
from dashboard.views.glossary import explain
from dashboard.views.text import count, escape_markdown
from engine.errors import EngineError
from engine.export.container import own_key_variables, serve_command
from engine.export.formats import EXPORTS, ExportFormat, get_export
from engine.export.program import read_program
from engine.home import data_home
from engine.lm.choice import is_offline
from engine.store.rows import RunRow, VersionRow


def proof_card(run: RunRow) -> None:
    """Show the proof that a run kept; nothing for a run made before there were proofs."""
    proofs = (run.result or {}).get("proof")
    if not proofs:
        return
    with card("proof", gap="xsmall"):
        st.markdown(
            "**Proven to score the same**"
            if all(p["holds"] for p in proofs)
            else "**Checked after writing**",
            help=explain(
                "proof",
                "Every answer came from those kept, so a single changed character would show, and nothing was paid for.",
            ),
        )
        for proof in proofs:
            icon = ":green[:material/verified:]" if proof["holds"] else ":orange[:material/help:]"
            st.caption(f"{icon} {escape_markdown(proof['sentence'])}")


RESULTS = (
    ("csv", "CSV", "text/csv"),
    ("xlsx", "Excel", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("json", "JSON", "application/json"),
)

SHOWN_LINES = 60

NO_MODEL_YET = (
    " The offline stand-in it was tuned with cannot be asked from there: give `--base-url` and `--model`."
)


def report_card(run: RunRow) -> None:
    """Offer the report of a run."""
    with card("export_report", height="stretch"):
        st.markdown("**The report** · one page for anyone")
        st.caption(
            "The verdict, the chart, what changed in the prompt, the rows it fixed and broke, the cost and all "
            "settings in one HTML file. It opens in any browser, prints well and loads nothing from the net.",
            help=explain("verdict"),
        )
        _button(
            "Download report.html", lambda: reading.report(run.id), "report.html", "text/html", primary=True
        )


def results_card(run: RunRow) -> None:
    """Offer the test rows with both answers as a table."""
    with card("export_results", height="stretch"):
        st.markdown("**The results** · every test row")
        st.caption(
            "Inputs, the right answer, what both prompts answered and how each scored. "
            "Texts that a spreadsheet would run as a formula are made harmless.",
            help=explain("final test"),
        )
        with in_row("result_files", "top"):
            for form, title, mime in RESULTS:
                _button(title, _results(run.id, form), f"results.{form}", mime)


def program_cards(run: RunRow, path: Path) -> None:
    """Offer the program itself: as a file that Tuneboard opens, and as a script that runs on its own, if it can."""
    alone, why_not = get_export("python"), ""
    try:
        program = read_program(path)
        try:
            script = alone.content(program).decode()
        except EngineError as error:
            why_not = str(error)
            script = get_export("python_tuneboard").content(program).decode()
    except EngineError as error:
        show_error(error)
        return
    left, right = st.columns(2, gap="medium")
    with left, card("export_program", height="stretch"):
        st.markdown("**The program** · one JSON file")
        st.caption(
            "Instructions, solved examples and fields, and nothing secret. Tuneboard opens it again with the same answers."
        )
        _button("Download program.json", path.read_bytes, "program.json", "application/json", name="json")
        st.caption("In Python:")
        st.code(
            f'import engine\n\nprogram = engine.load("program.json")\nprint(program({reading.example_call(run)}))'
        )
        st.caption("As a service, with typed requests, docs and an MCP endpoint for agents:")
        st.code(serve_command(key_envs=own_key_variables(program)), language="bash")
    with right, card("export_script", height="stretch"):
        if why_not:
            st.markdown("**A Python script** · runs with Tuneboard")
            st.caption("The same program written out, ready to run from a terminal.")
            st.caption(escape_markdown(why_not, 1000))
            _button(
                "Download program_tuneboard.py",
                script,
                "program_tuneboard.py",
                "text/x-python",
                name="script",
            )
        else:
            st.markdown("**A Python script** · runs on its own")
            st.caption(
                "One row or a whole table from a terminal, with the same messages to the same model. It needs Python, no "
                "package and no Tuneboard."
                + (NO_MODEL_YET if program.model is None or is_offline(program.model) else "")
            )
            _button(f"Download {alone.file_name}", script, alone.file_name, "text/x-python", name="script")
        # A browser takes seconds to colour the whole of it.
        head = script.splitlines()[:SHOWN_LINES]
        st.code("\n".join(head), height=300)
        if more := len(script.splitlines()) - len(head):
            st.caption(f"The file goes on for {count(more, 'line')}.")


def messages_card(run: RunRow) -> None:
    """Show what the model is sent for one row."""
    with card("export_prompt"):
        st.markdown("**The exact messages** · what the model is sent for one row")
        with st.container(height=420, border=False, key="export_messages"):
            for message in reading.exact_messages(run):
                title, icon = ROLES.get(str(message["role"]), (str(message["role"]), ":material/chat:"))
                st.caption(f"{icon} {escape_markdown(title)}")
                st.code(message["content"], language=None, wrap_lines=True)


def form_cards(run: RunRow, path: Path) -> None:
    """Offer the program's other forms, each with what it is for, and the rows to train a model with."""
    others = [form for form in EXPORTS if form.name not in ("json", "python")]
    try:
        program = read_program(path)
    except EngineError as error:
        show_error(error)
        return
    st.markdown("##### Other forms")
    with st.grid(3, min_column_width=260, key="export_forms"):
        for form in others:
            with tile(f"form_{form.name}"):
                with st.container(gap="xsmall", key=f"form_text_{form.name}"):
                    st.markdown(f"**{form.title}**")
                    st.caption(form.plain)
                try:
                    # A large one is made when it is asked for.
                    made = partial(form.content, program) if form.on_demand else form.content(program)
                except EngineError as error:
                    st.button(
                        f"Download {form.file_name}",
                        key=f"download_{form.name}",
                        disabled=True,
                        help=str(error),
                    )
                    continue
                _button(f"Download {form.file_name}", made, form.file_name, _mime(form), name=form.name)
        with tile("form_training"):
            _training(run)


def _training(run: RunRow) -> None:
    """Offer the right answers as a file to train a model's weights with."""
    rows = reading.right_rows(run)
    with st.container(gap="xsmall", key="form_text_training"):
        st.markdown("**Training file**")
        st.caption(
            f"The best prompt's {count(rows, 'right answer')} as JSON Lines, to train a model of your own at a provider. "
            "Test rows are not in it."
        )
    if rows:
        _button(
            "Download training.jsonl",
            _results(run.id, "jsonl"),
            "training.jsonl",
            "application/jsonl",
            name="training",
        )
    else:
        st.button(
            "Download training.jsonl",
            key="download_training",
            disabled=True,
            help="The best prompt got no row right outside the final test.",
        )


def _results(run_id: str, form: str) -> Callable[[], bytes]:
    return lambda: reading.results_file(run_id, form)


def _button(
    label: str,
    content: str | bytes | Callable[[], str | bytes],
    file_name: str,
    mime: str,
    *,
    primary: bool = False,
    name: str = "",
) -> None:
    st.download_button(
        label,
        content,
        file_name=file_name,
        mime=mime,
        icon=":material/download:",
        key=f"download_{name or file_name.replace('.', '_')}",
        type="primary" if primary else "secondary",
        on_click="ignore",
    )


def _mime(form: ExportFormat) -> str:
    kinds = {".json": "application/json", ".zip": "application/zip", ".py": "text/x-python"}
    return kinds.get(Path(form.file_name).suffix, "text/plain")


def version_list(run: RunRow) -> None:
    """Show the versions of the run's project, and keep this run's best prompt as one."""
    from engine.runs.exports import program_path

    kept = reading.versions(run.project_id)
    with card("versions"):
        st.markdown(
            "**Versions** · which program is in use",
            help=explain("version", "Going back to an earlier one is one press."),
        )
        if refused := st.session_state.pop("version_refused", ""):
            st.caption(f":orange[:material/error:] {escape_markdown(refused)}")
        if not kept:
            st.caption("No version yet. Keep this run's best prompt as the first one.")
        for version in kept:
            _version(version)
        if not read_only():
            _keep_form(run, kept)
        if any(v.in_use for v in kept):
            st.caption("The program in use lies here, whichever version it is; serve it like this:")
            st.code(serve_command(str(program_path(data_home(), run.project_id))), language="bash")


def _version(version: VersionRow) -> None:
    metadata = version.content.get("metadata", {})
    with in_row(f"version_{version.number}"):
        st.markdown(f"**Version {version.number}**", width="content")
        if version.in_use:
            st.badge("In use", icon=":material/verified:", color="green")
        score = metadata.get("score")
        made = datetime.fromtimestamp(version.created_at).astimezone()
        facts = [f"{100 * score:.1f} % on its test rows"] if score is not None else []
        facts += [f"kept {made:%d %b %Y, %H:%M}", str(metadata.get("title") or "")]
        st.caption(escape_markdown(" · ".join(f for f in facts if f), 160))
        if version.note:
            st.caption(f"“{escape_markdown(version.note, 120)}”", width="content")
        if read_only():
            return
        if version.in_use:
            st.button(
                "Take out of use",
                key=f"version_off_{version.number}",
                type="tertiary",
                on_click=callback(_use_none, version.project_id),
            )
        else:
            st.button(
                "Use this version",
                key=f"version_use_{version.number}",
                on_click=callback(_use, version.project_id, version.number),
            )


def _keep_form(run: RunRow, kept: list[VersionRow]) -> None:
    best = (run.result or {}).get("best_candidate")
    there = next((v.number for v in kept if (v.run_id, v.candidate_id) == (run.id, best)), None)
    with in_row("keep_version_form", "bottom"):
        st.text_input(
            "What is special about it",
            key=f"version_note_{run.id}",
            placeholder="Optional, such as: after the new price list",
            max_chars=200,
            disabled=there is not None,
        )
        st.button(
            "Keep as a version",
            key="keep_version",
            icon=":material/bookmark_add:",
            disabled=there is not None,
            help=f"This run's best prompt is version {there} already." if there is not None else None,
            on_click=callback(_keep_version, run.id),
        )


def _keep_version(run_id: str) -> None:
    from engine.runs.exports import keep_version

    # Read here: what was typed just before the button was pressed is newer than the last drawing of the page.
    words = str(st.session_state.get(f"version_note_{run_id}", ""))
    try:
        with writing() as store:
            keep_version(store, run_id, note=words)
    except EngineError as error:
        st.session_state["version_refused"] = str(error)


def _use(project_id: str, number: int) -> None:
    from engine.runs.exports import use_version

    try:
        with writing() as store:
            use_version(data_home(), store, project_id, number)
    except EngineError as error:
        st.session_state["version_refused"] = str(error)


def _use_none(project_id: str) -> None:
    from engine.runs.exports import use_none

    with writing() as store:
        use_none(data_home(), store, project_id)
