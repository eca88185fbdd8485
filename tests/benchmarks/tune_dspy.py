"""The same as tune_engine.py, done by DSPy in its own environment. Nothing of this project's engine is imported."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import zlib

import dspy
import numpy as np
import tune_work as work
from teachable.worlds import graded, tools, world


class Steps(dspy.Module):
    """The steps of a world, one after another."""

    def __init__(self, made):
        super().__init__()
        self.reads = {step.name: step.reads for step in made.steps}
        for i, step in enumerate(made.steps):
            setattr(self, step.name, predictor(made, i))

    def forward(self, text):
        """Run all."""
        have, found = {"text": text}, None
        for name, reads in self.reads.items():
            found = getattr(self, name)(**{n: have[n] for n in reads})
            have.update(found.items())
        return found


def predictor(made, step):
    """Return one step's module; it reasons first where that hurts."""
    kind = dspy.ChainOfThought if made.nature.thinking < 0 else dspy.Predict
    return kind(signature(made, step))


def signature(made, step):
    """Return one step's signature."""
    s = made.steps[step]
    return dspy.Signature(f"{', '.join(s.reads)} -> {', '.join(s.writes)}", s.instructions)


def program(made):
    """Return the task's program."""
    if made.nature.agent:
        given = [dspy.Tool(*tool) for tool in tools(made)]
        return dspy.ReAct(dspy.Signature(f"text -> {made.labels[0]}", made.steps[0].instructions), given, 1)
    return Steps(made) if len(made.steps) > 1 else predictor(made, 0)


def compiled(name, student, given, metric, told, train, validation):
    """Compile with the optimizer of this name."""
    own = {**json.loads(given.set)}
    threads = {"num_threads": given.threads}
    both = {"trainset": train, "valset": validation}
    if name.startswith("MIPROv2"):
        zero = {"max_bootstrapped_demos": 0, "max_labeled_demos": 0} if name.endswith("zero-shot") else {}
        optimizer = dspy.MIPROv2(metric=metric, auto="light", seed=given.seed, **threads, **zero, **own)
        return optimizer.compile(student, **both)
    if name == "BootstrapRS":
        return dspy.BootstrapFewShotWithRandomSearch(metric=metric, **threads, **own).compile(student, **both)
    if name == "BootstrapFewShotWithOptuna":
        optimizer = dspy.teleprompt.BootstrapFewShotWithOptuna(metric=metric, **threads, **own)
        return optimizer.compile(student, max_demos=4, **both)
    if name == "InferRules":
        return dspy.InferRules(metric=metric, **threads, **own).compile(student, **both)
    if name == "LabeledFewShot":
        return dspy.LabeledFewShot().compile(student, trainset=train)
    if name == "BootstrapFewShot":
        return dspy.BootstrapFewShot(metric=metric, **own).compile(student, trainset=train)
    if name == "KNNFewShot":
        return dspy.KNNFewShot(8, train, dspy.Embedder(bags), metric=metric).compile(student)
    if name == "BetterTogether":
        student.set_lm(dspy.settings.lm)
        parts = {
            "m": dspy.MIPROv2(metric=metric, auto="light", seed=given.seed, **threads),
            "p": dspy.BootstrapFewShotWithRandomSearch(metric=metric, **threads, **work.SMALLER),
        }
        return dspy.BetterTogether(metric=metric, **parts).compile(student, strategy="m -> p", **both)
    if name == "SIMBA":
        optimizer = dspy.SIMBA(metric=metric, **threads, **own)
        return optimizer.compile(student, trainset=[*train, *validation], seed=given.seed)
    if name == "COPRO":
        kwargs = {**threads, "display_progress": False}
        return dspy.COPRO(metric=metric, **own).compile(student, trainset=train, eval_kwargs=kwargs)
    if name == "GEPA":
        size = {"max_metric_calls": given.calls} if given.calls else {"auto": "light"}
        lm = dspy.settings.lm.copy(temperature=1.0)
        optimizer = dspy.GEPA(metric=told, reflection_lm=lm, seed=given.seed, **threads, **size, **own)
        return optimizer.compile(student, **both)
    raise SystemExit(f"There is no DSPy optimizer {name!r} here.")


def bags(texts):
    """Return texts as vectors of their words' hashes, for KNNFewShot."""
    found = np.zeros((len(texts), 2048), dtype=np.float32)
    for i, text in enumerate(texts):
        for word in text.lower().split():
            found[i, zlib.crc32(word.encode()) % 2048] += 1
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)


def counting_its_search(url):
    """Have KNNFewShot's bootstrapping counted, which goes on while the program is used; one row at a time, that is exact."""
    found, compile_ = [0], dspy.BootstrapFewShot.compile

    def counted(*arguments, **named):
        before = work.served(url)
        try:
            return compile_(*arguments, **named)
        finally:
            found[0] += work.served(url) - before

    dspy.BootstrapFewShot.compile = counted
    return found


def main():
    """Compile and score on the test rows."""
    logging.disable(logging.ERROR)
    given = work.options()
    given.seed, given.calls = int(given.seed), int(given.calls)
    made = world(given.task, given.seed)
    dspy.configure(lm=dspy.LM(f"openai/{made.name}", api_base=given.url, api_key="sk-test", temperature=0.0))
    dspy.settings.lm("Hello.")  # the cache and the connection are there before anything is measured

    def metric(example, prediction, trace=None):
        score, _ = graded(made, example, lambda n: prediction[n])
        return score if trace is None else score >= 1

    def told(example, prediction, trace=None, pred_name=None, pred_trace=None):
        score, words = graded(made, example, lambda n: prediction[n])
        return dspy.Prediction(score=score, feedback=words)

    def exact(example, prediction, trace=None):
        return graded(made, example, lambda n: prediction[n], exact=True)[0]

    student = program(made)
    rows = {s: [dspy.Example(**r).with_inputs("text") for r in made.rows[s]] for s in made.rows}
    with contextlib.redirect_stdout(sys.stderr):
        meter = work.Meter(given.url)
        done = compiled(given.optimizer, student, given, metric, told, rows["train"], rows["validation"])
        used = meter.stop()
        nearest = given.optimizer == "KNNFewShot"
        searched = counting_its_search(given.url) if nearest else [0]
        at_once = 1 if nearest else 16
        evaluate = dspy.Evaluate(
            devset=rows["test"], metric=exact, num_threads=at_once, display_progress=False
        )
        score = float(evaluate(done).score)
        used["calls"] += searched[0]
    work.report({**used, "score": score})


if __name__ == "__main__":
    main()
