"""A whole tuning, as `compile`, the worker of a run and the Prompter carry it out: search, final test, verdict.

It knows no store and no page; who runs it chooses the settings and divides the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from engine.errors import EngineError, RunError
from engine.records import Candidate, Evaluation, Usage, whole_trials
from engine.search.contract import MakeSearch
from engine.search.driver import Driver
from engine.search.judging.verdict import verdict
from engine.search.requests import UserRequests
from engine.search.result import SearchResult, Trial, Verdict
from engine.search.settings import Control, Recorder, Settings

if TYPE_CHECKING:
    from engine.search.backend import Backend
    from engine.search.estimate import Estimate


class Tuned(NamedTuple):
    """The end of a tuning."""

    search: SearchResult
    """The end of the search."""
    tested: tuple[Evaluation, ...]
    """The start and the best on the test rows; () without test rows."""
    usage: Usage
    """Model calls of search and test together."""
    seconds: float
    """Working time of search and test together."""

    @property
    def verdict(self) -> Verdict | None:
        """The best against the start on the test rows; None without test rows."""
        return verdict(*self.tested) if self.tested else None


@dataclass(frozen=True)
class Tuning:
    """A tuning that is ready to run, or to be estimated."""

    make_search: MakeSearch
    """The algorithm: `search` of an optimizer."""
    settings: Settings
    """Program, rows, models and limits. Training and validation rows are already divided."""
    test: tuple[int, ...] = ()
    """Rows of the final test."""
    whole_validation: bool = False
    """True if the start and the best are scored on all validation rows even if the search does not need it."""

    def driver(
        self,
        recorder: Recorder | None = None,
        control: Control | None = None,
        requests: UserRequests | None = None,
        backend: Backend | None = None,
    ) -> Driver:
        """Return a new driver of this tuning."""
        return Driver(self.settings, recorder, control, requests, backend)

    def estimate(self) -> Estimate:
        """Return calls, tokens, money and time that the tuning will take; no model is called."""
        from engine.search.estimate import estimate  # it renders prompts: only where it is wanted

        baseline_rows = self.settings.validation if self.whole_validation else ()
        return estimate(self.make_search, self.settings, baseline_rows=baseline_rows, test_rows=self.test)

    async def search(self, driver: Driver, phase: Callable[[str], object] = lambda _: None) -> SearchResult:
        """Drive the search; `phase` receives in words what is under way. Raises RunError where the model is gone."""
        rows = self.settings.validation
        if self.whole_validation:
            phase("Scoring the starting prompt")
            await driver.score(driver.seed, rows, label="baseline")
        phase("Searching")
        end = await driver.search(self.make_search, test_rows=len(self.test))
        if not self.whole_validation:
            return end
        if end.stopped == "failed" and driver.ledger.closing == "failed":
            raise RunError(end.reason)  # what was found is stored, and a test is impossible
        if end.stopped == "finished" and validation_score(driver.trials, end.best, len(rows)) is None:
            phase("Scoring the result on all validation rows")
            await driver.score(end.best, rows, label="result", hide_own_row=True)
        return end

    async def run(self, recorder: Recorder | None = None, control: Control | None = None) -> Tuned:
        """Search, then compare the start and the best on the test rows, if any.

        Raises RunError when no row can be run at all, or the program's own error where it is that on every row.
        """
        driver = self.driver(recorder, control)
        try:
            end = await self.search(driver)
            tested = await driver.compare(driver.seed, end.best, self.test) if self.test else ()
        except RunError as error:
            cause = error.__cause__
            if cause is None or isinstance(cause, EngineError):
                raise
            raise cause from None
        return Tuned(end, tested, driver.ledger.spent, driver.ledger.seconds)


def validation_score(trials: Iterable[Trial], candidate: Candidate, rows: int) -> float | None:
    """Return a candidate's score on all the validation rows; None where it was not scored on all of them."""
    trial = whole_trials(trials, rows=rows).get(candidate.id)
    return None if trial is None else trial.evaluation.score
