"""Every registered optimizer on the toy task, seed 3: its asks, candidates, calls and scores.

The program has one step, or two, or one and a budget of 60 calls of which six rows of a final test are kept back.

Calls are written as hashes, batch by batch, in sorted order: within a batch only their set is a promise.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from golden.files import short_hash
from golden.internals import (
    OPTIMIZERS,
    Driver,
    Keep,
    Propose,
    Score,
    Train,
    Training,
    relay,
    run,
    toy_settings,
)
from support.small_optimizers import HintLM, TwoSteps, small

import engine

SEED = 3
TASKS = ("one", "two", "short")
NAMES = tuple(f"{optimizer.name}-{task}" for optimizer in OPTIMIZERS for task in TASKS)
LONGEST = 300
"""Characters of a value that are written out; of a longer one its beginning and its hash."""

_SHORT = 60
_CALLS_IN_LINE = 14


def search_log(name: str) -> str:
    """Return what an optimizer does ("GEPA-two"), as text."""
    optimizer, task = name.rsplit("-", 1)
    make = small(next(o for o in OPTIMIZERS if o.name == optimizer))
    lm = _Listening()
    changes = {"two": {"program": TwoSteps()}, "short": {"budget": engine.Budget(calls=60)}}.get(task, {})
    settings = toy_settings(lm, seed=SEED, concurrency=4, **changes)
    log = _Log(lm, settings.program.candidate())
    search = Driver(settings).search(
        lambda problem: log.follow(make().search(problem)), test_rows=6 if task == "short" else 0
    )
    result = run(search)
    log.add_calls()
    log.lines += [
        "",
        f"stopped: {result.stopped}",
        f"reason: {result.reason}",
        f"best: {log.name_of(result.best)} {_score(result.score)}",
        f"usage: {result.usage.calls} calls, {result.usage.input_tokens} + {result.usage.output_tokens} tokens",
        *(
            f"trial {t.number}: {log.name_of(t.candidate)} {t.label!r} {t.split} "
            f"{len(t.evaluation.outcomes)} rows {_score(t.evaluation.score)}{'' if t.complete else ' partial'}"
            for t in result.trials
        ),
    ]
    return "\n".join([*log.lines, ""])


class _Listening(HintLM):
    """The toy model of two steps, which keeps every request until it is asked for them."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    async def complete(self, request):
        known = request.key() in self.cache
        sent = [[m["role"], m["content"]] for m in request.messages]
        params = {name: value for name, value in sorted(request.params.items()) if value is not None}
        text = json.dumps([sent, params, request.rollout_id], sort_keys=True, default=str)
        self.heard.append(short_hash(text)[:6] + ("=" if known else ""))
        return await super().complete(request)


