"""The store's frozen records, one class for each kind of row.

Times are seconds since 1970 (UTC), as `time.time()` gives them, to be shown and for nothing else: that clock can be
set back. Money is US dollars.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from engine.basics.data import JsonObject
from engine.errors import RunError
from engine.records import Candidate, Usage
from engine.search.result import FinalTestCost, RunResult

Role = Literal["owner", "editor", "viewer"]
ROLES: tuple[Role, ...] = ("viewer", "editor", "owner")
"""What a user may do in a project, each more than the one before: read; change and run; share and delete."""

RunState = Literal["queued", "running", "paused", "finished", "stopped", "failed", "lost"]
OVER: tuple[RunState, ...] = ("finished", "stopped", "failed")
"""States in which a run's process has ended as it should."""

FROM_ELSEWHERE = "project file"
"""Source of a stored table that came with a project's file: its cells name files of the data folder only."""

TESTING = "Testing on rows the search never saw"
"""Phase of a run: its final test."""

LOST_AFTER = 3.0
"""A run whose process is gone and has been silent for this many seconds is lost (its process was killed)."""

NO_TURN_AFTER = 10.0
"""A waiting run whose process lives and has been silent for this many seconds gets no turn."""

SILENT_AFTER = 60.0
"""Seconds that a living or starting process may be silent: a busy machine, a laptop that slept."""

NEVER_STARTED_AFTER = 60.0
"""A queued run that no process has claimed after this many seconds is lost too; one without a ticket had none."""


