"""The history of runs in the store: candidates, trials, the outcome of every row, and events.

Writing the same trial again replaces it, so that a run driven again from its start ends with each trial once.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import astuple

from engine.basics.data import Values
from engine.errors import NotFoundError
from engine.records import Candidate, Outcome, Usage
from engine.search.judging.leader import LeaderPath
from engine.search.result import RowUse
from engine.store.connection import StorePart, from_json, to_json
from engine.store.rows import CandidateEntry, CandidateRow, EventRow, TrialRow


class StoredTrials(StorePart):
    """Reading and writing candidates, trials and outcomes."""

    def add_candidate(self, run_id: str, candidate: Candidate) -> int:
        """Store a candidate; return its number in the run (the number it had, if it is known)."""
        with self._db.transaction():
            known = self._db.read(
                "SELECT number FROM candidates WHERE run_id = ? AND id = ?", (run_id, candidate.id)
            )
            if known:
                return int(known[0][0])
            last = "SELECT coalesce(max(number), -1) FROM candidates WHERE run_id = ?"
            number = 1 + int(self._db.read(last, (run_id,))[0][0])
            values = {"run_id": run_id, "id": candidate.id, "number": number, "content": candidate.as_dict()}
            self._db.insert("candidates", {**values, "created_at": time.time()})
            self._db.update_run(run_id)
        return number

    def start(
        self, run_id: str, number: int, candidate_id: str, split: str, label: str, rows_total: int
    ) -> None:
        """Store a trial as running, with no rows yet; what an earlier process stored under its number goes."""
        with self._db.changing(run_id):
            self._db.write("DELETE FROM outcomes WHERE run_id = ? AND trial = ?", (run_id, number))
            values: dict[str, object] = {
                "run_id": run_id,
                "number": number,
                "candidate_id": candidate_id,
                "split": split,
            }
            claim = self._db.read("SELECT claims FROM runs WHERE id = ?", (run_id,))
            values |= {"label": label, "rows_total": rows_total, "started_at": time.time()}
            self._db.insert("trials", {**values, "claim": claim[0][0] if claim else 0}, replace=True)

    def add_outcomes(self, run_id: str, trial: int, outcomes: Sequence[Outcome]) -> None:
        """Store rows of a trial as they come in, in any order; its score becomes the mean so far.

        The rows stored before are not read again: a trial of many rows would cost their square.
        """
        rows = [outcome.row for outcome in outcomes]
        failed, total = sum(o.error is not None for o in outcomes), sum(o.score for o in outcomes)
        with self._db.changing(run_id):
            known, had = self._db.read(
                "SELECT count(*), coalesce(sum(score), 0) FROM outcomes "
                "WHERE run_id = ? AND trial = ? AND row IN (SELECT value FROM json_each(?))",
                (run_id, trial, rows),
            )[0]
            self._db.write_many(
                "INSERT OR REPLACE INTO outcomes (run_id, trial, row, score, content) VALUES (?, ?, ?, ?, ?)",
                [(run_id, trial, o.row, o.score, to_json(o.to_json())) for o in outcomes],
            )
            self._db.write(
                "UPDATE trials SET failed = failed + ?3, rows_done = rows_done + ?4, "
                "score = (coalesce(score, 0) * rows_done + ?5) / nullif(rows_done + ?4, 0) WHERE run_id = ?1 AND number = ?2",
                (run_id, trial, failed, len(set(rows)) - known, total - had),
            )

    def finish(
        self,
        run_id: str,
        number: int,
        *,
        score: float | None = None,
        usage: Usage | None = None,
        seconds: float = 0.0,
        state: str = "finished",
    ) -> None:
        """Close a trial. Without a score the mean of its rows stays. `state` is finished or stopped."""
        meters = (*astuple(usage or Usage()), seconds)
        with self._db.changing(run_id):
            self._db.write(
                "UPDATE trials SET state = ?, score = coalesce(?, score), finished_at = ?, calls = ?, cached = ?, "
                "input_tokens = ?, output_tokens = ?, cost = ?, seconds = ? WHERE run_id = ? AND number = ?",
                (state, score, time.time(), *meters, run_id, number),
            )

    def drop_earlier(self, run_id: str) -> None:
        """Delete trials that an earlier process recorded and the one that has claimed the run last never came to."""
        with self._db.changing(run_id):
            old = "run_id = ?1 AND claim < (SELECT claims FROM runs WHERE id = ?1)"
            trials = f"(SELECT number FROM trials WHERE {old})"  # noqa: S608 - our own text
            self._db.write(f"DELETE FROM outcomes WHERE run_id = ?1 AND trial IN {trials}", (run_id,))  # noqa: S608 - our own text
            self._db.write(f"DELETE FROM trials WHERE {old}", (run_id,))  # noqa: S608 - our own text

    def all(self, run_id: str, first: int = 0) -> list[TrialRow]:
        """Return a run's trials by number, from `first` on."""
        rows = self._db.read(
            "SELECT number, candidate_id, split, label, score, rows_total, rows_done, state, started_at, "
            "finished_at, calls, cached, input_tokens, output_tokens, cost, seconds, failed "
            "FROM trials WHERE run_id = ? AND number >= ? ORDER BY number",
            (run_id, first),
        )
        return [TrialRow(*(*r[:10], Usage(*r[10:15]), *r[15:])) for r in rows]

    def candidates(self, run_id: str) -> list[CandidateRow]:
        """Return a run's candidates in the order found."""
        rows = self._db.read("SELECT id, content, created_at FROM candidates WHERE run_id = ?", (run_id,))
        with self._db.decoding():
            contents = {row[0]: (Candidate.from_dict(from_json(row[1])), row[2]) for row in rows}
        return [
            CandidateRow(c.id, c.number, c.score, c.rows, c.tested, *contents[c.id])
            for c in self.candidate_index(run_id)
            if c.id in contents
        ]

    def candidate_index(self, run_id: str) -> list[CandidateEntry]:
        """Return a run's candidates without their content, in the order found: quick also for many thousands."""
        rows = self._db.read("SELECT id, number FROM candidates WHERE run_id = ? ORDER BY number", (run_id,))
        trials = self._db.read(
            "SELECT candidate_id, score, rows_done, split FROM trials WHERE run_id = ? "
            "AND state = 'finished' ORDER BY split = 'validation', rows_done, number",
            (run_id,),
        )
        # The last one wins: validation rows, the most of them.
        scores = {r[0]: (r[1], r[2]) for r in trials if r[3] != "test"}
        tested = {r[0]: r[1] for r in trials if r[3] == "test"}
        return [CandidateEntry(r[0], r[1], *scores.get(r[0], (None, 0)), tested.get(r[0])) for r in rows]

    def parents(self, run_id: str, first: int = 0) -> dict[str, tuple[str, ...]]:
        """Return which candidates each came from, by id, in the order found; from number `first` on."""
        rows = self._db.read(
            "SELECT id, json_extract(content, '$.parents') FROM candidates WHERE run_id = ? AND number >= ? ORDER BY number",
            (run_id, first),
        )
        return {row[0]: tuple(from_json(row[1]) or ()) for row in rows}

    def candidate(self, run_id: str, candidate_id: str) -> Candidate:
        """Return one candidate of a run. Raises NotFoundError."""
        rows = self._db.read(
            "SELECT content FROM candidates WHERE run_id = ? AND id = ?", (run_id, candidate_id)
        )
        if not rows:
            raise NotFoundError(f"The run {run_id!r} has no candidate {candidate_id!r}.")
        with self._db.decoding():
            return Candidate.from_dict(from_json(rows[0][0]))

    def outcomes(self, run_id: str, trial: int) -> list[Outcome]:
        """Return a trial's rows as far as they are in, by row id."""
        rows = self._db.read(
            "SELECT row, score, content FROM outcomes WHERE run_id = ? AND trial = ? ORDER BY row",
            (run_id, trial),
        )
        with self._db.decoding():
            return [
                Outcome.from_json({**from_json(content), "row": row, "score": score})
                for row, score, content in rows
            ]

    def row_scores(self, run_id: str, split: str = "validation") -> dict[int, dict[int, float]]:
        """Return the scores of all rows of a split alone, by trial number and row id."""
        rows = self._db.read(
            "SELECT outcomes.trial, outcomes.row, outcomes.score FROM outcomes JOIN trials ON "
            "trials.run_id = outcomes.run_id AND trials.number = outcomes.trial "
            "WHERE outcomes.run_id = ? AND trials.split = ? ORDER BY outcomes.trial, outcomes.row",
            (run_id, split),
        )
        found: dict[int, dict[int, float]] = {}
        for trial, row, score in rows:
            found.setdefault(trial, {})[row] = score
        return found

    def leader_path(
        self, run_id: str, trials: Sequence[TrialRow], path: LeaderPath | None = None
    ) -> LeaderPath:
        """Return the leaders of a run after each of its trials; a `path` that is known is extended, and reads only what is new."""
        path = path or LeaderPath()
        validated = (t for t in trials if t.split == "validation" and t.state != "running")
        ended = {(t.finished_at or 0.0, t.number): t for t in validated}
        order = sorted(ended)
        if not (pending := [ended[end] for end in order[path.advance(order) :]]):
            return path
        rows = self._db.read(
            "SELECT outcomes.trial, outcomes.row, CASE WHEN trials.failed > 0 AND "
            "json_extract(outcomes.content, '$.error') IS NOT NULL THEN NULL ELSE outcomes.score END "
            "FROM outcomes JOIN trials ON trials.run_id = outcomes.run_id AND trials.number = outcomes.trial "
            "WHERE outcomes.run_id = ? AND trials.split = 'validation' AND outcomes.trial >= ?",
            (run_id, min(t.number for t in pending)),
        )
        scores: dict[int, dict[int, float | None]] = {}
        for trial, row, score in rows:
            scores.setdefault(trial, {})[row] = score
        numbers = dict(self._db.read("SELECT id, number FROM candidates WHERE run_id = ?", (run_id,)))
        for trial in pending:
            if known := scores.get(trial.number):
                path.add(trial.number, trial.candidate_id, numbers.get(trial.candidate_id, 0), known)
        return path

    def row_use(self, run_id: str) -> dict[str, RowUse]:
        """Return what one validation row takes on average, by candidate id.

        A row that a run has answered before is taken from its memory and counted as no tokens: such rows are left out.
        """
        rows = self._db.read(
            "SELECT candidate_id, avg(tokens), CASE WHEN count(cost) = count(*) THEN avg(cost) END, avg(seconds) FROM ("
            "SELECT trials.candidate_id, json_extract(outcomes.content, '$.usage[4]') AS cost, "
            "json_extract(outcomes.content, '$.seconds') AS seconds, "
            "json_extract(outcomes.content, '$.usage[2]') + json_extract(outcomes.content, '$.usage[3]') AS tokens "
            "FROM outcomes JOIN trials ON trials.run_id = outcomes.run_id AND trials.number = outcomes.trial "
            "WHERE outcomes.run_id = ? AND trials.split = 'validation') WHERE tokens > 0 GROUP BY candidate_id",
            (run_id,),
        )
        return {candidate: RowUse(*use) for candidate, *use in rows}


