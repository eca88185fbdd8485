"""One optimization of a Prompter, scored on rows held out, with either library: python records_work.py LIBRARY SET SEED URL.

LIBRARY is `engine`, or `dspydantic` in an environment that has DSPydantic 0.1.6.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import logging
import random
import sys
import time
import urllib.request
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


def prompter_of(library: str, name: str, url: str) -> tuple[Any, type[Any]]:
    """Return a library's Prompter of one of `MODELS`, and its class of examples."""
    if library == "dspydantic":
        logging.disable(logging.ERROR)
        dspy, dspydantic = importlib.import_module("dspy"), importlib.import_module("dspydantic")
        dspy.configure(lm=dspy.LM("openai/reader", api_base=url, api_key="sk-test", temperature=0.0))
        return dspydantic.Prompter(model=MODELS[name]), dspydantic.Example
    engine = importlib.import_module("engine")
    memory = importlib.import_module("engine.lm.calls.cache").Cache(None)
    lm = engine.LM("openai/reader", api_base=url, api_key="sk-test", cache=memory)
    return engine.Prompter(MODELS[name], lm), importlib.import_module("engine.extraction").Example


def main(library: str, name: str, seed: int, url: str) -> None:
    """Tune, read the rows held out, and print what came of it as JSON."""
    prompter, example = prompter_of(library, name, url)
    tuning, test = rows(name, seed)
    given = [example(text=text, expected_output=answer) for text, answer in tuning]
    own = {"seed": seed} if library == "engine" else {}
    before, started = served(url), time.monotonic()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        prompter.optimize(examples=given, **own)
    seconds, calls = time.monotonic() - started, served(url) - before
    right: dict[str, list[bool]] = {}
    for text, answer in test:
        try:
            got = flat(prompter.predict(text).model_dump(mode="json"))
        except Exception:  # noqa: BLE001 - a document that cannot be read is wrong in every field
            got = {}
        for path, value in flat(answer).items():
            right.setdefault(path, []).append(got.get(path) == value and path in got)
    fields = {path: sum(values) / len(values) for path, values in right.items()}
    print(json.dumps({"fields": fields, "calls": calls, "seconds": seconds}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
