"""Limits on what a user's runs may use in a month: refused at the start, kept by the ledger, over several runs at once."""

import pytest
from support.run_setup import add_data, answer, answers_kept, kill, server_model, spec, start_worker, wait_for
from support.servers.openai_server import OpenAIServer

from dashboard.state import launching
from engine.errors import AccessError, RunError
from engine.records import Usage
from engine.runs.results.archive import bring_back, put_away
from engine.runs.spending import check_spending, left_for, limited_budget
from engine.runs.worker import work
from engine.search.budget import Budget
from engine.store.queue import SETTING
from engine.store.store import Store


@pytest.fixture
def store(home):
    with Store.open(home) as store:
        yield store


def spend(store, run, calls, usd=None):
    store.spend.add_of_run(run, Usage(calls=calls, cost=usd), Usage())


def used(store, user, calls=0, usd=None, state="finished"):
    run = store.runs.create("p", {}, "T", started_by=user)
    spend(store, run, calls, usd)
    store.runs.set_state(run, state)
    return run


def estimated(calls, usd=0.0):
    return {"calls": {"high": calls}, "usd": {"high": usd}}


def test_without_limits_everything_may_start(store):
    used(store, "ada", 10**6, 1000.0)
    check_spending(store, "ada", {}, estimated(10**6, 1000.0))


def test_a_run_that_may_pass_its_users_limit_is_refused_with_what_is_left(store):
    store.settings.set(SETTING, {"calls": 1000, "usd": 2.0})
    used(store, "ada", 700, 0.5)
    used(store, "bob", 900, 2.0)
    check_spending(store, "ada", {}, estimated(300))
    with pytest.raises(
        RunError,
        match=r"may take up to 301 calls, and 300 calls are left of your limit of 1,000 calls a month",
    ):
        check_spending(store, "ada", {}, estimated(301))
    check_spending(store, "ada", {"budget": {"calls": 300}}, estimated(900))
    with pytest.raises(RunError, match=r"\$1.50 are left of your limit"):
        check_spending(store, "ada", {}, estimated(10, 1.6))
    with pytest.raises(RunError, match="is used up"):
        check_spending(store, "bob", {}, estimated(10, 0.1))
    check_spending(store, "bob", {}, estimated(1, 0.0))
    with pytest.raises(RunError, match="price of a model is not known"):
        check_spending(store, "ada", {}, {"calls": {"high": 1}, "usd": None})


def test_runs_under_way_count_with_what_they_are_expected_to_use_still(store):
    store.settings.set(SETTING, {"calls": 1000})
    run = store.runs.create("p", {"budget": {"calls": 600}}, "T", estimated(900), started_by="ada")
    assert left_for(store, "ada").calls == 400
    spend(store, run, 200)
    assert left_for(store, "ada").calls == 400
    assert left_for(store, "ada", run).calls == 1000
    assert limited_budget(store, store.runs.get(run), Budget()).calls == 1000
    assert limited_budget(store, store.runs.get(run), Budget(calls=50)).calls == 50
    store.runs.set_state(run, "stopped")
    assert left_for(store, "ada").calls == 800


def test_what_was_spent_last_month_counts_no_more(store):
    store.settings.set(SETTING, {"calls": 1000})
    used(store, "ada", 900)
    store.connection.write("UPDATE spend SET month = '2020-01'")
    assert left_for(store, "ada").calls == 1000


def test_putting_away_and_deleting_give_nothing_back(home, store):
    store.settings.set(SETTING, {"calls": 1000})
    run = used(store, "ada", 500)
    deleted = store.projects.create("D", {})
    with_project = store.runs.create(deleted, {}, "T", started_by="ada")
    spend(store, with_project, 450)
    store.projects.delete(deleted)
    path = put_away(store, [run])
    assert left_for(store, "ada").calls == 50
    bring_back(store, path)
    assert left_for(store, "ada").calls == 50
    for change in ("DELETE FROM spend", "UPDATE spend SET calls = calls - 1", "UPDATE spend SET cost = -1"):
        with pytest.raises(AccessError, match="What was spent"):
            store.connection.write(change)


