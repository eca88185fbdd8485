"""Carrying out a run in the terminal with a progress bar: the demo, a run described in a file, a stored run."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

import typer
from pydantic import ValidationError
from rich.table import Table

from engine.basics.data import JsonObject, Values
from engine.basics.home import data_home
from engine.basics.progress import ProgressLine
from engine.basics.text import duration, json_of, percent, price, visible
from engine.cli.output import Screen, echo
from engine.cli.programs import file_bytes
from engine.dataset import read_dataset
from engine.errors import DatasetError, NotFoundError, RunError, StoreError, first_problem
from engine.export.hero import result_sentences
from engine.runs.prepare import check_keys, estimate_run
from engine.runs.results.more_scores import ask_final_test
from engine.runs.spec import Named, RunSpec, no_gain_by_ray
from engine.runs.spending import check_spending
from engine.runs.trust import agree, not_agreed, wishes
from engine.runs.worker import work
from engine.search.backend import BackendChoice
from engine.search.judging.leader import Lead, LeaderPath
from engine.search.judging.objective import Objective
from engine.search.result import ModelComparison
from engine.store.queue import WAITING
from engine.store.rows import RunRow, TrialRow
from engine.store.store import Store


def run_demo(optimizer: str | None, sample: str | None) -> int:
    """Tune a sample with the offline model; return the exit code. Raises UnknownNameError."""
    from engine.pipeline.templates import SAMPLES, get_sample
    from engine.registry import get_optimizer
    from engine.runs.spec import sample_bytes, sample_draft

    chosen = SAMPLES[0] if sample is None else get_sample(sample)
    content = sample_bytes(chosen.file)
    console = Screen()
    with Store.open() as store:
        dataset, digest = _stored(store, chosen.file, content, "sample")
        draft = sample_draft(chosen, dataset)
        if optimizer is not None:
            get_optimizer(optimizer)
            draft = draft.model_copy(update={"optimizer": Named(name=optimizer)})
        spec = draft.to_run(digest)
        run_id = _created(store, spec, f"{chosen.title}: {spec.optimizer.name}", f"Demo: {chosen.title}")
    console.print(
        f"Tuning [bold]{chosen.title}[/bold] with {spec.optimizer.name} and the offline model.",
        highlight=False,
    )
    return carry_out(run_id, console)


def run_target(
    target: str,
    *,
    trust: bool = False,
    backend: BackendChoice | None = None,
    goal: Values = MappingProxyType({}),
    finish_test: bool = False,
) -> int:
    """Carry out the run that a file describes or that an id names, on a backend; return the exit code.

    `finish_test` scores the test rows that a stored run lacks, beyond its limits. What a file would send elsewhere, or read outside its own folder, is asked about once; `trust` agrees to it. `goal` may
    hold "models", names to compare too, and "objective" in words.
    """
    path = Path(target)
    if path.suffix == ".json" or path.is_file():
        if finish_test:
            raise RunError("--finish-test is for a stored run. Give the run's id.")
        spec, content = _read_spec(path)
        spec = _with_goal(spec, goal)
        spec = spec if backend is None else spec.model_copy(update={"backend": backend})
        with Store.open() as store:
            _check_trust(store, spec, path, content, trust)
            if content is not None:
                dataset, digest = _stored(store, Path(spec.dataset).name, content, "file")
                spec = spec.model_copy(update={"dataset": dataset, "dataset_hash": digest})
            check_keys(spec)
            run_id = _created(store, spec, path.stem, path.stem)
    elif any(goal.values()):
        raise RunError(
            "A stored run keeps its models and its objective. Give the file of a new run to change them."
        )
    else:
        run_id = target
        if finish_test:
            with Store.open() as store:
                ask_final_test(store, run_id)
    return carry_out(run_id, Screen(), backend)


def _with_goal(spec: RunSpec, goal: Values) -> RunSpec:
    """Return a run with other models, at the same address where they have the same provider, and another objective."""
    changes: JsonObject = {}
    if names := goal.get("models"):
        changes["models"] = (*spec.models, *map(spec.model.named, names))
    if words := goal.get("objective"):
        changes["objective"] = Objective.of(words)
    return spec.model_copy(update=changes)


def _check_trust(store: Store, spec: RunSpec, path: Path, content: bytes | None, trust: bool) -> None:
    """Raise RunError unless the user agrees to what a spec's file would send or read."""
    table = None if content is None else read_dataset(content, Path(spec.dataset).name)
    asked = not_agreed(store, wishes(spec, path.parent, table))
    if not asked:
        return
    more = len(asked) - MOST_WISHES
    shown = [*asked[:MOST_WISHES], *([f"and {more} more"] if more > 0 else [])]
    question = f"{path.name} describes a run that {'; '.join(shown)}."
    if not trust and not (sys.stdin.isatty() and typer.confirm(f"{visible(question)} Carry it out?")):
        raise RunError(
            f"{question} Nothing was sent: agree to it in a terminal, or add --trust if you trust the file."
        )
    agree(store, asked)


