"""What people ask of a run under way: a prompt of their own scored, a larger budget; and all of it again after a kill."""

import pytest
from support.run_setup import (
    COLOURS,
    THINGS,
    add_run,
    answer,
    kill,
    server_model,
    start_worker,
    wait_for,
    wait_for_looks,
)
from support.servers.openai_server import OpenAIServer

from engine.runs.recorder import StoreRequests
from engine.runs.worker import work
from engine.search.budget import Budget
from engine.store.rows import NOT_DONE
from engine.store.runs import budget_now
from engine.store.store import Store


def knowing(body):
    """Answer every row right where the prompt says so, else as `answer` does."""
    if "by the thing" not in str(body["messages"][0]["content"]):
        return answer(body)
    asked = str(body["messages"][-1]["content"])
    thing = next(t for t in THINGS if t in asked)
    return f"[[ ## shelf ## ]]\n{COLOURS[THINGS.index(thing) % 3]}\n\n[[ ## completed ## ]]"


def by_hand(store, run_id, text="Say on which shelf it belongs; go by the thing."):
    seed = store.trials.candidates(run_id)[0].candidate
    return seed.with_step("sort", instructions=text).derived("Written by hand, from prompt 0.", seed)


def held_while_searching(home, server, run_id):
    """Start a run; return its process when it searches and none of its calls is answered (see `server.release`)."""
    server.hold(after=14)  # the starting prompt is scored with 12
    process = start_worker(home, run_id)
    wait_for(lambda: server.held == 2, process=process)
    return process


def noticed(home, server, run_id):
    """Let the run go on once it knows what it is asked for."""
    wait_for_looks(home, run_id)
    server.release()


def all_answered(store, run_id):
    return all(r.answer for r in store.requests.all(run_id)) and store.requests.all(run_id)


def answered(store, run_id):
    return wait_for(lambda: all_answered(store, run_id))


def in_steps(server, condition):
    """Let a few calls through at a time until something holds, so that the run is not over before it can be killed."""

    def step():
        found = condition()
        if not found and server.active and server.held == server.active:
            server.hold(after=3)
        return found

    return wait_for(step)


def test_a_prompt_written_by_hand_is_scored_and_is_the_result_where_it_is_the_best(home):
    with OpenAIServer(knowing, latency=0.02) as server, Store.open(home) as store:
        run_id = add_run(home, model=server_model(server.url), concurrency=2)
        process = held_while_searching(home, server, run_id)
        mine = by_hand(store, run_id)
        store.requests.add(run_id, "candidate", {"candidate": mine.as_dict()})
        noticed(home, server, run_id)
        (request,) = answered(store, run_id)
        assert request.answer == "Done: it scores 100 % on the 12 validation rows."
        process.communicate(timeout=300)
        run = store.runs.get(run_id)
        assert run.state == "finished"
        assert run.result.best_candidate == mine.id
        assert run.result.best.test == 1.0
        trial = next(t for t in store.trials.all(run_id) if t.label == "by hand")
        assert any(t.number > trial.number and t.split == "validation" for t in store.trials.all(run_id)), (
            "it is not left for the end"
        )
        assert (trial.split, trial.score, trial.candidate_id) == ("validation", 1.0, mine.id)
        found = next(c for c in store.trials.candidates(run_id) if c.id == mine.id)
        assert found.candidate.reason == "Written by hand, from prompt 0."
        assert set(server.served.values()) == {1}


def test_a_poor_prompt_written_by_hand_changes_no_result(home):
    with OpenAIServer(knowing, latency=0.02) as server, Store.open(home) as store:
        run_id = add_run(home, model=server_model(server.url), concurrency=2)
        process = held_while_searching(home, server, run_id)
        mine = by_hand(store, run_id, "Say nothing of use.")
        store.requests.add(run_id, "candidate", {"candidate": mine.as_dict()})
        noticed(home, server, run_id)
        process.communicate(timeout=300)
        result = store.runs.get(run_id).result
        assert result.best_candidate != mine.id
        undisturbed = add_run(home, model=server_model(server.url), concurrency=2)
        assert work(home, undisturbed) == 0
        assert store.runs.get(undisturbed).result.best_candidate == result.best_candidate