def test_who_goes_on_with_a_run_pays_for_what_follows(store):
    store.settings.set(SETTING, {"calls": 1000})
    run = store.runs.create("p", {"budget": {"calls": 600}}, "T", started_by="ada")
    spend(store, run, 200)
    store.runs.set_state(run, "stopped")
    check_spending(store, "bob", {}, estimated(1200), run)
    store.queue.expect(run, "bob")
    assert limited_budget(store, store.runs.get(run), Budget()).calls == 1200, (
        "200 of them are answered already"
    )
    spend(store, run, 300)
    assert {user: spent.usage.calls for user, spent in store.spend.by("user").items()} == {
        "bob": 300,
        "ada": 200,
    }


def test_a_run_that_is_killed_is_counted_once_and_for_who_goes_on_with_it(home, store):
    project = store.projects.create("P", {})
    with OpenAIServer(answer=answer) as server:
        server.hang_after(40)
        settings = spec(add_data(home), model=server_model(server.url)).model_dump(mode="json")
        run = store.runs.create(project, settings, "A run", started_by="ada")
        worker = start_worker(home, run)
        wait_for(lambda: sum(server.served.values()) >= 40 and server.active == server.hanging)
        wait_for(lambda: answers_kept(home) == sum(server.served.values()))
        kill(worker)
        served = sum(server.served.values())
        server.recover()
        store.queue.expect(run, "bob")
        assert work(home, run) == 0
        by_user = {user: spent.usage.calls for user, spent in store.spend.by("user").items()}
        assert sum(by_user.values()) == store.runs.get(run).calls == sum(server.served.values())
        assert 0 < by_user["ada"] <= served
        assert by_user["bob"] >= sum(server.served.values()) - served


def test_what_a_killed_process_could_not_add_is_added_by_the_next(store):
    run = used(store, "ada", 90)
    store.spend.add_of_run(run, Usage(1), Usage(calls=101))
    assert store.spend.of_run(run).calls == 101


def test_a_run_ends_at_its_users_limit_as_with_its_own_budget_and_keeps_its_final_test(home, store):
    store.settings.set(SETTING, {"calls": 110})
    project = store.projects.create("P", {})
    with OpenAIServer(answer=answer) as server:
        run = spec(add_data(home), model=server_model(server.url))
        run_id = store.runs.create(project, run.model_dump(mode="json"), "A run", started_by="ada")
        assert work(home, run_id) == 0
    done = store.runs.get(run_id)
    assert done.state == "finished"
    assert done.calls <= 110
    assert len(server.requests) <= 110
    assert done.result.baseline.rows > 0
    assert done.spec["budget"]["calls"] is None, "its settings stay as they were"
    left = left_for(store, "ada").calls
    assert left == 110 - done.calls
    with pytest.raises(RunError, match=r"left of your limit|is used up"):
        check_spending(store, "ada", {}, estimated(left + 1))


def test_runs_at_once_of_one_user_end_when_the_user_has_no_more(home, store):
    store.settings.set(SETTING, {"runs": 3})
    project, data = store.projects.create("P", {}), add_data(home)
    with OpenAIServer(answer=answer) as server:
        server.hold(after=0)
        specs = [spec(data, model=server_model(server.url), seed=seed) for seed in range(2)]
        runs = [
            store.runs.create(project, one.model_dump(mode="json"), "A run", started_by="ada")
            for one in specs
        ]
        workers = [start_worker(home, run) for run in runs]
        try:
            wait_for(lambda: all(store.runs.get(run).state == "running" for run in runs))
            wait_for(lambda: server.active >= 8)
            server.latency = 0.2
            store.settings.set(SETTING, {"runs": 3, "calls": 30})
            server.release()
            for worker in workers:
                worker.communicate(timeout=180)
        finally:
            for worker in workers:
                worker.kill()
                worker.communicate()
    messages = [store.runs.get(run).message for run in runs]
    assert any("The limit of 30 calls a month is used up." in message for message in messages)


def test_the_dashboard_refuses_a_start_and_a_larger_budget(home, store):
    store.settings.set(SETTING, {"calls": 100})
    project = store.projects.create("P", {})
    with pytest.raises(RunError, match="may take up to 101 calls"):
        launching.create(project, {}, "T", estimated(101))
    run_id = launching.create(project, {"budget": {"calls": 50}}, "T", estimated(60))
    assert launching.ask(run_id, "budget", {"budget": {"calls": 100}})
    with pytest.raises(RunError, match="may use up to 100 calls"):
        launching.ask(run_id, "budget", {"budget": {"calls": 101}})
    store.runs.set_state(run_id, "failed")
    used(store, "", 80)
    with pytest.raises(RunError, match="may take up to 50 calls, and 20 calls are left of the limit of 100"):
        launching.resume(run_id)