def carry_out(run_id: str, console: Screen, backend: BackendChoice | None = None) -> int:
    """Carry out a stored run with a progress bar, print its report, and return the exit code."""
    with Store.open(read_only=True) as store:
        _say_no_gain(store.runs.get(run_id), console, backend)  # reports an unknown id before a bar is drawn
        with progress(run_id, console):
            code = work(data_home(), run_id, backend)
        run = store.runs.get(run_id)  # also of a folder that was moved or deleted meanwhile
    if run.state == "failed":
        echo(run.message.rstrip(), err=True)
        return code or 1
    report(run, console)
    return code


def _say_no_gain(run: RunRow, console: Screen, backend: BackendChoice | None) -> None:
    """Say where a run on Ray is no faster; a spec that cannot be read is reported by the run itself."""
    with suppress(ValidationError):
        spec = RunSpec.model_validate(run.spec)
        note = no_gain_by_ray(spec if backend is None else spec.model_copy(update={"backend": backend}))
        if note:
            console.print(note, highlight=False)


def report(run: RunRow, console: Screen) -> None:
    """Print a run's result: baseline against best, the verdict, what it took, where the program is."""
    if run.message:
        console.print(run.message, highlight=False, markup=False)
    result = run.result
    if result is None:
        console.print(f"Go on with: tuneboard run {run.id}", highlight=False)
        return
    table = Table(show_edge=False, pad_edge=False)
    for title in ("", "Baseline", "Taken" if result.taken else "Best"):
        table.add_column(title, justify="left" if not title else "right")
    before, after = result.baseline, result.shown.best
    table.add_row("Test rows", percent(before.test, 1), percent(after.test, 1))
    table.add_row("Validation rows", percent(before.validation, 1), percent(after.validation, 1))
    table.add_row("Tokens per row", _number(before.tokens_per_row), _number(after.tokens_per_row))
    table.add_row("Failed test rows", str(before.failed), str(after.failed))
    console.print()
    console.print(table)
    console.print()
    for place, sentence in enumerate(result_sentences(result)):
        console.print(sentence, style=None if place else "bold", highlight=False, markup=False)
    if result.models:
        _print_models(result.models, run, console)
    if result.reason and result.stopped == "finished":  # else it is printed above already
        console.print(f"How the search ended: {result.reason}", highlight=False, markup=False)
    usage = result.usage
    cached = f" ({usage.cached:,} more from the cache)" if usage.cached else ""
    took = f"{usage.calls:,} calls{cached}, {usage.tokens:,} tokens, {price(usage.cost)}, {duration(result.seconds)}"
    console.print(took, highlight=False)
    if run.taken == result.seed_candidate != result.best_candidate:
        take = f"tuneboard export {run.id} --candidate {result.best_candidate}"
        console.print(f"To take the best prompt: {take}", highlight=False)
    if result.static:
        take = f"tuneboard export {run.id} --candidate {result.static.candidate}"
        console.print(f"To take the best fixed prompt: {take}", highlight=False)
    console.print(f"Program: {result.export_path}", soft_wrap=True, highlight=False, markup=False)
    console.print(f"Script:  {result.script_path}", soft_wrap=True, highlight=False, markup=False)
    console.print("Run `tuneboard` to see every trial, prompt and row in the browser.", highlight=False)


def _print_models(compared: ModelComparison, run: RunRow, console: Screen) -> None:
    """Print the candidates that none beats and those with other models, and which model is good enough."""
    front, best = set(compared.front), run.best
    table = Table(show_edge=False, pad_edge=False)
    for title in (
        "Answered by",
        "Validation rows",
        "To the best, points",
        "Price a row",
        "Seconds a row",
        "",
    ):
        table.add_column(title, justify="right" if title not in ("Answered by", "") else "left")
    for figures in sorted(compared.figures, key=lambda f: -f.score):
        kept, beats = figures.candidate == best, figures.candidate in front
        if not (beats or figures.models or kept):
            continue
        marks = ["kept"] if kept else []
        marks += ["not beaten"] if beats else []
        marks += [f"{figures.failed} of {figures.rows} rows failed"] if figures.failed else []
        table.add_row(
            ", ".join(figures.models) or run.spec["model"]["name"],
            percent(figures.score, 1) if figures.answered else "failed",
            "" if kept or not figures.answered else figures.printed.interval,
            price(figures.cost),
            "-" if figures.seconds is None else f"{figures.seconds:.2f}",
            ", ".join(marks),
        )
    console.print()
    console.print(table)


