"""Versions of a project's program: kept, used, rolled back, and the file that follows."""

import pytest
from support.run_setup import add_run

import engine
from engine.errors import NotFoundError, RunError
from engine.runs.results.exports import keep_version, program_path, take_prompt, use_none, use_version
from engine.runs.spec import Named
from engine.runs.worker import work
from engine.store.store import Store


def finished_run(home, name):
    run_id = add_run(home, optimizer=Named(name=name))
    assert work(home, run_id) == 0
    return run_id


def test_keep_use_roll_back(home):
    run_id = finished_run(home, "LabeledFewShot")
    with Store.open(home) as store:
        project = store.runs.get(run_id).project_id
        result = store.runs.get(run_id).result
        seed = result.seed_candidate
        take_prompt(home, store, run_id, result.best_candidate)
        first = keep_version(store, run_id, seed, "as it was")
        second = keep_version(store, run_id)
        assert (first.number, second.number) == (1, 2)
        assert keep_version(store, run_id).number == 2
        path = use_version(home, store, project, 2)
        assert path == program_path(home, project)
        assert engine.load(path).candidate().id == second.candidate_id
        assert [v.in_use for v in store.versions.all(project)] == [True, False]
        assert store.runs.get(run_id).in_use
        use_version(home, store, project, 1)
        assert engine.load(path).candidate().id == seed
        assert [(v.number, v.in_use, v.note) for v in store.versions.all(project)] == [
            (2, False, ""),
            (1, True, "as it was"),
        ]
        use_none(home, store, project)
        assert not path.exists()
        assert not store.runs.get(run_id).in_use
        with pytest.raises(NotFoundError, match="no version 7"):
            use_version(home, store, project, 7)


def test_the_prompt_taken_is_what_is_exported_and_kept(home):
    run_id = finished_run(home, "BootstrapFewShot")
    with Store.open(home) as store:
        result = store.runs.get(run_id).result
        for part in ("best_candidate", "seed_candidate"):
            paths = take_prompt(home, store, run_id, getattr(result, part))
            run = store.runs.get(run_id)
            assert run.taken == getattr(result, part)
            assert engine.load(paths.program).candidate().id == getattr(result, part)
            assert [(p.holds, p.file) for p in run.result.proof][:1] == [(True, "program.json")]
            assert keep_version(store, run_id).candidate_id == getattr(result, part)
        metadata = store.versions.all(run.project_id)[0].content["metadata"]
        assert metadata["score"] == result.baseline.test
        assert metadata["verdict"] == ""  # the verdict is about the best prompt


def test_a_prompt_that_was_not_tested_can_be_taken_without_a_proof(home):
    run_id = finished_run(home, "BootstrapFewShotWithRandomSearch")
    with Store.open(home) as store:
        result = store.runs.get(run_id).result
        tested = {result.best_candidate, result.seed_candidate}
        other = next(c.id for c in store.trials.candidates(run_id) if c.id not in tested)
        take_prompt(home, store, run_id, other)
        run = store.runs.get(run_id)
        assert (run.taken, run.result.proof) == (other, ())
        with pytest.raises(NotFoundError):
            take_prompt(home, store, run_id, "nobody")
        assert store.runs.get(run_id).taken == other


def test_a_run_without_a_result_cannot_be_kept_but_a_prompt_of_it_can_be_saved(home):
    run_id = add_run(home, optimizer=Named(name="LabeledFewShot"))
    with Store.open(home) as store:
        with pytest.raises(RunError, match="no result yet"):
            keep_version(store, run_id)
        found = finished_run(home, "LabeledFewShot")
        (candidate, *_) = store.trials.candidates(found)
        store.trials.add_candidate(run_id, candidate.candidate)
        paths = take_prompt(home, store, run_id, candidate.id)
        assert engine.load(paths.program).candidate().id == candidate.id
        assert store.runs.get(run_id).result is None


def test_tags_are_kept_tidy(home):
    run_id = add_run(home, optimizer=Named(name="LabeledFewShot"))
    with Store.open(home) as store:
        assert store.runs.get(run_id).tags == ()
        store.runs.set_tags(run_id, [" demo ", "v2", "demo", " "])
        assert store.runs.get(run_id).tags == ("demo", "v2")