class _Log:
    """Notes of a search, in lines; candidates are numbered as they appear."""

    def __init__(self, lm: _Listening, seed: Any) -> None:
        self.lines: list[str] = []
        self._lm = lm
        self._numbers: dict[str, int] = {}
        self._prompts: set[str] = set()
        self._values: set[str] = set()
        self._batches = 0
        self._asked_lines: list[str] = []
        self.name_of(seed)

    def follow(self, search: Generator[Sequence[Any], Sequence[Any], Any]) -> Any:
        """Pass asks and answers on, and note them."""
        result = yield from relay(search, self._note_asks, self._note_answers)
        self.lines.append(f"\nthe search ends: {result!r}")
        return result

    def _note_asks(self, asks: Sequence[Any]) -> None:
        self._batches += 1
        self.add_calls()
        self.lines.append(f"\n== batch {self._batches}")
        self._asked_lines = [self._asked(ask) for ask in asks]

    def _note_answers(self, asks: Sequence[Any], answers: Sequence[Any]) -> None:
        for text, answer in zip(self._asked_lines, answers, strict=True):
            self.lines.append(f"{text} -> {self._answered(answer)}" if answer is not None else text)

    def add_calls(self) -> None:
        """Note the calls since the last time; "=" marks one whose answer was known."""
        heard, self._lm.heard = self._lm.heard, []
        heard.sort()
        for at in range(0, len(heard), _CALLS_IN_LINE):
            self.lines.append(f"  calls {' '.join(heard[at : at + _CALLS_IN_LINE])}")

    def name_of(self, candidate: Any) -> str:
        """Return a candidate's number, and describe it at its first appearance."""
        if candidate.id not in self._numbers:
            self._numbers[candidate.id] = len(self._numbers)
            parents = " ".join(f"#{self._numbers.get(p, '?')}" for p in candidate.parents)
            self.lines.append(
                f"candidate #{self._numbers[candidate.id]} {candidate.id} from ({parents}): {candidate.reason}"
            )
            for path, state in candidate.steps.items():
                known = {key: value for key, value in state.as_dict().items() if value}
                demos = [{**d["values"], "augmented": d["augmented"]} for d in known.pop("demos", ())]
                self.lines += [f"  {path}.{key}: {self._value(value)}" for key, value in known.items()]
                self.lines += [f"  {path} demo {self._value(demo)}" for demo in demos]
        return f"#{self._numbers[candidate.id]}"

    def _asked(self, ask: Any) -> str:
        if isinstance(ask, Score):
            flags = [name for name in ("trace", "teacher", "hide_own_row") if getattr(ask, name)]
            rollout = [f"rollout {ask.rollout}"] if ask.rollout else []
            extra = f" ({', '.join([*flags, *rollout])})" if flags or rollout else ""
            return f"score {self.name_of(ask.candidate)} {ask.label!r}{extra} on {_rows(ask.rows)}"
        if isinstance(ask, Keep):
            return f"keep {self.name_of(ask.candidate)} {_score(ask.score)}"
        if isinstance(ask, Propose):
            return self._proposal(ask)
        if isinstance(ask, Train):
            calls = [[row, call.path, dict(call.inputs), dict(call.outputs)] for row, call in ask.calls]
            what = f"calls {self._value(calls)}" if calls else f"on {_rows(ask.rows)}"
            settings = self._value(ask.settings.model_dump(exclude_defaults=True))
            return (
                f"train {self.name_of(ask.candidate)} {' '.join(ask.steps)} {ask.label!r} {settings} {what}"
            )
        return self._value(repr(ask))

    def _proposal(self, ask: Any) -> str:
        signature = ask.signature
        outputs = ", ".join(signature.output_fields)
        prompt = short_hash(signature.instructions + repr(signature))
        if prompt not in self._prompts:
            self._prompts.add(prompt)
            self.lines.append(f"prompt {prompt}: {', '.join(signature.input_fields)} -> {outputs}")
            self.lines += [f"  | {line}" for line in signature.instructions.splitlines()]
        self.lines += [f"  {name} = {self._value(value)}" for name, value in ask.inputs.items()]
        return (
            f"propose {prompt} {ask.label!r} n={ask.n} temperature={ask.temperature:g} rollout={ask.rollout}"
        )

    def _answered(self, answer: Any) -> str:
        if isinstance(answer, Training):
            model = self.name_of(answer.candidate) if answer.candidate else "no model"
            score = _score(answer.evaluation.score) if answer.evaluation else "no score"
            return f"{model} {score} {answer.problem}".rstrip()
        if not hasattr(answer, "outcomes"):
            return self._value([dict(output) for output in answer.outputs])
        scores = " ".join(_score(o.score) + ("!" if o.error else "") for o in answer.outcomes)
        return f"{_score(answer.score)} [{scores}]"

    def _value(self, value: Any) -> str:
        """Return a value as text; a long one by its beginning and its hash, and the second time by its hash."""
        text = value if isinstance(value, str) else json.dumps(_plain(value), ensure_ascii=False)
        text = text.replace("\n", "\\n")
        mark = short_hash(text)
        if len(text) <= LONGEST and (len(text) <= _SHORT or mark not in self._values):
            shown = text
        elif mark not in self._values:
            shown = f"{text[:LONGEST]}... {len(text)} characters"
        else:
            return f"{text[:_SHORT]}... as in {mark}"
        self._values.add(mark)
        return shown if len(text) <= _SHORT else f"{shown} ({mark})"


def _rows(rows: Sequence[int]) -> str:
    whole = list(range(rows[0], rows[0] + len(rows))) if rows else []
    return f"{rows[0]}-{rows[-1]}" if len(rows) > 2 and list(rows) == whole else " ".join(map(str, rows))


def _score(score: float | None) -> str:
    return "-" if score is None else f"{score:.6g}"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else repr(value)
