"""The prompts that are set side by side: any of a run, and of the runs whose scores can be compared with it.

A choice is written into the address as "run.candidate", so that every view is a link.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from dashboard.state import history, reading
from dashboard.state.reading import cached_for_home
from engine.basics.text import change_in_percent, counted, percent
from engine.errors import NotFoundError
from engine.records import Outcome, whole_trials
from engine.search.judging.verdict import retrieves
from engine.search.result import RowUse, RunResult
from engine.store.rows import CandidateEntry, CandidateRow, RunRow, TrialRow

MOST = 4
LISTED = 150
RUNS = 30
SPLITS = {"test": "Test rows", "validation": "Validation rows"}
PARAM = "compare"


class ComparedCandidate(NamedTuple):
    """One prompt to compare: where it is from, its name in words, its whole evaluations by split."""

    key: str
    run: RunRow
    candidate: CandidateRow
    name: str
    trials: Mapping[str, TrialRow]


def key_of(run_id: str, candidate_id: str) -> str:
    """Return how a prompt is written in an address."""
    return f"{run_id}.{candidate_id}"


@cached_for_home(16)
def index(run: RunRow) -> tuple[CandidateEntry, ...]:
    """Return a run's prompts without their content, in the order found."""
    return tuple(reading.read_store(lambda store: store.trials.candidate_index(run.id)))


@cached_for_home(4, "Reading the prompts")
def everything(run: RunRow) -> tuple[CandidateRow, ...]:
    """Return a run's prompts with their content, in the order found."""
    return tuple(reading.candidates(run.id))


@cached_for_home(4, "Reading the scores of every row")
def row_scores(run: RunRow) -> dict[int, dict[int, float]]:
    """Return the scores of a run's validation rows by trial and row."""
    return reading.read_store(lambda store: store.trials.row_scores(run.id))


@cached_for_home(16, "Counting what every row took")
def row_use(run: RunRow) -> dict[str, RowUse]:
    """Return what one row takes with each prompt, by candidate id."""
    return reading.read_store(lambda store: store.trials.row_use(run.id))


@cached_for_home(16)
def whole(run: RunRow) -> dict[str, dict[str, TrialRow]]:
    """Return each prompt's last finished evaluation on all rows of a split: candidate id -> split -> trial."""
    return trials_by_split(reading.read_store(lambda store: store.trials.all(run.id)))


def trials_by_split(trials: Sequence[TrialRow]) -> dict[str, dict[str, TrialRow]]:
    """Return each candidate's last finished trial on all rows of each split: candidate id -> split -> trial."""
    by_candidate: dict[str, dict[str, TrialRow]] = {}
    for split in SPLITS:
        for candidate_id, trial in whole_trials(trials, split).items():
            by_candidate.setdefault(candidate_id, {})[split] = trial
    return by_candidate


def comparable(run: RunRow, runs: Iterable[RunRow]) -> list[RunRow]:
    """Return the newest runs whose scores can be compared with a run's, itself first."""
    comparable_runs = [run]
    for other in runs:
        if len(comparable_runs) >= RUNS:
            break
        begun = other.id != run.id and other.calls + other.cached
        if begun and _alike(run.id, other.id, run, other):
            comparable_runs.append(other)
    return comparable_runs


@cached_for_home(10_000)
def _alike(left: str, right: str, _left: RunRow, _right: RunRow) -> bool:  # noqa: ARG001 - the cache's key
    """Return whether two runs' scores can be compared; what a run does never changes, so this is asked once."""
    try:
        return not history.why_not_comparable(
            history.differences(reading.run_spec(_left), reading.run_spec(_right))
        )
    except ValueError:
        return False  # saved by another version; it cannot be read


def listed(run: RunRow, best: str) -> list[CandidateEntry]:
    """Return the prompts worth choosing from: the start, the best, and those with the highest scores."""
    entries = index(run)
    ranked = sorted(
        entries, key=lambda c: (c.number != 0, c.id != best, -c.rows, -(c.score or 0.0), c.number)
    )
    return sorted(ranked[:LISTED], key=lambda c: c.number)


def name_of(entry: CandidateEntry | CandidateRow, best: str) -> str:
    """Return a prompt's name in words.

    >>> name_of(CandidateEntry("a", 3, 0.8, 40, 0.72), "a")
    'Prompt 3 · best · 72 % on the test rows'
    """
    what = "Start" if entry.number == 0 else f"Prompt {entry.number}"
    return f"{what}{' · best' if entry.id == best else ''} · {score_words(entry)}"


