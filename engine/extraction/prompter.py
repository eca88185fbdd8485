"""`Prompter`: reads texts, pictures and PDFs into a user's own class, and tunes how it does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from contextvars import copy_context
from itertools import starmap, takewhile
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel
from pydantic_core import from_json

from engine import loop
from engine.errors import ConfigurationError, EngineError
from engine.evaluate.streaming import StreamListener, StreamResponse, streamify
from engine.extraction import saved as folders
from engine.extraction.confidence import Calibration, Method, agreement, mean_probability, right_fields
from engine.extraction.examples import Example, Placeholders, Sources, example_of
from engine.extraction.fields import TextOutput, create_optimized_model
from engine.extraction.reading import (
    PLACEHOLDERS,
    RECORD,
    TEXT,
    ReadRecord,
    TunedPrompts,
    inputs_of,
    placeholders_in,
    signature_of,
    tuned_candidate,
)
from engine.extraction.results import ExtractionResult, OptimizationResult
from engine.extraction.tuning import Task, label_of, plan_of, task_of
from engine.lm.base import BaseLM
from engine.lm.cache import Cache
from engine.lm.client import LM
from engine.modules.extract import best_evidence
from engine.records import Candidate, json_value
from engine.runtime import context, current
from engine.search.estimate import Estimate
from engine.signature.nested import RECURSION, nested_fields

OnError = Literal["raise", "return"]

OPTIMIZED = (
    "optimized_descriptions",
    "optimized_system_prompt",
    "optimized_instruction_prompt",
    "optimized_demos",
)
"""Arguments that take over what an optimization found before."""

SAMPLES = 5
RECURSIVE = "%s holds itself: descriptions are tuned %d levels deep, and those of its class hold below."

_log = logging.getLogger(__name__)


class Prompter(TunedPrompts):
    """Reads documents into instances of a Pydantic model, and tunes its prompts on examples.

    `model` is the user's class; None reads a text, as `.output`. `lm` is a model, or its name; without one the model in
    force is used (`engine.configure`). `model_id`, `api_key` and `cache` (True, False, or a folder) make one, as in
    DSPydantic. `system_prompt` says what is to be done, `instruction_prompt` what to do with the document; both may hold
    `{placeholders}` that a dict of values fills. `optimized_descriptions` (by path), `optimized_system_prompt`,
    `optimized_instruction_prompt` and `optimized_demos` take over what was found before.

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
        self.lm = _lm_of(lm, model_id, api_key, cache)
        self.result: OptimizationResult | None = None
        self.calibration: Calibration | None = None
        self._set_prompts(system_prompt, instruction_prompt)
        if any(optimized.values()):
            found = [optimized.get(name) for name in OPTIMIZED]
            self._take(tuned_candidate(self.program, found[0], found[1], found[2], found[3]))

    def _set_prompts(self, system_prompt: str | None, instruction_prompt: str | None) -> None:
        self.system_prompt, self.instruction_prompt = system_prompt, instruction_prompt
        self.program = ReadRecord(signature_of(self.model, system_prompt or "", instruction_prompt or ""))
        if self.model is not None and any(one.inside_itself for one in nested_fields(self.model)):
            _log.warning(RECURSIVE, self.model.__name__, RECURSION)

    @property
    def _output(self) -> str:
        return TEXT if self.model is None else RECORD

    def _tuned(self) -> Candidate:
        return self.program.candidate()

    @property
    def optimized_model(self) -> type[BaseModel]:
        """The model with the descriptions in force: a subclass of the user's."""
        return (
            TextOutput
            if self.model is None
            else create_optimized_model(self.model, self.optimized_descriptions)
        )

    # Tuning

    async def aoptimize(self, examples: Sequence[Example], **options: Any) -> OptimizationResult:
        """Tune descriptions, prompts and demos on examples, take them over if they are not worse, and return what was found.

        `evaluate_fn` scores: "exact" or another evaluator's name, a function of (example, record), a metric, or a model that
        judges (also used, as the model in force, where no example has an expected output). `evaluator_config` chooses by
        field. `optimizer` is a name or an object; without one it is chosen by the number of rows. `train_split` is the share
        of rows to tune on, halved into training and validation; the rest is held out for the score. `include_fields` and
        `exclude_fields` name fields by path, which are then tuned or neither tuned nor scored; `frozen` parts stay:
        "descriptions", "system_prompt", "instruction_prompt", "demos" or paths. With `sequential` fields take turns;
        `skip_score_threshold` leaves alone fields that score as much. `system_prompt` and `instruction_prompt` replace those
        given before. `budget`, `num_threads`, `max_val_examples`, `seed`, `verbose`, `prompt_lm` (writes the texts),
        `on_progress`, `recorder`, `control` and `payer` (a name under which a run that died goes on) are the search's.

        Raises ConfigurationError for what cannot work, RunError where no row can be run.
        """
        with self._context():
            result = await self._task(examples, options).run()
        self.result = result
        self._take(result.candidate)
        return result

    optimize = loop.plainly(aoptimize)

    def estimate(self, examples: Sequence[Example], **options: Any) -> Estimate:
        """Return what `optimize` with the same arguments will take: calls, tokens, money, time. Nothing is asked."""
        with self._context():
            return self._task(examples, options).estimate()

    def _task(self, examples: Sequence[Example], options: dict[str, Any]) -> Task:
        if "system_prompt" in options or "instruction_prompt" in options:
            self._set_prompts(
                options.pop("system_prompt", self.system_prompt),
                options.pop("instruction_prompt", self.instruction_prompt),
            )
        if current().lm is None:
            raise ConfigurationError(
                "The Prompter has no model. Pass lm=..., or call engine.configure(lm=...) first."
            )
        return task_of(self.program, self.model, [example_of(e) for e in examples], plan_of(options))

    def _take(self, candidate: Candidate) -> None:
        self.program = self.program.with_candidate(candidate)

    @classmethod
    def from_optimization_result(
        cls, model: type[BaseModel] | None, result: OptimizationResult, lm: BaseLM | str | None = None
    ) -> Self:
        """Return a Prompter with what an optimization found."""
        made = cls(model, lm)
        made._take(result.candidate)
        made.result = result
        return made

    # Reading

    def predict(
        self,
        text: str | Placeholders | Example | None = None,
        image_path: Sources = None,
        image_base64: str | Sequence[str] | None = None,
        pdf_path: Sources = None,
        pdf_dpi: int = 150,
    ) -> Any:
        """Return the record of one document, an instance of the user's class (of a text: `.output`).

        A dict of values as `text` fills placeholders; an `Example` holds everything itself. Raises DatasetError for a
        document that cannot be used, AdapterParseError for an answer that stays unreadable after one repair, and LMError
        as models do.
        """
        if isinstance(text, Example) and image_path is image_base64 is pdf_path is None:
            return loop.run(self.apredict(text))
        return loop.run(self.apredict(Example(text, image_path, image_base64, pdf_path, pdf_dpi=pdf_dpi)))  # type: ignore[arg-type]  # an Example with files is refused

    run = predict

    async def apredict(self, document: Any = None, **parts: Any) -> Any:
        """Return the record of one document: a text, a dict, an `Example`, or the arguments of `predict` by name."""
        example = example_of(document, **parts)
        with self._context():
            inputs = await self._read_inputs(example)
            return self._record(await self.program.acall(**inputs))

    async def apredict_batch(
        self, documents: Iterable[Any], max_concurrency: int | None = None, on_error: OnError = "raise"
    ) -> list[Any]:
        """Return the records of some documents in their order, a bounded number at once (16, or the setting in force).

        Documents may come from an iterator: each is taken, and its files are read, when its turn comes. With "return" an
        error takes its document's place; with "raise" the first one is raised once those under way have ended.
        """
        found: dict[int, Any] = {}
        async for place, record in self.apredict_each(documents, max_concurrency, on_error):
            found[place] = record
        return [found[place] for place in range(len(found))]

    def predict_batch(
        self, documents: Iterable[Any], max_workers: int | None = None, on_error: OnError = "raise"
    ) -> list[Any]:
        """Do what `apredict_batch` does, and wait."""
        return loop.run(self.apredict_batch(documents, max_workers, on_error))

    async def apredict_each(
        self, documents: Iterable[Any], max_concurrency: int | None = None, on_error: OnError = "raise"
    ) -> AsyncIterator[tuple[int, Any]]:
        """Iterate over (place, record) as they come: for more documents than fit into memory."""
        size = _batch_size(documents, max_concurrency, on_error)
        failed: list[BaseException] = []

        async def read(place: int, document: Any) -> tuple[int, Any]:
            try:
                return place, await self.apredict(document)
            except Exception as error:
                if on_error == "raise":
                    raise
                return place, error

        given = takewhile(lambda _: not failed, enumerate(documents))
        async with aclosing(loop.finished(starmap(read, given), size)) as tasks:
            async for task in tasks:
                if error := task.exception():
                    failed.append(error)
                else:
                    yield task.result()
        if failed:
            raise failed[0]

    def stream(self, document: Any = None, **parts: Any) -> Iterator[Any]:
        """Iterate over what is known of the record while it is written (a dict, or the text so far), and at last the record."""
        example = example_of(document, **parts)
        listener = StreamListener(self._output, self.program.read, "read")
        run = streamify(self.program, stream_listeners=[listener], async_streaming=False)
        written, before = "", None
        with self._context():
            scope = copy_context()  # the caller's own stays as it is between two pieces
        pieces = run(**self._inputs(example))
        try:
            while (item := scope.run(next, pieces, None)) is not None:
                if not isinstance(item, StreamResponse):
                    if hasattr(item, self._output):
                        yield self._record(item)
                    continue
                written += item.chunk
                part = written if self.model is None else _partial(written)
                if part is not None and part != before:
                    before = part
                    yield part
        finally:
            pieces.close()

    async def apredict_with_evidence(self, document: Any = None, **parts: Any) -> ExtractionResult:
        """Return a record and the place of each value in the document: page, line, characters, boxes of a PDF.

        The confidence is the share of values that the document has.
        """
        example = example_of(document, **parts)
        record = await self.apredict(example)
        values = json_value(record if self.model is not None else record.output)
        found = await loop.in_thread(lambda: best_evidence(example.documents(), values))
        share = sum(not one.marked for one in found) / len(found) if found else 0.0
        by_field = {one.path: float(not one.marked) for one in found}
        said = "share of values that stand in the document"
        return ExtractionResult(record, share, by_field, said, evidence=tuple(found))

    predict_with_evidence = loop.plainly(apredict_with_evidence)

    # Confidence

    async def apredict_with_confidence(
        self, document: Any = None, *, samples: int = SAMPLES, method: Method = "samples", **parts: Any
    ) -> ExtractionResult:
        """Return a record and how sure it is: by the agreement of several answers, or by the tokens' probabilities.

        The first answer is the record; `samples` - 1 more are drawn at temperature 1. "logprobs" takes one call and a model
        that gives probabilities. After `calibrate` the number is the share that was right at such a confidence.
        """
        example = example_of(document, **parts)
        with self._context():
            inputs = await self._read_inputs(example)
            first, bare = await self._bare_confidence(inputs, samples, method)
        record = self._record(first)
        known = self.calibration if self.calibration and self.calibration.method == method else None
        by_field = {path: known.applied(value) if known else value for path, value in bare.items()}
        said = (
            f"agreement of {samples} answers" if method == "samples" else "probability of the answer's tokens"
        )
        return ExtractionResult(
            data=record,
            confidence=sum(by_field.values()) / len(by_field) if by_field else 0.0,
            by_field=by_field,
            method=f"{said}, {f'calibrated on {known.rows} rows' if known else 'not calibrated'}",
            calibrated_on=known.rows if known else 0,
            raw_output=json_value(first.plain_values()),
        )

    predict_with_confidence = loop.plainly(apredict_with_confidence)

    async def _bare_confidence(
        self, inputs: Mapping[str, Any], samples: int, method: Method
    ) -> tuple[Any, dict[str, float]]:
        """Return the answer, and the bare confidence by the path of its values."""
        if method == "logprobs":
            first = await self.program.acall(**inputs, config={"logprobs": True})
            mean = mean_probability(first.plain_values().get("logprobs"))
            if mean is None:
                raise ConfigurationError(
                    'The model gives no probabilities of its tokens. Use method="samples".'
                )
            return first, dict.fromkeys(agreement([json_value(first[self._output])]), mean)
        if samples < 2:
            raise ConfigurationError(f"samples is {samples}; an agreement takes at least 2.")
        others = [
            self.program.acall(**inputs, config={"rollout_id": number, "temperature": 1.0})
            for number in range(1, samples)
        ]
        answer, *rest = await asyncio.gather(self.program.acall(**inputs), *others, return_exceptions=True)
        if isinstance(answer, BaseException):
            raise answer
        # A sample that cannot be read agrees with nothing.
        return answer, agreement(
            [
                json_value(answer[self._output]),
                *(None if isinstance(r, BaseException) else json_value(r[self._output]) for r in rest),
            ]
        )

    async def acalibrate(
        self, examples: Sequence[Example], *, samples: int = SAMPLES, method: Method = "samples"
    ) -> Calibration:
        """Find out on labelled rows, best those held out, what a confidence is worth; used and saved from then on.

        Rows that fail are left out. Raises ConfigurationError where all do.
        """
        pairs: list[tuple[float, bool]] = []
        problems: list[str] = []

        async def judge(number: int, example: Example) -> None:
            try:
                pairs.extend(await self._judged_confidence(example, samples, method))
            except (EngineError, ValueError) as error:
                problems.append(f"Row {number}: {error}")
                _log.warning("Left out of the calibration: %s", problems[-1])

        with self._context():
            await loop.all_of(starmap(judge, enumerate(examples, 1)), _batch_size(examples, None, "raise"))
        if problems and len(problems) == len(examples):
            raise ConfigurationError(f"No row can be used to calibrate. {problems[0]}")
        self.calibration = Calibration.of(pairs, rows=len(examples) - len(problems), method=method)
        return self.calibration

    calibrate = loop.plainly(acalibrate)

    async def _judged_confidence(
        self, example: Example, samples: int, method: Method
    ) -> list[tuple[float, bool]]:
        """Return the bare confidence of each value of a labelled row, and whether the value is right."""
        label = label_of(example.expected_output, self.model)
        expected = (
            label
            if self.model is None
            else json_value(self.model.model_validate(label, by_alias=True, by_name=True))
        )
        first, bare = await self._bare_confidence(await self._read_inputs(example), samples, method)
        right = right_fields(json_value(first[self._output]), expected)
        return [(confidence, right[path]) for path, confidence in bare.items()]

    # Folders

    def save(self, folder: str | Path) -> None:
        """Write everything but the model's name and keys to a folder. The class itself stays code: give it to `load`."""
        folders.write(
            folder,
            folders.Saved(
                system_prompt=self.system_prompt,
                instruction_prompt=self.instruction_prompt,
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
        **making: Any,
    ) -> Self:
        """Return the Prompter of a folder, also one saved by DSPydantic 0.1. Raises ProgramFileError."""
        found = folders.read(folder, model)
        if found.tuned is None:  # of DSPydantic
            theirs: dict[str, Any] = {
                "optimized_descriptions": found.descriptions,
                "optimized_system_prompt": found.system_prompt,
                "optimized_instruction_prompt": found.instruction_prompt,
                "optimized_demos": found.demos,
            }
            return cls(model, lm, **making, **theirs)
        prompts = {"system_prompt": found.system_prompt, "instruction_prompt": found.instruction_prompt}
        made = cls(model, lm, **{**prompts, **making})
        with folders.damage_named(folder):
            made._take(Candidate.from_dict(found.tuned))
            made.calibration = found.calibration
        return made

    # Inside

    def _context(self) -> Any:
        return context() if self.lm is None else context(lm=self.lm)

    def _inputs(self, example: Example) -> dict[str, Any]:
        inputs = inputs_of(example, self.program)
        if PLACEHOLDERS not in inputs and self._has_placeholders:
            inputs[PLACEHOLDERS] = example.placeholders
        return inputs

    async def _read_inputs(self, example: Example) -> dict[str, Any]:
        """Return what the step reads; files are read in a thread."""
        if example.image_path or example.image_base64 or example.pdf_path:
            found: dict[str, Any] = await loop.in_thread(self._inputs, example)
            return found
        return self._inputs(example)

    @property
    def _has_placeholders(self) -> bool:
        signature = self.program.read.signature
        texts = (
            signature.instructions,
            *(signature.description(name) for name in signature.described_fields),
        )
        return any("{" in text and placeholders_in(text) for text in texts)

    def _record(self, prediction: Any) -> Any:
        value = prediction[self._output]
        return TextOutput(output=value) if self.model is None else value


def _lm_of(
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
    keep: bool | Cache = (
        Cache(Path(cache) / "cache.sqlite3") if isinstance(cache, str | Path) else cache is not False
    )
    return LM(name, api_key=api_key, cache=keep)


def _batch_size(documents: object, given: int | None, on_error: str) -> int:
    """Return how many documents of a batch are read at once. Raises ConfigurationError for arguments that do not fit."""
    if on_error not in ("raise", "return"):
        raise ConfigurationError(f"on_error is 'raise' or 'return', not {on_error!r}.")
    if isinstance(documents, str | Mapping | Example):
        raise ConfigurationError("A batch takes a list of documents. Read a single one with predict.")
    if given is not None and given < 1:
        raise ConfigurationError(f"A batch reads some documents at once: give at least 1, not {given}.")
    return given or current().num_threads or 16


def _partial(text: str) -> Any:
    """Return what can be read of an object that is still being written, None where there is nothing yet."""
    at = text.find("{")
    try:
        return from_json(text[at:], allow_partial="trailing-strings") if at >= 0 else None
    except ValueError:
        return None
