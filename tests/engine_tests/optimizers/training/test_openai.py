"""Training at a provider, against a local server that speaks the fine-tuning API."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support.run_setup import kill, wait_for
from support.servers.fine_tuning_server import FineTuningServer
from support.training.training_orders import ROWS, Notes, chat, order

import engine
from engine import loop
from engine.errors import ConfigurationError, MissingKeyError, TrainingError
from engine.lm.tuned import get_tuned, tuned_models
from engine.optimizers.training.openai import OpenAITrainer
from engine.search.trainers import Order, TrainerProgress
from engine.testing import ScriptedLM

pytestmark = pytest.mark.usefixtures("home")

TRAINER = OpenAITrainer(first_wait=0.002, longest_wait=0.01)


@pytest.fixture
def server():
    with FineTuningServer() as running:
        yield running


def train(wanted: Order, watch: Notes | None = None):
    return loop.run(TRAINER.train(wanted, watch or Notes()))


def test_a_model_is_trained_recorded_and_answers(server):
    watch = Notes()
    trained = train(order(server.url, licence="apache-2.0"), watch)
    assert (trained.ended, trained.score, trained.usd) == ("finished", 0.75, None)
    assert trained.tokens == server.jobs["ftjob-1"]["trained_tokens"]
    assert [p.step for p in watch.seen if p.loss][-1] == server.steps
    losses = [p.loss for p in watch.seen if p.loss]
    assert losses == sorted(losses, reverse=True)
    assert len(set(losses)) == server.steps
    messages = [p.message for p in watch.seen if p.message]
    assert len(messages) == len(set(messages))
    record = get_tuned(trained.model)
    assert (record.kind, record.rows, record.finished, record.licence) == ("hosted", 12, True, "apache-2.0")
    assert server.jobs["ftjob-1"]["hyperparameters"] == {"n_epochs": 2}
    assert record.hosted is not None
    assert loop.run(engine.LM(trained.model).acall("thing number 4")) == ["shelf 1"]
    assert server.requests[-1]["model"] == "ft:small-base:local:tuneboard:1"


def test_a_finished_training_is_not_started_again(server):
    first = train(order(server.url))
    asked = len(server.asked)
    again = train(order(server.url))
    assert (again.model, again.tokens, again.score) == (first.model, first.tokens, first.score)
    assert len(server.asked) == asked
    train(order(server.url, epochs=3))
    assert len(server.jobs) == 2


def test_another_run_and_another_metric_pay_nothing_for_a_finished_training(server):
    first = train(order(server.url))
    assert TRAINER.estimate(order(server.url)).tokens == 0
    watch = Notes()
    again = train(replace(order(server.url, run="run-2"), task="another metric"), watch)
    assert (again.model, again.ended, again.tokens) == (first.model, "already", 0)
    assert watch.scored == [first.model]
    assert len(server.jobs) == 1
    assert get_tuned(first.model).run == "run-1"


def test_a_run_that_takes_over_a_running_job_counts_its_own_share(server):
    server.hold_at = 2
    for _ in range(20):
        server.refuse("GET /fine_tuning/jobs/ftjob-1/checkpoints", 500)

    class Gone(Notes):
        def note(self, progress: TrainerProgress) -> None:
            super().note(progress)
            if progress.step == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(TRAINER.train(order(server.url), Gone()))
    server.hold_at = None
    server._refusals.clear()
    second = train(order(server.url, run="run-2"))
    assert 0 < second.tokens < server.jobs["ftjob-1"]["trained_tokens"]


def test_a_start_of_a_stopped_run_cancels_the_job_that_goes_on_there(server):
    train_until_killed(server, 3)
    stopped = Notes(stop_at=0)
    stopped.note(TrainerProgress(0, 0))
    trained = train(order(server.url), stopped)
    assert trained.ended == "stopped"
    assert server.jobs["ftjob-1"]["status"] == "cancelled"


def test_data_of_an_event_that_is_a_text_is_no_reason_to_stop(server):
    server.event_data = "step 1 of 4"
    assert train(order(server.url)).ended == "finished"


def test_a_job_that_succeeded_without_a_model_says_so(server):
    server.nameless = True
    with pytest.raises(TrainingError, match=r"says that ftjob-1 succeeded, and names no model"):
        train(order(server.url))


def test_long_lists_are_read_page_by_page(server):
    server.steps = 250
    server.hurried = True
    watch = Notes()
    train(order(server.url), watch)
    assert [p.step for p in watch.seen if p.loss][:250] == list(range(1, 251))
    for number in range(150):  # others' jobs since then
        server.jobs[f"other-{number}"] = {
            **server.jobs["ftjob-1"],
            "id": f"other-{number}",
            "training_file": "x",
        }
    for file in tmp_jobs(server):
        file.unlink()
    assert train(order(server.url)).ended == "finished"
    assert sum(name.startswith("ftjob") for name in server.jobs) == 1


def tmp_jobs(server) -> list[Path]:
    """Return the files in which this machine remembers its trainings."""
    from engine.basics.home import data_home

    return [*data_home().rglob("job.json"), *data_home().rglob("model.json")]


CHILD = """
import sys
sys.path.insert(0, {path!r})
from support.training.training_orders import Notes, order
from engine import loop
from engine.optimizers.training.openai import OpenAITrainer
loop.run(OpenAITrainer(0.002, 0.01).train(order({url!r}), Notes()))
"""


def train_until_killed(server, step):
    """Train in another process, and kill it at this step."""
    server.hold_at = step
    code = CHILD.format(path=str(Path(__file__).parents[3]), url=server.url)
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(lambda: server.jobs and server.jobs["ftjob-1"]["step"] == step, process=child)
    kill(child)


def test_a_killed_process_neither_uploads_nor_trains_again(server):
    train_until_killed(server, 2)
    server.hold_at = None
    assert train(order(server.url)).ended == "finished"
    assert (len(server.jobs), len(server.files)) == (1, 1)


def test_what_was_paid_is_known_after_a_kill_while_the_model_is_scored(server):
    class Killed(Notes):
        async def score(self, model: str, label: str) -> float | None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(TRAINER.train(order(server.url), Killed()))
    again = train(order(server.url))
    assert again.tokens == server.jobs["ftjob-1"]["trained_tokens"]
    assert len(server.jobs) == 1


def test_a_folder_that_cannot_be_written_is_one_sentence(server, tmp_path):
    (tmp_path / "models").write_text("in the way")
    with pytest.raises(
        TrainingError, match=r"models.* cannot be written .*: free some space, or choose another"
    ):
        train(order(server.url))
    assert not server.asked


def test_two_runs_with_the_same_training_pay_for_one(server):
    async def both():
        watches = Notes(), Notes()
        return await asyncio.gather(*(TRAINER.train(order(server.url), one) for one in watches)), watches

    (first, second), watches = loop.run(both())
    assert first.model == second.model
    assert (len(server.jobs), len(server.files)) == (1, 1)
    assert any("Another run trains this model now" in p.message for one in watches for p in one.seen)


@pytest.mark.parametrize("lost", ["POST /files", "POST /fine_tuning/jobs"])
def test_what_was_made_behind_a_lost_answer_is_found(server, lost):
    server.refuse(lost, 502, after=True)
    assert train(order(server.url)).ended == "finished"
    assert (len(server.jobs), len(server.files)) == (1, 1)


def test_limits_and_failures_of_the_server_are_waited_for(server):
    watch = Notes()
    server.refuse("POST /fine_tuning/jobs", 429, headers={"Retry-After": "1"})
    server.refuse("GET /fine_tuning/jobs/ftjob-1", 503)
    assert train(order(server.url), watch).ended == "finished"
    assert any("next one in 1 s" in p.message for p in watch.seen)
    assert server.counted("POST /fine_tuning/jobs") == 2


def test_a_server_that_stays_away_leaves_the_job_to_be_followed(server):
    server.hold_at = 0
    for _ in range(20):
        server.refuse("GET /fine_tuning/jobs/ftjob-1", 500)
    with pytest.raises(TrainingError, match=r"ftjob-1 may go on there and cost: start the run again"):
        train(order(server.url))
    server._refusals.clear()
    server.hold_at = None
    assert train(order(server.url)).ended == "finished"
    assert len(server.jobs) == 1


def test_stop_cancels_the_job_and_keeps_the_best_checkpoint(server):
    server.hold_at = 3
    trained = train(order(server.url), Notes(stop_at=3))
    assert trained.ended == "stopped"
    assert server.jobs["ftjob-1"]["status"] == "cancelled"
    record = get_tuned(trained.model)
    assert not record.finished
    assert record.hosted is not None
    assert record.hosted.name.endswith(":ckpt-step-2")  # the lowest validation loss


def test_stop_before_anything_was_trained_has_no_model(server):
    class Late(Notes):
        @property
        def stopped(self) -> bool:
            return bool(server.jobs)

    server.hold_at = 0
    with pytest.raises(TrainingError, match="before its first checkpoint"):
        train(order(server.url), Late())
    assert server.jobs["ftjob-1"]["status"] == "cancelled"
    with pytest.raises(TrainingError, match="before its first checkpoint"):
        train(order(server.url, seed=5), Notes(stop_at=0))  # stopped while the file is uploaded
    assert len(server.jobs) == 1


def test_a_failed_training_says_why_and_what_it_spent(server):
    server.fail_at = 3
    with pytest.raises(TrainingError, match=r"internal error\. It had trained 300 tokens\."):
        train(order(server.url))
    assert tuned_models() == []
    server.fail_at = None
    assert train(order(server.url)).ended == "finished"
    assert len(server.files) == 1


def test_a_reason_that_is_only_among_the_events_is_given(server, monkeypatch):
    server.fail_at = 1
    fail = server._fail

    def fail_without_a_word(job, code, message):
        fail(job, code, "Your credit is used up.")
        job["error"] = None

    monkeypatch.setattr(server, "_fail", fail_without_a_word)
    with pytest.raises(TrainingError, match=r"\(ftjob-1\): Your credit is used up\."):
        train(order(server.url))


def test_compile_warns_of_a_training_that_failed_at_the_provider(server, caplog):
    server.fail_at = 1
    rows = [engine.Example(text=f"thing {i}", shelf=str(i % 3)).with_inputs("text") for i in range(12)]
    teacher = ScriptedLM(
        lambda request: {"shelf": str(int(re.findall(r"thing (\d+)", str(request.messages))[-1]) % 3)}
    )
    tuner = engine.BootstrapFinetune(
        engine.ExactMatch(),
        trainer=TRAINER,
        train_kwargs={"model": "small-base", "base_url": server.url},
        teacher_settings={"lm": teacher},
        task_model=ScriptedLM(lambda _: {"shelf": "none"}),
    )
    made = tuner.compile(engine.Predict("text -> shelf"), trainset=rows)
    why = "could not finish the training (ftjob-1): The training failed on an internal error. It had trained 100 tokens."
    assert [why in record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        True
    ]
    assert why in made.tuning.reason


def test_a_training_file_that_is_refused_says_so(server):
    with pytest.raises(
        TrainingError, match=r"refused the training file .*at least 10 examples.* Nothing was trained"
    ):
        train(order(server.url, ROWS[:4]))


def test_an_unknown_base_model_lists_the_near_ones(server):
    with pytest.raises(TrainingError, match=r"not available for fine-tuning .*small-base"):
        train(order(server.url, base_model="smal-base"))
    assert not server.jobs


def test_a_refused_key_is_not_shown(server, monkeypatch):
    monkeypatch.setenv("MY_KEY", "secret-key-of-mine")
    server.api_key = "another"
    with pytest.raises(TrainingError, match="refused the API key") as raised:
        train(order(server.url, key_env="MY_KEY"))
    assert "secret-key-of-mine" not in str(raised.value)
    assert server.counted("") == 1


def test_a_server_that_is_not_there():
    with pytest.raises(TrainingError, match=r"Cannot reach 127\.0\.0\.1:9"):
        train(order("http://127.0.0.1:9/v1"))


def test_checks_before_the_start(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    hosted = order("", base_url=None, base_model="gpt-4o-mini-2024-07-18")
    with pytest.raises(MissingKeyError, match="set OPENAI_API_KEY"):
        TRAINER.check(hosted)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    with pytest.raises(ConfigurationError, match="10 rows or more, and there are 3"):
        TRAINER.check(replace(hosted, rows=ROWS[:3]))
    with pytest.raises(ConfigurationError, match="grpo"):
        TRAINER.check(order("http://localhost:1", method="grpo"))
    with pytest.raises(ConfigurationError, match="no model of a provider"):
        TRAINER.check(order("", base_url=None, base_model="anthropic/claude-opus-4-8"))
    long = replace(hosted, rows=(*ROWS, chat("word " * 3000, "x")))
    assert any("1 row of 13 may be longer than 2,048 tokens" in note for note in TRAINER.check(long))


def test_the_estimate_has_the_price_where_it_is_known():
    found = TRAINER.estimate(order("", base_url=None, base_model="gpt-4o-mini-2024-07-18"))
    assert (found.rows, found.seconds) == (12, None)
    assert found.usd == pytest.approx(found.tokens * 3e-6)
    assert TRAINER.estimate(order("http://localhost:1")).usd is None


def test_a_job_that_is_gone_at_the_provider_is_made_again(server):
    server.fail_at = 1
    with pytest.raises(TrainingError):
        train(order(server.url))
    server.files.clear()
    with pytest.raises(TrainingError, match="Invalid file id"):
        train(order(server.url))
    server.fail_at = None
    assert train(order(server.url)).ended == "finished"
