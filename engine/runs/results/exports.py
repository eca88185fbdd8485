"""A run's program in files: every form of export in `home/exports/RUN_ID`, its proof, the prompt taken, and kept versions.

The proof that an export answers as the tuned prompt did: the written files are read again and scored on the test rows.
Every answer comes from the kept answers to the same requests (or from a model that costs nothing), so that a
single character of difference shows, and no call is paid for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from engine import evaluate, loop, runtime
from engine.adapters.chat import ChatAdapter
from engine.adapters.values import format_value
from engine.basics.data import JsonObject, Values
from engine.basics.home import write_whole
from engine.basics.text import percent
from engine.errors import EngineError, RunError
from engine.export.answering import check_records
from engine.export.formats import export_forms, get_export
from engine.export.program import ProgramFile, program_file, read_program, to_text
from engine.export.record_module import record_class
from engine.export.weights import with_step_models
from engine.metrics.whole_set import whole_set_figure
from engine.modules.module import Module
from engine.records import Candidate, Evaluation, whole_trials
from engine.runs.prepare import prepare
from engine.runs.spec import RunSpec
from engine.search.judging.verdict import verdict
from engine.search.result import PromptFigures, Proof, RunResult, TakenPrompt
from engine.signature.prediction import Prediction
from engine.store.rows import RunRow, VersionRow
from engine.store.store import Store

if TYPE_CHECKING:
    from engine.adapters.base import Adapter
    from engine.lm.base import BaseLM, Reply, Request
    from engine.lm.exchange import Send
    from engine.search.settings import Settings


class ExportPaths(NamedTuple):
    """Paths of a run's exported program file and of its script."""

    program: str
    script: str


def export_run(
    home: Path, run: RunRow, spec: RunSpec, candidate: Candidate, result: RunResult | None
) -> ExportPaths:
    """Write every form but large ones.

    The script is the one in a folder that needs no Tuneboard, where the program can be one. Raises RunError.
    """
    folder = home / "exports" / run.id
    content = _program(run, spec, candidate, result)
    try:
        for form in export_forms():
            if form.on_demand:
                continue
            try:
                written = form.content(content)
            except EngineError:
                if form.name in ("json", "python_tuneboard"):
                    raise
                # A form that cannot hold this program: asked for by name it gives the reason.
                (folder / form.file_name).unlink(missing_ok=True)
                continue
            write_whole(folder / form.file_name, written)
    except OSError as error:
        raise RunError(
            f"The program could not be exported to {folder}: {error.strerror or error}."
        ) from error
    paths = {form.name: str(folder / form.file_name) for form in export_forms()}
    alone = Path(paths["python"]).exists()
    return ExportPaths(paths["json"], paths["python" if alone else "python_tuneboard"])


def take_prompt(home: Path, store: Store, run_id: str, candidate_id: str | None = None) -> ExportPaths:
    """Write a run's exports again, with the prompt taken so far or from now on with another one; return their paths.

    Where the prompt was tested, its new files are proven to score the same. A prompt of a run without a result is written
    too. Raises NotFoundError for an unknown run or candidate, RunError when none is named and there is no result yet.
    """
    run, candidate = _run_and_candidate(store, run_id, candidate_id)
    spec, result, settings = RunSpec.model_validate(run.spec), run.result, None
    if result and candidate.id != run.taken:
        with suppress(EngineError):  # the data is gone or changed: the files are as good, without a proof
            settings = prepare(store, spec, payer=run_id).settings
        figures = taken_figures(store, run, candidate.id, settings)
        result = replace(result, taken_candidate=candidate.id, taken=figures, proof=())
    paths = export_run(home, run, spec, candidate, result)
    if result is None or (result == run.result and result.export_path == paths.program):
        return paths  # of a run that has ended, proven when they were written first
    result = replace(result, export_path=paths.program, script_path=paths.script)
    store.runs.save_result(run_id, result)  # at once: the files and what is said of them are the same
    trial = whole_trials(store.trials.all(run_id), "test").get(candidate.id)
    if trial is not None and settings is not None:
        tested = Evaluation(candidate.id, tuple(store.trials.outcomes(run_id, trial.number)))
        with suppress(EngineError):
            result = replace(result, proof=loop.run(prove(Path(paths.program), settings, tested)))
            if store.runs.get(run_id).taken == candidate.id:  # unless another one was taken meanwhile
                store.runs.save_result(run_id, result)
    return paths


