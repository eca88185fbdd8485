"""The time that is estimated for a run, next to what the run takes at a server that answers late."""

from support.run_setup import PIPELINE, add_data, add_run, answer, csv_bytes, server_model, spec
from support.servers.openai_server import OpenAIServer

from engine.lm.client import make_lm
from engine.pipeline.build import build_program
from engine.runs.prepare import estimate_run
from engine.runs.spec import Named
from engine.runs.worker import work
from engine.runtime import context
from engine.store.store import Store


def test_after_a_preview_and_after_a_run_the_time_of_a_run_is_known(tmp_path):
    with OpenAIServer(answer, latency=1.0) as server:
        data = add_data(tmp_path, csv_bytes(100))
        chosen = {
            "model": server_model(server.url),
            "optimizer": Named(name="LabeledFewShot"),
            "concurrency": 8,
        }
        with context(lm=make_lm(chosen["model"])):
            build_program(PIPELINE)(text="a small lamp")
        with Store.open(tmp_path) as store:
            before = estimate_run(store, spec(data, **chosen)).seconds.typical
        run_id = add_run(tmp_path, dataset=data, **chosen)
        assert work(tmp_path, run_id) == 0
        with Store.open(tmp_path) as store:
            took = store.runs.get(run_id).seconds
            after = estimate_run(store, spec(data, **chosen)).seconds.typical
    assert took / 2 < before < took * 2
    assert took / 2 < after < took * 2
