"""What a model costs, to correct: the price is what estimates, money limits and spending are worked out with."""

from __future__ import annotations

import streamlit as st

from dashboard.components.page import press
from dashboard.mode import check
from dashboard.plain import plain
from engine.errors import EngineError
from engine.lm.prices import own_prices, price, set_own_price
from engine.runs.spec import ModelChoice


def price_form(choice: ModelChoice, key: str) -> None:
    """Let the person set a model's price, or go back to the usual one."""
    found = price(choice.name)
    own = choice.name in own_prices()
    with st.expander("Price", icon=":material/payments:", key=f"{key}_price"):
        st.caption(
            "In US dollars per million tokens (pieces of words). Estimates, money limits and spending use it."
            + (" This price is your own." if own else "")
        )
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key=f"{key}_price_row"):
            given = [
                st.number_input(
                    title,
                    0.0,
                    100_000.0,
                    round(1e6 * rate, 6) if found else None,
                    key=f"{key}_price_{side}_{own}",
                    placeholder="not known",
                    format="%.4g",
                    width=150,
                )
                for title, side, rate in (
                    ("Sent", "in", found.input if found else 0.0),
                    ("Received", "out", found.output if found else 0.0),
                )
            ]
            ready = given[0] is not None and given[1] is not None
            if press("Save price", "" if ready else "Give both prices first.", key=f"{key}_price_save"):
                _save(choice.name, (float(given[0] or 0), float(given[1] or 0)))
            if own and st.button("Use the usual price", key=f"{key}_price_usual", type="tertiary"):
                _save(choice.name, None)


def _save(model: str, rates: tuple[float, float] | None) -> None:
    try:
        check()
        set_own_price(model, rates)
    except EngineError as error:
        st.caption(f":orange[:material/error:] {plain(str(error))}")
        return
    st.rerun()
