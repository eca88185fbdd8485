"""A server for a team through real browsers: a token opens the project it was asked for, and ends with its user."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from support.pages.browser_frame import press, settled, to_page
from support.pages.dashboard_server import Server
from support.pages.page_traffic import follow

from dashboard.state import launching, reading, users
from dashboard.state.editing import drafts
from engine.pipeline.templates import SAMPLES
from engine.runs.spec import Named
from engine.runs.worker import work
from engine.store.users import USERS_VARIABLE, UserFile


class Team:
    """A running server, its users' tokens, and the project of ada that bob views."""

    def __init__(self, home: Path, patch: pytest.MonkeyPatch) -> None:
        patch.setenv("TUNEBOARD_HOME", str(home))
        patch.setenv(USERS_VARIABLE, str(home / "users.txt"))
        self.file = UserFile(home / "users.txt")
        self.tokens = {name: self.file.add(name) for name in ("root", "ada", "bob", "eve")}
        with users.acting("ada"):
            self.project = drafts.project_from_sample(SAMPLES[0])
            drafts.update(self.project, optimizer=Named(name="LabeledFewShot"))
            spec = reading.draft(self.project).to_run(reading.datasets()[0].hash).model_dump(mode="json")
            self.run = launching.create(self.project, spec, "Ada's run")
            for name in ("bob", "eve"):
                users.share(self.project, name, "viewer")
        assert work(home, self.run) == 0
        self.server = Server(home).start()

    def member(self, name: str) -> str | None:
        with users.acting("ada"):
            return next((m.role for m in users.members(self.project) if m.user == name), None)


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with pytest.MonkeyPatch.context() as patch:
        made = Team(tmp_path_factory.mktemp("team"), patch)
        yield made
        made.server.stop()


@pytest.fixture
def signed_in(browser: Browser, team: Team):
    """Return a function that opens a page in a fresh browser and signs in on the way."""
    contexts = []

    def open_page(name: str, path: str) -> Page:
        context = browser.new_context(accept_downloads=True)
        contexts.append(context)
        follow(context)
        page = context.new_page()
        page.goto(f"{team.server.url}/{path}")
        page.get_by_label("Token").fill(team.tokens[name])
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator(".st-key-signed_in")).to_contain_text(name)
        settled(page)
        return page

    yield open_page
    for context in contexts:
        context.close()


def test_an_owner_takes_a_user_off_in_the_dialog(signed_in, team: Team):
    page = signed_in("ada", f"tune?project={team.project}")
    expect(page).to_have_url(f"{team.server.url}/tune?project={team.project}")
    page.locator(f".st-key-share_{team.project} button:visible").first.click()
    settled(page)
    page.locator(f".st-key-member_{team.project}_eve_off button:visible").first.click()
    settled(page)
    assert (team.member("eve"), team.member("bob")) == (None, "viewer")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    page.goto(f"{team.server.url}/results")
    expect(page.get_by_label("Token")).to_be_visible()


def test_a_viewer_downloads_and_is_out_when_removed(signed_in, team: Team):
    page = signed_in("bob", f"results?project={team.project}&run={team.run}")
    expect(page.locator(".st-key-verdict")).to_contain_text("test rows")
    expect(page.get_by_text("Viewer of this project")).to_be_visible()
    to_page(page, "export")
    with page.expect_download() as started:
        press(page, "download_report_html")
    assert "<html" in Path(started.value.path()).read_text()[:200].lower()
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(started.value.url)
    other = signed_in("root", "")
    assert page.context.request.get(started.value.url).status == 200
    assert other.context.request.get(started.value.url).status == 404
    team.file.remove("bob")
    page.get_by_role("link", name="History").click()
    page.wait_for_timeout(500)
    expect(page.locator(".st-key-history_table")).to_have_count(0)
    page.reload()
    expect(page.get_by_label("Token")).to_be_visible()
