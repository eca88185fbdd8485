"""The same as records_engine.py with DSPydantic 0.1.6, in its own environment. Nothing of this project's engine is imported."""

from __future__ import annotations

import contextlib
import io
import logging
import sys

import dspy
import records_work as work
from dspydantic import Example, Prompter


def main() -> None:
    """Tune and score."""
    logging.disable(logging.ERROR)
    name, seed, url = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    dspy.configure(lm=dspy.LM("openai/reader", api_base=url, api_key="sk-test", temperature=0.0))
    prompter = Prompter(model=work.MODELS[name])
    given = [Example(text=text, expected_output=answer) for text, answer in work.rows(name, seed)[0]]

    def tune() -> None:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            prompter.optimize(examples=given)

    work.measured(name, seed, url, tune, lambda text: prompter.predict(text).model_dump(mode="json"))


if __name__ == "__main__":
    main()