def test_a_raised_budget_counts_at_once_and_holds(home):
    with OpenAIServer(knowing, latency=0.02) as server, Store.open(home) as store:
        # 12 validation and 12 test rows: the search has 34 calls, and would end with them.
        run_id = add_run(home, model=server_model(server.url), concurrency=2, budget=Budget(calls=70))
        process = held_while_searching(home, server, run_id)
        store.requests.add(run_id, "budget", {"budget": {"calls": 90, "tokens": None}})
        noticed(home, server, run_id)
        (request,) = answered(store, run_id)
        assert request.answer == "Done: the run may use 90 calls now."
        process.communicate(timeout=300)
        run = store.runs.get(run_id)
        assert 70 < run.calls <= 90
        assert budget_now(run.spec["budget"], store.requests.all(run_id))["calls"] == 90
        assert any("You raised the budget" in e.text for e in store.events.all(run_id))


def test_killed_and_driven_again_requests_are_done_again_and_nothing_is_paid_twice(home):
    with OpenAIServer(knowing, latency=0.02) as server, Store.open(home) as store:
        run_id = add_run(home, model=server_model(server.url), concurrency=2, budget=Budget(calls=90))
        process = held_while_searching(home, server, run_id)
        mine = by_hand(store, run_id)
        store.requests.add(run_id, "candidate", {"candidate": mine.as_dict()})
        store.requests.add(run_id, "budget", {"budget": {"calls": 400}})
        wait_for_looks(home, run_id)
        before = in_steps(server, lambda: all_answered(store, run_id))
        trial = next(t for t in store.trials.all(run_id) if t.label == "by hand")
        made = sum(server.served.values())
        in_steps(server, lambda: sum(server.served.values()) > made + 3)
        kill(process)
        server.release()
        process = start_worker(home, run_id)
        process.communicate(timeout=300)
        assert process.returncode == 0
        run = store.runs.get(run_id)
        assert (run.state, run.result.best_candidate) == ("finished", mine.id)
        again = next(t for t in store.trials.all(run_id) if t.label == "by hand")
        assert (again.number, again.score) == (trial.number, trial.score)
        assert [(r.answer, r.batch) for r in store.requests.all(run_id)] == [
            (r.answer, r.batch) for r in before
        ]
        assert run.calls > 90
        assert sum(n - 1 for n in server.served.values()) <= 2, "only what was on its way is asked again"


@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [
        ("budget", {"budget": {"calls": 10}}, "a limit can only be raised"),
        ("budget", {"budget": {"usd": 5}}, "a limit can only be raised"),
        ("budget", {"budget": {"calls": "many"}}, "it cannot be read"),
        ("candidate", {"candidate": {"steps": {"other": {"instructions": "x"}}}}, "it must have the steps sort"),
        ("candidate", {"candidate": {"steps": {"sort": {"instructions": " "}}}}, "the instruction of sort is empty"),
        ("candidate", {}, "it cannot be read"),
        ("magic", {}, "it cannot be read"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_in_a_sentence(home, kind, content, expected):
    with OpenAIServer(knowing, latency=0.02) as server, Store.open(home) as store:
        run_id = add_run(home, model=server_model(server.url), concurrency=2, budget=Budget(calls=200))
        store.requests.add(run_id, kind, content)
        process = start_worker(home, run_id)
        (request,) = answered(store, run_id)
        assert request.refused
        assert request.answer.startswith(f"{NOT_DONE}{expected}")
        store.runs.request_stop(run_id)
        process.communicate(timeout=300)
        assert process.returncode == 0


def test_what_comes_after_the_search_is_refused_and_goes_with_its_project(home):
    run_id = add_run(home)
    with Store.open(home) as store:
        project = store.runs.get(run_id).project_id
        store.requests.add(run_id, "budget", {"budget": {"calls": 10}})

        class Still:
            requests = ()

        StoreRequests(store, run_id, Still()).close()
        assert store.requests.all(run_id)[0].answer.startswith(f"{NOT_DONE}the search had ended")
        assert store.requests.open(run_id) == []
        store.projects.delete(project)
        assert store.requests.all(run_id) == []
