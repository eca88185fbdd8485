"""The short-lived process that works for a page: it asks a model, or reads documents from outside.

So a page never loads a model client, can end a call, and outlives a file that takes too much time or memory.

    python -m engine.runs.child.process < request.json

One `ChildRequest` comes as JSON on standard input; each line of standard output is a `ChildAnswer`, the last of
them the result. Keys come in the environment, or in the request where one is tested before it is kept; they are
never arguments. It knows no store: a request carries all that its task needs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from engine.basics.home import data_home
from engine.errors import EngineError, first_problem
from engine.lm.calls.limits import FOLDER, SharedLimit, shared_limit
from engine.runs.child.new_rows import NewRowsRequest, write_rows
from engine.runs.child.playground import PlaygroundRequest, PreviewRequest, answer_input, answer_rows
from engine.runs.child.request import ChildAnswer, ChildRequest, ConnectionRequest, TaskName
from engine.runs.child.task_draft import TaskDraftRequest, draft_step
from engine.runs.drafting import ImportRequest, import_documents
from engine.runtime import context
from engine.search.budget import Ledger

if TYPE_CHECKING:
    from engine.lm.base import BaseLM, Reply, Request
    from engine.lm.exchange import Send

Put = Callable[[Any], None]
"""Takes a part of the result as it comes."""


async def _preview(request: PreviewRequest, _put: Put) -> object:
    return [outcome.to_json() for outcome in await answer_rows(request)]


async def _connection(request: ConnectionRequest, _put: Put) -> object:
    from engine.lm.connection import check_connection

    return await check_connection(request.model, request.api_key, request.timeout)


async def _documents(request: ImportRequest, _put: Put) -> object:
    return import_documents(request)


TASKS: dict[TaskName, tuple[type[BaseModel], Callable[[Any, Put], Coroutine[Any, Any, object]]]] = {
    "playground": (PlaygroundRequest, lambda asked, put: answer_input(asked, put if asked.stream else None)),
    "preview": (PreviewRequest, _preview),
    "new_rows": (NewRowsRequest, lambda asked, _put: write_rows(asked)),
    "connection": (ConnectionRequest, _connection),
    "documents": (ImportRequest, _documents),
    "task_draft": (TaskDraftRequest, lambda asked, _put: draft_step(asked)),
}
"""Task -> its request, and the function that carries it out; it may put parts of its result first."""


def answer_request(text: bytes, write: Callable[[ChildAnswer], None] = lambda _: None) -> ChildAnswer:
    """Return the result of a request's JSON text; what goes wrong is its problem.

    `write` takes parts of it as they come, and what was spent before each call and at the end.
    """
    from engine import loop

    def put(part: object) -> None:
        write(ChildAnswer(content=part))

    try:
        asked = ChildRequest.model_validate_json(text)
        request, carry_out = TASKS[asked.task]
        if asked.at_once is not None:
            shared_limit.set(SharedLimit(data_home() / FOLDER, asked.at_once))
        ledger = Ledger(asked.budget)

        async def counted(lm: BaseLM, request: Request, send: Send) -> Reply:
            async def sent(lm: BaseLM, request: Request) -> Reply:
                write(ChildAnswer(usage=ledger.committed))
                return await send(lm, request)

            return await ledger.send(lm, request, sent)

        with context(middleware=(counted,)):
            try:
                content: object = loop.run(carry_out(request.model_validate(asked.content), put))
            finally:
                write(ChildAnswer(usage=ledger.spent))
        return ChildAnswer(content=content, final=True)
    except ValidationError as error:
        where, message = first_problem(error)
        return ChildAnswer(problem=f"The request cannot be read at {where!r}: {message}.", final=True)
    except EngineError as error:
        return ChildAnswer(problem=str(error), final=True)


def main() -> None:
    """Answer the request on standard input."""
    out, sys.stdout = sys.stdout, sys.stderr  # libraries print too: the lines of `out` are answers alone

    def write(answer: ChildAnswer) -> None:
        out.write(f"{answer.model_dump_json()}\n")
        out.flush()

    write(answer_request(sys.stdin.buffer.read(), write))


if __name__ == "__main__":
    main()
