"""One optimization of a Prompter, scored on rows held out: python records_engine.py SET SEED URL."""

from __future__ import annotations

import sys

import records_work as work

import engine
from engine.extraction import Example


def main() -> None:
    """Tune and score."""
    name, seed, url = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    lm = engine.LM("openai/reader", api_base=url, api_key="sk-test", cache=engine.lm.cache.Cache(None))
    prompter = engine.Prompter(work.MODELS[name], lm)
    given = [Example(text=text, expected_output=answer) for text, answer in work.rows(name, seed)[0]]
    work.measured(
        name,
        seed,
        url,
        lambda: prompter.optimize(given, seed=seed),
        lambda text: prompter.predict(text).model_dump(mode="json"),
    )


if __name__ == "__main__":
    main()
