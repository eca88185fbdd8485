"""Attacks on a server for a team from signed-in accounts of each right, and from nobody's, against a server that runs.

Each kind of attempt is a generator in KINDS: it tries, by HTTP, by a page's websocket, in a browser or as a page's code does, and
yields what it tried and whether the server held. Nothing is sent but to this machine: other addresses lead to a closed port.
TEAM_KINDS in the environment chooses some kinds, by name, with commas.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from fault_tests.check import Check, Finding
from fault_tests.strangers import home_of
from fault_tests.team_browser import cross_origin_page, hostile_names
from support.pages.dashboard_server import Server
from support.pages.page_socket import PAGES, Session, Tab
from support.ports import own_port
from support.servers.openai_server import OpenAIServer
from websockets.exceptions import WebSocketException

from dashboard.state import launching, reading, users
from dashboard.state.editing import drafts
from dashboard.state.editing.project_file import pack
from dashboard.state.writing import writing
from engine.errors import EngineError
from engine.pipeline.templates import SAMPLES
from engine.records import Usage
from engine.runs.results.archive import bring_back, put_away
from engine.runs.spec import ModelChoice, Named, ProjectDraft
from engine.runs.worker import work
from engine.store.store import FILE_NAME, Store
from engine.store.users import USERS_VARIABLE, UserFile

SECRET = "Ada's secret project"
CANARIES = {"OPENAI_API_KEY": "sk-canary-openai-0123456789", "TEAM_SECRET": "canary-of-the-team-42"}
"""Variables of the server's environment that nobody may read or have sent."""

Tried = Iterator[tuple[str, bool]]


class Team:
    """A running server with an administrator (root), ada with a project and a run, bob its editor, eve its viewer, and mallory.

    `internal` is a service of the machine that nobody may reach through the server. `small` asks for a few attempts of each kind.
    """

    def __init__(self, home: Path, internal: OpenAIServer, *, small: bool) -> None:
        self.home, self.internal, self.small = home, internal, small
        self.file = UserFile(home / "users.txt")
        self.tokens = {name: self.file.add(name) for name in ("root", "ada", "bob", "eve", "mallory")}
        with users.acting("ada"):
            self.project = drafts.project_from_sample(SAMPLES[0])
            drafts.rename_project(self.project, SECRET)
            drafts.update(self.project, optimizer=Named(name="LabeledFewShot"))
            users.share(self.project, "bob", "editor")
            users.share(self.project, "eve", "viewer")
            self.run = self.new_run("Ada's run")
        if work(home, self.run) != 0:
            raise RuntimeError("the run of the team did not end well")
        self.server = Server(home, "engine", "open", "--no-browser", "--users", "users.txt")
        self.sessions: dict[str, Session] = {}

    def new_run(self, title: str) -> str:
        """Store a run of ada's project for the user who is acting; raises where that is refused."""
        spec = reading.draft(self.project).to_run(reading.datasets()[0].hash)
        return launching.create(self.project, spec.model_dump(mode="json"), title, {"calls": {"high": 5}})

    def session(self, name: str) -> Session:
        """Return a user's session, signed in at its first use."""
        if name not in self.sessions:
            self.sessions[name] = Session(self.server.port, self.tokens[name])
        return self.sessions[name]

    def tab(self, name: str, page: str) -> Tab:
        """Open a page of ada's project as a user."""
        return Tab(self.session(name), page, project=self.project, run=self.run)

    def some(self, *values: str) -> tuple[str, ...]:
        """Return all of some values, or the first two for a small part."""
        return values[:2] if self.small else values

    def stored(self) -> list[object]:
        """Return all that is stored of ada's project, its members and links, and of the server's settings."""
        found: list[object] = []
        with closing(sqlite3.connect(self.home / FILE_NAME)) as store:
            for table, column in (("projects", "id"), ("members", "project_id"), ("runs", "project_id")):
                found += store.execute(
                    f"SELECT * FROM {table} WHERE {column} = ?", (self.project,)
                ).fetchall()
            found += store.execute("SELECT * FROM links WHERE run_id = ?", (self.run,)).fetchall()
            found += store.execute("SELECT * FROM settings WHERE instr(key, ':') = 0").fetchall()
        return found


def refused(session: Session, path: str, **headers: str) -> bool:
    """Return whether a websocket is refused."""
    try:
        with session.socket(path, **headers) as socket:
            socket.recv(timeout=10)
    except (WebSocketException, OSError):
        return True
    return False


