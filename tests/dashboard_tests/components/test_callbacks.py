"""Every widget's callback reports errors on the page."""

import ast
from pathlib import Path

DASHBOARD = Path(__file__).parents[3] / "dashboard"
NO_CALLBACK = ("ignore", "rerun")


def test_every_callback_shows_errors_of_the_store():
    missing = []
    for path in DASHBOARD.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.keyword) or node.arg not in ("on_click", "on_change", "on_dismiss"):
                continue
            value = node.value
            handed_on = ast.unparse(value) == "on_click"  # by `icon_button`, to which it is given wrapped
            wrapped = handed_on or (
                isinstance(value, ast.Call) and ast.unparse(value.func) in ("callback", "with_value")
            )
            if not wrapped and not (isinstance(value, ast.Constant) and value.value in NO_CALLBACK):
                missing.append(
                    f"{path.relative_to(DASHBOARD)}:{value.lineno} {node.arg}={ast.unparse(value)}"
                )
    assert missing == [], "wrap it: on_click=callback(...), from dashboard.components.layout"
