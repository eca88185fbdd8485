"""Training at a provider, over OpenAI's fine-tuning API, which other providers and servers speak too.

The training file is uploaded, a job is created, and its state is asked for with growing patience until it has ended. The
names of the upload and of the job are kept in the model's folder before anything waits for them, and both are looked for at
the provider before they are made: a process that dies neither trains nor pays twice.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import ClassVar, Literal, TypeVar
from urllib.parse import quote

import aiohttp
import orjson
from pydantic import BaseModel, ValidationError

from engine.basics.data import JsonObject, Values
from engine.basics.home import write_whole
from engine.basics.text import cut, dollars, listed
from engine.errors import ConfigurationError, EngineError, LMError, MissingKeyError, TrainingError
from engine.lm.choice import ModelChoice, Route, find_route
from engine.lm.keys import Secret, key_for, without_keys
from engine.lm.local.sources import is_trained
from engine.lm.transports import failures
from engine.lm.transports.failures import Place
from engine.lm.transports.openai_http import Answered, ask_endpoint
from engine.lm.tuned import PREFIX, TunedModel, get_tuned, model_folder, name_for, save_tuned
from engine.loop import tried_again
from engine.optimizers.training.file import long_rows
from engine.optimizers.training.turns import Share, only_training
from engine.search.trainers import (
    Order,
    Trained,
    TrainerProgress,
    TrainingEstimate,
    TrainingMonitor,
    TrainSettings,
    training_lines,
)

T = TypeVar("T")

FEWEST_ROWS = 10
"""Rows that OpenAI asks for at least."""
MOST_PAGES = 100
"""Pages of a list that are read at most."""
TRIES = 8
"""Failures in a row (no connection, limits, 5xx) after which the training is left to the provider and the run ends."""
PRICES = {
    "gpt-4.1-nano": 1.5,
    "gpt-4.1-mini": 5.0,
    "gpt-4.1": 25.0,
    "gpt-4o-mini": 3.0,
    "gpt-4o": 25.0,
    "gpt-3.5-turbo": 8.0,
}
"""US dollars for a million trained tokens at OpenAI's own address, by the start of the base model's name, longest first."""

NO_MODEL = "The training was stopped before its first checkpoint, so there is no model."
ENDED = frozenset({"succeeded", "failed", "cancelled"})
STATES = {
    "validating_files": "The provider checks the training file.",
    "queued": "The training waits in the provider's queue.",
    "running": "The provider trains.",
    "paused": "The provider has paused the training.",
}


class ProviderJob(BaseModel):
    """State of a training at the provider: kept in the model's folder as `job.json`."""

    file: str = ""
    job: str = ""
    tokens: int = 0
    usd: float | None = None
    loss: float | None = None
    share: Share = Share()


@dataclass(frozen=True)
class OpenAITrainer:
    """Trains at a provider. The waits are in seconds, between two looks at a job: the first, and the longest."""

    name: ClassVar[str] = "openai"
    title: ClassVar[str] = "At a provider"
    about: ClassVar[str] = (
        "The rows are sent to the provider, which trains its model and keeps it. It is paid by trained tokens."
    )
    hosted: ClassVar[bool] = True
    first_wait: float = 1.0
    longest_wait: float = 60.0

    def check(self, order: Order) -> list[str]:
        """Return notes for the user. Raises ConfigurationError for what no provider can do, MissingKeyError without a key."""
        settings, route = order.settings, _route(order.settings)
        if settings.method == "grpo":
            raise ConfigurationError(
                "A provider cannot train with the program's own metric (grpo): choose lora."
            )
        if (
            route.provider
            and route.provider.needs_key
            and not route.custom
            and not key_for(route, settings.key_env)
        ):
            variable = settings.key_env or route.provider.key_env
            raise MissingKeyError(
                f"{route.host} needs an API key to train a model: set {variable}, or add it in Settings."
            )
        if route.at_openai and 0 < len(order.rows) < FEWEST_ROWS:
            raise ConfigurationError(
                f"{route.host} trains on {FEWEST_ROWS} rows or more, and there are {len(order.rows)}: add rows, or let the "
                "teacher answer rows without labels."
            )
        notes = [f"The training rows are sent to {route.host}. The model stays there."]
        if settings.learning_rate is not None:
            notes.append("The provider chooses the learning rate: the one that is set has no effect.")
        notes += long_rows(order, "A provider cuts or refuses what is too long for its model.")
        return notes

    def estimate(self, order: Order) -> TrainingEstimate:
        """Return rows, tokens of all epochs and dollars. The provider's queue decides the time, so it is not known."""
        tokens = 0 if is_trained(self.model_name(order)) else planned_tokens(order)
        return TrainingEstimate(len(order.rows), tokens, _cost(order.settings, tokens))

    def model_name(self, order: Order) -> str:
        """Return the name of the model that an order makes, whatever judges it: the provider picks no checkpoint by that."""
        return name_for(order.settings.base_model, replace(order, task="").key)

    async def train(self, order: Order, watch: TrainingMonitor) -> Trained:
        """Train, or follow the job that there is. Raises TrainingError; what was spent is in the message."""
        self.check(order)
        name = self.model_name(order)
        async with only_training(model_folder(name), watch):
            return await _Training(self, order, watch, name).run()


