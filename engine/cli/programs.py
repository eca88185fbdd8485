"""Using what runs made: scoring an exported program on a file, exporting a run's program."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from engine import parts
from engine.basics.home import data_home, write_whole
from engine.basics.statistics import Interval, mean_interval
from engine.basics.text import counted, harmless, percent
from engine.cli.output import echo
from engine.dataset import Dataset, guess_mapping, logs, read_dataset
from engine.errors import ConfigurationError, DatasetError, EngineError, UnknownNameError
from engine.evaluate import Evaluate
from engine.export.formats import ExportFormat, get_export
from engine.export.program import ProgramFile, read_program
from engine.lm.client import make_lm
from engine.records import Outcome
from engine.runs.prepare import usable_examples
from engine.runs.results.exports import take_prompt, taken_program
from engine.runs.spec import ModelChoice, Named, make_metric
from engine.store.store import Store


class ScoredRows(NamedTuple):
    """A program's answers to a file's rows, by row number as people count them, and the metric's title.

    `compared` says how the answers of a log and the program's agree; "" where the file is no log.
    """

    outcomes: Sequence[Outcome]
    interval: Interval
    metric: str
    compared: str = ""

    @property
    def failed(self) -> Sequence[Outcome]:
        """The rows that ended with an error."""
        return [o for o in self.outcomes if o.error is not None]

    @property
    def sentence(self) -> str:
        """The score in words."""
        low, high = self.interval.low, self.interval.high
        return (
            f"{percent(self.interval.mean)} over {counted(len(self.outcomes), 'row')} (95 % interval {100 * low:.0f} to "
            f"{percent(high, 0)}), {len(self.failed)} failed. Scored by {self.metric.lower()}."
        )


class RowTable(NamedTuple):
    """A table of examples, how it is scored, and how its columns fill the fields; `model` is another one than the program's own.

    Without `metric` the one counts that the program was tuned by. `options` of the metric are NAME=VALUE texts,
    `columns` FIELD=COLUMN.
    """

    data: Path
    metric: str | None = None
    options: Sequence[str] | None = None
    columns: Sequence[str] | None = None
    model: str | None = None
    base_url: str | None = None

    def score(self, content: ProgramFile, *, quiet: bool = False) -> ScoredRows:
        """Answer and score every usable row; unless `quiet`, the others are printed. Raises DatasetError if there is none."""
        another = ModelChoice(name=self.model, base_url=self.base_url) if self.model else None
        metric = make_metric(self._metric(content), another or content.model or ModelChoice())
        dataset = read_dataset(
            file_bytes(self.data, DatasetError, "the path of a table of examples"), self.data.name
        )
        usable = usable_examples(content.pipeline, dataset, _mapping(content, dataset, self.columns or ()))
        for problem in () if quiet else usable.problems[:5]:
            echo(f"Row {problem.row} is left out: {problem.message}")
        if len(usable.problems) > 5 and not quiet:
            echo(f"... and {len(usable.problems) - 5} more rows.")
        if not usable.examples:
            raise DatasetError(f"No row of {self.data.name!r} can be used. Fix the rows named above.")
        lm = make_lm(another) if another else None
        result = Evaluate(devset=list(usable.examples.values()), metric=metric)(content.build(lm=lm))
        numbers = (dataset.row_number(row) for row in usable.examples)
        outcomes = [
            replace(o, row=number, number=number) for number, o in zip(numbers, result.outcomes, strict=True)
        ]
        compared = _next_to_log(dataset, [*usable.examples], outcomes)
        return ScoredRows(outcomes, mean_interval([o.score for o in outcomes]), metric.title, compared)

    def _metric(self, content: ProgramFile) -> Named:
        about = content.metadata
        options = dict(_pair(text, "--option") for text in self.options or ())
        if self.metric is None and about.get("metric"):
            return Named(
                name=str(about["metric"]), options={**dict(about.get("metric_options") or {}), **options}
            )
        return Named(name=self.metric or "ExactMatch", options=options)


def _next_to_log(dataset: Dataset, rows: Sequence[int], outcomes: Sequence[Outcome]) -> str:
    """Return how a program's answers agree with a log's, by what users thought of those; "" for a table that is no log."""
    if logs.OUTPUT not in dataset.columns:
        return ""
    thumbs = dataset.values(logs.THUMBS) if logs.THUMBS in dataset.columns else [""] * len(dataset)
    worked = [(row, o) for row, o in zip(rows, outcomes, strict=True) if o.error is None]
    same = {row for row, o in worked if o.score >= 1}
    parts = [f"{len(same):,} of {counted(len(worked), 'answer')} are the log's"]
    for word, title in (("up", "thumbs-up"), ("down", "thumbs-down")):
        judged = [row for row, _ in worked if thumbs[row] == word]
        if judged:
            agreeing = sum(row in same for row in judged)
            number = agreeing if word == "up" else len(judged) - agreeing
            parts.append(
                f"of {len(judged):,} with a {title}, {number:,} {'stay' if word == 'up' else 'change'}"
            )
    return f"Next to the log: {'; '.join(parts)}."


def evaluate_file(program: Path, table: RowTable, output: Path | None) -> int:
    """Score a program on a file's rows, print the result, and return the exit code (1: no row worked)."""
    content = read_program(program)
    scored = table.score(content)
    echo(scored.sentence)
    if scored.compared:
        echo(scored.compared)
    if scored.failed:
        echo(f"The first failure: {scored.failed[0].error}")
    if output is not None:
        save_file(output, _answers(content, scored), make_folder=False)
        echo(f"Answers: {output}")
    return 1 if len(scored.failed) == len(scored.outcomes) else 0


