"""The forms of the export with their proof, and the versions that a project keeps."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

import streamlit as st

from dashboard.components import ui
from dashboard.components.glossary import explain
from dashboard.components.prompts import messages_view
from dashboard.components.run_elements import replay_content
from dashboard.components.take_away import copy_button, share_link
from dashboard.services import (
    EngineError,
    ExportFormat,
    ProgramFile,
    RunRow,
    VersionRow,
    counted,
    data_home,
    export_forms,
    get_export,
    option,
    own_key_variables,
    percent,
    read_program,
    right_rows,
    run_report,
    run_results,
    serve_command,
    training_file,
)
from dashboard.state import candidates, reading
from dashboard.state.writing import read_only, writing
from dashboard.text import escape_markdown


def taken_note(run: RunRow) -> None:
    """Say how good the prompt that the exports hold is; name it where it is not the best one, or that is not surely better."""
    result = run.require_result()
    st.caption(escape_markdown(candidates.taken_words(run), 1000))
    best, surely = result.best_candidate, result.verdict.kind == "better"
    if run.taken == best and surely:
        return
    entries = {c.id: c for c in candidates.index(run)}
    name = candidates.name_of(entries[run.taken], best) if run.taken in entries else "another prompt"
    with ui.row("taken_note"):
        start = run.taken == result.seed_candidate
        if start:
            why = "because no prompt is surely better" if not surely else "as you decided"
            note = f"This is the starting prompt, {why}."
        else:
            note = f"{name}. {candidates.why_best(result) if run.taken == best else 'You took it.'}"
        st.markdown(ui.mark("flag", note, "blue" if start else "orange"), width="content")
        ui.link("results", "Decide on the Results page", "rule", project=run.project_id, run=run.id)


def for_people(run: RunRow, _path: Path) -> None:
    """Offer what anyone can read: the prompt, the report, the test rows, the replay; and the proof that a copy scores the same."""
    with st.grid(2, min_column_width=340, key="for_people"):
        _prompt_tile(run)
        _report_tile(run)
        _results_tile(run)
        _replay_tile(run)
    _proof_card(run)


def for_developers(run: RunRow, path: Path) -> None:
    """Offer the program in every form, with the code that runs it, and the versions that the project keeps."""
    with ui.errors_shown():
        _program_cards(run, path)
    _version_list(run)
    with ui.errors_shown():
        _form_cards(run, read_program(path), path.parent)
    _messages_card(run)


def _prompt_tile(run: RunRow) -> None:
    with ui.tile("export_prompt_text"):
        with st.container(gap="xsmall", key="prompt_tile_text"):
            st.markdown("**The prompt** · to paste")
            st.caption(escape_markdown(candidates.copied_prompt(run).about, 400))
        copy_button(run)


def _replay_tile(run: RunRow) -> None:
    with ui.tile("export_replay"):
        with st.container(gap="xsmall", key="replay_tile_text"):
            st.markdown("**The replay** · 20 seconds for a meeting")
            st.caption(
                "The search plays again with captions. One HTML file that loads nothing, also from a mail."
            )
        content = partial(replay_content, run)
        ui.download("Download replay.html", content, "replay.html", "download_replay")


def _proof_card(run: RunRow) -> None:
    """Show the proof that a run kept; nothing for a run made before there were proofs."""
    proofs = run.result.proof if run.result else ()
    if not proofs:
        return
    title = "Proven to score the same" if all(proof.holds for proof in proofs) else "Checked after writing"
    about = explain(
        "proof",
        "Every answer came from those kept, so a single changed character would show, and nothing was paid for.",
    )
    with ui.card("proof", title, about, gap="xsmall"):
        for proof in proofs:
            icon, colour = ("verified", "green") if proof.holds else ("help", "orange")
            st.caption(ui.mark(icon, proof.sentence, colour))


RESULTS = {"csv": "CSV", "xlsx": "Excel", "json": "JSON"}


def _report_tile(run: RunRow) -> None:
    with ui.tile("export_report"):
        with st.container(gap="xsmall", key="report_tile_text"):
            st.markdown("**The report** · one page for anyone")
            st.caption(
                "The verdict, the chart, what changed in the prompt, the rows it fixed and broke, the cost and all "
                "settings in one HTML file that prints well and loads nothing.",
                help=explain("verdict"),
            )
        with ui.row("report_files"):
            content = partial(reading.read_store, run_report, run.id)
            ui.download("Download report.html", content, "report.html", "download_report_html")
            share_link(run)


def _results_tile(run: RunRow) -> None:
    with ui.tile("export_results"):
        with st.container(gap="xsmall", key="results_tile_text"):
            st.markdown("**The results** · every test row")
            st.caption(
                "Inputs, the right answer, what both prompts answered and how each scored. "
                "Texts that a spreadsheet would run as a formula are made harmless.",
                help=explain("final test"),
            )
        with ui.row("result_files", "top"):
            for form, title in RESULTS.items():
                content = partial(reading.read_store, run_results, run.id, form)
                ui.download(title, content, f"results.{form}", f"download_results_{form}")


def _program_cards(run: RunRow, path: Path) -> None:
    """Offer the program itself: as a file that Tuneboard opens, and as a script that runs on its own, if it can."""
    program = read_program(path)
    left, right = st.columns(2, gap="medium")
    with left, ui.card("export_program", height="stretch"):
        st.markdown("**The program** · one JSON file")
        st.caption(
            "Instructions, solved examples and fields, and nothing secret. Tuneboard opens it again with the same answers."
        )
        ui.download("Download program.json", path.read_bytes, "program.json", "download_json")
        with st.expander("How to use it", key="use_program"):
            st.caption("In Python:")
            st.code(
                f'import engine\n\nprogram = engine.load("program.json")\nprint(program({reading.example_call(run)}))'
            )
            st.caption("As a service, with typed requests, docs and an MCP endpoint for agents:")
            st.code(serve_command(key_envs=own_key_variables(program)), language="bash")
    form, why_not = get_export("python"), ""
    try:
        content = _content(form, program, path.parent)
    except EngineError as error:
        form, why_not = get_export("python_tuneboard"), str(error)
        content = _content(form, program, path.parent)
    with right, ui.card("export_script", height="stretch"):
        st.markdown(f"**A Python program** · {'runs with Tuneboard' if why_not else 'runs on its own'}")
        st.caption(
            "The same program written out, ready to run from a terminal."
            if why_not
            else "One row or a whole table from a terminal, with the same messages to the same model. Tuneboard need not be "
            "installed: the part of it that answers is in the folder. It needs Python 3.11 or newer."
        )
        if why_not:
            st.caption(escape_markdown(why_not, 1000))
        ui.download(f"Download {form.file_name}", content, form.file_name, "download_script")
        options = " ".join(f'{option(f.name)} "..."' for f in program.pipeline.inputs)
        run_file = "run.py" if form.is_folder else form.file_name
        needs = "-r requirements.txt" if form.is_folder else "tuneboard"
        table = "--output answers.csv" if form.is_folder else "> answers.csv"
        with st.expander("How to use it", key="use_script"):
            st.caption("In a terminal, in the unpacked folder:" if form.is_folder else "In a terminal:")
            st.code(
                f"pip install {needs}\npython {run_file} {options}\npython {run_file} rows.csv {table}",
                language="bash",
            )


def _content(form: ExportFormat, program: ProgramFile, folder: Path) -> bytes | Callable[[], bytes]:
    """Return what reads the file that was written when the run ended, else the form's bytes. Raises ProgramFileError."""
    written = folder / form.file_name
    return written.read_bytes if written.exists() else form.content(program)


