"""The Settings page: models found and added, prices changed, spending by project; over an empty and a filled store."""

from __future__ import annotations

import pytest
import streamlit as st
from support.pages.page_frame import open_page, said
from support.run_setup import add_data, spec
from support.servers.openai_server import OpenAIServer

from dashboard.state import reading
from dashboard.state.editing import drafts
from engine.lm.prices import own_prices, price, set_own_price
from engine.lm.tuned import TunedModel, save_tuned
from engine.pipeline.templates import SAMPLES
from engine.records import Usage
from engine.runs.spec import ModelChoice, ProjectDraft
from engine.store.queue import Limits, usual_runs
from engine.store.rows import Spent
from engine.store.store import Store

NOWHERE = "http://127.0.0.1:9/v1"


@pytest.fixture(autouse=True)
def bare_machine(welcomed, monkeypatch):
    for name in ("OLLAMA_API_BASE", "LM_STUDIO_API_BASE", "HOSTED_VLLM_API_BASE"):
        monkeypatch.setenv(name, NOWHERE)
    monkeypatch.delenv("GROQ_API_KEY", raising=False)


def start():
    st.cache_data.clear()
    return open_page("settings")


def test_a_fresh_install_says_what_is_there():
    shown = said(start())
    assert "No model server answers here" in shown
    assert "Nothing yet: no model was asked." in shown
    assert "The offline model's answers are not kept" in shown


def test_the_backend_of_new_runs_is_chosen_here(home):
    app = start()
    assert reading.backend().name == "local"
    app.selectbox(key="backend_name").select("ray").run()
    assert "Calls to a provider do not" in said(app)
    app.text_input(key="backend_address").set_value("10.0.0.7:6379").run()
    assert (reading.backend().name, reading.backend().address) == ("ray", "10.0.0.7:6379")
    app.text_input(key="backend_address").set_value(" ").run()
    assert reading.backend().address == "auto"


def test_limits_are_set_and_taken_back_here(home):
    app = start()
    assert app.number_input(key="limit_runs").value is None
    assert app.number_input(key="limit_requests").value is None
    app.number_input(key="limit_runs").set_value(3).run()
    app.number_input(key="limit_requests").set_value(8).run()
    app.number_input(key="limit_usd").set_value(25.5).run()
    assert reading.limits() == Limits(runs=3, requests=8, usd=25.5)
    app.number_input(key="limit_runs").set_value(None).run()
    assert not app.exception
    assert reading.limits() == Limits(requests=8, usd=25.5)
    assert reading.limits().places == usual_runs()


def test_a_server_of_this_machine_is_found_and_its_model_added(monkeypatch):
    with OpenAIServer(models=("tiny",)) as server:
        monkeypatch.setenv("OLLAMA_API_BASE", server.url)
        app = start()
        assert "Ollama" in said(app)
        app.button(key="found_0_add_ollama/tiny").click().run()
        assert ModelChoice(name="ollama/tiny") in reading.saved_models()
        assert app.button(key="found_0_add_ollama/tiny").disabled


def test_a_server_of_ones_own_is_added_with_the_click_that_leaves_its_address():
    app = start()
    app.selectbox(key="new_provider").set_value("Any other name").run()
    app.button(key="add_model_button").click().run()
    assert "Name the model first" in said(app)
    app.selectbox(key="new_provider").set_value("OpenAI").run()
    app.text_input(key="new_base_url_OpenAI").set_value("http://127.0.0.1:9/v1")
    app.button(key="add_model_button").click().run()
    assert not app.exception
    assert "is asked, directly" in said(app)
    assert [m.base_url for m in reading.saved_models()] == [None, "http://127.0.0.1:9/v1"]


def test_a_name_of_no_known_provider_is_doubted_here_and_on_the_tune_page():
    drafts.add_model(ModelChoice(name="foo/bar"))
    doubt = "cannot tell whether there is such a provider"
    assert doubt in said(start())
    project = drafts.project_from_sample(SAMPLES[0])
    drafts.update(project, model=ModelChoice(name="foo/bar"))
    assert doubt in said(open_page("tune", project=project))
    drafts.update(project, model=ModelChoice(name="gpt5"))
    app = open_page("tune", project=project)
    assert "There is no model 'gpt5'. Write it as provider/model" in said(app)
    assert app.button(key="start_run").disabled


def test_a_key_in_the_environment_offers_its_models(monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "sk-secret-value")
    app = start()
    shown = said(app)
    assert "GROQ_API_KEY" in shown
    assert "sk-secret-value" not in shown
    assert any(str(b.key).startswith("found_groq_add_") for b in app.button)


def test_a_price_is_changed_and_taken_back():
    drafts.add_model(ModelChoice(name="openai/gpt-4o-mini"))
    app = start()
    app.number_input(key="model_1_price_in_False").set_value(3.0).run()
    app.button(key="model_1_price_save").click().run()
    assert price("openai/gpt-4o-mini").input == pytest.approx(3e-6)
    assert "Your own" in said(app) or "your own" in said(app)
    app.button(key="model_1_price_usual").click().run()
    assert own_prices() == {}
    assert not app.exception


def test_spending_is_added_up_by_project(home):
    with Store.open() as store:
        ids = [store.projects.create(name, ProjectDraft().model_dump(mode="json")) for name in ("A", "B")]
        run = spec(add_data(home)).model_dump(mode="json")
        for project, cost in ((ids[0], 0.5), (ids[0], 0.25), (ids[1], None)):
            run_id = store.runs.create(project, run, "r")
            store.spend.add_of_run(run_id, Usage(10, 2, 100, 20, cost), Usage())
        store.spend.add("", ids[0], Usage(1, cost=0.0), task="preview")
        store.projects.delete(ids[1])
    assert reading.read_store(lambda store: store.spend.by("project_id")) == {
        ids[0]: Spent(2, Usage(21, 4, 200, 40, 0.75)),
        ids[1]: Spent(1, Usage(10, 2, 100, 20), 1),
    }
    assert "1 run used a model whose price is not known" in said(start())


def test_a_price_that_is_given_later_reaches_the_estimate():
    project = drafts.project_from_sample(SAMPLES[0])
    drafts.update(project, model=ModelChoice(name="tests/unpriced", base_url="http://127.0.0.1:9/v1"))
    assert "not known" in said(open_page("tune", project=project))
    set_own_price("tests/unpriced", (1000.0, 1000.0))
    shown = said(open_page("tune", project=project))
    assert "not known" not in shown
    assert "$" in shown


def test_tuned_models_are_shown_with_their_lineage_and_how_to_serve_them(home):
    choice = ModelChoice(name="openai/ft:small", base_url=NOWHERE)
    made = {"base_model": "Qwen/small", "rows": 30, "licence": "apache-2.0", "finished": True}
    save_tuned(TunedModel(name="mine", trainer="local", **made))
    (home / "models" / "mine" / "adapter_model.safetensors").write_bytes(b"")
    (home / "models" / "mine" / "adapter_config.json").write_text('{"r": 8}')
    save_tuned(TunedModel(name="theirs", trainer="openai", kind="hosted", hosted=choice, **made))
    app = start()
    shown = said(app)
    assert "Qwen/small, lora on 30 rows by local, licence apache-2.0" in shown
    assert "At its provider: openai/ft:small" in shown
    assert "vllm serve Qwen/small --enable-lora --lora-modules" in shown
    assert "tuneboard models tuned/mine --merge merged/mine" in shown
    assert ModelChoice(name="tuned/mine") in reading.choosable_models()