@dataclass(frozen=True, slots=True)
class ProjectRow:
    """A project: a name and the draft that the wizard edits (see `engine.runs.spec.ProjectDraft`).

    An archived project is kept, and shown only when asked for. Of a `damaged` one something cannot be read, and is empty here.
    """

    id: str
    name: str
    draft: JsonObject
    created_at: float
    updated_at: float
    archived: bool = False
    damaged: bool = field(default=False, metadata={"column": "0"})


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A user who may open a project, and in which role."""

    project_id: str
    user: str
    role: Role


@dataclass(frozen=True, slots=True)
class Spent:
    """Amounts that one user or one project has spent, and in how many runs; the price of `unpriced` of them is not known."""

    runs: int = 0
    usage: Usage = field(default_factory=Usage)
    unpriced: int = 0


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """A stored file, with its bytes as uploaded where it is read alone. `rows` is how many it had when it was read."""

    id: str
    name: str
    hash: str
    columns: tuple[str, ...]
    rows: int
    source: str
    created_at: float
    content: bytes = b""


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run."""

    id: str
    project_id: str
    title: str
    spec: JsonObject
    """Everything that it was set to: an `engine.runs.spec.RunSpec`."""
    state: RunState
    """The state "lost" is derived while reading: the process has gone silent."""
    message: str
    """The reason for the state, for the user."""
    pid: int | None
    """Number of the process that works on it."""
    heartbeat_at: float | None
    """Last sign of its process, by the machine's own clock (`time.monotonic()`)."""
    created_at: float
    started_at: float | None
    finished_at: float | None
    estimate: JsonObject | None
    """The forecast, and while it runs the cost of its final test."""
    result: RunResult | None
    calls: int
    cached: int
    input_tokens: int
    output_tokens: int
    cost: float | None
    seconds: float
    """Working time so far."""
    stop_requested: bool = field(metadata={"column": "stop"})
    pause_requested: bool = field(metadata={"column": "pause"})
    phase: str
    """Work under way, in a few words."""
    revision: int
    """Grows with every change of anything that belongs to the run."""
    note: str = ""
    """The user's note."""
    in_use: bool = False
    """True if its program is in use; at most one in a project."""
    tags: tuple[str, ...] = ()
    process: str = ""
    """Start of the process `pid`: see `engine.store.processes`."""
    claims: int = 0
    """Processes that have worked on it."""
    started_by: str = ""
    """Name of the user who started it or resumed it last, and whom it counts for; "" on a server without users."""
    from_archive: bool = False
    """True if it came in an archive from elsewhere."""
    ticket: int | None = None
    """Its place in the order in which runs came to the queue: see `engine.store.queue`."""
    stop_untested: bool = field(default=False, metadata={"column": "stop > 1"})
    """True if it was asked to stop without the final test."""
    damaged: bool = field(default=False, metadata={"column": "0"})
    """True if something of it cannot be read, and is empty here."""

    @property
    def usage(self) -> Usage:
        """The meters as one record."""
        return Usage(self.calls, self.cached, self.input_tokens, self.output_tokens, self.cost)

    @property
    def taken(self) -> str:
        """The id of the prompt that its exports hold: the best one, unless another was taken; "" before a result."""
        return "" if self.result is None else self.result.taken_candidate or self.result.best_candidate

    @property
    def best(self) -> str:
        """The id of the best prompt; "" before a result."""
        return "" if self.result is None else self.result.best_candidate

    @property
    def start(self) -> str:
        """The id of the starting prompt; "" before a result."""
        return "" if self.result is None else self.result.seed_candidate

    def require_result(self) -> RunResult:
        """Return the run's result. Raises RunError where it has none yet."""
        if self.result is None:
            raise RunError(
                f"The run {self.id!r} has no result yet ({self.state}). Wait for its end, or resume it."
            )
        return self.result

    @property
    def test_cost(self) -> FinalTestCost | None:
        """Cost of what is left of the final test, while a process works on the run."""
        cost = (self.estimate or {}).get("final_test")
        return FinalTestCost(**cost) if cost else None

    @property
    def is_over(self) -> bool:
        """True if the run has ended, well or not (a lost run can go on, so it has not)."""
        return self.state in OVER

    @property
    def goes_on(self) -> bool:
        """True if a process works on the run or is expected to; a lost run neither goes on nor is over."""
        return self.state != "lost" and not self.is_over


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One evaluation inside a run. `split` is train, validation, test or teacher (test rows answered by the teacher); `score` runs 0 to 1.

    `state` is running, finished or stopped; `score` is the mean so far while it runs, in which the rows that
    `failed` count as zero.
    """

    number: int
    candidate_id: str
    split: str
    label: str
    score: float | None
    rows_total: int
    rows_done: int
    state: str
    started_at: float
    finished_at: float | None
    usage: Usage
    seconds: float
    failed: int = 0

    @property
    def answered_score(self) -> float | None:
        """Mean score of the rows that did not fail, or None."""
        answered = self.rows_done - self.failed
        return None if self.score is None or answered <= 0 else self.score * self.rows_done / answered

    @property
    def complete(self) -> bool:
        """True if all of its rows were scored."""
        return self.state == "finished"


@dataclass(frozen=True, slots=True)
class CandidateEntry:
    """A candidate without its content, in the order found (0 is the starting prompt).

    `score` is its mean on the most rows it was finished on outside the test rows, `tested` that on the test rows;
    None before that.
    """

    id: str
    number: int
    score: float | None
    rows: int
    tested: float | None


@dataclass(frozen=True, slots=True)
class CandidateRow(CandidateEntry):
    """A candidate with its content."""

    candidate: Candidate
    created_at: float


@dataclass(frozen=True, slots=True)
class EventRow:
    """Something that happened in a run, as one plain sentence and its data."""

    id: int
    at: float
    kind: str
    text: str
    data: JsonObject = field(default_factory=dict)


NOT_DONE = "Not done: "
BUDGET, CANDIDATE, SCORE = "budget", "candidate", "score"


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One request. `kind` is "budget", "candidate" or "score"; `answer` is "" while it has no answer.

    `batch` counts the search's batches from 1: the one in which it was carried out, None before that. For a score,
    which is asked for after the run's end, it is the number of the trial.
    """

    id: int
    kind: str
    content: JsonObject
    created_at: float
    answer: str
    batch: int | None = None

    @property
    def refused(self) -> bool:
        """True if it was answered, and not done."""
        return self.answer.startswith(NOT_DONE)


@dataclass(frozen=True, slots=True)
class LinkRow:
    """A link that shows a run's report until `ends_at`. `hash` is that of its token, `made_by` a user's name."""

    hash: str
    run_id: str
    created_at: float
    ends_at: float
    made_by: str = ""


@dataclass(frozen=True, slots=True)
class FeedbackRow:
    """A user's feedback on one answer: `thumbs` is 1, -1 or 0; `row` is the dataset's; `run_id` is where it was read."""

    row: int
    run_id: str
    candidate_id: str
    thumbs: int
    reason: str
    answer: str
    created_at: float


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One kept program. `content` is its whole program file; `number` counts from 1 in each project."""

    project_id: str
    number: int
    run_id: str
    candidate_id: str
    content: JsonObject
    note: str
    in_use: bool
    created_at: float
