"""One way from rows to a verdict, walked in a browser with a model that counts: what it counted, and what each page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import Page, expect
from support.pages.browser_frame import pick, press, press_first_row, settled, start_sample
from support.pages.dashboard_server import Server
from support.servers.openai_server import OpenAIServer

from dashboard.state.editing import drafts
from engine.lm.offline.learner import OfflineLM, reply_text
from engine.lm.prices import set_own_price
from engine.pipeline.templates import SAMPLES
from engine.runs.spec import ModelChoice
from engine.store.store import Store

MODEL = "openai/counted"
SEMICOLONS = "Kunde;Nachricht;Abteilung\n" + "".join(
    f"K{n};{text} (Vorgang {n});{queue}\n"
    for n in range(20)
    for text, queue in (
        ("Die Rechnung stimmt nicht", "Buchhaltung"),
        ("Das Paket kam nie an", "Versand"),
        ("Die App stürzt beim Start ab", "Technik"),
        ("Bitte den Betrag erstatten", "Buchhaltung"),
        ("Wo bleibt meine Lieferung", "Versand"),
    )
)
TWO_ANSWERS = "message,department,urgent\n" + "".join(
    f'"{text}, customer {n}",{department},{urgent}\n'
    for n in range(20)
    for text, department, urgent in (
        ("My invoice is wrong", "billing", "no"),
        ("The server is down for all of us", "technical", "yes"),
        ("Please change my address", "account", "no"),
        ("I was charged twice and need it back today", "billing", "yes"),
        ("The button is a little too small", "technical", "no"),
    )
)
MONEY = "note;betrag\n" + "".join(
    f'"Rechnung {n} vom {1 + n % 28}.03., zu zahlen {100 + 37 * n},{n % 90 + 10} EUR bis Monatsende";"{100 + 37 * n},{n % 90 + 10} €"\n'
    for n in range(80)
)
FILES = {"semicolons": SEMICOLONS, "two_answers": TWO_ANSWERS, "money": MONEY}
CASES = (*(sample.name for sample in SAMPLES), *FILES)


class Counted(NamedTuple):
    """A walk's figures: `server` the requests that the model received, `shown` the calls by the place that shows them."""

    server: int
    shown: dict[str, int]
    money: str
    verdict: str

    @property
    def agrees(self) -> bool:
        """True if every place shows what the model counted."""
        return set(self.shown.values()) == {self.server}


def add_model(address: str) -> None:
    """Put the model that counts into the settings of the data folder, with a price."""
    drafts.add_model(ModelChoice(name=MODEL, base_url=address, key_env=""))
    set_own_price(MODEL, (1.0, 4.0))


def learner(body: dict[str, Any]) -> str:
    """Answer as the offline model does."""
    params = {name: body[name] for name in ("temperature", "n") if name in body}
    return reply_text(OfflineLM().request(body["messages"], **params))


def walk(page: Page, server: Server, endpoint: OpenAIServer, case: str, folder: Path) -> Counted:
    """Start a project from a sample or a file, tune it with the quick plan, and read the calls on every page that has them.

    The model `MODEL` of the settings must be at `endpoint`.
    """
    page.goto(f"{server.url}/")
    settled(page)
    if case in FILES:
        _bring(page, folder, case)
    else:
        start_sample(page, case)
    expect(page.locator(".st-key-start_card")).to_be_visible()
    settled(page)
    pick(page, "Model", "counted")
    if page.locator(".st-key-plan_Quick button").count():
        press(page, "set_plan_Quick")
        settled(page)
    before = endpoint.calls
    expect(page.locator(".st-key-start_run button").first).to_be_enabled()
    press(page, "start_run")
    expect(page.locator(".st-key-page_line")).to_contain_text("Finished", timeout=300_000)
    settled(page)
    shown = {"run": _number(page.locator("[data-meter=calls]").inner_text())}
    money = page.locator("[data-meter=money]").inner_text().split()[-1]
    counted = endpoint.calls - before
    with Store.open(server.home, read_only=True) as store:
        run = max(store.runs.all(), key=lambda run: run.created_at)
    shown["store"] = run.calls
    page.goto(f"{server.url}/results?project={run.project_id}&run={run.id}")
    settled(page)
    verdict = page.locator(".st-key-verdict").inner_text()
    page.goto(f"{server.url}/history?project={run.project_id}&history_text={run.title}")
    settled(page)
    press_first_row(page, ".st-key-history_table")
    facts = page.locator(".st-key-run_card").inner_text()
    shown["history"] = _number_before("call", facts)
    page.goto(f"{server.url}/export?project={run.project_id}&run={run.id}")
    settled(page)
    with page.expect_download() as report:
        press(page, "download_report_html")
    text = re.sub(r"<[^>]+>|\s+", " ", report.value.path().read_text())
    shown["report"] = _number(text.partition("Calls paid for")[2])
    assert endpoint.calls - before == counted, "looking at the pages asked the model"
    return Counted(counted, shown, money, " ".join(verdict.split()))


def _bring(page: Page, folder: Path, case: str) -> None:
    path = folder / f"{case}.csv"
    path.write_text(FILES[case], encoding="utf-8")
    page.locator("[class*=st-key-box_files_] input[type=file]").set_input_files(path)
    settled(page)
    press(page, "box_use")
    expect(page.get_by_text("Is this what you mean?")).to_be_visible()
    press(page, "looks_right")
    settled(page)


def _number(text: str) -> int:
    found = re.search(r"\d[\d,]*", text)
    assert found, text
    return int(found[0].replace(",", ""))


def _number_before(word: str, text: str) -> int:
    found = re.search(rf"([\d,]+) {word}", text)
    assert found, text
    return int(found[1].replace(",", ""))
