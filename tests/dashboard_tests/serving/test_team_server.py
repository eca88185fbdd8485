"""A running server for a team, attacked by its users through HTTP and websockets."""

import asyncio
import io
import re
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest
import yaml
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from support.pages.dashboard_server import ROOT, Server
from support.run_setup import PIPELINE, add_run

from dashboard.serving import access
from engine.records import Usage
from engine.runs.spec import ProjectDraft
from engine.store.store import FILE_NAME, Store
from engine.store.users import USERS_VARIABLE, UserFile

MB = 1024 * 1024
GUIDE = ROOT / "dashboard" / "README.md"


class Team:
    def __init__(self, home):
        self.file = UserFile(home / "users.txt")
        self.tokens = {name: self.file.add(name) for name in ("root", "ada", "bob")}
        self.run = add_run(home)
        with Store(home / FILE_NAME) as store:
            store.settings.set("welcomed", True)
            store.runs.set_state(self.run, "stopped")
            self.project = store.runs.get(self.run).project_id
            store.projects.save_draft(self.project, store.projects.get(self.project).draft, "Sorting")
            store.spend.add("bob", self.project, Usage(7, 0, 100, 20, 0.5), run_id=self.run)
            for name, role in (("ada", "owner"), ("bob", "editor")):
                store.members.set_role(self.project, name, role)
        self.server = Server(home)

    @asynccontextmanager
    async def browser(self, name=""):
        """Open a browser that has signed in as a user."""
        headers = {"Origin": self.server.url}
        jar = aiohttp.CookieJar(unsafe=True, quote_cookie=False)
        async with aiohttp.ClientSession(self.server.url, cookie_jar=jar, headers=headers) as browser:
            if name:
                form = {"token": self.tokens[name], "to": "/"}
                async with browser.post("/sign-in", data=form, allow_redirects=False) as reply:
                    assert reply.status == 303
            async with browser.get("/_stcore/health", headers={"Sec-Fetch-Mode": "cors"}):
                pass  # brings the cookie that uploads need
            yield browser


@pytest.fixture(scope="module")
def team(tmp_path_factory):
    home = tmp_path_factory.mktemp("team")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEBOARD_HOME", str(home))
        patch.setenv(USERS_VARIABLE, str(home / "users.txt"))
        patch.setenv("HOME", str(home))
        made = Team(home)
        made.server.start()
        yield made
        made.server.stop()


async def status(browser, path, method="GET", **more):
    async with browser.request(method, path, allow_redirects=False, **more) as reply:
        return reply.status


async def text(browser, path, **more):
    async with browser.get(path, **more) as reply:
        assert reply.status == 200, await reply.text()
        return await reply.text()


class Page:
    """A page of the dashboard, as its socket shows it."""

    def __init__(self, socket):
        self.socket, self.files, self.received = socket, [], []

    async def show(self, name, query=""):
        asked = BackMsg()
        asked.rerun_script.page_name, asked.rerun_script.query_string = name, query
        await self.socket.send_bytes(asked.SerializeToString())
        await self._until("script_finished")

    async def ask_to_upload(self):
        asked = BackMsg()
        asked.file_urls_request.request_id = "1"
        asked.file_urls_request.file_names.append("rows.csv")
        await self.socket.send_bytes(asked.SerializeToString())
        message = await self._until("file_urls_response")
        return message.file_urls_response.file_urls[0].upload_url

    async def download(self, file):
        asked = BackMsg()
        asked.backend_operation_request.request_id = "2"
        asked.backend_operation_request.session_id = self.session
        asked.backend_operation_request.deferred_file.file_id = file
        await self.socket.send_bytes(asked.SerializeToString())
        message = await self._until("backend_operation_response")
        return message.backend_operation_response.deferred_file.url

    async def _until(self, kind):
        while True:
            self.received.append(await asyncio.wait_for(self.socket.receive_bytes(), 30))
            message = ForwardMsg.FromString(self.received[-1])
            if session := message.new_session.initialize.session_id:
                self.session = session
            if file := message.delta.new_element.download_button.deferred_file_id:
                self.files.append(file)
            if message.WhichOneof("type") == kind:
                return message


