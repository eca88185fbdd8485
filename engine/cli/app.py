"""The commands of `tuneboard` and their options. What they do is in the other modules of this package.

An error is one message on stderr and an exit code: 2 where the user can fix it, 1 for the rest. A traceback is never
printed; that of an unexpected error goes to `logs/cli.log` in the data folder.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ParamSpec, TypeVar

import typer

from engine.basics.home import ENVIRONMENT_VARIABLE, data_home
from engine.cli.output import echo
from engine.errors import (
    ConfigurationError,
    DatasetError,
    EngineError,
    NotFoundError,
    PipelineError,
    ProgramFileError,
    RunError,
    SignatureError,
)
from engine.store.users import Team, UserFile

if TYPE_CHECKING:
    from engine.search.backend import BackendChoice

P = ParamSpec("P")
R = TypeVar("R")

USERS = 2
OURS = 1
INTERRUPTED = 130

_USERS_ERRORS = (
    ConfigurationError,
    DatasetError,
    NotFoundError,
    PipelineError,
    ProgramFileError,
    RunError,
    SignatureError,
)


def plain_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Make a command end with one message and an exit code, whatever goes wrong in it."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except EngineError as error:
            echo(str(error), err=True)
            raise typer.Exit(USERS if isinstance(error, _USERS_ERRORS) else OURS) from None
        except KeyboardInterrupt:
            echo("Interrupted.", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # The reader of our output has gone (`| head`).
            sys.stderr.close()
            raise typer.Exit(OURS) from None
        except typer.Exit:
            raise
        except Exception as error:
            from engine.runs.log_file import LogFile

            log = LogFile(data_home(), "cli.log")
            logging.getLogger(__name__).addHandler(log)
            logging.getLogger(__name__).error("A command failed.", exc_info=error)
            what = f"{type(error).__name__}: {error}. The details are in {log.baseFilename}."
            echo(f"Something inside Tuneboard went wrong: {what}", err=True)
            raise typer.Exit(OURS) from None

    return run


app = typer.Typer(
    name="tuneboard",
    help="Build and tune LLM pipelines. Without a command it opens the dashboard in the browser.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    no_args_is_help=False,
)


@plain_errors
def _use(home: Path | None) -> Path | None:
    # Through the environment: the cache, the store and every child process read it there.
    if home is not None:
        os.environ[ENVIRONMENT_VARIABLE] = str(home.expanduser().absolute())
    return home


Home = Annotated[
    Path | None,
    typer.Option(
        "--home",
        callback=_use,
        metavar="FOLDER",
        help="Where data is kept (else TUNEBOARD_HOME, else the user's data folder).",
    ),
]
Port = Annotated[
    int | None,
    typer.Option("--port", min=1, max=65535, help="Port to use; else the first free one from 8501."),
]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Do not open a browser window.")]

ReadOnly = Annotated[
    bool, typer.Option("--read-only", help="Open it for looking only: nothing can be changed or started.")
]


Token = Annotated[
    bool,
    typer.Option(
        "--token",
        help="Require a token: the printed address has it, a browser keeps it in a cookie.",
    ),
]
Users = Annotated[
    Path | None,
    typer.Option(
        "--users",
        metavar="FILE",
        help="Let the users of a file sign in, each with own projects (tuneboard users).",
    ),
]


def run_app() -> None:
    """Run the command line of this process; it exits with the command's code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 must not break a report
    app()


