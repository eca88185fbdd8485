"""OpenTelemetry spans: one for each call, under the call it was made in, and nothing secret in any of them."""

import http.server
import json
import threading

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support.servers.openai_server import OpenAIServer

import engine
from engine.errors import LMError
from engine.evaluate.telemetry import OpenTelemetryCallback
from engine.testing import ScriptedLM

KEY = "sk-test-very-secret-0123456789"


@pytest.fixture
def kept():
    return InMemorySpanExporter()


@pytest.fixture
def provider(kept):
    made = TracerProvider()
    made.add_span_processor(SimpleSpanProcessor(kept))
    return made


def by_name(kept):
    return {span.name: span for span in kept.get_finished_spans()}


def parents(kept):
    names = {span.context.span_id: span.name for span in kept.get_finished_spans()}
    return {
        span.name: names.get(span.parent.span_id) if span.parent else None
        for span in kept.get_finished_spans()
    }


def lookup(item: str) -> str:
    """Look an item up."""
    with trace.get_tracer("somebody else's").start_as_current_span("inside the tool"):
        return engine.Retrieve(k=1)(item).passages[0]


AGENT = [
    {"next_thought": "Look.", "next_tool_name": "lookup", "next_tool_args": {"item": "refund"}},
    {"next_thought": "Done.", "next_tool_name": "finish", "next_tool_args": {}},
    {"reasoning": "It says so.", "answer": "five days"},
]


def test_every_kind_of_call_is_a_span_in_its_place(kept, provider):
    class Program(engine.Module):
        def __init__(self):
            self.agent = engine.ReAct("question -> answer", tools=[lookup])
            self.sum = engine.ProgramOfThought("numbers: list[int] -> total: int")

        def forward(self, question):
            answer = self.agent(question=question).answer
            return engine.Prediction(answer=answer, total=self.sum(numbers=[1, 2]).total)

    script = [
        *AGENT,
        {"reasoning": "r", "generated_code": "sum(numbers)"},
        {"reasoning": "It gave 3.", "total": 3},
    ]
    heard = [OpenTelemetryCallback(provider)]
    with engine.context(lm=ScriptedLM(script), callbacks=heard, rm=engine.BM25(["Refunds take five days."])):
        assert Program()(question="How long?").total == 3
    found = parents(kept)
    assert found["invoke_workflow Program"] is None
    assert found["invoke_agent ReAct"] == "invoke_workflow Program"
    assert found["step question, trajectory -> next_thought, next_tool_name, next_tool_args"] == (
        "invoke_agent ReAct"
    )
    assert found["execute_tool lookup"] == "invoke_agent ReAct"
    assert found["retrieval bm25"] == "invoke_workflow Retrieve"
    assert found["invoke_workflow Retrieve"] == "execute_tool lookup"
    assert found["interpreter PythonInterpreter"] == "invoke_agent ProgramOfThought"
    assert found["chat scripted"].startswith("step ")
    spans = by_name(kept)
    assert spans["execute_tool lookup"].attributes["gen_ai.operation.name"] == "execute_tool"
    assert spans["retrieval bm25"].attributes["tuneboard.retrieval.found"] == 1
    assert len({span.context.trace_id for span in kept.get_finished_spans()}) == 1
    # Without content=True no text of the task's is told.
    assert not any("five days" in str(v) for s in kept.get_finished_spans() for v in s.attributes.values())


def test_a_spans_parent_may_be_the_applications_own_and_its_child_a_librarys(kept, provider):
    tracer = provider.get_tracer("application")
    inner = []

    def tool(x: int) -> int:
        inner.append(trace.get_current_span().get_span_context().span_id)
        return x

    with (
        tracer.start_as_current_span("request"),
        engine.context(callbacks=[OpenTelemetryCallback(provider)]),
    ):
        engine.Tool(tool)(x=1)
    spans = by_name(kept)
    assert spans["execute_tool tool"].parent.span_id == spans["request"].context.span_id
    assert inner == [spans["execute_tool tool"].context.span_id]


