"""`Prompter`: reads texts, pictures and PDFs into a user's own class, and tunes its prompts."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing
from contextvars import copy_context
from itertools import starmap, takewhile
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel
from pydantic_core import from_json

from engine import loop
from engine.basics.data import JsonObject
from engine.compat.prompter import folders
from engine.compat.prompter.confidence import (
    SAMPLES,
    Calibration,
    Method,
    answer_and_confidence,
    right_fields,
)
from engine.compat.prompter.documents import LabelledDocument, Placeholders, Sources, labelled_document
from engine.compat.prompter.fields import TextOutput, create_optimized_model
from engine.compat.prompter.program import OPTIMIZED, ReadRecord, TunedPrompts
from engine.compat.prompter.results import ExtractionResult, OptimizationResult
from engine.compat.prompter.tuning import OptimizeOptions, RecordTuning, label_values, record_tuning
from engine.dataset.documents.evidence import Evidence
from engine.dataset.documents.paged import read_document
from engine.errors import ConfigurationError, EngineError
from engine.evaluate.streaming import StreamListener, StreamResponse, streamify
from engine.lm.base import BaseLM
from engine.lm.calls.cache import Cache
from engine.lm.client import LM
from engine.modules.extract import best_evidence
from engine.records import Candidate, json_value
from engine.runtime import context, current
from engine.search.estimate import Estimate
from engine.signature.nested import RECURSION, nested_fields
from engine.signature.prediction import Prediction

OnError = Literal["raise", "return"]

RECURSIVE = "%s holds itself: descriptions are tuned %d levels deep, and those of its class hold below."

_log = logging.getLogger(__name__)


class Prompter(TunedPrompts):
    """Reads documents into instances of a Pydantic model, and tunes its prompts on examples.

    `model` is the user's class; None reads a text, as `.output`. `lm` is a model, or its name; without one the model in
    force is used (`engine.configure`). `model_id`, `api_key` and `cache` (True, False, or a folder) make one, as in
    DSPydantic. `system_prompt` is the task, `instruction_prompt` describes the document; both may contain
    `{placeholders}` that a dict of values fills. `optimized_descriptions` (by path), `optimized_system_prompt`,
    `optimized_instruction_prompt` and `optimized_demos` take over the result of an earlier optimization.

    >>> from engine.testing import DummyLM
    >>> class Bill(BaseModel):
    ...     total: float
    >>> prompter = Prompter(Bill, DummyLM([{"record": '{"total": 3}'}]))
    >>> prompter.predict("Total: 3 EUR")
    Bill(total=3.0)
    """

    def __init__(
        self,
        model: type[BaseModel] | None = None,
        lm: BaseLM | str | None = None,
        *,
        model_id: str | None = None,
        api_key: str | None = None,
        cache: bool | str | Path | None = None,
        system_prompt: str | None = None,
        instruction_prompt: str | None = None,
        **optimized: Any,
    ) -> None:
        if model is not None and not (isinstance(model, type) and issubclass(model, BaseModel)):
            raise ConfigurationError(f"model must be a Pydantic class, or None for text, not {model!r}.")
        if unknown := sorted(optimized.keys() - set(OPTIMIZED)):
            raise ConfigurationError(
                f"Prompter takes no {unknown[0]!r}. It takes {', '.join(OPTIMIZED)} besides its own."
            )
        self.model = None if model is TextOutput else model
        self.lm = _chosen_model(lm, model_id, api_key, cache)
        self.result: OptimizationResult | None = None
        self.calibration: Calibration | None = None
        self._set_prompts(system_prompt, instruction_prompt)
        if any(optimized.values()):
            self._adopt(self.program.tuned(**optimized))

    def _set_prompts(self, system_prompt: str | None, instruction_prompt: str | None) -> None:
        self.system_prompt, self.instruction_prompt = system_prompt, instruction_prompt
        self.program = ReadRecord(self.model, system_prompt or "", instruction_prompt or "")
        if self.model is not None and any(field.inside_itself for field in nested_fields(self.model)):
            _log.warning(RECURSIVE, self.model.__name__, RECURSION)

    def _tuned(self) -> Candidate:
        return self.program.candidate()

    def _adopt(self, candidate: Candidate) -> None:
        self.program = self.program.with_candidate(candidate)

    @property
    def optimized_model(self) -> type[BaseModel]:
        """The model with the descriptions in use: a subclass of the user's."""
        if self.model is None:
            return TextOutput
        return create_optimized_model(self.model, self.optimized_descriptions)

    # Tuning

    async def aoptimize(self, examples: Sequence[object], **options: Any) -> OptimizationResult:
        """Tune descriptions, prompts and demos on examples, use them unless they are worse, and return the result.

        The options are the fields of `OptimizeOptions`; `system_prompt` and `instruction_prompt` replace those
        given before. Raises ConfigurationError for options that cannot work, RunError if no row can be run.
        """
        with self._context():
            result = await self._tuning(examples, options).run()
        self.result = result
        self._adopt(result.candidate)
        return result

    optimize = loop.plainly(aoptimize)

    def estimate(self, examples: Sequence[object], **options: Any) -> Estimate:
        """Return the calls, tokens, money and time of `optimize` with the same arguments. Nothing is asked."""
        with self._context():
            return self._tuning(examples, options).tuning.estimate()

    def _tuning(self, examples: Sequence[object], options: JsonObject) -> RecordTuning:
        if "system_prompt" in options or "instruction_prompt" in options:
            self._set_prompts(
                options.pop("system_prompt", self.system_prompt),
                options.pop("instruction_prompt", self.instruction_prompt),
            )
        if current().lm is None:
            raise ConfigurationError(
                "The Prompter has no model. Pass lm=..., or call engine.configure(lm=...) first."
            )
        documents = [labelled_document(example) for example in examples]
        return record_tuning(self.program, self.model, documents, OptimizeOptions.of(options))

    @classmethod
    def from_optimization_result(
        cls, model: type[BaseModel] | None, result: OptimizationResult, lm: BaseLM | str | None = None
    ) -> Self:
        """Return a Prompter with the result of an optimization."""
        prompter = cls(model, lm)
        prompter._adopt(result.candidate)
        prompter.result = result
        return prompter

    # Reading

    def predict(
        self,
        text: str | Placeholders | LabelledDocument | None = None,
        image_path: Sources = None,
        image_base64: str | Sequence[str] | None = None,
        pdf_path: Sources = None,
        pdf_dpi: int = 150,
    ) -> Any:
        """Return the record of one document, an instance of the user's class (of a text: `.output`).

        A dict of values as `text` fills placeholders; an `Example` has everything in itself. Raises DatasetError
        for an unusable document, AdapterParseError for an answer that stays unreadable after one repair, and
        LMError as models do.
        """
        parts = {"image_path": image_path, "image_base64": image_base64, "pdf_path": pdf_path}
        files = {name: value for name, value in parts.items() if value is not None}
        return loop.run(self.apredict(text, **files, **({"pdf_dpi": pdf_dpi} if files else {})))

    run = predict

    async def apredict(self, document: object = None, **parts: Any) -> Any:
        """Return the record of one document: a text, a dict, an `Example`, or the arguments of `predict` by name."""
        inputs = await self._inputs(labelled_document(document, **parts))
        with self._context():
            return self._record(await self.program.acall(**inputs))

    async def apredict_batch(
        self, documents: Iterable[object], max_concurrency: int | None = None, on_error: OnError = "raise"
    ) -> list[Any]:
        """Return the records of several documents in their order, a bounded number at once (16, or the setting in force).

        Documents may come from an iterator: each is taken, and its files are read, when its turn comes. With
        "return" an error takes its document's place; with "raise" the first one is raised once those under way have
        ended.
        """
        records = {p: record async for p, record in self.apredict_each(documents, max_concurrency, on_error)}
        return [records[place] for place in range(len(records))]

    def predict_batch(
        self, documents: Iterable[object], max_workers: int | None = None, on_error: OnError = "raise"
    ) -> list[Any]:
        """Do what `apredict_batch` does, and wait."""
        return loop.run(self.apredict_batch(documents, max_workers, on_error))

    async def apredict_each(
        self, documents: Iterable[object], max_concurrency: int | None = None, on_error: OnError = "raise"
    ) -> AsyncIterator[tuple[int, Any]]:
        """Iterate over (place, record) as they come: for more documents than fit into memory."""
        at_once = _batch_size(documents, max_concurrency, on_error)
        errors: list[BaseException] = []

        async def read(place: int, document: object) -> tuple[int, Any]:
            try:
                return place, await self.apredict(document)
            except Exception as error:
                if on_error == "raise":
                    raise
                return place, error

        numbered = takewhile(lambda _: not errors, enumerate(documents))
        async with aclosing(loop.finished(starmap(read, numbered), at_once)) as tasks:
            async for task in tasks:
                if error := task.exception():
                    errors.append(error)
                else:
                    yield task.result()
        if errors:
            raise errors[0]

    def stream(self, document: object = None, **parts: Any) -> Iterator[Any]:
        """Iterate over the record while it is written (a dict, or the text so far); the last item is the record itself."""
        output = self.program.output
        listener = StreamListener(output, self.program.read, "read")
        answers = streamify(self.program, stream_listeners=[listener], async_streaming=False)
        written, before = "", None
        with self._context():
            inputs = self.program.inputs(labelled_document(document, **parts))
            scope = copy_context()  # the caller's own stays as it is between two pieces
        pieces = answers(**inputs)
        try:
            while (piece := scope.run(next, pieces, None)) is not None:
                if not isinstance(piece, StreamResponse):
                    if hasattr(piece, output):
                        yield self._record(piece)
                    continue
                written += piece.chunk
                part = written if self.model is None else _partial_object(written)
                if part is not None and part != before:
                    before = part
                    yield part
        finally:
            pieces.close()

    async def apredict_with_evidence(self, document: object = None, **parts: Any) -> ExtractionResult:
        """Return a record and the place of each value in the document: page, line, characters, boxes of a PDF.

        The confidence is the share of values that the document has.
        """
        source = labelled_document(document, **parts)
        record = await self.apredict(source)
        values = json_value(record if self.model is not None else record.output)
        evidence = await loop.in_thread(_evidence_in, source, values)
        by_field = {place.path: float(not place.marked) for place in evidence}
        return ExtractionResult(
            data=record,
            confidence=_mean(by_field),
            by_field=by_field,
            method="share of values that stand in the document",
            evidence=tuple(evidence),
        )

    predict_with_evidence = loop.plainly(apredict_with_evidence)

    # Confidence

    async def apredict_with_confidence(
        self, document: object = None, *, samples: int = SAMPLES, method: Method = "samples", **parts: Any
    ) -> ExtractionResult:
        """Return a record and its confidence: by the agreement of several answers, or by the tokens' probabilities.

        The first answer is the record; `samples` - 1 more are drawn at temperature 1. "logprobs" takes one call and
        a model that gives probabilities. After `calibrate` the number is the share of right values at such a
        confidence.
        """
        inputs = await self._inputs(labelled_document(document, **parts))
        with self._context():
            answer, by_field = await answer_and_confidence(self.program, inputs, samples, method)
        record = self._record(answer)
        origin = (
            f"agreement of {samples} answers" if method == "samples" else "probability of the answer's tokens"
        )
        calibration = self.calibration
        if calibration is None or calibration.method != method:
            origin, rows = f"{origin}, not calibrated", 0
        else:
            by_field = {path: calibration.applied(value) for path, value in by_field.items()}
            rows = calibration.rows
            origin = f"{origin}, calibrated on {rows} rows"
        raw = json_value(answer.plain_values())
        return ExtractionResult(record, _mean(by_field), by_field, origin, rows, raw)

    predict_with_confidence = loop.plainly(apredict_with_confidence)

    async def acalibrate(
        self, examples: Sequence[object], *, samples: int = SAMPLES, method: Method = "samples"
    ) -> Calibration:
        """Measure on labelled rows, best those held out, how often a value of some confidence is right.

        The calibration is used from then on, and saved. Rows that fail are left out. Raises ConfigurationError if
        all do.
        """
        pairs: list[tuple[float, bool]] = []
        problems: list[str] = []

        async def check(number: int, example: object) -> None:
            document = labelled_document(example)
            try:
                expected = label_values(document.expected_output, self.model)
                inputs = await self._inputs(document)
                answer, by_field = await answer_and_confidence(self.program, inputs, samples, method)
            except (EngineError, ValueError) as error:
                problems.append(f"Row {number}: {error}")
                _log.warning("Left out of the calibration: %s", problems[-1])
                return
            right = right_fields(json_value(answer[self.program.output]), expected)
            pairs.extend((confidence, right[path]) for path, confidence in by_field.items())

        with self._context():
            await loop.all_of(starmap(check, enumerate(examples, 1)), _batch_size(examples, None, "raise"))
        if problems and len(problems) == len(examples):
            raise ConfigurationError(f"No row can be used to calibrate. {problems[0]}")
        self.calibration = Calibration.of(pairs, rows=len(examples) - len(problems), method=method)
        return self.calibration

    calibrate = loop.plainly(acalibrate)

    # Folders

    def save(self, folder: str | Path) -> None:
        """Write everything but the model's name and keys to a folder. The class itself stays code: give it to `load`."""
        folders.write(
            folder,
            folders.SavedPrompter(
                {"system_prompt": self.system_prompt, "instruction_prompt": self.instruction_prompt},
                schema=None if self.model is None else self.model.model_json_schema(),
                calibration=self.calibration,
                tuned=self.program.candidate().as_dict(),
            ),
        )

    @classmethod
    def load(
        cls,
        folder: str | Path,
        model: type[BaseModel] | None = None,
        lm: BaseLM | str | None = None,
        **options: Any,
    ) -> Self:
        """Return the Prompter of a folder, also one saved by DSPydantic 0.1. Raises ProgramFileError."""
        saved = folders.read(folder, model)
        prompter = cls(model, lm, **{**saved.arguments, **options})
        prompter.calibration = saved.calibration
        if saved.tuned is not None:
            with folders.damage_named(folder):
                prompter._adopt(Candidate.from_dict(saved.tuned))
        return prompter

    # Inside

    def _context(self) -> AbstractContextManager[object]:
        return context() if self.lm is None else context(lm=self.lm)

    async def _inputs(self, document: LabelledDocument) -> JsonObject:
        """Return the step's inputs; files are read in a thread."""
        with self._context():
            if not (document.image_path or document.image_base64 or document.pdf_path):
                return self.program.inputs(document)
            return await loop.in_thread(self.program.inputs, document)

    def _record(self, prediction: Prediction) -> object:
        value = prediction[self.program.output]
        return TextOutput(output=value) if self.model is None else value


