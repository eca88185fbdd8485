"""A real local server that speaks OpenAI's fine-tuning API next to chat completions: files, jobs, events, checkpoints, cancel.

    with FineTuningServer(learned=lambda rows: lambda body: "billing") as server:
        trainer.train(order_at(server.url), watch)

It checks an upload line by line as the provider does, and a job moves on by one state each time it is looked at (`hurried`: as far as it goes):
validating_files, queued, running (`steps` times, with a metrics event each), succeeded. `hold` keeps a running job where
it is; `fail_at` lets it fail at a step. A tuned model answers chat completions as `learned(rows)` says, other models as
`answer` says. `event_data` replaces the data of events, a `nameless` job succeeds without naming its model. It is made to misbehave like `OpenAIServer`: `refuse(path, status, ...)` for the next requests of a path.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from aiohttp import web
from support.servers.openai_server import Answer, OpenAIServer, default_answer

Rows = list[dict[str, Any]]


def by_heart(rows: Rows) -> Answer:
    """A model that learned its rows by heart: it answers a known last turn as it was taught, others as the nearest one."""
    taught = {str(row["messages"][-2]["content"]): str(row["messages"][-1]["content"]) for row in rows}

    def answer(body: dict[str, Any]) -> str:
        asked = str(body["messages"][-1]["content"])
        words = set(asked.split())
        return (
            taught[asked]
            if asked in taught
            else taught[max(taught, key=lambda t: len(words & set(t.split())))]
        )

    return answer


class FineTuningServer(OpenAIServer):
    """The server on a thread. `files` and `jobs` are what it holds, by id; `asked` counts requests by method and path."""

    def __init__(
        self,
        learned: Callable[[Rows], Answer] = by_heart,
        answer: Answer | str = default_answer,
        *,
        steps: int = 4,
        bases: tuple[str, ...] = ("small-base", "small-base-2", "large-teacher"),
        api_key: str | None = None,
        port: int = 0,
    ) -> None:
        super().__init__(self._answered, api_key=api_key, port=port)
        self.of_others: Answer = (lambda body: answer) if isinstance(answer, str) else answer
        self.learned = learned
        self.steps = steps
        self.bases = bases
        self.files: dict[str, dict[str, Any]] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.hold_at: int | None = None
        self.hurried = False
        self.fail_at: int | None = None
        self.event_data: Any = None
        self.nameless = False
        self.rows: dict[str, Rows] = {}
        self.events: dict[str, list[dict[str, Any]]] = {}
        self.tuned: dict[str, Answer] = {}
        self._refusals: list[tuple[str, int, dict[str, Any], dict[str, str], bool]] = []

    def refuse(
        self,
        request: str,
        status: int,
        message: str = "Busy.",
        headers: Mapping[str, str] | None = None,
        code: str | None = None,
        *,
        after: bool = False,
    ) -> None:
        """Answer the next request that begins so ("POST /files") with this status; `after`: it is carried out all the same."""
        error = {"error": {"message": message, "type": "error", "code": code}}
        self._refusals.append((request, status, error, dict(headers or {}), after))

    def counted(self, request: str) -> int:
        """Return the number of requests that began so."""
        return sum(asked.startswith(request) for asked in self.asked)

    def _answered(self, body: dict[str, Any]) -> Any:
        return self.tuned.get(body["model"], self.of_others)(body)

    def app(self) -> web.Application:
        app = super().app()
        routes = (
            ("POST", "/files", self._upload),
            ("GET", "/files", self._files),
            ("POST", "/fine_tuning/jobs", self._create),
            ("GET", "/fine_tuning/jobs", self._jobs),
            ("GET", "/fine_tuning/jobs/{id}", self._job),
            ("GET", "/fine_tuning/jobs/{id}/events", self._events_of),
            ("GET", "/fine_tuning/jobs/{id}/checkpoints", self._checkpoints),
            ("POST", "/fine_tuning/jobs/{id}/cancel", self._cancel),
        )
        for method, path, handler in routes:
            app.router.add_route(method, f"/v1{path}", self._watched(handler))
        return app

    def _watched(self, handler: Callable[[web.Request], Any]) -> Callable[[web.Request], Any]:
        async def served(request: web.Request) -> web.Response:
            asked = f"{request.method} {request.path.removeprefix('/v1')}"
            self.asked.append(asked)
            sent = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if self.api_key is not None and sent != self.api_key:
                return _error(401, f"Incorrect API key provided: {sent}.", "invalid_api_key")
            for refusal in self._refusals:
                if asked.startswith(refusal[0]):
                    self._refusals.remove(refusal)
                    if refusal[4]:
                        await handler(request)
                    return web.json_response(refusal[2], status=refusal[1], headers=refusal[3])
            response: web.Response = await handler(request)
            return response

        return served

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        file = form.get("file")
        if form.get("purpose") != "fine-tune" or not isinstance(file, web.FileField):
            return _error(400, "'purpose' and 'file' are required.", None)
        content = file.file.read()
        try:
            rows = [orjson.loads(line) for line in content.splitlines()]
        except orjson.JSONDecodeError:
            return _error(
                400, "Expected file to have JSONL format, where every line is a valid JSON dictionary.", None
            )
        made = f"file-{len(self.files) + 1}"
        self.rows[made] = rows
        self.files[made] = {
            "id": made,
            "object": "file",
            "bytes": len(content),
            "created_at": int(time.time()),
            "filename": file.filename,
            "purpose": "fine-tune",
            "status": "processed",
        }
        return web.json_response(self.files[made])

    async def _files(self, request: web.Request) -> web.Response:
        return _page(request, list(self.files.values()))

    async def _create(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        if body.get("model") not in self.bases:
            name = body.get("model")
            return _error(
                400,
                f"Model {name} is not available for fine-tuning or does not exist.",
                "model_not_available",
            )
        if body.get("training_file") not in self.files:
            return _error(400, f"Invalid file id {body.get('training_file')}.", "invalid_training_file")
        made = f"ftjob-{len(self.jobs) + 1}"
        method = body.get("method") or {}
        self.jobs[made] = {
            "object": "fine_tuning.job",
            "id": made,
            "model": body["model"],
            "created_at": int(time.time()),
            "finished_at": None,
            "fine_tuned_model": None,
            "training_file": body["training_file"],
            "validation_file": None,
            "status": "validating_files",
            "hyperparameters": method.get("supervised", {}).get("hyperparameters"),
            "seed": body.get("seed"),
            "suffix": body.get("suffix"),
            "trained_tokens": None,
            "error": None,
            "step": 0,
        }
        self.events[made] = []
        self._event(made, "Created fine-tuning job")
        return web.json_response(self._shown(made))

    async def _jobs(self, request: web.Request) -> web.Response:
        return _page(request, [self._shown(name) for name in reversed(self.jobs)])

    async def _job(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        if name not in self.jobs:
            return _error(404, f"Could not find fine tune: {name}", "fine_tune_not_found")
        shown = self._shown(name)
        self._move_on(name)
        while self.hurried and self._goes_on(name):
            self._move_on(name)
        return web.json_response(shown)

    def _shown(self, name: str) -> dict[str, Any]:
        return {key: value for key, value in self.jobs[name].items() if key != "step"}

    def _goes_on(self, name: str) -> bool:
        job = self.jobs[name]
        ended = job["status"] in ("succeeded", "failed", "cancelled")
        return not ended and (job["status"] != "running" or job["step"] != self.hold_at)

    def _move_on(self, name: str) -> None:
        job = self.jobs[name]
        if job["status"] == "validating_files":
            wrong = self._wrong_line(self.rows[job["training_file"]])
            if wrong:
                self._fail(job, "invalid_training_file", wrong)
            else:
                job["status"] = "queued"
        elif job["status"] == "queued":
            job["status"] = "running"
        elif job["status"] == "running" and job["step"] != self.hold_at:
            self._step(name, job)

    def _step(self, name: str, job: dict[str, Any]) -> None:
        job["step"] += 1
        step = job["step"]
        if step == self.fail_at:
            job["trained_tokens"] = 100 * step
            self._fail(job, "server_error", "The training failed on an internal error.")
            return
        loss = round(2.0 / step, 3)
        self._event(
            name,
            f"Step {step}/{self.steps}: training loss={loss}",
            "metrics",
            {"step": step, "total_steps": self.steps, "train_loss": loss, "train_mean_token_accuracy": 0.5},
        )
        if step == self.steps:
            rows = self.rows[job["training_file"]]
            epochs = int((job["hyperparameters"] or {}).get("n_epochs", 1))
            tokens = epochs * sum(len(str(m["content"])) // 4 + 4 for row in rows for m in row["messages"])
            job |= {
                "status": "succeeded",
                "fine_tuned_model": None if self.nameless else self._name(name, job),
                "trained_tokens": tokens,
                "finished_at": int(time.time()),
            }
            self.tuned[self._name(name, job)] = self.learned(rows)

    @staticmethod
    def _name(name: str, job: Mapping[str, Any]) -> str:
        return f"ft:{job['model']}:local:{job['suffix'] or ''}:{name.removeprefix('ftjob-')}"

    def _wrong_line(self, rows: Rows) -> str:
        if len(rows) < 10:
            return f"Training file has {len(rows)} example(s), but must have at least 10 examples."
        for number, row in enumerate(rows, 1):
            messages = row.get("messages")
            if not messages or messages[-1].get("role") != "assistant":
                return f"Invalid file format. Line {number}: the last message must be from the assistant."
        return ""

    def _fail(self, job: dict[str, Any], code: str, message: str) -> None:
        job |= {"status": "failed", "finished_at": int(time.time())}
        job["error"] = {"code": code, "message": message, "param": None}
        self._event(job["id"], message, level="error")

    def _event(
        self,
        name: str,
        message: str,
        kind: str = "message",
        data: dict[str, Any] | None = None,
        level: str = "info",
    ) -> None:
        events = self.events[name]
        events.append(
            {
                "object": "fine_tuning.job.event",
                "id": f"ftevent-{name}-{len(events) + 1}",
                "created_at": int(time.time()),
                "level": level,
                "message": message,
                "type": kind,
                "data": (data or {}) if self.event_data is None else self.event_data,
            }
        )

    async def _events_of(self, request: web.Request) -> web.Response:
        return _page(request, self.events.get(request.match_info["id"], [])[::-1])

    async def _checkpoints(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        job = self.jobs[name]
        found = [
            {
                "object": "fine_tuning.job.checkpoint",
                "id": f"ftckpt-{name}-{step}",
                "created_at": int(time.time()),
                "fine_tuned_model_checkpoint": f"{self._name(name, job)}:ckpt-step-{step}",
                "fine_tuning_job_id": name,
                "metrics": {"step": step, "train_loss": 2.0 / step, "full_valid_loss": abs(step - 2) + 1.0},
                "step_number": step,
            }
            for step in range(1, job["step"] + 1)
        ]
        for checkpoint in found:
            self.tuned.setdefault(
                checkpoint["fine_tuned_model_checkpoint"], self.learned(self.rows[job["training_file"]])
            )
        return _page(request, found[::-1])

    async def _cancel(self, request: web.Request) -> web.Response:
        job = self.jobs[request.match_info["id"]]
        if job["status"] in ("succeeded", "failed", "cancelled"):
            return _error(400, "Job has already completed.", "invalid_request")
        job |= {"status": "cancelled", "finished_at": int(time.time()), "trained_tokens": 100 * job["step"]}
        return web.json_response(self._shown(job["id"]))

    async def _models(self, request: web.Request) -> web.Response:
        return _listed([{"id": name, "object": "model"} for name in (*self.bases, *self.tuned)])


def _error(status: int, message: str, code: str | None) -> web.Response:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return web.json_response({"error": error}, status=status)


def _page(request: web.Request, entries: list[dict[str, Any]]) -> web.Response:
    """Return the entries behind `after`, 100 at most, as the provider lists them."""
    after, limit = request.query.get("after"), min(100, int(request.query.get("limit", 20)))
    ids = [entry["id"] for entry in entries]
    start = ids.index(after) + 1 if after in ids else 0
    part = entries[start : start + limit]
    more = start + limit < len(entries)
    return web.json_response({"object": "list", "data": part, "has_more": more})


def _listed(entries: list[dict[str, Any]]) -> web.Response:
    return web.json_response({"object": "list", "data": entries, "has_more": False})
