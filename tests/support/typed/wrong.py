"""Mistakes in programs, one a line; each line that a type checker must refuse ends with the comment WRONG."""

from __future__ import annotations

import engine


def mistakes(program: engine.Predict, rows: list[engine.Example]) -> None:
    """Call public names with what they do not take."""
    engine.Predikt("question -> answer")  # WRONG
    engine.Evaluate(devset=rows, metric=engine.ExactMatch(), num_thread=4)  # WRONG
    engine.Evaluate(devset=rows, metric=0.5)  # WRONG
    engine.Evaluate(devset=4)  # WRONG
    engine.LabeledFewShot(k=2).compile(program)  # WRONG
    engine.LabeledFewShot(k=2).compile(program, trainset=3)  # WRONG
    engine.LabeledFewShot(k=2).compile("a program", trainset=rows)  # WRONG
    engine.Budget(call=3)  # WRONG
    engine.Budget(calls="many")  # WRONG
    engine.LM(7)  # WRONG
    engine.LM("openai/model", cache="yes")  # WRONG
    engine.ChainOfThought(3)  # WRONG
    engine.configure("lm")  # WRONG
    program.save(3)  # WRONG
    program.batch(3)  # WRONG
    text: str = program(question="Why?")  # WRONG
    print(text)
