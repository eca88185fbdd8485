"""A run that is stopped without its final test, which is finished later; the price is on the page each time."""

from __future__ import annotations

from playwright.sync_api import expect
from support.pages.browser_frame import press, settled, shoot
from support.run_setup import answer, held_run, let_end, served, wait_for
from support.servers.openai_server import OpenAIServer

from engine.store.store import Store


def test_a_run_is_stopped_without_the_test_and_the_test_is_finished_later(home, new_page):
    with OpenAIServer(answer) as model, Store.open(home) as store:
        run_id, process = held_run(home, model, 70)
        project = store.runs.get(run_id).project_id
        page = new_page(f"run?project={project}&run={run_id}")
        page.get_by_role("button", name="Stop and keep the best").click()
        menu = page.locator("[data-testid=stPopoverBody]")
        expect(menu).to_contain_text("The final test: 24 calls")
        shoot(page, "stop_menu")
        press(page, "stop_untested")
        expect(page.locator(".st-key-page_line")).to_contain_text("Stopping")
        wait_for(lambda: store.runs.get(run_id).stop_untested)
        page.wait_for_timeout(1500)
        assert let_end(model, process) == 0
        expect(page.locator(".st-key-page_line")).to_contain_text("Stopped")
        expect(page.locator(".st-key-finish_test")).to_contain_text("Finish the test (24 calls")
        settled(page)
        shoot(page, "stopped_untested")
        for theme, width in (("light", 400), ("dark", 1280)):
            other = new_page(f"results?project={project}&run={run_id}", theme=theme, width=width)
            expect(other.locator(".st-key-finish_test")).to_be_visible()
            shoot(other, f"results_untested_{theme}_{width}")
        before = served(model)
        other = new_page(f"results?project={project}&run={run_id}")
        press(other, "finish_test")
        wait_for(lambda: store.runs.get(run_id).result.final_test is None)
        wait_for(lambda: store.runs.get(run_id).is_over)
        assert served(model) - before == 24
        expect(other.locator(".st-key-finish_test")).to_have_count(0)
        expect(other.locator(".st-key-verdict")).to_contain_text("12 rows")
        shoot(other, "results_finished")
