"""All doors: every module that may open a connection or start a process, with the check that decides before it does.

A new one fails here until it is in the list, with its check. What a user of a server with users causes passes `USERS`, the
one door of pages; the other modules are doors of the program itself, behind it.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from engine.basics.public_names import homes

ROOT = Path(__file__).resolve().parents[2]
NETWORK = """
aiohttp anthropic asyncssh boto3 datasets ftplib grpc http.client httpx huggingface_hub keyring litellm mcp openai opentelemetry
paramiko peft ray requests sentence_transformers smtplib socket ssl streamlit.web torch transformers trl urllib.request uvicorn
webbrowser websockets
""".split()
"""Libraries that open connections, or that look for hosts, keys and files of a hub by themselves."""

CALLS = frozenset(
    """
    asyncio.create_subprocess_exec asyncio.create_subprocess_shell asyncio.open_connection asyncio.start_server Child os.execv
    os.popen os.posix_spawn os.startfile os.system subprocess.Popen subprocess.call subprocess.check_call
    subprocess.check_output subprocess.run
    """.split()
)
"""Calls that start a process or open a connection without one of these libraries."""

USERS = "dashboard.state.writing:check_endpoints"
"""The door for what leaves for a user of a page: runs, previews, playground, labelling, new rows, drafts, connection tests,
judges, embeddings, training. It is passed in the dashboard's process, before the child that asks is started."""

KEYS = "engine.lm.keys:key_for"
"""A key goes to its own provider, or to the address that it is named for."""

ADDRESSES = "engine.basics.addresses:connector"
"""No address of this machine or a private network, whatever name or redirect leads there."""

DOORS: dict[str, str] = {
    # what users cause
    "dashboard/state/launching.py": USERS,
    "engine/lm/transports/openai_http.py": KEYS,
    "engine/lm/transports/litellm_gateway.py": KEYS,
    "engine/optimizers/training/openai.py": KEYS,
    "engine/lm/local/weights.py": "engine.lm.local.sources:find_source",
    "engine/optimizers/training/sft.py": "engine.optimizers.training.local:find_base",
    "engine/optimizers/training/grpo_child.py": "engine.optimizers.training.local:find_base",
    "engine/runs/backends/ray.py": "engine.runs.trust:harmless",  # its address: an administrator's, see Settings
    "engine/signature/types/media.py": ADDRESSES,
    "engine/tools/http.py": ADDRESSES,
    "engine/basics/addresses.py": "engine.basics.addresses:is_public",
    # processes of this machine, without a shell
    "engine/basics/children.py": "engine.basics.children:Child",
    "engine/dataset/unpacking.py": "engine.basics.children:Child",
    "engine/optimizers/training/pipe.py": "engine.basics.children:Child",
    "engine/lm/local/serving.py": "engine.lm.local.sources:find_source",
    "engine/store/processes.py": "engine.store.processes:process_start",
    "engine/tools/pyodide.py": "engine.tools.pyodide:PyodideInterpreter",
    # only for who programs, or who administers the machine
    "engine/lm/connection.py": "engine.lm.connection:local_servers",  # this machine's ports, for administrators
    "engine/lm/keys.py": KEYS,
    "engine/retrieval/colbert.py": "engine.retrieval.colbert:ColBERTv2",  # Python only: no data names it
    "engine/tools/mcp.py": "engine.tools.mcp:MCPServer",  # Python only
    "engine/compat/datasets.py": "engine.compat.datasets:DataLoader",  # Python only
    "engine/evaluate/telemetry.py": "engine.evaluate.telemetry:OpenTelemetryCallback",  # the environment's address
    # servers: they listen
    "engine/cli/serve.py": "engine.cli.serve:serve_dashboard",
    "engine/serve/app.py": "engine.serve.app:make_app",
    "engine/serve/server.py": "engine.serve.app:make_app",
    "dashboard/server.py": "dashboard.serving.access:SignIn",
    "dashboard/serving/hosting.py": "dashboard.serving.access:SignIn",
    "dashboard/serving/oidc.py": "dashboard.serving.access:SignIn",
}
"""Module -> the check or the one function that decides what it may reach."""

SENDING = frozenset({"engine.lm.embedder", "engine.lm.transports", "engine.tools.http", "engine.tools.mcp"})
IN_DASHBOARD = {
    "dashboard/state/reading.py": {"engine.lm.client"},  # for the estimate: its models are asked nothing
    "dashboard/settings/model_form.py": {"engine.lm.connection"},  # on an administrator's page
    "dashboard/state/models.py": {"engine.lm.connection"},  # a number of seconds
}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def modules(folder: str) -> Iterator[tuple[str, Path]]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        yield path.relative_to(ROOT).as_posix(), path


def behind_the_door(name: str) -> tuple[tuple[str, ...], ...]:
    """The module that a name of the pages' door comes from, and its name there."""
    importlib.import_module("dashboard.services")
    home, attribute = homes("dashboard.services")[name]
    return ((home,), (home, attribute))


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "dashboard.services":
            found |= {".".join(part) for alias in node.names for part in behind_the_door(alias.name)}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            found |= {
                arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
            }
    return found


def is_part(name: str, libraries: Iterator[str] | frozenset[str] | list[str]) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in libraries)


def sends(path: Path) -> bool:
    calls = {ast.unparse(node.func) for node in ast.walk(tree(path)) if isinstance(node, ast.Call)}
    return bool(calls & CALLS) or any(is_part(name, NETWORK) for name in imported(path))


def test_the_list_has_all_doors():
    found = {name for folder in ("engine", "dashboard") for name, path in modules(folder) if sends(path)}
    assert found - DOORS.keys() == set(), (
        "new doors: add each with its check, or send through one of the list"
    )
    assert DOORS.keys() - found == set(), "doors that are gone: take them off the list"


@pytest.mark.parametrize("check", sorted(set(DOORS.values())))
def test_every_check_of_the_list_is_there(check):
    module, _, name = check.partition(":")
    assert hasattr(importlib.import_module(module), name)


def test_pages_send_through_the_one_door_alone():
    for name, path in modules("dashboard"):
        near = {"engine.lm.client", "engine.lm.connection", "engine.basics.children", *SENDING}
        used = {one for one in near if any(is_part(part, [one]) for part in imported(path))}
        allowed = {"engine.basics.children"} if DOORS.get(name) == USERS else IN_DASHBOARD.get(name, set())
        assert used <= allowed, f"{name} sends by itself: {used - allowed}"


def test_whatever_starts_a_process_for_a_page_passes_the_door_first():
    launching = tree(ROOT / "dashboard/state/launching.py")
    starts = 0
    for function in ast.walk(launching):
        if not isinstance(function, ast.FunctionDef):
            continue
        calls = {
            ast.unparse(node.func): node.lineno for node in ast.walk(function) if isinstance(node, ast.Call)
        }
        for start in calls.keys() & CALLS:
            starts += 1
            assert calls["check_endpoints"] < calls[start], f"{function.name} asks nobody before it sends"
    assert starts == 2  # a run, and the child of pages
