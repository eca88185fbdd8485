"""The backend of a run: as its settings or the command line name it, and what is said of it."""

import sys
from pathlib import Path

import pytest
from support import run_setup
from typer.testing import CliRunner

from engine.cli.app import app
from engine.pipeline.spec import PipelineSpec
from engine.runs.spec import ModelChoice, Named, no_gain_by_ray
from engine.runs.trust import wishes
from engine.runs.worker import work
from engine.search.backend import BackendChoice
from engine.store.store import Store

ON_RAY = BackendChoice(name="ray")


def message_of(home, override=None, **changes):
    run_id = run_setup.add_run(home, **changes)
    assert work(home, run_id, override) == 1
    with Store.open(home, read_only=True) as store:
        return store.runs.get(run_id).message


@pytest.mark.parametrize("changes", [{"backend": ON_RAY}, {}])
def test_without_the_extra_one_sentence_says_what_to_install(tmp_path, monkeypatch, changes):
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it was not installed
    message = message_of(tmp_path, None if changes else ON_RAY, **changes)
    assert message == "The backend 'ray' needs Ray, which is not installed: pip install 'tuneboard[ray]'."


def test_the_command_names_the_backends_there_are(tmp_path):
    done = CliRunner().invoke(app, ["run", "nothing.json", "--home", str(tmp_path), "--backend", "dask"])
    assert done.exit_code == 2
    assert "There is no backend 'dask'. Choose one of: local, ray." in done.output


def test_a_run_that_only_waits_gains_nothing_and_says_so():
    hosted = {"model": ModelChoice(name="openai/gpt-5-mini")}
    assert "gains nothing" in no_gain_by_ray(run_setup.spec(backend=ON_RAY, **hosted))
    assert not no_gain_by_ray(run_setup.spec(**hosted))
    local = run_setup.spec(backend=ON_RAY, model=ModelChoice(name="local/some-model"))
    assert not no_gain_by_ray(local)
    step = run_setup.PIPELINE.steps[0].model_copy(update={"strategy": "program_of_thought"})
    assert not no_gain_by_ray(run_setup.spec(backend=ON_RAY, pipeline=PipelineSpec(steps=(step,)), **hosted))
    assert not no_gain_by_ray(run_setup.spec(backend=ON_RAY, metric=Named(name="PythonMetric"), **hosted))


def test_a_spec_from_elsewhere_must_ask_before_it_uses_a_cluster_elsewhere():
    for address, asked in (("auto", 0), ("local", 0), ("127.0.0.1:6379", 0), ("203.0.113.7:6379", 1)):
        spec = run_setup.spec(backend=BackendChoice(name="ray", address=address))
        assert len(wishes(spec, Path(), None)) == asked, address