@dataclass
class _Training:
    """One training: its order, its watch, and the provider."""

    trainer: OpenAITrainer
    order: Order
    watch: TrainingMonitor
    name: str
    started: float = field(default_factory=time.monotonic)
    events: set[str] = field(default_factory=set)
    job: ProviderJob = field(default_factory=ProviderJob)
    progress: TrainerProgress = field(default_factory=lambda: TrainerProgress(0, 0))

    def __post_init__(self) -> None:
        self.route = _route(self.order.settings)
        self.key = key_for(self.route, self.order.settings.key_env)
        self._last_event = ""
        self.job = _kept_job(self.name)
        self.planned = planned_tokens(self.order)

    async def run(self) -> Trained:
        """Upload, create the job, follow it to its end, and record the model."""
        run = self.order.run
        if is_trained(self.name):
            return await self._scored("finished" if self.job.share.is_of(run) else "already")
        self._keep(
            self.job.model_copy(
                update={"share": self.job.share.taken_over(run, self.job.tokens, self.job.usd)}
            )
        )
        if not self.job.job and not await self._start():
            with suppress(EngineError):  # an earlier stop kept a checkpoint
                get_tuned(self.name)
                return await self._scored("stopped")
            raise TrainingError(NO_MODEL)
        job = await self._follow()
        if job["status"] == "failed":
            failure = self._failure(job)
            self._keep(ProviderJob(file=self.job.file))  # the next start makes a new job of the same file
            raise TrainingError(failure)
        model = job.get("fine_tuned_model")
        if job["status"] == "cancelled":
            model = await self._best_checkpoint()
            self._keep(self.job.model_copy(update={"job": ""}))
        elif not model:
            raise TrainingError(
                f"{self.route.host} says that {self.job.job} succeeded, and names no model: look at the job there, and start the "
                "run again to read it again."
            )
        if not model:
            raise TrainingError(NO_MODEL)
        finished = job["status"] == "succeeded"
        self._record(str(model), finished=finished)
        return await self._scored("finished" if finished else "stopped")

    async def _scored(self, ended: Literal["finished", "stopped", "already"]) -> Trained:
        """Have the model scored, and return it with what this run has to count."""
        score = await self.watch.score(PREFIX + self.name, "Trained model")
        tokens, usd = (0, 0.0) if ended == "already" else self._own_share(self.job.tokens, self.job.usd)
        seconds = 0.0 if ended == "already" else self._seconds
        return Trained(PREFIX + self.name, ended, tokens, usd, seconds, self.job.loss, score)

    def _own_share(self, tokens: int, usd: float | None) -> tuple[int, float | None]:
        """Return what this run has to count of a job's tokens and dollars."""
        share = self.job.share
        return max(0, tokens - share.tokens), None if usd is None else max(0.0, usd - share.usd)

    # The job

    async def _start(self) -> bool:
        """Upload and create the job; return whether there is one. A stopped run makes none, and looks for the one it made."""
        if not self.watch.stopped:
            self._note("The training file is uploaded.")
            file = self.job.file or await self._patiently(self._uploaded)
            self._keep(self.job.model_copy(update={"file": file}))
        if not self.job.file:
            return False
        job = await self._patiently(self._job_id)
        new = {"tokens": 0, "usd": None, "loss": None, "share": Share(run=self.order.run)}
        self._keep(self.job.model_copy(update={"job": job, **(new if job else {})}))
        return bool(job)

    async def _uploaded(self) -> str:
        """Return the id of the training file at the provider; upload it where it is not there."""
        title = f"tuneboard-{self.name.rpartition('-')[2]}.jsonl"
        for entry in await self._list("/files?purpose=fine-tune"):
            if entry.get("filename") == title and entry.get("status") not in ("error", "deleted"):
                return str(entry["id"])
        form = aiohttp.FormData()
        form.add_field("purpose", "fine-tune")
        content = training_lines(self.order.rows)
        form.add_field("file", content, filename=title, content_type="application/jsonl")
        return str((await self._ask("POST", "/files", form, "training file"))["id"])

    async def _job_id(self) -> str:
        """Return the id of the job with this file; create it if no job runs or has run, but not once stopped."""
        for entry in await self._list("/fine_tuning/jobs?limit=100"):
            ended = entry.get("status") in ("failed", "cancelled")
            if entry.get("training_file") == self.job.file and not ended:
                return str(entry["id"])
        return "" if self.watch.stopped else await self._created()

    async def _created(self) -> str:
        """Create the job; return its id."""
        settings = self.order.settings
        body = {
            "model": self.route.model,
            "training_file": self.job.file,
            "seed": settings.seed,
            "suffix": "tuneboard",
            "method": {
                "type": "supervised",
                "supervised": {"hyperparameters": {"n_epochs": _epochs(settings)}},
            },
        }
        return str((await self._ask("POST", "/fine_tuning/jobs", orjson.dumps(body), "training"))["id"])

    async def _follow(self) -> JsonObject:
        """Look at the job until it has ended; ask for its end once the run is stopped. Return it as it ended."""
        path, wait, asked = f"/fine_tuning/jobs/{self.job.job}", self.trainer.first_wait, False
        known: object = None
        while True:
            job = await self._patiently(lambda: self._ask("GET", path, None, "training"))
            await self._read_events(job)
            if job.get("status") in ENDED:
                return job
            if self.watch.stopped and not asked:
                asked, wait = True, self.trainer.first_wait
                await self._patiently(lambda: self._cancel(path))
                continue
            state = (job.get("status"), self.progress.step)
            wait = self.trainer.first_wait if state != known else min(self.trainer.longest_wait, wait * 1.5)
            known = state
            await self._pause(wait, stoppable=not asked)

    async def _cancel(self, path: str) -> None:
        answered = await self._send("POST", f"{path}/cancel")
        if answered.status >= 500 or answered.status == 429:
            raise failures.from_status(self._place_of(path), answered.status, answered.body, answered.headers)
        # Any other refusal means that the job has just ended: the next look says how.

    async def _read_events(self, job: Values) -> None:
        """Report what is new of a job: steps, loss, and its tokens and dollars so far."""
        path = f"/fine_tuning/jobs/{self.job.job}/events?limit=100"
        events = await self._patiently(lambda: self._list(path, self.events))
        before, message = self.progress, STATES.get(str(job.get("status")), "")
        step, steps, loss, points = before.step, before.steps, before.loss, list[tuple[int, float]]()
        events.reverse()  # the newest come first, several of them in the same second
        for event in sorted(events, key=lambda e: e.get("created_at") or 0):
            if event.get("id") in self.events:
                continue
            self.events.add(str(event.get("id")))
            data = _object(event.get("data"))
            if event.get("type") == "metrics" and _number(data.get("step")) is not None:
                at = int(data["step"])
                step, steps = max(step, at), int(_number(data.get("total_steps")) or steps)
                loss = _number(data.get("train_loss")) if at == step else loss
                points += [(at, loss)] if at == step and loss is not None else []
            elif event.get("level") in ("warn", "error") and event.get("message"):
                self._last_event = _short(event["message"], self.key)
                message = f"{self.route.host}: {self._last_event}"
        tokens = job.get("trained_tokens") or (self.planned * step // steps if steps else 0)
        cost = _cost(self.order.settings, tokens)
        if (tokens, loss) != (self.job.tokens, self.job.loss):
            self._keep(self.job.model_copy(update={"tokens": tokens, "usd": cost, "loss": loss}))
        now = TrainerProgress(
            step, max(steps, step), loss, None, self._seconds, *self._own_share(tokens, cost), message
        )
        for at, value in points[:-1]:  # several steps since the last look
            self.watch.note(replace(before, step=at, steps=now.steps, loss=value, message=""))
        # The same message again says nothing new.
        self.watch.note(replace(now, message="") if message == before.message else now)
        self.progress = now

    async def _best_checkpoint(self) -> str | None:
        """Return the checkpoint with the lowest validation loss, else the last one, or None."""
        path = f"/fine_tuning/jobs/{self.job.job}/checkpoints"
        checkpoints = [
            c for c in await self._patiently(lambda: self._list(path)) if c.get("fine_tuned_model_checkpoint")
        ]

        def order(checkpoint: Values) -> tuple[float, float]:
            loss = _number(_object(checkpoint.get("metrics")).get("full_valid_loss"))
            return (math.inf if loss is None else loss, -(_number(checkpoint.get("step_number")) or 0))

        return str(min(checkpoints, key=order)["fine_tuned_model_checkpoint"]) if checkpoints else None

    def _record(self, model: str, *, finished: bool) -> None:
        settings = self.order.settings
        prefix = self.route.provider_name or "openai"
        hosted = ModelChoice(name=f"{prefix}/{model}", base_url=settings.base_url, key_env=settings.key_env)
        save_tuned(
            TunedModel(
                name=self.name,
                kind="hosted",
                trainer=OpenAITrainer.name,
                base_model=settings.base_model,
                method=settings.method,
                licence=settings.licence,
                rows=len(self.order.rows),
                run=self.order.run,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                finished=finished,
                hosted=hosted,
            )
        )

    def _failure(self, job: Values) -> str:
        error = _object(job.get("error"))
        why = _short(
            error.get("message") or job.get("error") or self._last_event or "it gave no reason", self.key
        )
        spent = self.progress
        cost = "" if spent.usd is None else f", {dollars(spent.usd)}"
        paid = f" It had trained {spent.tokens:,} tokens{cost}." if spent.tokens else " Nothing was trained."
        what = (
            "refused the training file"
            if "file" in str(error.get("code"))
            else "could not finish the training"
        )
        return f"{self.route.host} {what} ({self.job.job}): {why}{'' if why.endswith('.') else '.'}{paid}"

    # What is kept, what is reported, and the waits

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self.started

    def _keep(self, job: ProviderJob) -> None:
        self.job = job
        folder = model_folder(self.name)
        try:
            write_whole(folder / "job.json", job.model_dump_json().encode())
        except OSError as error:
            raise TrainingError(f"{folder} cannot be written: {error.strerror or error}.") from error

    def _note(self, message: str) -> None:
        self.watch.note(TrainerProgress(0, 0, message=message))

    async def _pause(self, seconds: float, *, stoppable: bool = True) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not (stoppable and self.watch.stopped):
            await asyncio.sleep(min(left, 0.5))

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call again after a limit, a failure of the server or of the network. Raises TrainingError."""

        def wait(error: LMError, tries: int) -> float:
            if not error.retryable or tries == TRIES:
                raise TrainingError(f"{error}{self._goes_on()}") from error
            if error.retry_after is None:
                return min(self.trainer.longest_wait, self.trainer.first_wait * 2.0 ** (tries - 1))
            if error.retry_after >= 1:
                self._note(f"{self.route.host} limits requests: next one in {error.retry_after:.0f} s.")
            return error.retry_after

        return await tried_again(lambda _: call(), LMError, wait)

    def _goes_on(self) -> str:
        if not self.job.job:
            return ""
        return f" The training {self.job.job} may go on there and cost: start the run again to follow it."

    # Requests

    def _place_of(self, path: str) -> Place:
        route, settings = self.route, self.order.settings
        env = settings.key_env or (route.provider.key_env if route.provider and not route.custom else None)
        return Place(route.host, route.name, f"{route.base_url}{path}", self.key, env, route.provider_name)

    async def _send(self, method: str, path: str, body: bytes | aiohttp.FormData | None = None) -> Answered:
        return await ask_endpoint(self._place_of(path), method, body, seconds=300 if body else 60)

    async def _ask(
        self, method: str, path: str, body: bytes | aiohttp.FormData | None, what: str
    ) -> JsonObject:
        """Return an answer's JSON object. Raises TrainingError for a refusal of `what`, LMError for the rest."""
        place, answered = self._place_of(path), await self._send(method, path, body)
        if answered.status in (400, 404, 409, 413, 422):
            message, code = failures.server_message(answered.body, place)
            near = await self._near_models(message, code) if what == "training" and method == "POST" else ""
            message = f"The endpoint wrote: {message}" if message else "it gave no reason"
            self._keep(ProviderJob())  # a job or a file that is gone there: what there is is looked for again
            raise TrainingError(
                f"{place.host} did not take the {what} of {self.route.model!r} ({answered.status}): "
                f"{message}{'' if message.endswith('.') else '.'}{near}"
            )
        content = self._content(place, answered)
        if not isinstance(content, dict) or not content.get("id"):
            raise failures.bad_reply(place, answered.body, answered.headers.get("Content-Type", ""))
        return content

    def _content(self, place: Place, answered: Answered) -> object:
        """Return an answer's JSON, None where it is none. Raises LMError for a failure."""
        if answered.status >= 300:
            raise failures.from_status(place, answered.status, answered.body, answered.headers)
        try:
            return orjson.loads(answered.body)
        except orjson.JSONDecodeError:
            return None

    async def _list(self, path: str, known: Collection[str] = ()) -> list[Values]:
        """Return the entries of a list, page after page up to one with a known entry; none where a server keeps no such list."""
        by_id: dict[str, Values] = {}
        for _ in range(MOST_PAGES):
            after = f"{'&' if '?' in path else '?'}after={quote(next(reversed(by_id)))}" if by_id else ""
            entries, more = await self._page(f"{path}{after}")
            new = {str(one.get("id")): one for one in entries if str(one.get("id")) not in by_id}
            by_id |= new
            if not more or not new or any(one in known for one in new):
                break
        return list(by_id.values())

    async def _page(self, path: str) -> tuple[list[Values], bool]:
        """Return one page of a list, and whether there are more."""
        answered = await self._send("GET", path)
        if answered.status in (400, 404, 405, 501):
            return [], False
        content = _object(self._content(self._place_of(path), answered))
        entries = content.get("data")
        if not isinstance(entries, list):
            return [], False
        return [one for one in entries if isinstance(one, dict)], content.get("has_more") is True

    async def _near_models(self, said: str, code: str) -> str:
        """Return the server's models with a near name as a sentence, where a refusal is about the model."""
        from rapidfuzz import fuzz, process

        if "model" not in code and self.route.model not in said:
            return ""
        names = [str(m["id"]) for m in await self._list("/models") if m.get("id")]
        near = process.extract(self.route.model, names, scorer=fuzz.WRatio, limit=5, score_cutoff=60)
        return f" Models there with a near name: {listed([name for name, *_ in near])}." if near else ""


def _route(settings: TrainSettings) -> Route:
    """Return where the base model is trained. Raises ConfigurationError for a provider that speaks another protocol."""
    route = find_route(settings.base_model, settings.base_url)
    if route.protocol != "openai":
        raise ConfigurationError(
            f"{settings.base_model!r} is no model of a provider with OpenAI's fine-tuning API. Name one as it is called there, "
            "such as openai/gpt-4o-mini-2024-07-18, and give the address where it is another one."
        )
    return route


def planned_tokens(order: Order) -> int:
    """Return about how many tokens a job trains: those of the rows in all epochs."""
    return order.tokens * _epochs(order.settings)


def _epochs(settings: TrainSettings) -> int:
    return max(1, math.ceil(settings.epochs))


def _cost(settings: TrainSettings, tokens: int) -> float | None:
    """Return the US dollars that trained tokens cost, None where the price is not known."""
    route = _route(settings)
    if not route.at_openai:
        return 0.0 if route.provider is not None and route.provider.local and not route.custom else None
    per_million = next((price for name, price in PRICES.items() if route.model.startswith(name)), None)
    return None if per_million is None else tokens * per_million / 1e6


def _kept_job(name: str) -> ProviderJob:
    try:
        return ProviderJob.model_validate_json((model_folder(name) / "job.json").read_bytes())
    except (OSError, ValidationError):
        return ProviderJob()


def _object(value: object) -> Values:
    return value if isinstance(value, dict) else {}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _short(text: object, key: Secret) -> str:
    return cut(without_keys(" ".join(str(text).split()), key), 300)
