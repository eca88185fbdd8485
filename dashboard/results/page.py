"""The results page: verdict, recommendation, prompt, and what is behind them."""

from dashboard.components.runs import current_run
from dashboard.components.wizard import wizard_header
from dashboard.results.overview import nothing_yet, results_view
from dashboard.state import candidates

wizard_header("results")
run = current_run()
if run is None or not (run.result or candidates.index(run)):
    nothing_yet(run)
else:
    results_view(run)