def not_signed_in(team: Team) -> Tried:
    """Every path and socket without a cookie."""
    nobody = Session(team.server.port)
    paths = [f"/{page}?project={team.project}&run={team.run}" for page in PAGES]
    for path in team.some(
        *paths, "/_stcore/host-config", "/media/0123456789abcdef.csv", "/metrics", "/users.txt"
    ):
        status, body, _ = nobody.request(path)
        yield path, status == 401 and SECRET.encode() not in body
    for path in team.some("/_stcore/upload_file/a/b", "/_stcore/script-health-check", "/component/x"):
        yield path, nobody.request(path, "PUT", b"x" * 1000, origin=nobody.origin)[0] in (401, 403, 404, 405)
    for path in ("/_stcore/stream", f"/live/{team.run}"):
        yield path, refused(nobody, path)


def tokens(team: Team) -> Tried:
    """Guessed tokens, forged cookies, a header that names another user, a cookie after signing out."""
    nobody = Session(team.server.port)
    for token in team.some("", "x' OR '1'='1", team.tokens["ada"][:-1], "sha256:" + "0" * 64, "\x00" * 40):
        yield f"token {token[:12]!r}", not nobody.sign_in(token)
    session = Session(team.server.port, team.tokens["mallory"])
    name, _, value = session.cookie.partition("=")
    user, until, *rest = value.strip('"').split("|")
    forged = (
        "|".join(("root", until, *rest)),
        "|".join((user, "9" * 12, *rest)),
        f"root|{until}||",
        "|||",
        "x" * 5000,
    )
    for cookie in team.some(*forged):
        nobody.cookie = f'{name}="{cookie}"'
        yield f"cookie {cookie[:12]}", not nobody.is_signed_in
    session.headers = {"X-Tuneboard-User": "root"}
    with Tab(session, "settings") as tab:
        yield "a header that names root", "mallory" in tab.text and "users_card" not in tab.text
    session.request("/sign-out", "POST", origin=session.origin)
    session.request("/sign-out")
    yield "a cookie after signing out", not session.is_signed_in


def hosts(team: Team) -> Tried:
    """A Host that is not the server's, which a name that an attacker owns may lead here with."""
    for host in team.some("evil.example", "127.0.0.1.evil.example", "localhost.", "[::1"):
        for path in (
            "/",
            "/_stcore/health",
            "/_stcore/host-config",
            "/sign-in",
            "/shared/x",
            "/static/x.js",
            "/media/x",
        ):
            status, *_ = team.session("ada").request(path, host=f"{host}:{team.server.port}")
            yield f"{host} {path}", status in (400, 403, 421)


def other_origins(team: Team) -> Tried:
    """Requests and sockets of pages from elsewhere, another port of this machine included."""
    ada = Session(team.server.port, team.tokens["ada"])
    for origin in team.some(f"http://127.0.0.1:{own_port()}", "http://evil.example", "null"):
        for path in ("/_stcore/stream", f"/live/{team.run}"):
            yield f"{origin} {path}", refused(ada, path, origin=origin)
        for path, method in (
            ("/sign-in", "POST"),
            ("/sign-out", "POST"),
            ("/_stcore/upload_file/a/b", "PUT"),
        ):
            yield f"{origin} {path}", ada.request(path, method, b"x", origin=origin)[0] == 403
        ada.request("/sign-out", sec_fetch_site="same-site", referer=origin)
        yield f"{origin} signs out", ada.is_signed_in


def foreign_projects(team: Team) -> Tried:
    """Every page with the ids of a project and a run of others, and the run's stream."""
    for page in team.some(*PAGES):
        with team.tab("mallory", page) as tab:
            yield f"page {page}", SECRET not in tab.text and "Ada's run" not in tab.text
    yield "live stream", refused(team.session("mallory"), f"/live/{team.run}")


def other_peoples_events(team: Team) -> Tried:
    """Events of every button and text of an owner's and an administrator's pages, sent by those who may not change them."""
    cases = [
        ("ada", name, page) for name in ("eve", "mallory") for page in PAGES if page not in ("", "settings")
    ]
    cases += [("root", "mallory", page) for page in ("", "history", "settings")]
    for owner, name, page in cases[:1] if team.small else cases:
        with team.tab(owner, page) as shown, team.tab(name, page) as tab:
            before = team.stored()
            events = list(shown.widgets.items())
            for widget, kind in events[:5] if team.small else events:
                tab.send({widget: (kind, "pwned")})
                yield f"{name} sends {owner}'s {widget[-30:]}", team.stored() == before
    with team.tab("bob", "task") as tab, users.acting("bob"):
        draft, before = reading.draft(team.project), team.stored()
        tab.send({widget: (kind, "pwned") for widget, kind in tab.widgets.items() if kind == "text_area"})
        yield "those of an editor count", team.stored() != before
        drafts.edit(team.project, lambda _: draft)


