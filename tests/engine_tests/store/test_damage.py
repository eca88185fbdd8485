"""Flipped bytes in a stored file: one message that names the file and says what to do."""

import random

import pytest
from support.run_setup import add_run

from engine.errors import EngineError, StoreDamagedError, StoreTooNewError
from engine.records import Candidate, Outcome, StepState
from engine.store.store import FILE_NAME, Store


@pytest.fixture
def stored(tmp_path):
    """A store's folder, a run in it, and the bytes of its file."""
    run_id = add_run(tmp_path)
    with Store.open(tmp_path) as store:
        store.trials.add_candidate(
            run_id, Candidate({"sort": StepState("Be brief.")}, reason="The starting prompt.")
        )
        store.trials.start(run_id, 0, "c", "validation", "", 40)
        store.trials.add_outcomes(run_id, 0, [Outcome(row, 1.0, feedback="right") for row in range(40)])
        store.events.add(run_id, "note", "hello", {"level": "info"})
        store.connection.write("PRAGMA wal_checkpoint(TRUNCATE)")
    return tmp_path, run_id, (tmp_path / FILE_NAME).read_bytes()


def look(home, run_id):
    """Read all that a run's page reads."""
    with Store.open(home, read_only=True) as store:
        store.runs.all()
        store.projects.all()
        store.trials.all(run_id)
        store.trials.outcomes(run_id, 0)
        store.trials.candidates(run_id)
        store.events.all(run_id)
        store.datasets.get(store.runs.get(run_id).spec["dataset"])


@pytest.mark.parametrize("text", [b'"feedback"', b'"level"', b'"optimizer"', b"CREATE TABLE runs"])
def test_a_flipped_byte_in_a_text_names_the_file_and_what_to_do(stored, text):
    home, run_id, good = stored
    at = good.rindex(text)
    for bad in (good[:at] + b"\x80" + good[at + 1 :], good[:at] + b"#" + good[at + 1 :]):
        (home / FILE_NAME).write_bytes(bad)
        with pytest.raises(StoreDamagedError, match="tuneboard restore FILE") as found:
            look(home, run_id)
        assert str(home / FILE_NAME) in str(found.value)


def test_flipped_bytes_anywhere_end_in_one_message(stored):
    home, run_id, good = stored
    chance = random.Random(27)
    for _ in range(150):
        at = chance.randrange(len(good))
        (home / FILE_NAME).write_bytes(good[:at] + bytes([good[at] ^ 0x80]) + good[at + 1 :])
        try:
            look(home, run_id)
        except EngineError as error:
            assert isinstance(error, StoreDamagedError | StoreTooNewError), error  # noqa: PT017 - most flips do no harm