@asynccontextmanager
async def opened(browser, name, query=""):
    async with browser.ws_connect("/_stcore/stream", max_msg_size=0) as socket:
        page = Page(socket)
        await page.show(name, query)
        yield page


async def put(browser, address, size, **headers):
    xsrf = next(cookie.value for cookie in browser.cookie_jar if cookie.key == "_streamlit_xsrf")
    form = aiohttp.FormData() if size else None
    if form is not None:
        form.add_field("file", io.BytesIO(b"x" * size), filename="rows.csv")
    return await status(browser, address, "PUT", data=form, headers={"X-Xsrftoken": xsrf, **headers})


def test_any_other_host_is_refused_on_every_path(team):
    async def visit():
        async with team.browser("bob") as browser:
            for path in (
                "/",
                "/run",
                "/_stcore/health",
                "/static/x.js",
                "/sign-in",
                "/shared/x",
                "/vendor/x",
                "/metrics",
            ):
                assert await status(browser, path, headers={"Host": "evil.example", "Origin": ""}) == 403, (
                    path
                )
                assert await status(browser, path, headers={"Host": "", "Origin": ""}) in (400, 403), path
            assert await status(browser, "/_stcore/health") == 200
            localhost = f"localhost:{team.server.port}"
            assert (
                await status(
                    browser, "/_stcore/health", headers={"Host": localhost, "Origin": f"http://{localhost}"}
                )
                == 200
            )

    asyncio.run(visit())


def test_a_page_of_another_port_signs_nobody_out(team):
    async def visit():
        async with team.browser("bob") as bob:
            assert await status(bob, "/sign-out", headers={"Origin": ""}) != 303, "a link or a picture"
            assert await status(bob, "/sign-out", "POST", headers={"Origin": "http://127.0.0.1:1"}) == 403
            assert await status(bob, "/") == 200
            assert await status(bob, "/sign-out", "POST") == 303
            assert await status(bob, "/") == 401

    asyncio.run(visit())


def test_metrics_are_for_the_administrator_and_for_a_scraper_with_the_administrators_token(team):
    async def visit():
        async with team.browser("bob") as bob, team.browser("root") as root, team.browser() as scraper:
            for path in ("/metrics", "/_stcore/metrics"):
                assert await status(bob, path) == 403
                assert await status(scraper, path) == 401
                assert await status(root, path) == 200
            for name, code in (("root", 200), ("bob", 403)):
                bearer = {"Authorization": f"Bearer {team.tokens[name]}"}
                assert await status(scraper, "/metrics", headers=bearer) == code
                assert await status(scraper, "/", headers=bearer) == 401
            assert await status(scraper, "/metrics", headers={"Authorization": "Bearer wrong"}) == 401
            lines = yaml.safe_load(
                re.search(r"```yaml\n(scrape_configs.*?)```", GUIDE.read_text(), re.DOTALL)[1]
            )
            (scrape,) = lines["scrape_configs"]
            bearer = f"{scrape['authorization']['type']} {team.tokens['root']}"
            assert await status(scraper, scrape["metrics_path"], headers={"Authorization": bearer}) == 200
            async with root.get("/metrics") as reply:
                assert reply.content_type == "text/plain"
                return await reply.text()

    lines = asyncio.run(visit()).splitlines()
    assert 'tuneboard_runs{state="stopped"} 1' in lines
    assert "tuneboard_live_streams 0" in lines
    assert 'tuneboard_user_calls{user="bob",name="bob"} 7' in lines
    assert f'tuneboard_project_tokens{{project="{team.project}",name="Sorting"}} 120' in lines
    assert f'tuneboard_project_cost{{project="{team.project}",name="Sorting"}} 0.5' in lines
    memory = next(
        float(line.split()[1]) for line in lines if line.startswith("process_resident_memory_bytes ")
    )
    assert memory > 50 * MB