def _messages_card(run: RunRow) -> None:
    """Show what the model is sent for one row, when it is opened."""
    title = "The exact messages: what the model is sent for one row"
    with st.expander(title, icon=":material/forum:", key="export_prompt", on_change="rerun") as box:
        if box.open:
            with st.container(height=420, border=False, key="export_messages"):
                messages_view(reading.exact_messages(run))


def _form_cards(run: RunRow, program: ProgramFile, folder: Path) -> None:
    """Offer each form with what it is for, and the rows to train a model with."""
    with st.grid(3, min_column_width=260, key="export_forms"):
        # A program with a trained model is taken with it, so that this comes first.
        first = ("weights", "container") if program.candidate.tuned_models else ()
        for form in sorted(export_forms(), key=lambda form: form.name not in first):
            if form.name in ("json", "python"):
                continue
            with ui.tile(f"form_{form.name}"):
                with st.container(gap="xsmall", key=f"form_text_{form.name}"):
                    st.markdown(f"**{form.title}**")
                    st.caption(form.about)
                label, key = f"Download {form.file_name}", f"download_{form.name}"
                if form.name == "weights" and (why_not := no_model(run, program)):
                    ui.button(label, key, why_not)
                    continue
                try:
                    if form.is_folder and (why_not := form.too_large(program)):
                        ui.button(label, key, why_not.replace("RUN_ID", run.id))
                        continue
                    # A large one is made when it is asked for.
                    content = (
                        partial(form.content, program) if form.on_demand else _content(form, program, folder)
                    )
                except EngineError as error:
                    ui.button(label, key, str(error))
                else:
                    ui.download(label, content, form.file_name, key)
        with ui.tile("form_training"):
            _training(run)


