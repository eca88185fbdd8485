"""The database's schema, as numbered steps. A step that has been released is never edited: add one below it.

`PRAGMA user_version` carries the number of the last step, so that opening an up-to-date file costs
nothing. Tests migrate from the oldest step, with rows in it.
"""

from __future__ import annotations

import sqlite3

SCHEMA_VERSION = 15


def migrate(connection: sqlite3.Connection, *, upto: int = SCHEMA_VERSION) -> None:
    """Bring an open file to schema number `upto`, within the caller's transaction."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    for number, statements in enumerate(STEPS[:upto], start=1):
        if number > version:
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")


_M001_TABLES = (
    """CREATE TABLE projects (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, draft TEXT NOT NULL,
        created_at REAL NOT NULL, updated_at REAL NOT NULL)""",
    """CREATE TABLE datasets (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, hash TEXT NOT NULL, columns TEXT NOT NULL,
        rows INTEGER NOT NULL, source TEXT NOT NULL, created_at REAL NOT NULL, content BLOB NOT NULL)""",
    """CREATE TABLE runs (
        id TEXT PRIMARY KEY, project_id TEXT NOT NULL, title TEXT NOT NULL, spec TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'queued', message TEXT NOT NULL DEFAULT '',
        pid INTEGER, heartbeat_at REAL, created_at REAL NOT NULL, started_at REAL, finished_at REAL,
        estimate TEXT, result TEXT,
        calls INTEGER NOT NULL DEFAULT 0, cached INTEGER NOT NULL DEFAULT 0,
        input_tokens INTEGER NOT NULL DEFAULT 0, output_tokens INTEGER NOT NULL DEFAULT 0,
        cost REAL, seconds REAL NOT NULL DEFAULT 0,
        stop INTEGER NOT NULL DEFAULT 0, pause INTEGER NOT NULL DEFAULT 0)""",
    """CREATE TABLE candidates (
        run_id TEXT NOT NULL, id TEXT NOT NULL, number INTEGER NOT NULL, content TEXT NOT NULL,
        created_at REAL NOT NULL, PRIMARY KEY (run_id, id))""",
    """CREATE TABLE trials (
        run_id TEXT NOT NULL, number INTEGER NOT NULL, candidate_id TEXT NOT NULL,
        split TEXT NOT NULL, label TEXT NOT NULL, score REAL,
        rows_total INTEGER NOT NULL, rows_done INTEGER NOT NULL DEFAULT 0,
        state TEXT NOT NULL DEFAULT 'running', started_at REAL NOT NULL, finished_at REAL,
        calls INTEGER NOT NULL DEFAULT 0, cached INTEGER NOT NULL DEFAULT 0,
        input_tokens INTEGER NOT NULL DEFAULT 0, output_tokens INTEGER NOT NULL DEFAULT 0,
        cost REAL, seconds REAL NOT NULL DEFAULT 0, is_best INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (run_id, number)) WITHOUT ROWID""",
    """CREATE TABLE outcomes (
        run_id TEXT NOT NULL, trial INTEGER NOT NULL, row INTEGER NOT NULL, score REAL NOT NULL,
        content TEXT NOT NULL, PRIMARY KEY (run_id, trial, row))""",
    """CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, at REAL NOT NULL,
        kind TEXT NOT NULL, text TEXT NOT NULL, data TEXT NOT NULL)""",
    "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE INDEX events_by_run ON events (run_id, id)",
    "CREATE INDEX runs_by_project ON runs (project_id, created_at)",
)

_M002_REVISION_AND_PHASE = (
    "ALTER TABLE runs ADD COLUMN revision INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE runs ADD COLUMN phase TEXT NOT NULL DEFAULT ''",
    "CREATE INDEX runs_by_time ON runs (created_at)",
)

_M003_NOTES_AND_ARCHIVE = (
    "ALTER TABLE runs ADD COLUMN note TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE runs ADD COLUMN in_use INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE projects ADD COLUMN archived INTEGER NOT NULL DEFAULT 0",
)

_M004_FEEDBACK_AND_VERSIONS = (
    "ALTER TABLE runs ADD COLUMN tags TEXT NOT NULL DEFAULT '[]'",
    # What a user asks of a running search: a prompt to try, a larger budget.
    """CREATE TABLE requests (
        id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, kind TEXT NOT NULL,
        content TEXT NOT NULL, created_at REAL NOT NULL, answer TEXT NOT NULL DEFAULT '')""",
    # Thumbs and reasons on answers, for the project's next runs.
    """CREATE TABLE feedback (
        project_id TEXT NOT NULL, dataset_id TEXT NOT NULL, row INTEGER NOT NULL, run_id TEXT NOT NULL,
        candidate_id TEXT NOT NULL, thumbs INTEGER NOT NULL, reason TEXT NOT NULL, answer TEXT NOT NULL,
        created_at REAL NOT NULL, PRIMARY KEY (project_id, dataset_id, row, candidate_id))""",
    # A user's own grades of rows, to check a judge against (0 to 1).
    """CREATE TABLE grades (
        project_id TEXT NOT NULL, dataset_id TEXT NOT NULL, row INTEGER NOT NULL, answer TEXT NOT NULL,
        grade REAL NOT NULL, created_at REAL NOT NULL, PRIMARY KEY (project_id, dataset_id, row, answer))""",
    # A project's saved programs, numbered from 1; at most one is in use.
    """CREATE TABLE versions (
        project_id TEXT NOT NULL, number INTEGER NOT NULL, run_id TEXT NOT NULL, candidate_id TEXT NOT NULL,
        content TEXT NOT NULL, note TEXT NOT NULL DEFAULT '', in_use INTEGER NOT NULL DEFAULT 0,
        created_at REAL NOT NULL, PRIMARY KEY (project_id, number))""",
    "CREATE INDEX requests_by_run ON requests (run_id, id)",
)

# An event about a row carries the row's number. Events written before get the number that pages have shown for them.
_M005_ROW_NUMBERS = (
    """UPDATE events SET data = json_set(data, '$.number', json_extract(data, '$.row') + 2)
        WHERE kind = 'row_scored' AND json_extract(data, '$.row') IS NOT NULL""",
)

_M006_FAILED_ROWS = (
    "ALTER TABLE trials ADD COLUMN failed INTEGER NOT NULL DEFAULT 0",
    """UPDATE trials SET failed = (
        SELECT count(*) FROM outcomes WHERE outcomes.run_id = trials.run_id AND outcomes.trial = trials.number
        AND json_extract(outcomes.content, '$.error') IS NOT NULL)""",
)

# The claims of a run are counted, so that trials of earlier ones are known without a clock that can be set back. The heartbeat
# is the machine's own clock from now on, and a process is known by its start as well as by its number.
_M007_CLAIMS = (
    "ALTER TABLE runs ADD COLUMN claims INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE runs ADD COLUMN process TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE trials ADD COLUMN claim INTEGER NOT NULL DEFAULT 0",
    "UPDATE runs SET heartbeat_at = NULL",
)

# On a server with users: who may do what in a project, and who has started a run ('' on a server without users).
_M008_USERS = (
    """CREATE TABLE members (
        project_id TEXT NOT NULL, user TEXT NOT NULL, role TEXT NOT NULL,
        PRIMARY KEY (project_id, user)) WITHOUT ROWID""",
    "CREATE INDEX members_by_user ON members (user)",
    "ALTER TABLE runs ADD COLUMN started_by TEXT NOT NULL DEFAULT ''",
)

# A list of many runs is read from these indices alone, and a candidate's number is found without counting.
_M009_LONG_HISTORIES = (
    "DROP INDEX runs_by_project",
    "DROP INDEX runs_by_time",
    "CREATE INDEX runs_by_project ON runs (project_id, created_at, id, revision)",
    "CREATE INDEX runs_by_time ON runs (created_at, id, revision)",
    "CREATE INDEX candidates_by_number ON candidates (run_id, number)",
)

# The queue: a run's number in the order in which runs came to it, and in the order in which they began.
_M010_QUEUE = (
    "ALTER TABLE runs ADD COLUMN ticket INTEGER",
    "ALTER TABLE runs ADD COLUMN turn INTEGER",
    "CREATE INDEX runs_by_user ON runs (started_by, turn, ticket)",
    "CREATE INDEX runs_open ON runs (state) WHERE state IN ('queued', 'running', 'paused')",
)

# Links that show the report of one run to others, by the hashes of their tokens.
_M011_LINKS = (
    """CREATE TABLE links (
        hash TEXT PRIMARY KEY, run_id TEXT NOT NULL, created_at REAL NOT NULL, ends_at REAL NOT NULL)""",
    "CREATE INDEX links_by_run ON links (run_id)",
)

# What users have spent, apart from their runs. It begins with the runs that are there, but for those that came in an archive from
# elsewhere, which are marked from now on.
_M012_SPEND = (
    "ALTER TABLE runs ADD COLUMN from_archive INTEGER NOT NULL DEFAULT 0",
    "UPDATE runs SET from_archive = 1, started_by = '' WHERE started_by = 'project file'",
    """CREATE TABLE spend (
        user TEXT NOT NULL, month TEXT NOT NULL, project_id TEXT NOT NULL, run_id TEXT NOT NULL, task TEXT NOT NULL,
        calls INTEGER NOT NULL, cached INTEGER NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL,
        cost REAL, PRIMARY KEY (user, month, project_id, run_id, task))""",
    "CREATE INDEX spend_by_run ON spend (run_id)",
    """INSERT INTO spend SELECT started_by, strftime('%Y-%m', created_at, 'unixepoch'), project_id, id, 'run',
        calls, cached, input_tokens, output_tokens, cost FROM runs
        WHERE NOT from_archive AND created_at BETWEEN 0 AND 1e11 AND min(calls, cached, input_tokens, output_tokens,
        coalesce(cost, 0)) >= 0 AND max(calls, cached, input_tokens, output_tokens, coalesce(cost, 0)) <= 1e12""",
    """CREATE TRIGGER spend_stays BEFORE DELETE ON spend
        BEGIN SELECT RAISE(ABORT, 'What was spent is not deleted.'); END""",
    """CREATE TRIGGER spend_grows BEFORE UPDATE ON spend
        WHEN NEW.calls < OLD.calls OR NEW.input_tokens < OLD.input_tokens OR NEW.output_tokens < OLD.output_tokens
        OR coalesce(NEW.cost, 0) < coalesce(OLD.cost, 0)
        BEGIN SELECT RAISE(ABORT, 'What was spent does not become less.'); END""",
)

# The user who made a link to a report; '' on a server without users, and for links of before.
_M013_MAKERS = ("ALTER TABLE links ADD COLUMN made_by TEXT NOT NULL DEFAULT ''",)

# Calls that have left and have no answer yet, with what was reserved for each.
_M014_SENDS = (
    """CREATE TABLE sends (run_id TEXT NOT NULL, number INTEGER NOT NULL, calls INTEGER NOT NULL, tokens INTEGER NOT NULL,
        usd REAL NOT NULL, PRIMARY KEY (run_id, number)) WITHOUT ROWID""",
)

# The audit log: who did what, in the order in which it happened. Nothing in it is changed or deleted.
_M015_AUDIT = (
    "CREATE TABLE audit (id INTEGER PRIMARY KEY, at REAL NOT NULL, user TEXT NOT NULL, action TEXT NOT NULL, about TEXT NOT NULL)",
    "CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'The audit log is never changed.'); END",
    "CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'The audit log is never changed.'); END",
)

STEPS = (
    _M001_TABLES,
    _M002_REVISION_AND_PHASE,
    _M003_NOTES_AND_ARCHIVE,
    _M004_FEEDBACK_AND_VERSIONS,
    _M005_ROW_NUMBERS,
    _M006_FAILED_ROWS,
    _M007_CLAIMS,
    _M008_USERS,
    _M009_LONG_HISTORIES,
    _M010_QUEUE,
    _M011_LINKS,
    _M012_SPEND,
    _M013_MAKERS,
    _M014_SENDS,
    _M015_AUDIT,
)