def score_words(entry: CandidateEntry) -> str:
    """Return a prompt's score in words: that on the test rows, or before the final test the search's own.

    >>> score_words(CandidateEntry("a", 3, 0.8, 40, 0.72)), score_words(CandidateEntry("a", 3, 0.8, 40, None))
    ('72 % on the test rows', '80 % in practice (40 rows)')
    """
    if entry.tested is not None:
        return f"{percent(entry.tested)} on the test rows"
    if entry.score is None:
        return "not scored"
    return f"{percent(entry.score)} in practice ({counted(entry.rows, 'row')})"


def why_best(result: RunResult) -> str:
    """Say how the best prompt of a run compares with the starting one."""
    kind = result.verdict.kind
    saved = -change_in_percent(result.baseline.cost_per_row, result.best.cost_per_row)
    if kind == "too_close" and saved > 0:
        return f"Neither surely better nor worse than the start, and {saved} % cheaper."
    if kind == "not_tested":
        return "Not tested yet."
    return "Surely better than the start." if kind == "better" else "Not surely better than the start."


def taken_words(run: RunRow) -> str:
    """Return the verdict on the prompt taken; "" where the run has none on it: of the start, or of one that was not tested."""
    shown = run.require_result().shown
    return shown.verdict.sentence if run.taken == shown.best_candidate else ""


class CopiedPrompt(NamedTuple):
    """The prompt that *Copy the prompt* copies ("": none), what is said of it, and whether the one taken needs a program."""

    candidate: str
    about: str
    as_program: bool


@cached_for_home(16)
def copied_prompt(run: RunRow) -> CopiedPrompt:
    """Return which fixed prompt with a score is copied: the one taken, or where that looks examples up the best fixed one."""
    entries = {c.id: c for c in index(run)}
    if not retrieves(reading.prompt(run, run.taken)):
        return CopiedPrompt(run.taken, f"The prompt to copy: {score_words(entries[run.taken])}.", False)
    why = "The prompt taken looks examples up for each input, which only a program can do."
    static = run.result.static if run.result else None
    for other in (static.candidate if static else "", run.best):
        if other in entries and not retrieves(reading.prompt(run, other)):
            return CopiedPrompt(
                other, f"{why} The prompt to copy is the best fixed one: {score_words(entries[other])}.", True
            )
    return CopiedPrompt("", f"{why} No fixed prompt to copy was scored.", True)


def chosen(run: RunRow, best: str, text: str, runs: Sequence[RunRow]) -> list[ComparedCandidate]:
    """Return the prompts that an address names; the start against the best where it names fewer than two that exist."""
    by_id = {r.id: r for r in runs}
    prompts: list[ComparedCandidate] = []
    for key in dict.fromkeys(text.split(",")):
        run_id, _, candidate_id = key.partition(".")
        if run_id in by_id and len(prompts) < MOST:
            shown = compared(by_id[run_id], candidate_id, best if run_id == run.id else "", home=run.id)
            prompts += [shown] if shown is not None else []
    if prompts:
        return prompts
    entries = index(run)
    start = next((c.id for c in entries if c.number == 0), "")
    leads = reading.snapshot(run).leads
    chosen = run.result.shown.best_candidate if run.result else best
    wanted = dict.fromkeys((start, chosen or (leads[-1].candidate if leads else "")))
    compared_candidates = (compared(run, candidate, best, home=run.id) for candidate in wanted if candidate)
    return [c for c in compared_candidates if c is not None]


def compared(run: RunRow, candidate_id: str, best: str, *, home: str) -> ComparedCandidate | None:
    """Return a prompt to compare, or None where the run has no such prompt. `home` is the run that is looked at."""
    entry = next((c for c in index(run) if c.id == candidate_id), None)
    if entry is None:
        return None
    content = reading.prompt(run, candidate_id)
    row = CandidateRow(entry.id, entry.number, entry.score, entry.rows, entry.tested, content, run.created_at)
    best = best or run.best
    what = "Start" if row.number == 0 else "Best" if row.id == best else f"Prompt {row.number}"
    name = what if run.id == home else f"{what} of {run.title}"
    return ComparedCandidate(key_of(run.id, candidate_id), run, row, name, whole(run).get(candidate_id, {}))


def by_number(run: RunRow, number: int) -> str:
    """Return the id of a run's prompt by its number. Raises NotFoundError."""
    for entry in index(run):
        if entry.number == number:
            return entry.id
    raise NotFoundError(f"This run has no prompt {number}. It has {len(index(run)):,}, numbered from 0.")


def splits(found: Sequence[ComparedCandidate]) -> list[str]:
    """Return the splits on which every prompt was scored, the test rows first."""
    return [split for split in SPLITS if found and all(split in c.trials for c in found)]


def outcomes(found: ComparedCandidate, split: str) -> list[Outcome]:
    """Return a prompt's outcomes on a split."""
    return reading.outcomes(found.run, found.trials[split].number)
