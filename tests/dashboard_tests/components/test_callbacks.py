"""Every widget's callback reports errors on the page."""

import ast
from pathlib import Path

DASHBOARD = Path(__file__).parents[3] / "dashboard"
NO_CALLBACK = ("ignore", "rerun")
WRAPPERS = ("ui.callback", "ui.with_value", "callback")


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