@app.callback(invoke_without_command=True)
@plain_errors
def start(
    context: typer.Context,
    home: Home = None,
    port: Port = None,
    no_browser: NoBrowser = False,
    read_only: ReadOnly = False,
    token: Token = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Build and tune LLM pipelines. Without a command, opens the dashboard in the browser."""
    if version:
        from importlib.metadata import version as installed

        echo(f"tuneboard {installed('tuneboard')}")
        return
    if context.invoked_subcommand is None:
        _serve(port, no_browser, read_only, token, Team())
    # What stands before the word "open" counts as if it stood after it.
    given = {"port": port, "no_browser": no_browser, "read_only": read_only, "token": token}
    context.default_map = {"open": given}


@app.command("open")
@plain_errors
def open_dashboard(
    home: Home = None,
    port: Port = None,
    no_browser: NoBrowser = False,
    read_only: ReadOnly = False,
    token: Token = False,
    users: Users = None,
    host: Annotated[
        str,
        typer.Option(help="Address to listen on; another one than this machine's needs --users and --url."),
    ] = "127.0.0.1",
    url: Annotated[
        str, typer.Option(help="Address under which users open it, such as https://tuneboard.example.org")
    ] = "",
) -> None:
    """Open the dashboard in the browser."""
    if users is not None and not users.exists() and (stored := data_home() / users).exists():
        users = stored  # where `tuneboard users add` has put it
    _serve(port, no_browser, read_only, token, Team(users, host, url))


users_app = typer.Typer(
    help="Add, list and remove the users of a dashboard that several people share.", no_args_is_help=True
)
app.add_typer(users_app, name="users")
UserName = Annotated[
    str, typer.Argument(help="A short name, or the e-mail of a user at an OpenID Connect provider.")
]


@users_app.command("add")
@plain_errors
def add_user(
    name: UserName,
    home: Home = None,
    users: Users = None,
    oidc: Annotated[
        bool,
        typer.Option(
            "--oidc", help="The user signs in at the OpenID Connect provider; @example.org is a whole domain."
        ),
    ] = False,
    administrator: Annotated[
        bool,
        typer.Option("--administrator", help="Sees every project, and may change the server's settings."),
    ] = False,
) -> None:
    """Add a user and print the token to sign in with, once; a user who has one gets another. The first is an administrator."""
    file = _users_file(users)
    token = file.add(name, oidc=oidc, administrator=administrator)
    _note_change("made administrator" if administrator else "added user", name)
    echo(f"{name} may sign in: the user is in {file.path}.")
    if token:
        echo(f"The token, which is kept nowhere: {token}")


@users_app.command("list")
@plain_errors
def list_users(home: Home = None, users: Users = None) -> None:
    """Print the users and how each signs in."""
    for entry in _users_file(users).entries():
        way = "OpenID Connect" if entry.way == "oidc" else "token"
        echo(f"{entry.name}: {way}{', administrator' if entry.administrator else ''}")


@users_app.command("remove")
@plain_errors
def remove_user(name: UserName, home: Home = None, users: Users = None) -> None:
    """Remove a user, who is out at the next click. Projects and runs stay."""
    file = _users_file(users)
    file.remove(name)
    _note_change("removed user", name)
    echo(f"{name} may not sign in any more.")


def _users_file(users: Path | None) -> UserFile:
    return UserFile(users or data_home() / "users.txt")


def _note_change(action: str, name: str) -> None:
    """Add a change of the users to the audit log."""
    from engine.store.store import Store

    with Store.open() as store:
        store.noted = (f"{action} (command line)", name)


@app.command()
@plain_errors
def demo(
    home: Home = None,
    optimizer: Annotated[
        str | None, typer.Option(help="Which optimizer to use; else the sample's own.")
    ] = None,
    sample: Annotated[str | None, typer.Option(help="Which sample to tune; else the first.")] = None,
) -> None:
    """Tune a sample task in the terminal, offline: no key and no network needed."""
    from engine.cli.tune import run_demo

    raise typer.Exit(run_demo(optimizer, sample))


@app.command()
@plain_errors
def run(
    target: Annotated[
        str, typer.Argument(metavar="SPEC.json|RUN_ID", help="A run spec's file, or a stored run's id.")
    ],
    home: Home = None,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust", help="Agree to the addresses, keys and files of this machine that the file names."
        ),
    ] = False,
    backend: Annotated[
        str | None,
        typer.Option(help="Where rows are answered: local, or ray (a Ray cluster); else as the run says."),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="The Ray cluster: auto (the one that runs here), local (one started for the run), or host:port."
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Another model that may answer in place of the file's; give it again for more of them."
        ),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            help='What is looked for: score, "cheapest within 2 points", "fastest within 2 points", or front.'
        ),
    ] = None,
    finish_test: Annotated[
        bool,
        typer.Option("--finish-test", help="Score the test rows that a stored run lacks, beyond its limits."),
    ] = False,
) -> None:
    """Carry out a run: one described in a file, or a stored one (also to resume it)."""
    from engine.cli.tune import run_target

    goal = {"models": model, "objective": objective}
    where = _backend(backend, address)
    raise typer.Exit(run_target(target, trust=trust, backend=where, goal=goal, finish_test=finish_test))


def _backend(name: str | None, address: str | None) -> BackendChoice | None:
    """Return the backend that the options name; None where they name none."""
    from engine.parts import BACKENDS, check_name
    from engine.search.backend import BackendChoice

    if name is None and address is None:
        return None
    chosen = name or "ray"  # only Ray has an address
    check_name(BACKENDS, chosen, "backend")
    return BackendChoice.model_validate({"name": chosen, "address": address or "auto"})


Program = Annotated[Path, typer.Argument(metavar="PROGRAM.json", help="An exported program.")]
Table = Annotated[Path, typer.Argument(metavar="DATA", help="A CSV, TSV, JSON, JSONL, XLSX or Parquet file.")]
Metric = Annotated[
    str | None,
    typer.Option(help="How answers are scored. By default the metric that the program was tuned by."),
]
MetricOption = Annotated[
    list[str] | None, typer.Option(metavar="NAME=VALUE", help="An option of the metric.")
]
FieldColumn = Annotated[
    list[str] | None, typer.Option(metavar="FIELD=COLUMN", help="The column that fills a field.")
]
OtherModel = Annotated[str | None, typer.Option(help="Another model than the one it was tuned with.")]
ModelAddress = Annotated[str | None, typer.Option(help="That model's address.")]


@app.command("eval")
@plain_errors
def evaluate(  # noqa: PLR0913 - one parameter for each option of the command
    program: Program,
    data: Table,
    home: Home = None,
    metric: Metric = None,
    option: MetricOption = None,
    field: FieldColumn = None,
    model: OtherModel = None,
    base_url: ModelAddress = None,
    output: Annotated[
        Path | None, typer.Option(help="Write every row's answer and score to this CSV file.")
    ] = None,
) -> None:
    """Score an exported program on the rows of a file."""
    from engine.cli.programs import RowTable, evaluate_file

    table = RowTable(data, metric, option, field, model, base_url)
    raise typer.Exit(evaluate_file(program, table, output))


@app.command()
@plain_errors
def check(  # noqa: PLR0913 - one parameter for each option of the command
    program: Program,
    data: Table,
    home: Home = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="OLD.json", help="Fail where the program is surely worse than this one."),
    ] = None,
    at_least: Annotated[
        float | None,
        typer.Option(metavar="PERCENT", help="Fail where the score is surely below this, 0 to 100."),
    ] = None,
    metric: Metric = None,
    option: MetricOption = None,
    field: FieldColumn = None,
    model: OtherModel = None,
    base_url: ModelAddress = None,
    junit: Annotated[
        Path | None, typer.Option(help="Write a JUnit file with one test case for each row.")
    ] = None,
    summary: Annotated[
        Path | None,
        typer.Option(help="Add a Markdown summary to this file, such as $GITHUB_STEP_SUMMARY."),
    ] = None,
) -> None:
    """Check a program before it is used: exit code 1 only where it is surely worse."""
    from engine.cli.check import Reports, check_program
    from engine.cli.programs import RowTable

    table = RowTable(data, metric, option, field, model, base_url)
    raise typer.Exit(check_program(program, table, against, at_least, Reports(junit, summary)))


@app.command()
@plain_errors
def export(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID", help="A stored run.")],
    home: Home = None,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="What to write. Of the run: report, results-csv, results-xlsx, results-json, training. Its program: json, "
            "python, python_tuneboard, records, schema, dspy, dspy_state, messages, messages_json, openai_request, markdown, workflow, weights, container.",
        ),
    ] = "json",
    output: Annotated[
        Path | None,
        typer.Option(
            help="Where to write it, with nothing written to the data folder; else next to the run's other exports. python, records, weights and container: a folder, or a file.zip."
        ),
    ] = None,
    candidate: Annotated[
        str | None, typer.Option(help="Another candidate than the one taken so far, by its id.")
    ] = None,
) -> None:
    """Export the program that a run made."""
    from engine.cli.programs import export_program

    export_program(run_id, form, output, candidate)


@app.command("archive")
@plain_errors
def archive(
    run_ids: Annotated[list[str], typer.Argument(metavar="RUN_ID...", help="Stored runs that have ended.")],
    home: Home = None,
    output: Annotated[
        Path | None, typer.Option(help="The file to write; else a new one in the data folder's archive.")
    ] = None,
) -> None:
    """Put runs away: move them, with all that was recorded of them, into one file."""
    from engine.cli.upkeep import archive_runs

    archive_runs(run_ids, output)


@app.command("unarchive")
@plain_errors
def unarchive(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file of runs that were put away.")],
    home: Home = None,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust", help="Keep the keys' names, files and programs that a file from elsewhere names."
        ),
    ] = False,
) -> None:
    """Bring back the runs that a file holds."""
    from engine.cli.upkeep import unarchive_runs

    unarchive_runs(file, trust=trust)


@app.command()
@plain_errors
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new zip file outside of the data folder.")],
    home: Home = None,
    without_cache: Annotated[bool, typer.Option("--without-cache", help="Leave the call cache out.")] = False,
) -> None:
    """Write the data folder into one file, also while runs go on."""
    from engine.store.backup import back_up

    back_up(data_home(), file, with_cache=not without_cache)
    echo(f"The data folder is in {file}. Bring it back with: tuneboard restore {file}")


@app.command()
@plain_errors
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `tuneboard backup` wrote.")],
    home: Home = None,
) -> None:
    """Bring a backup back; what it replaces in the data folder is moved aside."""
    from engine.store.backup import bring_back

    replaced = bring_back(data_home(), file)
    echo(f"Restored {file}." + (f" What was there before is in {replaced}." if replaced else ""))


@app.command()
@plain_errors
def models(
    name: Annotated[
        str | None, typer.Argument(metavar="tuned/NAME", help="One of them, with the commands that serve it.")
    ] = None,
    home: Home = None,
    merge: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the adapter merged into its base there.")
    ] = None,
) -> None:
    """List the tuned models, each with what it was made of."""
    from engine.cli.upkeep import list_models, show_model

    if name is None:
        list_models()
    else:
        show_model(name, merge)


@app.command("serve")
@plain_errors
def serve(  # noqa: PLR0913 - one parameter for each option of the command
    program: Program,
    home: Home = None,
    host: Annotated[
        str, typer.Option(help="Where to listen; others than this machine need a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to use.")] = 8600,
    model: OtherModel = None,
    base_url: ModelAddress = None,
    key_env: Annotated[
        list[str] | None,
        typer.Option(help="A variable with a key that may go to the address a model of the program has."),
    ] = None,
    max_bytes: Annotated[int, typer.Option(min=1, help="The most one request may hold.")] = 1_000_000,
    token_env: Annotated[
        str | None,
        typer.Option(help="The variable with the token callers must send; else TUNEBOARD_SERVE_TOKEN."),
    ] = None,
    stdio: Annotated[bool, typer.Option("--stdio", help="Serve MCP on standard input and output.")] = False,
) -> None:
    """Serve an exported program over HTTP (docs, streaming, MCP), or over MCP on standard streams."""
    from engine.cli.serve import TOKEN_ENV, Address, serve_program

    serve_program(
        program,
        Address(host, port, max_bytes, token_env or TOKEN_ENV),
        model=model,
        base_url=base_url,
        key_envs=tuple(key_env or ()),
        stdio=stdio,
    )


@app.command("as-dspy", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@plain_errors
def as_dspy(
    arguments: Annotated[
        list[str],
        typer.Argument(metavar="SCRIPT.py|-m MODULE [ARGUMENTS]", help="A program written for DSPy."),
    ],
    home: Home = None,
) -> None:
    """Run an unchanged program written for DSPy: `import dspy` is answered by the engine."""
    from engine.compat.running import run as run_as_dspy

    raise SystemExit(run_as_dspy(arguments))


@app.command()
@plain_errors
def doctor(home: Home = None) -> None:
    """Show what this installation has and lacks."""
    from engine.cli.upkeep import examine

    raise typer.Exit(examine())


@app.command()
@plain_errors
def deploy(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A folder for the files; made if missing.")
    ],
) -> None:
    """Write what a dashboard for a team is started from: for Docker Compose and for systemd."""
    from engine.cli.upkeep import write_deploy_folder

    for path in write_deploy_folder(folder):
        echo(str(path))
    echo("The first lines of compose.yaml and of tuneboard.service say how to start it.")


def _serve(port: int | None, no_browser: bool, read_only: bool, token: bool, team: Team) -> None:
    from engine.cli.serve import serve_dashboard

    raise typer.Exit(
        serve_dashboard(port, browser=not no_browser, read_only=read_only, token=token, team=team)
    )