def files(team: Team) -> Tried:
    """Files of another user's pages: by their addresses, their ids, and an echo of the address in a task of one's own."""
    with team.tab("ada", "examples") as tab:
        addresses = re.findall(r"/media/\w+\.\w+", tab.text)
    mallory = team.session("mallory")
    with team.tab("ada", "export") as tab, Tab(mallory, "settings") as other:
        for file_id in team.some(*re.findall(r'deferred_file_id: "(\w+)', tab.text)):
            yield f"download {file_id[:8]}", not other.deferred(file_id)
            addresses.append(tab.deferred(file_id))
        yield "its owner reads each", all(team.session("ada").request(a)[0] == 200 for a in addresses)
        with users.acting("mallory"):
            project = drafts.project_from_sample(SAMPLES[0])
        for address in addresses:
            yield f"address {address[:20]}", mallory.request(address)[0] != 200
            with users.acting("mallory"):
                drafts.rename_project(project, address)
            Tab(mallory, "task", project=project).__exit__()
            yield f"echo of {address[:20]}", mallory.request(address)[0] != 200


def ways(address: str) -> dict[str, dict[str, object]]:
    """Return changes of a draft that would send rows, with a key of the server, to an internal service."""
    there = ModelChoice(name="openai/x", base_url=address, key_env="TEAM_SECRET")
    plain = ModelChoice(name="ollama/x")  # the server's environment says that it is at the internal service
    return {
        "model": {"model": there},
        "model by name": {"model": plain},
        "address in a name": {"model": ModelChoice(name=f"oobabooga/{address}/x")},
        "writer of prompts": {"prompt_model": there},
        "teacher": {"teacher_model": there, "models": (there,)},
        "step": {"step": {"model": there}},
        "step by name": {"step": {"model": plain}},
        "reader of a step": {"step": {"adapter": "two_step", "extraction_model": there}},
        "judge": {"metric": Named(name="Rubric", options={"judge": "ollama/x", "criteria": "Is it right?"})},
        "embeddings": {"metric": Named(name="EmbeddingSimilarity", options={"model": "ollama/x"})},
        "training": {
            "optimizer": Named(
                name="BootstrapFinetune",
                options={
                    "trainer": "openai",
                    "base_model": "openai/x",
                    "base_url": address,
                    "key_env": "TEAM_SECRET",
                },
            )
        },
    }


def with_way(draft: ProjectDraft, way: dict[str, object]) -> ProjectDraft:
    """Return a draft changed in one of the `ways`."""
    if "step" not in way or draft.pipeline is None:
        return draft.model_copy(update=way)
    step = draft.pipeline.steps[0].model_copy(update=way["step"])  # type: ignore[arg-type]
    return draft.model_copy(update={"pipeline": draft.pipeline.model_copy(update={"steps": (step,)})})


EDITS = re.compile(r"-(use_[A-Z]|choose_|set_plan|share_|next_step|source_)")
"""Buttons that change the draft, so that it would not send what the attempt is about."""


def endpoints(team: Team) -> Tried:
    """Every button of the pages that ask a model, in projects that would send a key of the server to an internal service.

    They come in a project's file, and as an administrator's drafts that are shared with an editor.
    """
    with users.acting("mallory"):
        sample = reading.draft(drafts.project_from_sample(SAMPLES[0]))
    all_ways = ways(team.internal.url.removesuffix("/v1"))
    for name, way in list(all_ways.items())[:: 4 if team.small else 1]:
        draft = with_way(sample, way)
        file = {**json.loads(pack(f"By {name}", sample, None)), "draft": draft.model_dump(mode="json")}
        with users.acting("mallory"):
            brought = drafts.import_project(json.dumps(file).encode())
            drafts.update(brought, dataset=sample.dataset)
        with users.acting("root"):
            left = drafts.create_project(f"Left by {name}", draft)
            users.share(left, "mallory", "editor")
        for project in (left,) if team.small else (brought, left):
            for page in ("metric",) if team.small else ("examples", "metric", "tune", "try_it"):
                with Tab(team.session("mallory"), page, project=project) as tab:
                    for widget, kind in list(tab.widgets.items()):
                        if kind == "button" and (
                            widget.endswith("try_metric") if team.small else not EDITS.search(widget)
                        ):
                            before = team.internal.calls
                            tab.send({widget: ("button", "")})
                            yield f"{name}: {page} {widget[-24:]}", team.internal.calls == before
    yield "no request came", team.internal.calls == 0
    with users.acting("root"):
        drafts.add_model(ModelChoice(name="ollama/x"))
        open_now = drafts.create_project("Allowed", with_way(sample, all_ways["model by name"]))
        users.share(open_now, "mallory", "editor")
    with Tab(team.session("mallory"), "metric", project=open_now) as tab:
        tab.send({widget: ("button", "") for widget in tab.widgets if widget.endswith("try_metric")})
        yield "a model that an administrator has added is asked", team.internal.calls > 0


