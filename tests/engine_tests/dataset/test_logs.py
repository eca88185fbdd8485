"""Logs of model calls become rows: chat completions, OpenTelemetry spans, exports of Langfuse and Phoenix, as they really are."""

from __future__ import annotations

import json

import pytest

from engine.dataset import guess_roles, profile, read_dataset
from engine.dataset.doubt import label_order
from engine.dataset.logs import COMMENT, INPUT, MODEL, OUTPUT, SYSTEM, THUMBS
from engine.errors import DatasetError
from engine.pipeline.importers.attachments import GivenFile
from engine.pipeline.importers.recognise import recognise
from engine.runs.drafting import draft_task

SYSTEM_TEXT = "Sort the mail. Answer with one of: billing, shipping."
KEY = "sk-proj-abcdEFGH1234abcdEFGH1234"


def chat_line(n: int) -> dict[str, object]:
    answer = {"role": "assistant", "content": ("billing", "shipping")[n % 2], "refusal": None}
    return {
        "id": f"chatcmpl-{n}",
        "request": {
            "model": "gpt-4o-mini",
            "messages": [{"role": "system", "content": SYSTEM_TEXT}, {"role": "user", "content": f"Mail {n}: where is it? {KEY}"}],
            "headers": {"Authorization": f"Bearer {KEY}"},
        },
        "response": {"model": "gpt-4o-mini-2024-07-18", "choices": [{"index": 0, "message": answer, "finish_reason": "stop"}],
                     "usage": {"prompt_tokens": 40, "completion_tokens": 1}},
        "feedback": {"thumbs": "down", "comment": "It was a bill."} if n == 1 else None,
    }  # fmt: skip


def otlp(n: int) -> dict[str, object]:
    def text(key: str, value: str) -> dict[str, object]:
        return {"key": key, "value": {"stringValue": value}}

    asked = [{"role": "user", "parts": [{"type": "text", "content": f"Mail {n}"}]}]
    answered = [
        {"role": "assistant", "parts": [{"type": "text", "content": "billing"}], "finish_reason": "stop"}
    ]
    rules = [{"type": "text", "content": SYSTEM_TEXT}]
    span = {
        "traceId": "5b8efff798038103d269b633813fc60c", "spanId": f"{n:016x}", "name": "chat gpt-4o", "kind": 3,
        "attributes": [
            text("gen_ai.operation.name", "chat"), text("gen_ai.request.model", "gpt-4o"),
            text("gen_ai.system_instructions", json.dumps(rules)),
            text("gen_ai.input.messages", json.dumps(asked)), text("gen_ai.output.messages", json.dumps(answered)),
            {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "12"}},
        ],
    }  # fmt: skip
    tool = {"name": "execute_tool search", "attributes": [text("gen_ai.operation.name", "execute_tool")]}
    scope = {"scope": {"name": "opentelemetry.instrumentation.openai_v2"}, "spans": [span, tool]}
    return {
        "resourceSpans": [{"resource": {"attributes": [text("service.name", "mail")]}, "scopeSpans": [scope]}]
    }


def langfuse_observation(n: int) -> dict[str, object]:
    return {
        "id": f"obs-{n}", "trace_id": f"trace-{n}", "type": "GENERATION", "name": "sort", "environment": "production",
        "start_time": "2024-05-29 13:46:19.963000", "provided_model_name": "gpt-4o-mini",
        "input": json.dumps([{"role": "system", "content": SYSTEM_TEXT}, {"role": "user", "content": f"Mail {n}"}]),
        "output": json.dumps({"role": "assistant", "content": "shipping"}), "metadata": {"secret": KEY}, "user_id": "u-1",
    }  # fmt: skip


def langfuse_trace(n: int) -> dict[str, object]:
    scores = [
        {"name": "user-feedback", "value": 0 if n % 2 else 1, "comment": "wrong team" if n % 2 else None}
    ]
    return {
        "id": f"trace-{n}", "timestamp": "2024-05-29T13:46:19.963Z", "name": "sort-mail", "userId": "u-1", "sessionId": None,
        "input": {"mail": f"Mail {n}", "plan": "basic"}, "output": "billing", "scores": scores, "tags": [], "metadata": {},
    }  # fmt: skip


def phoenix_span(n: int) -> dict[str, object]:
    return {
        "name": "ChatCompletion", "span_kind": "LLM", "parent_id": None, "status_code": "OK",
        "context.span_id": f"{n:016x}", "context.trace_id": "ab", "attributes.llm.model_name": "gpt-4o-mini",
        "attributes.llm.input_messages": [
            {"message.role": "system", "message.content": SYSTEM_TEXT}, {"message.role": "user", "message.content": f"Mail {n}"},
        ],
        "attributes.llm.output_messages": [{"message.role": "assistant", "message.content": "billing"}],
        "attributes.input.value": "{}", "attributes.output.value": "{}",
        "annotations": [{"name": "correctness", "annotator_kind": "HUMAN", "result": {"label": "incorrect", "score": 0, "explanation": "no bill"}}],
    }  # fmt: skip


def phoenix_nested(n: int) -> dict[str, object]:
    attributes = {
        "openinference.span.kind": "LLM",
        "llm.model_name": "gpt-4o-mini",
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.content": f"Mail {n}",
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": "billing",
    }
    return {
        "id": str(n),
        "name": "chat",
        "context": {"span_id": "1"},
        "span_kind": "LLM",
        "attributes": attributes,
    }


def lines(make, count: int = 4) -> bytes:
    return "\n".join(json.dumps(make(n)) for n in range(count)).encode()