def no_model(run: RunRow, program: ProgramFile) -> str:
    """Return why a program has no trained model to take along; "" where it has one."""
    if program.candidate.tuned_models:
        return ""
    if run.result and run.result.tuned_models:
        return "The prompt taken asks no trained model. Take the best one on the Results page."
    return "This run trained no model. “Make a small model do this” on the Tune page does."


def _training(run: RunRow) -> None:
    """Offer the right answers as a file to train a model's weights with."""
    rows = len(reading.read_store(right_rows, run))
    with st.container(gap="xsmall", key="form_text_training"):
        st.markdown("**Training file**")
        st.caption(
            f"The prompt's {counted(rows, 'right answer')} as JSON Lines, to train a model of your own at a provider. "
            "Test rows are not in it."
        )
    label, key = "Download training.jsonl", "download_training"
    if rows:
        ui.download(label, partial(reading.read_store, training_file, run.id), "training.jsonl", key)
    else:
        ui.button(label, key, "The prompt got no row right outside the final test.")


REFUSED = "version_refused"


def _version_list(run: RunRow) -> None:
    """Show the versions of the run's project, and keep the prompt taken as one."""
    from dashboard.services import program_path

    versions = reading.versions(run.project_id)
    with ui.card("versions"):
        st.markdown(
            "**Versions** · which program is in use",
            help=explain("version", "Going back to an earlier one is one press."),
        )
        ui.problem_line(REFUSED)
        if not versions:
            st.caption("No version yet. Keep this prompt as the first one.")
        for version in versions:
            _version(version)
        if not read_only():
            _keep_form(run, versions)
        if any(v.in_use for v in versions):
            st.caption("The program in use lies here, whichever version it is; serve it like this:")
            st.code(serve_command(str(program_path(data_home(), run.project_id))), language="bash")


def _version(version: VersionRow) -> None:
    metadata, number = version.content.get("metadata", {}), version.number
    with ui.row(f"version_{number}"):
        st.markdown(f"**Version {number}**", width="content")
        if version.in_use:
            st.badge("In use", icon=":material/verified:", color="green")
        score = metadata.get("score")
        created = datetime.fromtimestamp(version.created_at).astimezone()
        facts = [f"{percent(score)} on its test rows"] if score is not None else []
        facts += [f"kept {created:%d %b %Y, %H:%M}", str(metadata.get("title") or "")]
        st.caption(escape_markdown(" · ".join(f for f in facts if f), 160))
        if version.note:
            st.caption(f"“{escape_markdown(version.note, 120)}”", width="content")
        if read_only():
            return
        if version.in_use:
            use_none = ui.callback(_use, version.project_id, None)
            ui.button("Take out of use", f"version_off_{number}", type="tertiary", on_click=use_none)
        else:
            use = ui.callback(_use, version.project_id, number)
            ui.button("Use this version", f"version_use_{number}", on_click=use)


def _keep_form(run: RunRow, kept: list[VersionRow]) -> None:
    there = next((v.number for v in kept if (v.run_id, v.candidate_id) == (run.id, run.taken)), None)
    with ui.row("keep_version_form", "bottom"):
        st.text_input(
            "What is special about it",
            key=f"version_note_{run.id}",
            placeholder="Optional, such as: after the new price list",
            max_chars=200,
            disabled=there is not None,
        )
        ui.button(
            "Keep as a version",
            "keep_version",
            "" if there is None else f"This prompt is version {there} already.",
            icon="bookmark_add",
            on_click=ui.callback(_keep_version, run.id),
        )


def _keep_version(run_id: str) -> None:
    from dashboard.services import keep_version

    # Read here: what was typed just before the button was pressed is newer than the last drawing of the page.
    words = str(st.session_state.get(f"version_note_{run_id}", ""))
    with ui.problem_kept(REFUSED), writing("kept version", run_id) as store:
        keep_version(store, run_id, note=words)


def _use(project_id: str, number: int | None) -> None:
    """Put a version into use, or none."""
    from dashboard.services import use_none, use_version

    with ui.problem_kept(REFUSED), writing(f"put version {number} into use", project_id) as store:
        if number is None:
            use_none(data_home(), store, project_id)
        else:
            use_version(data_home(), store, project_id, number)