def _evidence_in(document: LabelledDocument, record: object) -> list[Evidence]:
    text = [read_document(document.document)] if document.document.strip() else []
    return best_evidence([*text, *document.files()], record)


def _mean(by_field: Mapping[str, float]) -> float:
    return sum(by_field.values()) / len(by_field) if by_field else 0.0


def _chosen_model(
    lm: BaseLM | str | None, model_id: str | None, api_key: str | None, cache: bool | str | Path | None
) -> BaseLM | None:
    """Return the model that the arguments name, if any. Raises ConfigurationError for two at once."""
    if isinstance(lm, BaseLM):
        if model_id is not None:
            raise ConfigurationError("Give lm or model_id, not both.")
        return lm
    name = lm or model_id
    if name is None:
        return None
    in_folder = isinstance(cache, str | Path)
    return LM(
        name,
        api_key=api_key,
        cache=Cache(Path(str(cache)) / "cache.sqlite3") if in_folder else cache is not False,
    )


def _batch_size(documents: object, at_once: int | None, on_error: str) -> int:
    """Return the number of documents of a batch to read at once. Raises ConfigurationError for arguments that do not fit."""
    if on_error not in ("raise", "return"):
        raise ConfigurationError(f"on_error is 'raise' or 'return', not {on_error!r}.")
    if isinstance(documents, str | Mapping | LabelledDocument):
        raise ConfigurationError("A batch takes a list of documents. Read a single one with predict.")
    if at_once is not None and at_once < 1:
        raise ConfigurationError(f"A batch reads some documents at once: give at least 1, not {at_once}.")
    return at_once or current().num_threads or 16


def _partial_object(text: str) -> object:
    """Return the readable part of an object that is still being written, None if there is nothing yet."""
    at = text.find("{")
    try:
        return from_json(text[at:], allow_partial="trailing-strings") if at >= 0 else None
    except ValueError:
        return None
