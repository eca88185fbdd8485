"""The rows to learn from and to test on."""

from dashboard.components import ui
from dashboard.components.wizard import wizard_header
from dashboard.examples.source import example_source
from dashboard.examples.table import examples_of

page = wizard_header("examples")
if page is not None:
    if page.draft.dataset is None:
        what = "Twenty rows are a start, a hundred are good. Each holds the inputs and the right answer."
        with ui.nothing_here("source_card", "Bring examples", what):
            example_source(page)
    else:
        examples_of(page, page.draft.dataset)
