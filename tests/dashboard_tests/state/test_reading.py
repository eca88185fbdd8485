from dashboard.state import reading
from dashboard.state.editing import drafts
from engine.dataset import read_dataset

TABLE = b"text,shelf\na lamp,red\na cup,blue\n"


def test_an_upload_is_read_once(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNEBOARD_HOME", str(tmp_path))
    table = read_dataset(TABLE, "shelves.csv")
    dataset_id = drafts.add_file(table, TABLE, "upload")
    reading.dataset(dataset_id, table)
    assert reading.dataset(dataset_id) is table
