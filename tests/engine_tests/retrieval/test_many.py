"""Very many passages: the approximate index past 20,000 of them, saved and loaded, and BM25 over as many."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.servers.openai_server import OpenAIServer

from engine import BM25, Embedder, Embeddings
from engine.errors import ProgramFileError
from engine.lm.calls.cache import Cache
from engine.retrieval import indexes
from engine.retrieval.indexes import approximate

TOPICS, SIZE, PASSAGES = 400, 48, 20_500


def _vector(text: str) -> Any:
    topic, number = map(int, text.split("/"))
    made = np.random.default_rng(topic).normal(size=SIZE)
    return made + 0.4 * np.random.default_rng(10_000 + number).normal(size=SIZE)


def by_topic(texts: list[str]) -> Any:
    """Embeds "topic/number": vectors of one topic lie near each other, as those of texts do."""
    return np.array([_vector(text) for text in texts], np.float32)


CORPUS = [f"{i % TOPICS}/{i}" for i in range(PASSAGES)]
QUERIES = [f"{i * 7 % TOPICS}/{900_000 + i}" for i in range(40)]


@pytest.fixture(scope="module")
def many() -> Embeddings:
    made = Embeddings(CORPUS, Embedder(by_topic), k=5)
    made(QUERIES[0])
    return made


@pytest.fixture(scope="module")
def exact(many: Embeddings) -> Embeddings:
    made = Embeddings(CORPUS, Embedder(by_topic), k=5, brute_force_threshold=10**6)
    made._vectors = many._vectors
    return made


def test_past_20000_passages_an_approximate_index_finds_nearly_all(
    many: Embeddings, exact: Embeddings
) -> None:
    assert many._near is not None
    assert exact._near is None
    found = [set(many(query).indices) & set(exact(query).indices) for query in QUERIES]
    assert sum(map(len, found)) / (5 * len(QUERIES)) > 0.95
    # What it finds is scored by the vectors themselves, best first.
    for query in QUERIES[:5]:
        first, second = many(query), exact(query)
        if first.indices[0] == second.indices[0]:
            assert first.passages[0] == second.passages[0]


def test_a_search_looks_at_a_part_of_the_passages(many: Embeddings) -> None:
    vector = by_topic([QUERIES[0]])[0]
    assert many._near is not None
    assert len(many._near(vector, 10**6)) < PASSAGES / 2


def test_a_saved_index_is_read_without_seeking_its_groups_again(many: Embeddings, tmp_path: Path) -> None:
    many.save(tmp_path / "index")
    arrays, main = sorted((tmp_path / "index").iterdir())
    assert (main.name, sorted(p.name for p in arrays.iterdir())) == (
        "index.json",
        ["centres.npy", "vectors.npy"],
    )
    again = Embeddings.load(tmp_path / "index", CORPUS, embedder=Embedder(by_topic))
    assert again._near is not None
    assert np.array_equal(again._near.centres, many._near.centres)
    assert [again(query).indices for query in QUERIES[:10]] == [many(query).indices for query in QUERIES[:10]]
    np.save(arrays / "centres.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ProgramFileError, match="damaged"):  # a pickle is not opened
        Embeddings.load(tmp_path / "index", embedder=Embedder(by_topic))


def test_up_to_the_threshold_every_vector_is_compared(tmp_path: Path) -> None:
    few = Embeddings(CORPUS[:300], Embedder(by_topic), brute_force_threshold=100, k=2)
    few("1/1")
    assert few._near is not None
    few.save(tmp_path / "few")
    assert Embeddings.load(tmp_path / "few", embedder=Embedder(by_topic)).brute_force_threshold == 100
    assert indexes.BRUTE_FORCE_THRESHOLD == 20_000


def test_without_faiss_every_vector_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = Embeddings(CORPUS[:300], Embedder(by_topic), k=3)
    monkeypatch.setitem(sys.modules, "faiss", None)  # as where it is not installed
    plain = Embeddings(CORPUS[:300], Embedder(by_topic), brute_force_threshold=100, k=3)
    assert [plain(query).indices for query in QUERIES] == [wanted(query).indices for query in QUERIES]
    assert plain._near is None


def test_more_may_be_asked_for_than_there_is() -> None:
    vectors = by_topic(CORPUS[:30])
    near = approximate(vectors)
    assert near is not None
    assert set(near(vectors[3], 100)) <= set(range(30))
    assert 3 in near(vectors[3], 5)


def test_bm25_over_many_passages_is_quick_after_saving_too(tmp_path: Path) -> None:
    rng = random.Random(0)
    known = ["".join(rng.choices("abcdefghijklmnop", k=rng.randint(3, 9))) for _ in range(5_000)]
    weights = [1 / (rank + 10) for rank in range(len(known))]
    drawn = rng.choices(known, weights, k=20_000 * 20)
    passages = [" ".join(drawn[at : at + 20]) for at in range(0, len(drawn), 20)]
    BM25(passages, k=5).save(tmp_path / "bm25")
    index = BM25.load(tmp_path / "bm25", passages)
    queries = [passages[i * 97] for i in range(50)]
    started = time.process_time()
    found = [index.find(query, 1)[0].index for query in queries]
    assert (time.process_time() - started) / len(queries) < 0.02
    assert [passages[i] for i in found] == queries
    assert not any(path.suffix in (".pkl", ".pickle") for path in (tmp_path / "bm25").rglob("*"))


def test_hosted_embeddings_are_asked_through_the_client_and_bought_once(tmp_path: Path) -> None:
    passages = [f"passage {'x' * i}" for i in range(450)]
    with OpenAIServer() as server:
        options: dict[str, Any] = {
            "api_base": server.url,
            "api_key": "k",
            "cache": Cache(tmp_path / "calls.db"),
        }
        index = Embeddings(passages, Embedder("openai/text-embedding-3-small", **options), k=1)
        assert index("passage").indices
        assert len(server.requests) == 4  # three of up to 200 texts, and the query
        again = Embeddings(passages, Embedder("openai/text-embedding-3-small", **options), k=1)
        assert again("passage").indices == index("passage").indices
        assert len(server.requests) == 4