class Events(StorePart):
    """Reading and writing what happened in a run."""

    def add(self, run_id: str, kind: str, text: str, data: Values | None = None) -> int:
        """Store that something happened; return its id, larger than any before."""
        with self._db.changing(run_id):
            values = {"run_id": run_id, "at": time.time(), "kind": kind, "text": text, "data": data or {}}
            return self._db.insert("events", values)

    def clear(self, run_id: str) -> None:
        """Delete a run's events: a process that drives it again from the start stores them again."""
        self._db.write("DELETE FROM events WHERE run_id = ?", (run_id,))

    def of_kind(self, run_id: str, kind: str, after: int = 0) -> list[EventRow]:
        """Return a run's events of a kind with an id above `after`, in order."""
        rest = "FROM events WHERE run_id = ? AND kind = ? AND id > ? ORDER BY id"
        return self._db.records(EventRow, rest, (run_id, kind, after))

    def all(self, run_id: str, after: int = 0, latest: int = -1) -> list[EventRow]:
        """Return a run's events with an id above `after`, in order; with `latest`, only the last `latest` of them."""
        rest = "FROM events WHERE run_id = ? AND id > ? ORDER BY id DESC LIMIT ?"
        return self._db.records(EventRow, rest, (run_id, after, latest))[::-1]
