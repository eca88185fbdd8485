"""The rows to learn from and to test on."""

import streamlit as st

from dashboard.app_pages.examples.source import example_source
from dashboard.app_pages.examples.table import examples_of
from dashboard.components.layout import card
from dashboard.components.wizard import wizard_header

now = wizard_header("examples")
if now is not None:
    if now.draft.dataset is None:
        with card("source_card", "Bring examples"):
            st.caption(
                "Twenty rows are a start, a hundred are good. Each holds the inputs and the right answer."
            )
            example_source(now)
    else:
        examples_of(now, now.draft.dataset)