@pytest.mark.parametrize(
    ("content", "name", "title", "first"),
    [
        (lines(chat_line), "calls.jsonl", "a log of chat completions", {INPUT: "Mail 0: where is it? [key removed]", OUTPUT: "billing", MODEL: "gpt-4o-mini", SYSTEM: SYSTEM_TEXT}),
        (lines(otlp), "spans.jsonl", "OpenTelemetry spans", {INPUT: "Mail 0", OUTPUT: "billing", MODEL: "gpt-4o", SYSTEM: SYSTEM_TEXT}),
        (json.dumps(otlp(0)).encode(), "spans.json", "OpenTelemetry spans", {INPUT: "Mail 0", OUTPUT: "billing"}),
        (lines(langfuse_observation), "observations.jsonl", "an export of Langfuse", {INPUT: "Mail 0", OUTPUT: "shipping", MODEL: "gpt-4o-mini"}),
        (json.dumps([langfuse_trace(n) for n in range(4)]).encode(), "traces.json", "an export of Langfuse", {"mail": "Mail 0", "plan": "basic", OUTPUT: "billing", THUMBS: "up"}),
        (lines(phoenix_span), "spans.jsonl", "an export of Phoenix", {INPUT: "Mail 0", OUTPUT: "billing", THUMBS: "down", COMMENT: "no bill"}),
        (json.dumps({"data": [phoenix_nested(n) for n in range(3)], "next_cursor": None}).encode(), "spans.json", "an export of Phoenix", {INPUT: "Mail 0", OUTPUT: "billing"}),
        (lines(lambda n: {"messages": [{"role": "user", "content": f"Mail {n}"}, {"role": "assistant", "content": "billing"}]}), "tune.jsonl", "a log of chat completions", {INPUT: "Mail 0", OUTPUT: "billing"}),
    ],
)  # fmt: skip
def test_every_form_of_log_becomes_rows(content, name, title, first):
    table = read_dataset(content, name)
    row = table.rows()[0]
    assert {key: row[key] for key in first} == first
    assert any(title in note for note in table.notes)
    assert KEY not in str(table.rows())
    roles = guess_roles(table, profile(table))
    assert roles[OUTPUT] == "output"
    assert {column for column, role in roles.items() if role == "input"} <= {INPUT, "mail", "plan"}


def test_the_users_word_is_taken_along_and_other_texts_are_not():
    row = read_dataset(lines(chat_line), "calls.jsonl").rows()[1]
    assert (row[THUMBS], row[COMMENT]) == ("down", "It was a bill.")
    assert set(row) == {INPUT, OUTPUT, MODEL, THUMBS, COMMENT, SYSTEM}


def test_a_field_of_a_layout_becomes_a_column_and_an_answer():
    def line(n: int) -> dict[str, object]:
        asked = f"[[ ## mail ## ]]\nMail {n}\n\n[[ ## plan ## ]]\nbasic\n\nRespond with the corresponding output fields."
        answer = "[[ ## reasoning ## ]]\nIt is a bill.\n\n[[ ## team ## ]]\nbilling\n\n[[ ## completed ## ]]"
        return {"messages": [{"role": "user", "content": asked}], "response": {"choices": [{"message": {"role": "assistant", "content": answer}}]}}  # fmt: skip

    row = read_dataset(lines(line), "calls.jsonl").rows()[0]
    assert row["mail"] == "Mail 0"
    assert row["plan"].startswith("basic")
    assert row[OUTPUT] == "billing"


def test_plain_rows_are_no_log():
    rows = [{"input": f"text {n}", "output": "a"} for n in range(4)]
    assert read_dataset(json.dumps(rows).encode(), "rows.json").columns == ("input", "output")


def test_a_log_without_an_answer_says_what_is_missing():
    asked = {"messages": [{"role": "user", "content": "Hi"}], "response": {"choices": []}}
    with pytest.raises(DatasetError, match="no call with an input and an answer"):
        read_dataset(json.dumps([asked] * 3).encode(), "calls.json")


@pytest.mark.parametrize("broken", [{"resourceSpans": [3]}, {"resourceSpans": [{"scopeSpans": [None]}]},
                                    {"attributes": [{"key": "gen_ai.x"}]}, {"traceId": 1, "input": [[]], "output": {}}])  # fmt: skip
def test_odd_records_are_left_aside(broken):
    with pytest.raises(DatasetError):
        read_dataset(json.dumps([broken] * 3).encode(), "odd.json")


def test_a_log_drafts_a_task_with_its_own_instructions():
    content = lines(chat_line, 40)
    assert recognise("", (GivenFile("calls.jsonl", content),)).table is not None
    table = read_dataset(content, "calls.jsonl")
    made = draft_task(None, table, profile(table))
    assert made.pipeline is not None
    assert made.pipeline.steps[0].instructions == SYSTEM_TEXT
    assert [(f.name, f.choices) for f in made.pipeline.outputs] == [("answer", ("billing", "shipping"))]
    assert made.mapping == {"input": INPUT, "answer": OUTPUT}


def test_a_large_log_is_read_by_a_child_process():
    def line(n: int) -> dict[str, object]:
        return {
            "messages": [
                {"role": "user", "content": f"Mail {n} " + "word " * 400},
                {"role": "assistant", "content": "billing"},
            ]
        }

    table = read_dataset(lines(line, 3000), "calls.jsonl")
    assert len(table) == 3000


def test_what_is_doubtful_comes_first():
    found = label_order(
        dict.fromkeys(range(6), "billing"),
        thumbs={1: "down", 2: "up", 4: "up"},
        others={0: ["billing"], 3: ["Billing ", "shipping"], 4: ["shipping"]},
        labelled=[5],
    )
    assert [doubt.row for doubt in found] == [1, 4, 3, 0]
