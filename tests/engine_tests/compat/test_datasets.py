"""DSPy's DataLoader and Dataset."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import engine
from engine.datasets import DataLoader, Dataset
from engine.errors import ConfigurationError, DatasetError


def test_tables_are_read_as_examples(tmp_path: Path) -> None:
    frame = pd.DataFrame({"question": ["a", "b"], "points": [1, 2], "note": ["x", None]})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    frame.to_parquet(tmp_path / "rows.parquet")
    (tmp_path / "rows.json").write_text(frame.to_json(orient="records"))
    (tmp_path / "lines.jsonl").write_text(frame.to_json(orient="records", lines=True))
    loader = DataLoader()
    expected = [{"question": "a", "points": 1, "note": "x"}, {"question": "b", "points": 2, "note": None}]
    read = [
        loader.from_pandas(frame),
        loader.from_csv(tmp_path / "rows.csv"),
        loader.from_parquet(tmp_path / "rows.parquet"),
        loader.from_json(tmp_path / "rows.json"),
        loader.from_json(str(tmp_path / "lines.jsonl")),
    ]
    for rows in read:
        assert [row.toDict() for row in rows] == expected
        assert all(isinstance(row, engine.Example) for row in rows)
    one = loader.from_csv(tmp_path / "rows.csv", fields=("question", "points"), input_keys=("question",))[0]
    assert one.inputs().toDict() == {"question": "a"}
    assert one.labels().toDict() == {"points": 1}
    with pytest.raises(DatasetError, match=r"no column 'answer'\. Columns: question, points, note"):
        loader.from_csv(tmp_path / "rows.csv", fields=["answer"])


def test_lists_are_split_and_sampled() -> None:
    loader, rows = DataLoader(), [engine.Example(n=n) for n in range(10)]
    split = loader.train_test_split(rows, train_size=0.7, random_state=1)
    again = loader.train_test_split(rows, train_size=0.7, random_state=1)
    assert [row.n for row in split["train"]] == [row.n for row in again["train"]]
    assert sorted(row.n for part in split.values() for row in part) == list(range(10))
    assert [len(part) for part in loader.train_test_split(rows, train_size=3, test_size=2).values()] == [3, 2]
    assert len(loader.sample(rows, n=4)) == 4
    with pytest.raises(ConfigurationError, match="more than the 10 rows"):
        loader.train_test_split(rows, train_size=8, test_size=0.5)
    with pytest.raises(ConfigurationError, match="train_size is a number of rows"):
        loader.train_test_split(rows, train_size=1.5)


def test_hugging_face_needs_its_package() -> None:
    pytest.importorskip("pandas")
    try:
        import datasets  # noqa: F401
    except ImportError:
        with pytest.raises(ConfigurationError, match="'squad' needs the package `datasets`"):
            DataLoader().from_huggingface("squad")


class Sums(Dataset):
    """A dataset of one's own."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._train = [{"question": f"{n} + 1", "answer": n + 1} for n in range(20)]
        self._dev = [{"question": f"{n} + 2", "answer": n + 2} for n in range(30)]


def test_a_dataset_is_shuffled_by_its_seed_and_cut() -> None:
    data = Sums(train_seed=1, train_size=5, eval_seed=3, dev_size=4, input_keys=["question"])
    first = [row.answer for row in data.train]
    assert [len(data.train), len(data.dev), len(data.test)] == [5, 4, 0]
    assert data.train[0].inputs().keys() == ["question"]
    data.reset_seeds(train_seed=2)
    assert [row.answer for row in data.train] != first
    data.reset_seeds(train_seed=1)
    assert [row.answer for row in data.train] == first
    sets = Sums.prepare_by_seed(train_seeds=[1, 2], train_size=3, dev_size=10)
    assert [len(one) for one in (*sets.train_sets, *sets.eval_sets)] == [3, 3, 5, 5]
