"""Shared parts of both sides of the comparison on records: models, rows, scores. Imported by both environments."""

from __future__ import annotations

import json
import random
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, Field
from teachable.records import SETS, flat

TUNED, TESTED = 18, 30


class Invoice(BaseModel):
    """An invoice, credit note or delivery note."""

    number: str | None = Field(None, description="The number.")
    date: str | None = Field(None, description="A date.")
    due: str | None = Field(None, description="Another date.")
    total: float | None = Field(None, description="An amount.")


class Place(BaseModel):
    """A place."""

    city: str | None = Field(None, description="A town.")


class Parcel(BaseModel):
    """A notice of a parcel."""

    reference: str | None = Field(None, description="A number.")
    shipped: str | None = Field(None, description="A date.")
    arrives: str | None = Field(None, description="A date.")
    sender: Place
    recipient: Place
    charged_weight: float | None = Field(None, description="Kilograms.")


MODELS: dict[str, type[BaseModel]] = {"invoices": Invoice, "parcels": Parcel}


def rows(name: str, seed: int) -> tuple[list[Any], list[Any]]:
    """Return the rows to tune on, and those held out from either side."""
    found = SETS[name][1]()
    random.Random(seed).shuffle(found)
    return found[:TUNED], found[TUNED : TUNED + TESTED]


def served(url: str) -> int:
    """Return how many requests the model server has answered."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/stats", timeout=60) as response:
        return int(json.load(response)["served"])


def measured(name: str, seed: int, url: str, tune: Callable[[], Any], read: Callable[[str], Any]) -> None:
    """Tune, read the rows held out, and print what came of it as JSON."""
    test = rows(name, seed)[1]
    before, started = served(url), time.monotonic()
    tune()
    seconds, calls = time.monotonic() - started, served(url) - before
    right: dict[str, list[bool]] = {}
    for text, answer in test:
        try:
            got = flat(read(text))
        except Exception:  # noqa: BLE001 - a document that cannot be read is wrong in every field
            got = {}
        for path, value in flat(answer).items():
            right.setdefault(path, []).append(got.get(path) == value and path in got)
    fields = {path: sum(values) / len(values) for path, values in right.items()}
    print(json.dumps({"fields": fields, "calls": calls, "seconds": seconds}))
