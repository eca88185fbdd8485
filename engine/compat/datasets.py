"""DSPy's DataLoader and Dataset: tables as lists of Example, and seeded splits of them."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.basics.data import Values
from engine.compat.objects import dotdict
from engine.errors import ConfigurationError, DatasetError
from engine.records import Example

Names = Sequence[str]


class SeededDataset:
    """A dataset with the splits `train`, `dev` and `test`, each shuffled by a seed and cut to a size.

    Subclass it and set `_train`, `_dev` and `_test` to lists of dictionaries in `__init__`.
    """

    _train: Iterable[Values] = ()
    _dev: Iterable[Values] = ()
    _test: Iterable[Values] = ()

    def __init__(
        self,
        train_seed: int = 0,
        train_size: int | None = None,
        eval_seed: int = 0,
        dev_size: int | None = None,
        test_size: int | None = None,
        input_keys: Names | None = None,
    ) -> None:
        self.train_size, self.dev_size, self.test_size = train_size, dev_size, test_size
        self.train_seed, self.dev_seed, self.test_seed = train_seed, eval_seed, eval_seed
        self.input_keys = list(input_keys or ())
        self.do_shuffle = True
        self.name = type(self).__name__
        self._drawn: dict[str, list[Example]] = {}

    def reset_seeds(
        self,
        train_seed: int | None = None,
        train_size: int | None = None,
        eval_seed: int | None = None,
        dev_size: int | None = None,
        test_size: int | None = None,
    ) -> None:
        """Change seeds and sizes; None leaves one as it is."""
        sizes = {"train_size": train_size, "dev_size": dev_size, "test_size": test_size}
        seeds = {"train_seed": train_seed, "dev_seed": eval_seed, "test_seed": eval_seed}
        vars(self).update({name: value for name, value in (sizes | seeds).items() if value is not None})
        self._drawn.clear()

    @property
    def train(self) -> list[Example]:
        """Training rows."""
        return self._split("train", self._train, self.train_size, self.train_seed)

    @property
    def dev(self) -> list[Example]:
        """Validation rows."""
        return self._split("dev", self._dev, self.dev_size, self.dev_seed)

    @property
    def test(self) -> list[Example]:
        """Test rows."""
        return self._split("test", self._test, self.test_size, self.test_seed)

    def _split(self, name: str, rows: Iterable[Values], size: int | None, seed: int) -> list[Example]:
        if name not in self._drawn:
            self._drawn[name] = self._shuffle_and_sample(name, rows, size, seed)
        return self._drawn[name]

    def _shuffle_and_sample(
        self, split: str, data: Iterable[Values], size: int | None, seed: int = 0
    ) -> list[Example]:
        rows = list(data)
        if self.do_shuffle:
            random.Random(seed).shuffle(rows)
        examples = [
            Example({**row, "dspy_uuid": str(uuid.uuid4()), "dspy_split": split}) for row in rows[:size]
        ]
        return [row.with_inputs(*self.input_keys) for row in examples] if self.input_keys else examples

    @classmethod
    def prepare_by_seed(
        cls,
        train_seeds: Sequence[int] | None = None,
        train_size: int = 16,
        dev_size: int = 1000,
        divide_eval_per_seed: bool = True,
        eval_seed: int = 2023,
        **kwargs: Any,
    ) -> dotdict:
        """Return `train_sets` and `eval_sets`, one of each for every seed."""
        seeds = list(train_seeds or (1, 2, 3, 4, 5))
        dataset = cls(train_size=train_size, dev_size=dev_size, test_size=0, eval_seed=eval_seed, **kwargs)
        each = dev_size // len(seeds) if divide_eval_per_seed else dev_size
        trains, evals = [], []
        for at, seed in enumerate(seeds):
            first = at * each if divide_eval_per_seed else 0
            evals.append(dataset.dev[first : first + each])
            dataset.reset_seeds(train_seed=seed)
            trains.append(dataset.train)
        return dotdict(train_sets=trains, eval_sets=evals)


Dataset = SeededDataset
"""The class under DSPy's name."""