def export_program(run_id: str, form: str, output: Path | None, candidate: str | None) -> None:
    """Write a run's program, its report or its results, and print where; without an `output`, a `candidate` is taken."""
    home = data_home()
    with Store.open(home, read_only=output is not None) as store:
        if form in AROUND:
            name, content = _run_file(store, run_id, form)
        else:
            kind = _form(form)
            if output is None:
                program = read_program(Path(take_prompt(home, store, run_id, candidate).program))
            else:
                program = taken_program(store, run_id, candidate)
                if kind.is_folder and output.suffix != ".zip":
                    echo(kind.write_folder(program, output))
                    return
            name, content = kind.file_name, kind.content(program)
    echo(save_file(output or home / "exports" / run_id / name, content))


AROUND = ("report", "results-csv", "results-xlsx", "results-json", "training")
"""Exports of a run other than its program."""


def _form(name: str) -> ExportFormat:
    try:
        return get_export(name)
    except UnknownNameError as error:
        raise UnknownNameError(
            "export format", name, [*(name for name, _ in parts.EXPORTS), *AROUND]
        ) from error


def _run_file(store: Store, run_id: str, form: str) -> tuple[str, bytes]:
    """Return the name and the content of a file on a run."""
    from engine.runs.results.report import run_report, run_results, training_file

    if form == "report":
        return "report.html", run_report(store, run_id).encode("utf-8", "replace")
    if form == "training":
        return "training.jsonl", training_file(store, run_id)
    kind = form.removeprefix("results-")
    return f"results.{kind}", run_results(store, run_id, kind)


def save_file(path: Path, content: bytes, *, make_folder: bool = True) -> Path:
    """Write a file and return its path. Raises ConfigurationError where it cannot be written."""
    try:
        if not make_folder:
            path.parent.stat()
        write_whole(path, content)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror or error}.") from error
    return path


def _mapping(content: ProgramFile, dataset: Dataset, columns: Sequence[str]) -> dict[str, str]:
    inputs = [f.name for f in content.pipeline.inputs]
    outputs = [f.name for f in content.pipeline.outputs]
    chosen = dict(_pair(text, "--field") for text in columns)
    unknown = [name for name in chosen if name not in (*inputs, *outputs)]
    if unknown:
        raise ConfigurationError(
            f"The program has no field {unknown[0]!r}. Its fields: {', '.join((*inputs, *outputs))}."
        )
    return {**guess_mapping(dataset, [*inputs, *outputs], outputs=outputs), **chosen}


def _pair(text: str, option: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name.strip():
        raise ConfigurationError(f"{option} {text!r} should be written NAME=VALUE.")
    return name.strip(), value.strip()


def file_bytes(path: Path, kind: type[EngineError], wanted: str) -> bytes:
    """Return a file's bytes. Raises `kind` where there is no file, or none that can be read; `wanted` is what to give."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise kind(f"There is no file {str(path)!r}. Give {wanted}.") from None
    except OSError as error:
        raise kind(f"The file {str(path)!r} cannot be read: {error.strerror or error}.") from error


def _answers(content: ProgramFile, found: ScoredRows) -> bytes:
    """Return every row's answer and score as CSV."""
    names = [f.name for f in content.pipeline.outputs]
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(["row", *map(harmless, names), "score", "feedback", "error"])
    for o in found.outcomes:
        answers = [o.prediction.get(name, "") for name in names]
        cells = [o.row, *answers, o.score, o.feedback, o.error or ""]
        writer.writerow(
            [harmless(str(cell)) if isinstance(cell, str | list | dict) else cell for cell in cells]
        )
    return file.getvalue().encode()
