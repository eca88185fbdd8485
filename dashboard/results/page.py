"""The results page: verdict, figures, prompts side by side, rows."""

from dashboard.components.project_page import current
from dashboard.components.runs import current_run, run_picker
from dashboard.components.wizard import wizard_header
from dashboard.results.overview import nothing_yet, results_view
from dashboard.state import candidates

UNTESTED = ("Did it get better?", "Not tested yet: these are scores of rows that the search chose by.")

current()  # writes the project into the address, which says whose run is meant
run = current_run()
untested = run is not None and run.result is not None and run.result.verdict.kind == "not_tested"
wizard_header("results", UNTESTED if untested else None)
if run is not None:
    run_picker(run.id)
if run is None or not (run.result or candidates.index(run)):
    nothing_yet(run)
else:
    results_view(run)