def test_a_model_call_tells_model_tokens_and_no_key(kept, provider):
    with OpenAIServer(answer="[[ ## answer ## ]]\n4\n[[ ## completed ## ]]", api_key=KEY) as server:
        lm = engine.LM(
            "openai/test-model", api_base=server.url, api_key=KEY, temperature=0.5, max_tokens=50, cache=False
        )
        heard = [OpenTelemetryCallback(provider, content=True)]
        with engine.context(lm=lm, callbacks=heard):
            engine.Predict("question -> answer")(question=f"My key is {KEY}. 2 + 2?")
    call = by_name(kept)["chat test-model"]
    assert call.kind == trace.SpanKind.CLIENT
    assert call.attributes["gen_ai.provider.name"] == "openai"
    assert call.attributes["gen_ai.request.model"] == "test-model"
    assert call.attributes["gen_ai.request.temperature"] == 0.5
    assert call.attributes["gen_ai.request.max_tokens"] == 50
    assert call.attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert call.attributes["gen_ai.usage.input_tokens"] > 0
    assert call.attributes["gen_ai.usage.output_tokens"] > 0
    asked = json.loads(call.attributes["gen_ai.input.messages"])
    assert asked[0]["role"] == "system"
    assert "2 + 2?" in asked[-1]["parts"][0]["content"]
    assert "very-secret" not in str([span.to_json() for span in kept.get_finished_spans()])


def test_a_failure_is_told_without_secrets(kept, provider):
    with OpenAIServer() as server:
        server.fail_with(401, {"error": {"message": f"Bad key {KEY}"}})
        lm = engine.LM("openai/test-model", api_base=server.url, api_key=KEY, cache=False)
        heard = [OpenTelemetryCallback(provider)]
        with engine.context(lm=lm, callbacks=heard), pytest.raises(LMError):
            engine.Predict("question -> answer")(question="?")
    call = by_name(kept)["chat test-model"]
    assert call.status.status_code == trace.StatusCode.ERROR
    assert call.attributes["error.type"] == "AuthenticationFailedError"
    assert "very-secret" not in str([span.to_json() for span in kept.get_finished_spans()])


def test_spans_of_rows_side_by_side_do_not_mix(kept, provider):
    rows = [engine.Example(question=str(i), answer="x").with_inputs("question") for i in range(20)]
    lm = ScriptedLM(lambda request: {"reasoning": "r", "answer": "x"})
    with engine.context(lm=lm, callbacks=[OpenTelemetryCallback(provider)]):
        engine.Evaluate(devset=rows, metric=engine.ExactMatch(), num_threads=10)(
            engine.ChainOfThought("question -> answer")
        )
    spans = kept.get_finished_spans()
    evaluation = next(s for s in spans if s.name == "evaluate")
    assert evaluation.attributes["tuneboard.score"] == 100.0
    names = {s.context.span_id: s for s in spans}
    calls = [s for s in spans if s.name == "chat scripted"]
    assert len(calls) == 20
    roots = {names[names[c.parent.span_id].parent.span_id].context.span_id for c in calls}
    assert len(roots) == 20
    assert all(names[root].parent.span_id == evaluation.context.span_id for root in roots)


class _Collector(http.server.BaseHTTPRequestHandler):
    received: list = []

    def do_POST(self):
        self.received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


def test_spans_are_sent_to_a_collector():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Collector)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        telemetry = OpenTelemetryCallback(endpoint=f"http://127.0.0.1:{server.server_address[1]}/v1/traces")
        with engine.context(lm=ScriptedLM([{"answer": "4"}]), callbacks=[telemetry]):
            engine.Predict("question -> answer")(question="?")
        telemetry.flush()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    path, body = _Collector.received[0]
    assert path == "/v1/traces"
    assert b"chat scripted" in body
    assert b"gen_ai.request.model" in body
