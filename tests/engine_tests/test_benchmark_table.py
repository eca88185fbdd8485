"""The benchmarks' table says what was measured, and whether the targets were met."""

from __future__ import annotations

from benchmarks.speed.bench_table import HEADINGS, Row, cells, markdown_table, text_table


def test_best_is_compared_and_the_median_shown() -> None:
    row = Row("cpu", "ms", [0.5, 0.4, 0.6], [2.0, 2.4], limit=0.75, peer_share=1 / 3)
    assert cells(row) == (
        "cpu",
        "0.4 ms (median 0.5)",
        "2 ms (median 2.2)",
        "5.0 x",
        "<= 0.75 ms, <= 0.33 x DSPy",
        "yes",
    )


def test_either_target_missed_is_a_miss() -> None:
    assert Row("a", "ms", [0.8], limit=0.75).met is False
    assert Row("a", "ms", [0.7], [1.0], limit=0.75, peer_share=1 / 3).met is False
    assert Row("a", "ms", [0.7], limit=0.75, missed="imports pandas").met is False
    assert Row("a", "ms", ()).met is False
    assert Row("a", "ms", [0.7]).met is None


def test_tables_hold_every_row() -> None:
    rows = [Row("a|b", "s", [1.0], limit=2.0), Row("c", "x", [1234.0])]
    text = text_table(rows).splitlines()
    assert text[0].split("  ")[0] == HEADINGS[0]
    assert len(text) == 4
    markdown = markdown_table(rows)
    assert "a\\|b" in markdown
    assert "Python" in markdown.splitlines()[0]
    assert "| 1234 x |" in markdown