FORGERIES = (
    "UPDATE runs SET cost = -1e9",
    "UPDATE runs SET calls = 9223372036854775807, started_by = 'ada'",
    "UPDATE runs SET calls = 100000, started_by = 'ada'",
    "UPDATE runs SET cost = 9e999",
    "UPDATE runs SET title = printf('%.*c', 5000000, 'x')",
    "UPDATE runs SET result = 'no JSON'",
    "UPDATE datasets SET hash = 'f00d'",
    'UPDATE runs SET spec = json_set(spec, \'$.backend\', json(\'{"name": "ray", "address": "127.0.0.1:1"}\'))',
    'UPDATE candidates SET content = replace(content, \'"demos"\', \'"weights": "ollama/x", "demos"\')',
)


def archives(team: Team) -> Tried:
    """Forged files of runs, brought back by an editor: who else's limits, pages or programs do they change?"""
    with Store.open() as store:
        path = put_away(store, [team.run], team.home / "moved")
        bring_back(store, path)
        store.queue.set_limit("calls", 50_000)
    for number, forgery in enumerate(team.some(*FORGERIES)):
        forged = team.home / f"forged-{number}"
        forged.write_bytes(path.read_bytes())
        with closing(sqlite3.connect(forged)) as file:
            for table, column in (
                ("runs", "id"),
                *((one, "run_id") for one in ("trials", "outcomes", "candidates", "events")),
            ):
                file.execute(f"UPDATE {table} SET {column} = 'ba5eba11{number:04x}'")
            file.execute(forgery)
            file.commit()
        with users.acting("bob"), suppress(EngineError), writing() as store:
            bring_back(store, forged)
        with users.acting("ada"):
            yield f"ada's limit after {forgery[:50]}", _starts(team)
        for page in ("", "history", "settings"):
            with Tab(team.session("root"), page) as tab:
                yield f"page {page} after {forgery[:50]}", "exception {" not in tab.text
    with Store.open() as store:
        store.queue.set_limit("calls", None)
        foreign = [run for run in store.runs.all() if run.id.startswith("ba5eba11")]
    yield "no cluster, no key", all(run.spec["backend"]["name"] == "local" for run in foreign)


def _starts(team: Team) -> bool:
    try:
        team.new_run("Another run")
    except EngineError:
        return False
    return True


def spend_given_back(team: Team) -> Tried:
    """A limit of the month that is reached, then the runs put away and deleted."""
    with users.acting("bob"):
        run = team.new_run("Bob's run")
        with Store.open() as store:
            store.spend.add("bob", team.project, Usage(950, 0, 3000, 400, 0.25), run_id=run)
            store.runs.set_state(run, "stopped")
            store.queue.set_limit("calls", 950)
        yield "the limit holds", not _starts(team)
        with writing() as store:
            put_away(store, [run], team.home / "bobs")
        yield "after putting the run away", not _starts(team)
        with Store.open() as store:
            store.queue.set_limit("calls", None)


def links(team: Team) -> Tried:
    """Guessed links to reports, and one whose maker was taken off."""
    nobody = Session(team.server.port)
    for token in team.some(
        "x", "../users.txt", "%2e%2e/users.txt", "a" * 43, "' OR 1=1 --".replace(" ", "%20")
    ):
        yield f"link {token[:12]}", nobody.request(f"/shared/{token}")[0] == 404
    with users.acting("ada"):
        users.share(team.project, "mallory", "editor")
    with users.acting("mallory"), writing() as store:
        token = store.links.make(team.run, 1, "mallory")
    yield "a link shows its report", nobody.request(f"/shared/{token}")[0] == 200
    with users.acting("ada"):
        users.take_off(team.project, "mallory")
    yield "a link after its maker was taken off", nobody.request(f"/shared/{token}")[0] == 404