class DataLoader(SeededDataset):
    """Reads tables as lists of Example, and splits such lists.

    >>> rows = [Example(n=n) for n in range(8)]
    >>> {name: len(part) for name, part in DataLoader().train_test_split(rows).items()}
    {'train': 6, 'test': 2}
    """

    def __init__(self) -> None:
        super().__init__()

    def from_csv(
        self, file_path: str | Path, fields: Names | None = None, input_keys: Names = ()
    ) -> list[Example]:
        """Read a CSV file; numbers become numbers, empty cells None."""
        import pandas as pd

        return self.from_pandas(pd.read_csv(file_path), fields, input_keys)

    def from_pandas(self, df: Any, fields: Names | None = None, input_keys: Names = ()) -> list[Example]:
        """Read a pandas DataFrame; missing values become None."""
        table = df.astype(object).where(df.notna(), None)
        return _examples(table.to_dict("records"), fields, input_keys)

    def from_json(
        self, file_path: str | Path, fields: Names | None = None, input_keys: Names = ()
    ) -> list[Example]:
        """Read a JSON file: a list of objects, or one object on each line."""
        text = Path(file_path).read_text(encoding="utf-8").strip()
        rows = json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]
        return _examples(rows, fields, input_keys)

    def from_parquet(
        self, file_path: str | Path, fields: Names | None = None, input_keys: Names = ()
    ) -> list[Example]:
        """Read a Parquet file."""
        import pyarrow.parquet as parquet

        return _examples(parquet.read_table(file_path).to_pylist(), fields, input_keys)

    def from_huggingface(
        self,
        dataset_name: str,
        *args: Any,
        input_keys: Names = (),
        fields: Names | None = None,
        **kwargs: Any,
    ) -> dict[str, list[Example]] | list[Example]:
        """Read a dataset with the `datasets` package: lists by split, or one list if `split` names one.

        Raises ConfigurationError without that package.
        """
        if isinstance(input_keys, str) or isinstance(fields, str):
            raise ConfigurationError("from_huggingface: input_keys and fields are tuples of names.")
        loaded = _load_dataset(dataset_name, *args, **kwargs)
        splits = kwargs.get("split")
        if isinstance(loaded, list) and isinstance(splits, list):
            loaded = dict(zip(splits, loaded, strict=True))
        if isinstance(loaded, Mapping):
            return {name: _examples(rows, fields, input_keys) for name, rows in loaded.items()}
        return _examples(loaded, fields, input_keys)

    def from_rm(self, num_samples: int, fields: Names, input_keys: Names) -> list[Example]:
        """Read rows from a retriever that has `get_objects`. Raises ConfigurationError for another one."""
        from engine.runtime import current

        rm = current().rm
        if not hasattr(rm, "get_objects"):
            raise ConfigurationError("The retriever has no get_objects(num_samples, fields): set another rm.")
        return _examples(rm.get_objects(num_samples=num_samples, fields=fields), fields, input_keys)

    def sample(self, dataset: list[Example], n: int, *args: Any, **kwargs: Any) -> list[Example]:
        """Return `n` examples, drawn at random."""
        if not isinstance(dataset, list):
            raise DatasetError(f"sample takes a list of Example, not {type(dataset).__name__}.")
        return random.sample(dataset, n, *args, **kwargs)

    def train_test_split(
        self,
        dataset: list[Example],
        train_size: int | float = 0.75,
        test_size: int | float | None = None,
        random_state: int | None = None,
    ) -> dict[str, list[Example]]:
        """Return two shuffled parts, "train" and "test"; sizes are rows, or shares between 0 and 1.

        Raises ConfigurationError for sizes that do not fit.
        """
        rows = list(dataset)
        if random_state is not None:
            random.seed(random_state)
        random.shuffle(rows)
        first = _rows_of(train_size, len(rows), "train_size")
        second = len(rows) - first if test_size is None else _rows_of(test_size, len(rows), "test_size")
        if first + second > len(rows):
            raise ConfigurationError(
                f"train_size ({first}) and test_size ({second}) are more than the {len(rows)} rows."
            )
        return {"train": rows[:first], "test": rows[first : first + second]}


class HuggingFaceDataset(SeededDataset):
    """A dataset that is read with the `datasets` package when it is made."""

    source: tuple[str, ...] = ()
    splits: Mapping[str, str] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for ours, theirs in self.splits.items():
            setattr(self, f"_{ours}", list(_load_dataset(*self.source, split=theirs)))


class HotPotQA(HuggingFaceDataset):
    """HotPotQA's questions and answers, from Hugging Face."""

    source = ("hotpot_qa", "fullwiki")
    splits = {"train": "train[:90%]", "dev": "train[90%:]", "test": "validation"}


class GSM8K(HuggingFaceDataset):
    """GSM8K's questions and answers, from Hugging Face."""

    source = ("gsm8k", "main")
    splits = {"train": "train[:90%]", "dev": "train[90%:]", "test": "test"}


def _load_dataset(*args: Any, **kwargs: Any) -> Any:
    """Load with the `datasets` package. Raises ConfigurationError without it."""
    try:
        from datasets import load_dataset
    except ImportError:
        raise ConfigurationError(
            f"Reading {args[0]!r} needs the package `datasets`: pip install datasets. A file on this machine needs "
            "none: from_csv, from_json, from_parquet."
        ) from None
    return load_dataset(*args, **kwargs)


def _examples(rows: Iterable[Values], fields: Names | None, input_keys: Names) -> list[Example]:
    """Return rows as examples. Raises DatasetError for a field that is not there."""
    examples = []
    for row in rows:
        missing = [name for name in fields or () if name not in row]
        if missing:
            raise DatasetError(f"There is no column {missing[0]!r}. Columns: {', '.join(row)}.")
        examples.append(Example({name: row[name] for name in fields or row}).with_inputs(*input_keys))
    return examples


def _rows_of(size: int | float, total: int, name: str) -> int:
    """Return a size as a number of rows."""
    if isinstance(size, float) and 0 < size < 1:
        return int(total * size)
    if isinstance(size, int) and not isinstance(size, bool):
        return size
    raise ConfigurationError(f"{name} is a number of rows or a share between 0 and 1, not {size!r}.")
