"""Training on a machine of a cluster that has a GPU (a node that counts one): the same talk, and nothing lost with it."""

import os
import signal
from functools import partial

import pytest
import ray
from ray_tests.conftest import host_pids
from support import run_setup
from support.servers.openai_server import OpenAIServer
from support.training.training_orders import ROWS, Notes

from engine import loop
from engine.errors import TrainingError
from engine.lm.calls import cache
from engine.lm.tuned import get_tuned, model_folder
from engine.optimizers.training.child import TrainingJob
from engine.optimizers.training.local import LocalTraining
from engine.optimizers.training.pipe import ChildEndedError, TrainingChild
from engine.pipeline.spec import FieldSpec, PipelineSpec, StepSpec
from engine.runs.backends.ray import connect, imported
from engine.runs.backends.training_host import RayProcess
from engine.runs.spec import ModelChoice, Named
from engine.runs.worker import work
from engine.search.backend import BackendChoice
from engine.search.trainers import Order, TrainSettings
from engine.store.store import Store

pytestmark = pytest.mark.filterwarnings("default")  # Ray's own


@pytest.fixture
def connected(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEBOARD_HOME", str(tmp_path / "home"))
    base = tmp_path / "base"
    base.mkdir()
    (base / "model.safetensors").write_bytes(b"-")
    connect(imported(cluster.address), cluster.address)
    yield TrainSettings(base_model=str(base), patience=9)
    ray.shutdown()


def train(settings, watch, name="tiny-1"):
    order = Order(settings, ROWS, run="run-1")
    return loop.run(LocalTraining(order, watch, name, "training_child", start=partial(RayProcess, ray)).run())


def test_a_training_goes_on_where_its_machine_is_lost(cluster, connected):
    class Killing(Notes):
        async def score(self, model, label):
            if model.endswith("@2") and model not in self.scored:
                (host,) = host_pids(cluster)
                os.kill(host, signal.SIGKILL)
            return await super().score(model, label)

    watch = Killing()
    trained = train(connected, watch)
    assert (trained.ended, trained.score, trained.tokens) == ("finished", 0.75, 40)
    assert watch.scored == [f"tuned/tiny-1@{step}" for step in (1, 2, 3, 4)]
    assert [n.message for n in watch.seen if n.message] == [
        "The model is loaded.",
        "The cluster's machine that trained the model was lost.",
        "The training goes on from step 2.",
    ]
    assert get_tuned("tiny-1").finished
    assert (model_folder("tiny-1") / "adapter_model.safetensors").read_text() == "1"
    run_setup.wait_for(lambda: not host_pids(cluster))


def test_a_child_that_dies_there_is_the_same_sentence_as_here(connected):
    broken = connected.model_copy(update={"licence": "3 killed"})
    with pytest.raises(TrainingError, match=r"lower the batch size.*It is trained up to step 2"):
        train(broken, Notes())


def test_a_stop_while_all_gpus_are_busy_ends_at_once(connected):
    busy = ray.remote(num_cpus=0, num_gpus=1)(Notes).remote()
    watch = Notes(stop_at=0)
    assert train(connected, watch).ended == "stopped"
    ray.kill(busy)


def test_another_data_folder_there_is_named(connected, tmp_path):
    work = TrainingJob(base="tiny", folder=str(tmp_path / "none"), settings=connected)

    async def ask():
        async with TrainingChild(work, "training_child", partial(RayProcess, ray)) as child:
            while True:
                await child.next(1)

    with pytest.raises(ChildEndedError, match="give all machines of the cluster the same data folder"):
        loop.run(ask())


@pytest.mark.slow
def test_a_small_model_is_trained_on_the_cluster_in_a_run_as_here(cluster, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    from support.training import tiny_model

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    base = tmp_path / "base"
    tiny_model.tiny_model(base)

    def answer(body):
        asked = str(body["messages"][-1]["content"])
        team = next(t for t, words in tiny_model.WORDS.items() if any(word in asked for word in words))
        return f"[[ ## team ## ]]\n{team}\n\n[[ ## completed ## ]]"

    rows = ["message,team", *(f'"{row["message"]}",{row["team"]}' for row in tiny_model.team_rows(90, 3))]
    team = FieldSpec(name="team", choices=tuple(tiny_model.WORDS))
    step = StepSpec(name="sort", inputs=(FieldSpec(name="message"),), outputs=(team,))
    options = {"base_model": str(base), "epochs": 6, "learning_rate": 5e-3, "checkpoints": 2}
    found = []
    with OpenAIServer(answer=answer) as server:
        for home, backend in ((tmp_path / "here", None), (tmp_path / "there", cluster.address)):
            monkeypatch.setenv("TUNEBOARD_HOME", str(home))
            monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
            run_id = run_setup.add_run(
                home,
                dataset=run_setup.add_data(home, "\n".join(rows).encode()),
                mapping={"message": "message", "team": "team"},
                pipeline=PipelineSpec(steps=(step,)),
                model=ModelChoice(name=f"local/{base}", max_tokens=32),
                teacher_model=run_setup.server_model(server.url),
                optimizer=Named(name="BootstrapFinetune", options=options),
            )
            work(home, run_id, backend and BackendChoice(name="ray", address=backend))
            cache.default_cache().close()
            with Store.open(home, read_only=True) as store:
                run = store.runs.get(run_id)
                scores = [trial.score for trial in store.trials.all(run_id)]
            assert run.state == "finished", run.message
            found.append((run.result.best_candidate, scores))
    assert found[0] == found[1]
    assert max(found[1][1]) >= 0.7
    assert b"elsewhere" in (tmp_path / "there" / "training" / "speed.json").read_bytes()