def uploads(team: Team) -> Tried:
    """Files sent to a session whose page has no place for one."""
    mallory = team.session("mallory")
    _, _, headers = mallory.request("/_stcore/health", sec_fetch_mode="cors")
    given = headers.get("set-cookie", "").partition(";")[0]
    session = Session(team.server.port)
    session.cookie = f"{mallory.cookie}; {given}"
    with Tab(session, "settings") as tab:
        for number in range(2 if team.small else 20):
            status, *_ = session.request(
                f"/_stcore/upload_file/{tab.session_id}/{number}",
                "PUT",
                _multipart(b"x" * 2**20),
                origin=session.origin,
                content_type="multipart/form-data; boundary=b",
                x_xsrftoken=given.partition("=")[2],
            )
            yield f"upload {number}", status >= 400


def _multipart(content: bytes) -> bytes:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
    return head + content + b"\r\n--b--\r\n"


def streams(team: Team) -> Tried:
    """As many live streams of one user as the server has, then one of the administrator's."""
    with ExitStack() as stack:
        for _ in range(0 if team.small else 420):
            with suppress(WebSocketException, OSError):
                stack.enter_context(team.session("eve").socket(f"/live/{team.run}"))
        yield "the administrator's stream", not refused(team.session("root"), f"/live/{team.run}")


def secrets(team: Team) -> Tried:
    """Secrets of the server's environment and users' tokens, in all files of the data folder and all requests that came in."""
    hidden = [value.encode() for value in (*CANARIES.values(), *team.tokens.values())]
    for path in sorted(team.home.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            yield f"file {path.name}", not any(value in content for value in hidden)
    sent = json.dumps([dict(headers) for headers in team.internal.headers]).encode()
    yield "requests", not any(value in sent for value in hidden)


KINDS: dict[str, Callable[[Team], Tried]] = {
    "not signed in": not_signed_in,
    "tokens and cookies": tokens,
    "hosts": hosts,
    "other origins": other_origins,
    "foreign projects": foreign_projects,
    "events of others' widgets": other_peoples_events,
    "files of others": files,
    "keys through endpoints": endpoints,
    "forged archives": archives,
    "spend given back": spend_given_back,
    "links": links,
    "uploads": uploads,
    "streams": streams,
    "hostile names in a browser": hostile_names,
    "a page of another port in a browser": cross_origin_page,
    "secrets in files": secrets,
}
IN_BROWSER = ("hostile names in a browser", "a page of another port in a browser")


@contextmanager
def running_team(folder: Path, *, small: bool) -> Iterator[Team]:
    """A server for a team, as `tuneboard open --users` starts it, as long as the block runs."""
    closed, home = f"http://127.0.0.1:{own_port()}", folder / "home"
    with OpenAIServer() as internal:
        variables = {
            **CANARIES,
            USERS_VARIABLE: str(home / "users.txt"),
            "OLLAMA_API_BASE": internal.url,
            "HTTP_PROXY": closed,
            "HTTPS_PROXY": closed,
            "NO_PROXY": "127.0.0.1,localhost",
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_GCE_CHECK": "true",
            "HF_HUB_OFFLINE": "1",
        }
        with home_of(home, **variables):
            team = Team(home, internal, small=small)
            try:
                team.server.start()
                yield team
            finally:
                team.server.stop()


def measure(folder: Path, small: bool) -> Finding:
    """Make all attempts of all kinds; count them and the breaks."""
    only = os.environ.get("TEAM_KINDS", ",".join(KINDS)).split(",")
    counts, breaks = [], []
    with running_team(folder, small=small) as team:
        for kind in only:
            if small and kind in IN_BROWSER:
                continue
            started = time.monotonic()
            tried = list(KINDS[kind](team))
            broken = [name for name, held in tried if not held]
            counts.append(f"{kind} {len(tried)}")
            breaks += [f"{kind}: {len(broken)}, such as {broken[0]}"] if broken else []
            print(
                f"  {counts[-1]} in {time.monotonic() - started:.0f} s; breaks: {broken}",
                file=sys.stderr,
                flush=True,
            )
    return Finding(f"{', '.join(counts)}; breaks: {'; '.join(breaks) or 0}", met=not breaks)


CHECK = Check("team", "A server for a team, attacked from accounts of each right", "no break", measure)
