"""Corpora, indexes and the module that asks them."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import resources
from pathlib import Path

import orjson
import pytest

from engine import (
    BM25,
    ColBERTv2,
    Embedder,
    Embeddings,
    Prediction,
    Retrieve,
    configure,
    context,
    read_corpus,
)
from engine.errors import BadReplyError, ConfigurationError, DatasetError, ProgramFileError, UnreachableError
from engine.retrieval import EmbeddingsWithScores, Passage
from engine.retrieval.corpus import pieces

HANDBOOK = Path(str(resources.files("sample_data"))) / "handbook"
QUESTIONS = {
    "How long does a refund take?": "refunds.md",
    "When do orders leave the warehouse?": "shipping-times.md",
    "Who founded the company?": "about-quillmere.md",
}


@pytest.mark.parametrize("kind", [BM25, Embeddings, EmbeddingsWithScores])
def test_the_handbook_can_be_searched(kind):
    made = kind(HANDBOOK, k=3)
    for question, source in QUESTIONS.items():
        found = made(question)
        assert source in [made.corpus.passages[i].source for i in found.indices]
        assert 1 <= len(found.passages) <= 3
    assert len(made("refund", k=1).passages) == 1


def test_a_folder_is_read_with_markdown_text_and_pdf(tmp_path):
    (tmp_path / "a.md").write_text("# Top\n\nIntro.\n\n## Sub\n\n```\n# no heading\n```\n\nBody.")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.txt").write_text("Plain text.")
    (tmp_path / "c.pdf").write_bytes(pdf("Hello from a page"))
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    (tmp_path / "latin.txt").write_bytes("café".encode("latin-1"))
    (tmp_path / ".hidden.md").write_text("Secret.")
    (tmp_path / "picture.png").write_bytes(b"x")
    outside = tmp_path.parent / "outside.txt"
    outside.write_text("Not yours.")
    (tmp_path / "link.txt").symlink_to(outside)
    corpus = read_corpus(tmp_path)
    found = {(p.title, p.source): p.text for p in corpus.passages}
    assert found["Top", "a.md"] == "Intro."
    assert found["Top > Sub", "a.md"].endswith("Body.")
    assert found["b", "sub/b.txt"] == "Plain text."
    assert "Hello from a page" in found["c", "c.pdf, page 1"]
    assert not any("Secret" in p.text or "Not yours" in p.text for p in corpus.passages)
    assert found["latin", "latin.txt"] == "café"
    assert len(corpus.problems) == 2
    assert corpus.hash == read_corpus(tmp_path).hash


def test_tables_and_lists(tmp_path):
    table = tmp_path / "faq.csv"
    table.write_text(
        "id,topic,body\n1,Refunds,They take five days to arrive.\n2,Mail,It goes out on Monday morning.\n"
    )
    corpus = read_corpus(table, title_column="topic")
    assert corpus.texts[0] == "Refunds | They take five days to arrive."
    assert corpus.passages[1].source == "faq.csv, row 3"
    with pytest.raises(DatasetError, match="no column 'text'"):
        read_corpus(table, text_column="text")
    assert read_corpus([{"text": "a", "title": "T"}, Passage("b"), "c"]).texts == ("T | a", "b", "c")
    for wrong in (tmp_path / "nowhere", [], [3], 7, {"a": "b"}):
        with pytest.raises(DatasetError):
            read_corpus(wrong)


def test_a_passage_names_the_row_that_a_person_counts(tmp_path):
    (tmp_path / "faq.jsonl").write_text('{"text": "Five days."}\n{"text": "On Mondays."}\n')
    (tmp_path / "faq.csv").write_text("text\nFive days.\n\nOn Mondays.\n")
    assert [p.source for p in read_corpus(tmp_path / "faq.jsonl").passages] == [
        "faq.jsonl, row 1",
        "faq.jsonl, row 2",
    ]
    assert [p.source for p in read_corpus(tmp_path / "faq.csv").passages] == [
        "faq.csv, row 2",
        "faq.csv, row 4",
    ]


def test_long_texts_are_cut_at_paragraphs_sentences_then_letters():
    assert list(pieces("a" * 25, 10)) == ["a" * 10, "a" * 10, "a" * 5]
    assert list(pieces("One two. Three four. Five.", 12)) == ["One two.", "Three four.", "Five."]
    assert list(pieces("x\n\ny", 0)) == ["x\n\ny"]
    text = "Sentence number one is here. " * 200
    assert all(len(piece) <= 300 for piece in pieces(text, 300))
    assert " ".join(pieces(text, 300)) == text.strip()


@pytest.mark.parametrize("kind", [BM25, Embeddings])
def test_an_index_is_saved_used_again_and_made_anew_for_another_corpus(kind, tmp_path):
    texts = ["Refunds take five days.", "Parcels go out on Mondays.", "Displays are repaired."]
    made = kind(texts, k=2)
    made.save(tmp_path / "index")
    again = kind.load(tmp_path / "index")
    assert again("refund").indices == made("refund").indices
    assert again.k == 2
    assert kind.load(tmp_path / "index", texts).corpus.hash == made.corpus.hash
    other = kind.load(tmp_path / "index", ["Something else entirely.", "A refund."])
    assert other("refund").indices[0] == 1
    made.save(tmp_path / "index")


def test_damaged_and_foreign_indexes_are_refused(tmp_path):
    BM25(["a word"]).save(tmp_path / "index")
    with pytest.raises(ProgramFileError, match="of the kind 'bm25'"):
        Embeddings.load(tmp_path / "index")
    with pytest.raises(ProgramFileError, match="no saved index"):
        BM25.load(tmp_path)
    main = tmp_path / "index" / "index.json"
    data = orjson.loads(main.read_bytes())
    for change in ({"hash": "0"}, {"version": 9}, {"format": "x"}, {"passages": [1]}):
        main.write_bytes(orjson.dumps(data | change))
        with pytest.raises(ProgramFileError):
            BM25.load(tmp_path / "index")
    main.write_bytes(b"{half")
    with pytest.raises(ProgramFileError, match="damaged"):
        BM25.load(tmp_path / "index")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("x")
    with pytest.raises(ConfigurationError, match="other files"):
        BM25(["a"]).save(tmp_path / "mine")


def test_odd_queries_and_corpora():
    bm25 = BM25(["...", "The the", "Tea"])
    assert bm25("").passages == []
    assert bm25("nothing here").passages == []
    assert bm25("tea").indices == [2]
    assert BM25(["...", "the"])("tea").passages == []
    near = Embeddings(["", "Tea"], k=9)
    assert near("tea").indices[0] == 1
    for k in (0, -1, 1.5, True):
        with pytest.raises(ConfigurationError, match="k must be"):
            BM25(["a"], k=k)


def test_another_embedding_model_is_noticed(tmp_path):
    Embeddings(["a", "b"]).save(tmp_path / "index")
    other = Embedder(lambda texts: [[1.0, 2.0] for _ in texts])
    with pytest.raises(ConfigurationError, match="another embedding model"):
        Embeddings.load(tmp_path / "index", embedder=other)("a")


def test_retrieve_asks_the_retriever_in_force():
    step = Retrieve(k=1)
    with pytest.raises(ConfigurationError, match="No retriever is set"):
        step("x")
    with context(rm=BM25(["Refunds take five days.", "Parcels go out on Mondays."])):
        assert step("refund").passages == ["Refunds take five days."]
        assert len(step("refund parcel", k=2).passages) == 2
    assert Retrieve(k=1, rm=lambda query, k: ["a", "b"])("q").passages == ["a"]
    assert Retrieve(rm=lambda query, k: [{"long_text": "x"}])("q").passages == ["x"]

    async def found(query, k):
        return Prediction(passages=["async"])

    assert Retrieve(rm=found)("q").passages == ["async"]
    assert callable(configure)


class _ColBERT(BaseHTTPRequestHandler):
    asked: list = []
    answer = orjson.dumps({"topk": [{"text": f"passage {i}", "pid": i, "score": 9 - i} for i in range(5)]})

    def do_GET(self):
        self._reply(self.path)

    def do_POST(self):
        self._reply(self.rfile.read(int(self.headers["Content-Length"])).decode())

    def _reply(self, asked):
        self.asked.append(asked)
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *args):
        pass


def test_colbert_over_http():
    server = HTTPServer(("127.0.0.1", 0), _ColBERT)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/api/search"
        for post in (False, True):
            rm = ColBERTv2(url, post_requests=post)
            assert rm("a query", k=2, simplify=True) == ["passage 0", "passage 1"]
            hits = rm("a query", k=2)
            assert [hit["text"] for hit in hits] == ["passage 0", "passage 1"]
            assert dict(hits[1]) == {
                "text": "passage 1",
                "long_text": "passage 1",
                "title": "",
                "pid": 1,
                "score": 8.0,
                "rank": 2,
            }
            assert (hits[0].pid, hits[0].get("prob"), hits[0].long_text) == (0, None, "passage 0")
            before = len(_ColBERT.asked)
            rm("a query", k=2)
            assert len(_ColBERT.asked) == before, "asked once"
        with context(rm=rm):
            assert Retrieve(k=3)("q").passages == ["passage 0", "passage 1", "passage 2"]
        _ColBERT.answer = b"<html>"
        with pytest.raises(BadReplyError, match="no list of passages"):
            rm("another")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    with pytest.raises(UnreachableError, match="cannot be reached"):
        rm("a third")
    with pytest.raises(ConfigurationError, match="no address"):
        ColBERTv2("file:///etc/passwd")


def pdf(text: str) -> bytes:
    """A PDF of one page that says something."""
    stream = f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length " + str(len(stream)).encode() + b" >>\nstream\n" + stream + b"\nendstream",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    table = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{place:010d} 00000 n \n".encode() for place in places)
    return out + f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF".encode()


def test_of_equal_passages_the_first_are_found():
    same = BM25([f"the same words {'a' if i % 2 else 'the'}" for i in range(40)])
    assert [hit.index for hit in same.find("words", 5)] == [0, 1, 2, 3, 4]


def test_the_second_argument_of_every_index_may_be_the_number_of_hits():
    passages = ["Refunds take five days.", "Parcels go out on Mondays.", "Open from nine."]
    for kind in (BM25, Embeddings):
        assert len(kind(passages, 2)("refunds parcels").passages) == 2


def test_the_vectors_of_a_corpus_can_be_read():
    index = Embeddings(
        ["a parcel", "a password"], lambda texts: [[1.0, len(text)] for text in texts], normalize=False
    )
    assert index.corpus_embeddings.tolist() == [[1.0, 8.0], [1.0, 10.0]]
