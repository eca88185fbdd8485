"""The same as tune_engine.py, done by DSPy in its own environment. Nothing of this project's engine is imported."""

from __future__ import annotations

import contextlib
import json
import logging
import sys

import dspy
import tune_work as work
from teachable.worlds import world


class Steps(dspy.Module):
    """The steps of a world, one after another."""

    def __init__(self, made):
        super().__init__()
        self.first, self.second = (dspy.Predict(signature(made, i)) for i in range(2))

    def forward(self, text):
        """Run both."""
        return self.second(topic=self.first(text=text).topic)


def signature(made, step):
    """Return one step's signature."""
    s = made.steps[step]
    return dspy.Signature(f"{', '.join(s.reads)} -> {', '.join(s.writes)}", s.instructions)


def compiled(name, student, given, metric, told, train, validation):
    """Compile with the optimizer of this name."""
    own = json.loads(given.set)
    if name.startswith("MIPROv2"):
        optimizer = dspy.MIPROv2(
            metric=metric,
            auto=name.partition("-")[2] or "light",
            num_threads=given.threads,
            seed=given.seed,
            **own,
        )
        return optimizer.compile(student, trainset=train, valset=validation)
    if name == "BootstrapRS":
        optimizer = dspy.BootstrapFewShotWithRandomSearch(metric=metric, num_threads=given.threads, **own)
        return optimizer.compile(student, trainset=train, valset=validation)
    if name == "SIMBA":
        optimizer = dspy.SIMBA(metric=metric, num_threads=given.threads, **own)
        return optimizer.compile(student, trainset=[*train, *validation], seed=given.seed)
    if name == "COPRO":
        optimizer = dspy.COPRO(metric=metric, **own)
        return optimizer.compile(
            student, trainset=train, eval_kwargs={"num_threads": given.threads, "display_progress": False}
        )
    if name.startswith("GEPA"):
        size = (
            {"max_metric_calls": given.calls} if given.calls else {"auto": name.partition("-")[2] or "light"}
        )
        optimizer = dspy.GEPA(
            metric=told,
            num_threads=given.threads,
            reflection_lm=dspy.settings.lm.copy(temperature=1.0),
            seed=given.seed,
            **size,
            **own,
        )
        return optimizer.compile(student, trainset=train, valset=validation)
    raise SystemExit(f"There is no DSPy optimizer {name!r} here.")


def main():
    """Compile and score on the test rows."""
    logging.disable(logging.ERROR)
    given = work.options()
    made = world(given.task, given.seed)
    dspy.configure(lm=dspy.LM(f"openai/{made.name}", api_base=given.url, api_key="sk-test", temperature=0.0))

    def metric(example, prediction, trace=None):
        score, _ = work.graded(example, lambda n: prediction[n], made.labels)
        return score if trace is None else score >= 1

    def told(example, prediction, trace=None, pred_name=None, pred_trace=None):
        score, words = work.graded(example, lambda n: prediction[n], made.labels)
        return dspy.Prediction(score=score, feedback=words)

    student = Steps(made) if len(made.steps) > 1 else dspy.Predict(signature(made, 0))
    rows = {s: [dspy.Example(**r).with_inputs("text") for r in made.rows[s]] for s in made.rows}
    with contextlib.redirect_stdout(sys.stderr):
        meter = work.Meter(given.url)
        done = compiled(given.optimizer, student, given, metric, told, rows["train"], rows["validation"])
        used = meter.stop()
        evaluate = dspy.Evaluate(devset=rows["test"], metric=metric, num_threads=16, display_progress=False)
        score = float(evaluate(done).score)
    work.report({**used, "score": score})


if __name__ == "__main__":
    main()
