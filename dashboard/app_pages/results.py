"""What came out of a run: the verdict, the figures, the prompts side by side, the rows."""

import streamlit as st

from dashboard import data
from dashboard.charts import score_chart, score_figure
from dashboard.comparison import pair_rows
from dashboard.components.candidate_compare import candidate_compare
from dashboard.components.candidate_maps import candidate_family, candidate_matrix
from dashboard.components.candidate_table import candidate_table
from dashboard.components.kpi_cards import kpi_cards
from dashboard.components.plot import plot
from dashboard.components.row_table import row_table
from dashboard.components.run_picker import current_run, run_picker
from dashboard.components.verdict_card import verdict_card
from dashboard.components.wizard import wizard_header
from dashboard.plain import plain

wizard_header("results")
run_id = current_run()
run = data.run(run_id) if run_id else None
if run is None or not run.result:
    with st.container(border=True, key="no_results"):
        st.markdown("**No results yet**")
        if run is not None and not run.is_over:
            st.caption("The run is still going on; its results appear here when it ends.")
            st.page_link(
                "app_pages/run.py",
                label="Watch it",
                icon=":material/monitoring:",
                query_params={"run": run.id},
            )
        elif run is not None:
            st.caption(plain(run.message) or "This run ended before there was anything to compare.")
            st.page_link(
                "app_pages/run.py",
                label="Look at the run",
                icon=":material/monitoring:",
                query_params={"run": run.id},
            )
        else:
            st.caption("Start a run on the Tune page; its verdict, prompts and rows will be shown here.")
            st.page_link("app_pages/tune.py", label="Choose how to tune", icon=":material/tune:")
else:
    run_picker(run.id)
    result = run.result
    before, after = data.test_outcomes(run.id)
    pairs = pair_rows(before, after)
    verdict_card(result["verdict"])
    kpi_cards(result["verdict"], before, after)
    prompts, rows, trials, cells, family = st.tabs(
        ["Prompts side by side", "Rows", "All candidates", "Rows by prompt", "Family and cost"],
        key="results_tab",
        on_change="rerun",
    )
    if prompts.open:
        with prompts:
            candidate_compare(data.candidates(run.id), result["best_candidate"])
    if rows.open:
        with rows:
            row_table(pairs, data.row_values(run, (p.row for p in pairs)), data.output_fields(run))
    if trials.open:
        with trials:
            found = data.trials(run.id)
            plot(
                score_figure(score_chart(found)),
                key="final_scores",
                label=f"Scores of {len(found)} trials",
                stamp=str(len(found)),
            )
            candidate_table(data.candidates(run.id), result["best_candidate"])
    if cells.open:
        with cells:
            candidate_matrix(run)
    if family.open:
        with family:
            candidate_family(run, result["best_candidate"])