def taken_figures(
    store: Store, run: RunRow, candidate: str, settings: Settings | None = None
) -> TakenPrompt | None:
    """Return what a result says of its best prompt for another candidate.

    The number of the whole set of rows needs the run's `settings`. None for the best prompt and the start, of which the
    result has the figures, and for a prompt that was not tested.
    """
    trials = store.trials.all(run.id)
    tests, scored = whole_trials(trials, "test"), whole_trials(trials)
    if candidate in (run.start, run.best) or run.start not in tests or candidate not in tests:
        return None
    before, after = (
        Evaluation(prompt, tuple(store.trials.outcomes(run.id, tests[prompt].number)))
        for prompt in (run.start, candidate)
    )
    validation = scored[candidate].score if candidate in scored else None
    return TakenPrompt(
        candidate,
        PromptFigures.of(candidate, validation, after),
        verdict(before, after),
        whole_set_figure(settings.metric, settings.rows, before, after) if settings else None,
    )


def taken_program(store: Store, run_id: str, candidate_id: str | None = None) -> ProgramFile:
    """Return the program with the prompt taken from a run, or with another one. Raises NotFoundError, RunError."""
    return _run_program(*_run_and_candidate(store, run_id, candidate_id))


def _run_and_candidate(store: Store, run_id: str, candidate_id: str | None) -> tuple[RunRow, Candidate]:
    """Return a run and one of its candidates, the one taken where none is named. Raises NotFoundError, RunError."""
    run = store.runs.get(run_id)
    if not candidate_id:
        run.require_result()
    return run, store.trials.candidate(run_id, candidate_id or run.taken)


def _run_program(run: RunRow, candidate: Candidate) -> ProgramFile:
    return _program(run, RunSpec.model_validate(run.spec), candidate, run.result)


def _program(run: RunRow, spec: RunSpec, candidate: Candidate, result: RunResult | None) -> ProgramFile:
    """Return a candidate as a program file that states its origin: run, time, optimizer, metric, scores, verdict.

    Its score is that on the test rows; the verdict is stated with the prompt that it is about.
    """
    scores: dict[str, float | None] = {}
    words: list[str] = []
    if result is not None:
        shown = result.shown
        figures = (result.baseline, result.best, result.static, shown.best)
        scores = {prompt.candidate: prompt.test for prompt in figures if prompt}
        if candidate.id == shown.best_candidate:
            words = [part.sentence for part in (shown.verdict, shown.whole_set) if part]
    about = {
        "title": run.title,
        "run": run.id,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "optimizer": spec.optimizer.name,
        "metric": spec.metric.name,
        **({"metric_options": spec.metric.options} if spec.metric.options else {}),
        "baseline": result and result.baseline.test,
        "score": scores.get(candidate.id),
        "verdict": " ".join(words),
    }
    pipeline, candidate = with_step_models(spec.pipeline, candidate, {m.name: m for m in spec.models})
    return program_file(
        pipeline, candidate, model=spec.model.model_dump(), adapter=spec.adapter, metadata=about
    )


def program_path(home: Path, project_id: str) -> Path:
    """Return where the program lies that a project has in use."""
    return home / "programs" / project_id / "program.json"


def keep_version(store: Store, run_id: str, candidate_id: str | None = None, note: str = "") -> VersionRow:
    """Keep the prompt taken from a run, or another of its candidates, as a version of its project's program.

    Keeping the same one again returns the version there is. Raises NotFoundError, or RunError when the run has no result.
    """
    run, candidate = _run_and_candidate(store, run_id, candidate_id)
    content = _run_program(run, candidate)
    number = store.versions.add(run.project_id, run_id, candidate.id, content.model_dump(mode="json"), note)
    return store.versions.get(run.project_id, number)


def use_version(home: Path, store: Store, project_id: str, number: int) -> Path:
    """Put a version into use, the newest or an earlier one; return the file that holds it.

    Raises NotFoundError, or RunError where the file cannot be written (nothing is changed then).
    """
    version = store.versions.get(project_id, number)
    path = program_path(home, project_id)
    try:
        write_whole(path, to_text(ProgramFile.model_validate(version.content)).encode())
    except OSError as error:
        raise RunError(f"The program could not be written to {path}: {error.strerror or error}.") from error
    store.versions.set_in_use(project_id, number)
    return path


def use_none(home: Path, store: Store, project_id: str) -> None:
    """Take the program that is in use out of use; its versions stay."""
    store.versions.set_in_use(project_id, None)
    program_path(home, project_id).unlink(missing_ok=True)


