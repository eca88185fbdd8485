"""Errors on a page: every callback reports its own, and they have one look."""

import ast
from pathlib import Path

from streamlit.testing.v1 import AppTest

DASHBOARD = Path(__file__).parents[3] / "dashboard"
NO_CALLBACK = ("ignore", "rerun")
WRAPPERS = ("ui.callback", "ui.checked_callback", "ui.with_value", "callback")


def is_wrapped(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and ast.unparse(value.func) in WRAPPERS


def test_every_callback_shows_errors_of_the_store():
    missing = []
    for path in DASHBOARD.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        # `icon_button` hands on what it was given.
        names = {"on_click"} | {
            node.targets[0].id
            for node in nodes
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and is_wrapped(node.value)
        }
        for node in nodes:
            if not isinstance(node, ast.keyword) or node.arg not in ("on_click", "on_change", "on_dismiss"):
                continue
            value = node.value
            named = isinstance(value, ast.Name) and value.id in names
            by_name = isinstance(value, ast.Constant) and value.value in NO_CALLBACK
            if not (named or by_name or is_wrapped(value)):
                missing.append(
                    f"{path.relative_to(DASHBOARD)}:{value.lineno} {node.arg}={ast.unparse(value)}"
                )
    assert missing == [], "wrap it: on_click=ui.callback(...)"


def test_an_error_is_shown_until_the_next_attempt_works_and_its_text_is_no_markdown():
    def page():
        import streamlit as st

        from dashboard.components import ui
        from engine.errors import DatasetError

        def attempt(name):
            with ui.problem_kept("problem"):
                if name:
                    raise DatasetError(f"'{name}' is empty. Upload another file.")

        st.button("Bad", key="bad", on_click=attempt, args=["![x](http://a.b)"])
        st.button("Good", key="good", on_click=attempt, args=[""])
        st.button("Other", key="other")
        ui.problem_line("problem")

    app = AppTest.from_function(page).run()
    app.button(key="bad").click().run()
    (shown,) = app.markdown
    assert shown.value.startswith(":red[:material/error:] ")
    assert "![x](" not in shown.value
    app.button(key="other").click().run()
    assert len(app.markdown) == 1
    app.button(key="good").click().run()
    assert not app.markdown
