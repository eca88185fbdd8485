"""The film of the first page: a stored run, which is what this version's engine finds."""

from __future__ import annotations

import json

from support.film import FILM, film


def test_the_stored_film_is_what_tuning_the_sample_gives_now():
    stored, now = json.loads(FILM.read_text(encoding="utf-8")), film()
    for each in (stored, now):
        assert each.pop("spent")[0] == "free"  # the other part is the time that it took
    assert now == stored, "the engine finds another result: write the film again with `make film`"


def test_the_film_is_small():
    assert FILM.stat().st_size < 40_000