def test_the_sockets_of_one_user_keep_no_other_out(team):
    async def visit():
        async with team.browser("bob") as bob, team.browser("root") as root, AsyncExitStack() as stack:
            live = f"/live/{team.run}"
            for _ in range(access.MOST_SOCKETS_OF_SIGN_IN):
                await stack.enter_async_context(bob.ws_connect(live))
            for path in (live, "/_stcore/stream"):
                with pytest.raises(aiohttp.WSServerHandshakeError):
                    await bob.ws_connect(path)
            async with team.browser("bob") as again:
                for _ in range(access.MOST_SOCKETS - access.MOST_SOCKETS_OF_SIGN_IN):
                    await stack.enter_async_context(again.ws_connect(live))
                with pytest.raises(aiohttp.WSServerHandshakeError):
                    await again.ws_connect(live)
                async with root.ws_connect(live) as socket:
                    assert "run" in await asyncio.wait_for(socket.receive_str(), 60)
            await stack.aclose()
            async with asyncio.timeout(60):
                while True:
                    try:
                        await (await bob.ws_connect(live)).close()
                        return
                    except aiohttp.WSServerHandshakeError:
                        await asyncio.sleep(0.1)

    asyncio.run(visit())


def test_uploads_need_a_place_on_the_page_have_bounds_and_are_freed(team):
    async def uploaded(root):
        found = re.search(
            r'category_name="?UploadedFileManager.*? (\d+)|UploadedFileManager[^\n]* (\d+)',
            await text(root, "/_stcore/metrics?families=cache_memory_bytes"),
        )
        return int(found[1] or found[2]) if found else 0

    async def until(root, size):
        async with asyncio.timeout(120):  # a closed page lives on for 30 seconds, and these figures for 5
            while await uploaded(root) // MB != size:
                await asyncio.sleep(0.2)

    async def visit():
        async with team.browser("bob") as bob, team.browser("ada") as ada, team.browser("root") as root:
            async with opened(bob, "settings") as page:
                address = await page.ask_to_upload()
                assert await put(bob, address, MB) == 403, "the page has no place for a file"
                await page.show("examples", f"project={team.project}")
                assert await put(bob, address, 5 * MB) == 204
                await until(root, 5)
                assert await put(ada, address, MB) == 403, "another user's page"
                many = str(access.MOST_OF_PAGE)
                assert await put(bob, await page.ask_to_upload(), 0, **{"Content-Length": many}) == 413
                await page.show("settings")
                await until(root, 0)
                await page.show("examples", f"project={team.project}")
                assert await put(bob, await page.ask_to_upload(), 5 * MB) == 204
                await until(root, 5)
            await until(root, 0)

    asyncio.run(visit())


def test_a_file_is_for_the_user_whose_page_was_sent_it_not_for_one_whose_page_shows_its_address(team):
    async def visit():
        async with team.browser("ada") as ada, team.browser("bob") as bob:
            with Store(team.server.home / FILE_NAME) as store, store.transaction():
                drafts = (ProjectDraft(pipeline=PIPELINE), ProjectDraft())
                mine, other = (store.projects.create("", draft.model_dump(mode="json")) for draft in drafts)
                store.members.set_role(mine, "ada", "owner")
                store.members.set_role(other, "bob", "owner")
            async with opened(ada, "examples", f"project={mine}") as page:
                async with opened(bob, "examples", f"project={other}") as page_of_bob:
                    assert await page_of_bob.download(page.files[-1]) == ""
                address = await page.download(page.files[-1])
                assert address.startswith("/media/")
                assert await status(ada, address) == 200
                assert await status(bob, address) == 404
                with Store(team.server.home / FILE_NAME) as store:
                    store.projects.save_draft(other, {}, address)
                async with opened(bob, "examples", f"project={other}") as page_of_bob:
                    assert any(address.encode() in sent for sent in page_of_bob.received), (
                        "it shows the address"
                    )
                    assert await status(bob, address) == 404

    asyncio.run(visit())
