import gc
import weakref

import pytest

from dashboard.state import reading
from dashboard.state.editing import drafts
from engine.dataset import Dataset, read_dataset
from engine.dataset.memory import LARGE
from engine.pipeline.infer import infer_mapping, infer_pipeline
from engine.runs.spec import ProjectDraft

pytestmark = pytest.mark.usefixtures("home")

TABLE = b"text,shelf\na lamp,red\na cup,blue\n"


def test_an_upload_is_read_once():
    table = read_dataset(TABLE, "shelves.csv")
    dataset_id = drafts.add_file(table, TABLE, "upload")
    reading.dataset(dataset_id, table)
    assert reading.dataset(dataset_id) is table


def large(number: int) -> tuple[bytes, Dataset]:
    rows = "".join(f"{'a lamp ' * 100}{number} {i},{('red', 'blue')[i % 2]}\n" for i in range(12_500))
    content = f"text,shelf\n{rows}".encode()
    return content, read_dataset(content, "shelves.csv")


def test_of_large_tables_only_the_last_two_stay_in_memory():
    kept = []
    for number in range(4):
        content, table = large(number)
        assert len(content) > LARGE
        reading.dataset(drafts.add_file(table, content, "upload"), table)
        kept.append(weakref.ref(table))
    del table
    gc.collect()
    assert [table() is None for table in kept] == [True, True, False, False]


def test_usable_rows_are_known_by_id_and_made_when_asked_for():
    content = TABLE + b"a pot,\nan old jug,blue\n"
    table = read_dataset(content, "shelves.csv")
    spec = infer_pipeline(table, {"text": "input", "shelf": "output"})
    draft = ProjectDraft(
        pipeline=spec, mapping=infer_mapping(table, spec), dataset=drafts.add_file(table, content, "upload")
    )
    found = reading.usable(draft.dataset, draft.pipeline, draft.mapping)
    assert [row in found for row in range(-1, 5)] == [False, True, True, False, True, False]
    assert (len(found), [p.row for p in found.problems]) == (3, [4])
    assert {row: one["text"] for row, one in reading.examples_at(draft, [1, 2, 3]).items()} == {
        1: "a cup",
        3: "an old jug",
    }
