"""The results page: verdict, figures, prompts side by side, rows."""

from dashboard.app_pages.results.overview import nothing_yet, results_view
from dashboard.components.runs import current_run, run_picker
from dashboard.components.wizard import wizard_header
from dashboard.state import candidates

wizard_header("results")
run = current_run()
if run is not None:
    run_picker(run.id)
if run is None or not (run.result or candidates.index(run)):
    nothing_yet(run)
else:
    results_view(run)