MOST_WISHES = 8

# Progress

POLL_SECONDS = 0.15


@contextmanager
def progress(run_id: str, console: Screen) -> Iterator[None]:
    """Draw a live bar for a run while the `with` block runs. Off a terminal it prints a line per phase.

    The bar follows the calls against the budget or the estimate; next to it are the phase, the best score so far and
    the calls.
    """
    line = ProgressLine(console.file, shown=console.is_terminal)
    done = threading.Event()

    def follow() -> None:
        before, leaders = "", LeaderPath()
        with Store.open(read_only=True) as store:
            while not done.wait(POLL_SECONDS):
                try:
                    run, trials = store.runs.get(run_id), store.trials.all(run_id)
                    leads = store.trials.leader_path(run_id, trials, leaders).leads
                except StoreError:
                    continue
                paused = run.message.removesuffix(".") or "Paused"
                phase = paused if run.state == "paused" else run.phase or "Getting ready"
                if not console.is_terminal and phase != before:
                    if phase.startswith(WAITING):
                        echo(phase, err=True)
                    else:
                        console.print(f"{phase} ...", highlight=False)
                before = phase
                made, total = run.calls + run.cached, expected_calls(run)
                line.show(phase, made, total, _detail(run, trials, leads))

    thread = threading.Thread(target=follow, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        line.close(erase=True)


def _detail(run: RunRow, trials: Sequence[TrialRow], leads: Sequence[Lead]) -> str:
    best = f"best so far {percent(leads[-1].score.mean, 0)}  " if leads else ""
    return f"{best}{len(trials)} trials  {run.calls:,} calls"


def expected_calls(run: RunRow) -> float | None:
    """Return about how many calls a run will make: its estimate, or its budget where that is less."""
    budget = (run.spec.get("budget") or {}).get("calls")
    estimated = ((run.estimate or {}).get("calls") or {}).get("high")
    known = [float(n) for n in (budget, estimated) if n]
    return min(known) if known else None


# What a run is made of


def _read_spec(path: Path) -> tuple[RunSpec, bytes | None]:
    """Return a spec file's run and, where its dataset is a file, that file's bytes."""
    wanted = "a run spec's file, or a stored run's id"
    try:
        text = file_bytes(path, RunError, wanted).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RunError(f"{str(path)!r} is not a text file. Give {wanted}.") from None
    try:
        spec = RunSpec.model_validate(json_of(text))
    except ValidationError as error:
        key, message = first_problem(error, "the whole file")
        raise RunError(f"The run spec {path.name!r} is wrong at {key!r}: {message}.") from error
    except ValueError as error:
        raise RunError(f"The file {path.name!r} {error}.") from error
    data = path.parent / spec.dataset
    return spec, file_bytes(data, DatasetError, "a table of examples") if data.is_file() else None


def _stored(store: Store, name: str, content: bytes, source: str) -> tuple[str, str]:
    """Return the id of a file in the store, read once to check it, and the hash of its content."""
    dataset = read_dataset(content, name)
    digest = dataset.content_hash
    return store.datasets.add(name, content, digest, dataset.columns, len(dataset), source), digest


def _created(store: Store, spec: RunSpec, title: str, project: str) -> str:
    """Return the id of a new run in the project of that name, made if there is none."""
    try:
        estimate = estimate_run(store, spec).as_dict()
    except NotFoundError as error:
        raise DatasetError(
            f"There is no file and no stored dataset {spec.dataset!r}. Write the path as seen from the spec's folder."
        ) from error
    check_spending(store, "", spec.model_dump(mode="json"), estimate)
    draft = spec.model_dump(mode="json", exclude={"dataset_hash"})
    known = next((p.id for p in store.projects.all() if p.name == project), None)
    if known is not None:
        store.projects.save_draft(known, draft)
    owner = known or store.projects.create(project, draft)
    return store.runs.create(owner, spec.model_dump(mode="json"), title, estimate)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"