async def prove(path: Path, settings: Settings, tested: Evaluation) -> tuple[Proof, ...]:
    """Score the program file at `path`, and the messages and folders next to it, on a test's rows; pays for nothing.

    Rows that failed in the test are left out. Raises ProgramFileError where the program file cannot be read.
    """
    file = read_program(path)
    program = file.build(lm=settings.lm)
    proofs = [await _proof(program, path.name, settings, tested)]
    messages = path.with_name(get_export("messages_json").file_name)
    if messages.exists():
        templates = orjson.loads(messages.read_bytes())
        note = FIXED if any(step.nearest for step in program.predictors()) else ""
        program = program.deepcopy()
        for (
            name,
            step,
        ) in program.named_predictors():  # each asks with the file's messages, not those it would render
            usual = step.adapter or runtime.current().adapter or ChatAdapter()
            step.adapter = _filling(usual, templates[name])
        proofs.append(await _proof(program, messages.name, settings, tested, note))
    # Under its provider's name a tuned model's answers are not those that were stored.
    forms = (
        () if file.candidate.tuned_models else ("python", *(["records"] if file.pipeline.has_record else []))
    )
    for name in forms:
        folder = path.with_name(get_export(name).file_name)
        if folder.exists():
            lone = _lone_program(file, name, folder.read_bytes(), settings)
            proofs.append(await _proof(lone, folder.name, settings, tested))
    return tuple(proofs)


def _lone_program(file: ProgramFile, form: str, written: bytes, settings: Settings) -> Module:
    """Return what answers in an exported folder; no row where its files are not the program's and the engine's.

    A user's class of records is replaced by one of its fields: no code of a user is run.
    """
    if written != get_export(form).content(file):
        return _RefusingProgram(f"{get_export(form).file_name} is not what the program makes.")
    program = file.build(lm=settings.lm)
    if form == "records":
        check_records(program, record_class(file))
    return program


class _RefusingProgram(Module):
    """A program that answers no row."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason

    async def aforward(self, **_inputs: object) -> Prediction:
        raise RunError(self.reason)


async def _proof(program: Module, file: str, settings: Settings, tested: Evaluation, note: str = "") -> Proof:
    """Return what came of scoring one exported file again."""
    expected = {o.row: o.score for o in tested.outcomes if o.error is None and o.row in settings.rows}
    ambient = {"lm": settings.lm} if settings.lm is not None else {}  # what a judge asks
    with runtime.context(middleware=(_kept_only,), trace=None, history=False, **ambient):
        examples = [(row, settings.rows[row]) for row in expected]
        outcomes = await evaluate.run_rows(program, examples, settings.metric, limit=settings.concurrency)
    known = [o for o in outcomes if NOT_KEPT not in (o.error or "")]
    rows = len(expected)
    same = sum(abs(o.score - expected[o.row]) < SAME for o in known)
    unknown = len(outcomes) - len(known)
    score = sum(o.score for o in known) / len(known) if known else None
    sentence = proof_sentence(file, rows, same, unknown, score, note)
    return Proof(file, rows, same, unknown, score, 0 < rows == same, sentence, note)


def proof_sentence(file: str, rows: int, same: int, unknown: int, score: float | None, note: str = "") -> str:
    """Return the result of scoring a file again in words; see `prove`.

    >>> proof_sentence("program.json", 60, 60, 0, 0.45)
    'program.json was read again and scored on the same 60 test rows: 45 %, every row as before.'
    """
    if not rows:
        return f"{file} could not be checked: the run has no tested rows."
    if same == rows and score is not None:
        return f"{file} was read again and scored on the same {rows} test rows: {percent(score)}, every row as before."
    if unknown == rows:
        return f"{file} was not checked: the answers of the test are not kept, and asking again would cost."
    checked = rows - unknown
    left = f"; {unknown} could not be checked without paying" if unknown else ""
    why = f" {note}" if note else ""
    return f"{file}: {same} of {checked} test rows scored as before, {checked - same} did not{left}.{why}"


async def _kept_only(lm: BaseLM, request: Request, send: Send) -> Reply:  # noqa: ARG001 - nothing is sent
    reply = await lm.recall(request)
    if reply is None:
        raise RunError(NOT_KEPT)
    return reply


def _filling(adapter: Adapter, template: Sequence[Mapping[str, object]]) -> Adapter:
    """Return an adapter like another whose messages are a template's, with the inputs in their `{name}` places."""
    *before, last = (dict(message) for message in template)

    def filled(signature: Any, _demos: object, inputs: Values) -> list[JsonObject]:
        names = "|".join(map(re.escape, signature.input_fields))
        text = re.sub(
            rf"\{{({names})\}}",
            lambda found: format_value(inputs.get(found[1]), signature.annotation(found[1])),
            str(last["content"]),
        )
        return [*map(dict, before), {**last, "content": text}]

    filling = copy(adapter)
    vars(filling)["format"] = filled
    return filling


SAME = 1e-9
FIXED = (
    "The program shows each input the solved examples nearest to it; messages that are the same for every input "
    "hold all of them. Use the program file or the script where it matters."
)
NOT_KEPT = "The answer to this request is not kept."
