"""Limits of one user on an open database: other users' projects are not there, and what the user may not change is refused.

SQLite keeps them, for one connection: views in the place of its tables where it reads, triggers on them where it
writes. No query has to think of it, and a page that forgets to ask can neither read nor change more.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.store.users import User

OF_PROJECT = ("runs", "feedback", "grades", "versions", "members", "spend")
OF_RUN = ("candidates", "trials", "outcomes", "events", "requests", "links", "sends")
WITHOUT_ROWID = ("trials", "members", "sends")
"""Tables by what their rows belong to; `projects`, `datasets` and `settings` have rules for themselves."""

NO_CHANGE = "You may read this project, not change it. Ask its owner to make you an editor."
OWNER_ONLY = "Only the owner of this project may delete or share it."
ADMINISTRATOR_ONLY = "Only an administrator of this server may change its settings."


_PROJECT_OF_SETTING = "substr({0}.key, instr({0}.key, ':') + 1)"
"""A setting of a project has its id at the end of its key, behind a colon; others are the server's."""


def limits(user: User, *, read_only: bool) -> Iterator[str]:
    """Iterate over the statements that limit a connection, opened to read or to write, to what a user may."""
    if read_only:
        if not user.administrator:
            yield from _views(user.name)
        return
    # Their creator owns new projects, an administrator too. The member is there before the project: see the rule for members.
    yield (
        "CREATE TEMP TRIGGER owner_of_project BEFORE INSERT ON main.projects BEGIN "
        f"INSERT INTO members (project_id, user, role) VALUES (NEW.id, {_sql_text(user.name)}, 'owner'); END"
    )
    if not user.administrator:
        yield from _triggers(user.name)


def _views(user: str) -> Iterator[str]:
    projects = f"(SELECT project_id FROM main.members WHERE user = {_sql_text(user)})"
    runs = f"(SELECT id FROM main.runs WHERE project_id IN {projects})"
    datasets = (
        f"(SELECT json_extract(draft, '$.dataset') FROM main.projects WHERE id IN {projects} "
        f"UNION SELECT json_extract(spec, '$.dataset') FROM main.runs WHERE project_id IN {projects})"
    )
    seen = {"projects": f"id IN {projects}", "datasets": f"id IN {datasets}", "audit": "0"}
    seen["settings"] = f"instr(key, ':') = 0 OR {_PROJECT_OF_SETTING.format('settings')} IN {projects}"
    seen |= dict.fromkeys(OF_PROJECT, f"project_id IN {projects}")
    seen |= dict.fromkeys(OF_RUN, f"run_id IN {runs}")
    for table, rule in seen.items():
        number = "" if table in WITHOUT_ROWID else "rowid AS rowid, "
        yield f"CREATE TEMP VIEW {table} AS SELECT {number}* FROM main.{table} WHERE {rule}"


def _triggers(user: str) -> Iterator[str]:
    def role(project: str) -> str:
        return f"coalesce((SELECT role FROM members WHERE project_id = {project} AND user = {_sql_text(user)}), '')"

    def refuse(table: str, act: str, unless: str, message: str) -> str:
        # Refused statements are rolled back as a whole, and `Connection` raises AccessError with the message.
        return (
            f"CREATE TEMP TRIGGER {act.lower()}_{table} BEFORE {act} ON main.{table} WHEN NOT ({unless}) "
            f"BEGIN SELECT RAISE(ABORT, {_sql_text(message)}); END"
        )

    changes = (("INSERT", ("NEW",)), ("UPDATE", ("OLD", "NEW")), ("DELETE", ("OLD",)))
    edits = {table: "{}.project_id" for table in OF_PROJECT if table != "members"}
    edits |= dict.fromkeys(OF_RUN, "(SELECT project_id FROM runs WHERE id = {}.run_id)")
    for table, project in edits.items():
        for act, rows in changes:
            unless = " AND ".join(f"{role(project.format(row))} IN ('editor', 'owner')" for row in rows)
            yield refuse(table, act, unless, NO_CHANGE)
    yield refuse("projects", "UPDATE", f"{role('OLD.id')} IN ('editor', 'owner')", NO_CHANGE)
    yield refuse("projects", "DELETE", f"{role('OLD.id')} = 'owner'", OWNER_ONLY)
    for act, rows in changes:
        # The members of a project that is not there yet, or not any more, come and go with it.
        unless = " AND ".join(
            f"({role(f'{row}.project_id')} = 'owner' "
            f"OR NOT EXISTS (SELECT 1 FROM projects WHERE id = {row}.project_id))"
            for row in rows
        )
        yield refuse("members", act, unless, OWNER_ONLY)
        unless = " AND ".join(
            f"{role(_PROJECT_OF_SETTING.format(row))} IN ('editor', 'owner')" for row in rows
        )
        yield refuse("settings", act, unless, ADMINISTRATOR_ONLY)
    yield refuse("datasets", "UPDATE", "0", NO_CHANGE)


def _sql_text(value: str) -> str:
    """Return a text as SQL: views and triggers take no parameters."""
    return "'" + value.replace("'", "''") + "'"
