"""The rows to learn from and to test on."""

from dashboard.components import ui
from dashboard.components.wizard import wizard_header
from dashboard.examples.source import example_source
from dashboard.examples.table import examples_of

now = wizard_header("examples")
if now is not None:
    if now.draft.dataset is None:
        what = "Twenty rows are a start, a hundred are good. Each holds the inputs and the right answer."
        with ui.nothing_here("source_card", "Bring examples", what):
            example_source(now)
    else:
        examples_of(now, now.draft.dataset)
