from dashboard.state import drafts, reading
from dashboard.state.reading import hand_over, taken
from engine.dataset import read_dataset

TABLE = b"text,shelf\na lamp,red\na cup,blue\n"


def test_an_upload_is_read_once(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEBOARD_HOME", str(tmp_path))
    table = read_dataset(TABLE, "shelves.csv")
    dataset_id = drafts.add_file(table, TABLE, "upload")
    hand_over(dataset_id, table)
    assert reading.dataset(dataset_id) is table
    assert reading.dataset(dataset_id) is table, "kept from now on"
    assert taken(dataset_id) is None


def test_only_the_latest_table_waits():
    first, second = read_dataset(TABLE, "a.csv"), read_dataset(TABLE, "b.csv")
    hand_over("one", first)
    hand_over("two", second)
    assert (taken("one"), taken("two")) == (None, second)
