"""`OpenTelemetryCallback`: programs, steps, model calls, tools, searches and sandboxed code as OpenTelemetry spans.

Names and attributes are those of OpenTelemetry's conventions for generative AI (`gen_ai.*`). No key, header or
address is ever an attribute, and texts only with `content=True`, with everything that looks like a key removed. It
knows callbacks and the shape of their arguments; the packages come with `pip install "tuneboard[otel]"`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from engine.basics.data import JsonObject, Values
from engine.callbacks import BaseCallback, Inputs, Raised, active_call_id
from engine.errors import ConfigurationError
from engine.lm.keys import without_keys
from engine.records import json_value

try:
    from opentelemetry import context as otel_context
    from opentelemetry import trace
except ImportError as error:
    raise ConfigurationError(
        "OpenTelemetry is not installed. Install it with: pip install 'tuneboard[otel]'"
    ) from error

Attributes = dict[str, str | bool | int | float | tuple[str, ...]]

_LONGEST = 10_000


class OpenTelemetryCallback(BaseCallback):
    """Put it into `engine.configure(callbacks=[...])`; every call becomes a span under the call it was made in.

    `tracer_provider` is where spans go (by default that of the process, as set up by an application); with
    `endpoint` they are sent to an OTLP collector over HTTP (`flush()` sends what is still waiting). With `content`
    prompts, answers, tools' arguments and queries are attributes too. Raises ConfigurationError when the packages
    are not installed.

    >>> from opentelemetry.sdk.trace import TracerProvider
    >>> from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    >>> from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    >>> from engine import Predict, context
    >>> from engine.testing import DummyLM
    >>> kept, provider = InMemorySpanExporter(), TracerProvider()
    >>> provider.add_span_processor(SimpleSpanProcessor(kept))
    >>> with context(lm=DummyLM([{"answer": "4"}]), callbacks=[OpenTelemetryCallback(provider)]):
    ...     answer = Predict("question -> answer")(question="2 + 2?")
    >>> [span.name for span in kept.get_finished_spans()]
    ['chat dummy', 'step question -> answer']
    """

    def __init__(
        self, tracer_provider: Any = None, *, endpoint: str | None = None, content: bool = False
    ) -> None:
        if endpoint is not None:
            tracer_provider = _provider_for(endpoint)
        self._provider = tracer_provider or trace.get_tracer_provider()
        self._tracer = self._provider.get_tracer("tuneboard")
        self._content = content
        self._open: dict[str, tuple[Any, Any]] = {}

    def flush(self) -> None:
        """Send the spans that are still waiting."""
        if hasattr(self._provider, "force_flush"):
            self._provider.force_flush()

    # Spans

    def _start(
        self,
        call_id: str,
        name: str,
        attributes: Attributes,
        content: Mapping[str, object] | None = None,
        kind: trace.SpanKind = trace.SpanKind.INTERNAL,
    ) -> None:
        parent = self._open.get(active_call_id.get() or "")
        inside = otel_context.get_current() if parent is None else trace.set_span_in_context(parent[0])
        about = {**attributes, **self._texts(content)}
        span = self._tracer.start_span(name, context=inside, kind=kind, attributes=about)
        # In force for what is inside, so that spans of other libraries (a tool's HTTP call) fall into place.
        token = otel_context.attach(trace.set_span_in_context(span, inside))
        self._open[call_id] = (span, token)

    def _end(
        self,
        call_id: str,
        exception: Raised,
        attributes: Attributes | None = None,
        content: Mapping[str, object] | None = None,
    ) -> None:
        opened = self._open.pop(call_id, None)
        if opened is None:
            return
        span, token = opened
        otel_context.detach(token)
        span.set_attributes({**(attributes or {}), **self._texts(content)})
        if exception is not None:
            span.set_attribute("error.type", type(exception).__name__)
            span.set_status(trace.StatusCode.ERROR, safe(str(exception)))
        span.end()

    def _texts(self, content: Mapping[str, object] | None) -> Attributes:
        """Return content as attributes where it is wanted."""
        return {name: safe(_as_text(value)) for name, value in (content or {}).items() if self._content}

    # Programs and steps

    def on_module_start(self, call_id: str, instance: object, inputs: Inputs) -> None:
        """A program, an agent or a step."""
        kind = type(instance).__name__
        about: Attributes = {"tuneboard.module": kind}
        if hasattr(instance, "demos"):
            name = f"step {_arrow(getattr(instance, 'signature', None))}"
            about["tuneboard.demos"] = len(instance.demos)
        elif hasattr(instance, "interpreter_factory") or hasattr(instance, "react"):
            name = f"invoke_agent {kind}"
            about |= {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": kind}
        else:
            name = f"invoke_workflow {kind}"
            about |= {"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": kind}
        self._start(call_id, name, about, {"tuneboard.inputs": inputs})

    def on_module_end(self, call_id: str, outputs: object, exception: Raised = None) -> None:
        """It has answered."""
        answer = dict(outputs) if isinstance(outputs, Mapping) else outputs
        self._end(call_id, exception, None, {} if outputs is None else {"tuneboard.outputs": answer})

    # Model calls

    def on_lm_start(self, call_id: str, instance: Any, inputs: Values) -> None:
        """A request to a model."""
        model = str(instance.model)
        name = model.partition("/")[2] or model
        work = "embeddings" if type(instance).__name__.startswith("Embedding") else "chat"
        about: Attributes = {
            "gen_ai.operation.name": work,
            "gen_ai.provider.name": provider_of(model),
            "gen_ai.request.model": name,
        }
        about |= {_REQUEST[n]: v for n, v in inputs.items() if n in _REQUEST and isinstance(v, int | float)}
        if isinstance(stop := inputs.get("stop"), str | list | tuple):
            stops = (stop,) if isinstance(stop, str) else tuple(map(str, stop))
            about["gen_ai.request.stop_sequences"] = stops
        messages = {"gen_ai.input.messages": [_message(m) for m in inputs.get("messages", ())]}
        self._start(call_id, f"{work} {name}", about, messages, trace.SpanKind.CLIENT)

    def on_lm_end(self, call_id: str, outputs: Any, exception: Raised = None) -> None:
        """Its reply."""
        about: Attributes = {}
        reply = getattr(outputs, "reply", None)
        if reply is not None:
            about["tuneboard.cached"] = reply.cached
            if reasons := tuple(c.finish_reason for c in reply.choices if c.finish_reason):
                about["gen_ai.response.finish_reasons"] = reasons
            if reply.model:
                about["gen_ai.response.model"] = str(reply.model).partition("/")[2] or str(reply.model)
            if not reply.cached:
                about["gen_ai.usage.input_tokens"] = reply.usage.input_tokens
                about["gen_ai.usage.output_tokens"] = reply.usage.output_tokens
                if reply.usage.cost is not None:
                    about["tuneboard.usd"] = reply.usage.cost
        answers = [_message({"role": "assistant", "content": text}) for text in outputs or ()]
        self._end(call_id, exception, about, {"gen_ai.output.messages": answers} if answers else None)

    # Tools, searches, code

    def on_tool_start(self, call_id: str, instance: Any, inputs: Inputs) -> None:
        """A tool's call."""
        about: Attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": instance.name,
            "gen_ai.tool.type": "function",
            "gen_ai.tool.description": safe(instance.desc),
        }
        self._start(call_id, f"execute_tool {instance.name}", about, {"gen_ai.tool.call.arguments": inputs})

    def on_tool_end(self, call_id: str, outputs: object, exception: Raised = None) -> None:
        """Its result."""
        self._end(call_id, exception, None, {"gen_ai.tool.call.result": outputs})

    def on_retrieve_start(self, call_id: str, instance: object, inputs: Values) -> None:
        """A search."""
        kind = getattr(instance, "kind", None) or getattr(instance, "__name__", type(instance).__name__)
        about: Attributes = {
            "gen_ai.operation.name": "retrieval",
            "gen_ai.data_source.id": str(kind),
            "tuneboard.retrieval.k": int(inputs.get("k") or 0),
        }
        query = {"gen_ai.retrieval.query.text": inputs.get("query", "")}
        self._start(call_id, f"retrieval {kind}", about, query)

    def on_retrieve_end(self, call_id: str, outputs: object, exception: Raised = None) -> None:
        """Its passages."""
        passages = list(getattr(outputs, "passages", ()))
        about: Attributes = {"tuneboard.retrieval.found": len(passages)}
        self._end(call_id, exception, about, {"gen_ai.retrieval.documents": passages})

    def on_interpreter_execute_start(self, call_id: str, instance: object, inputs: Values) -> None:
        """Code in a sandbox."""
        kind, code = type(instance).__name__, inputs.get("code", "")
        about: Attributes = {"tuneboard.interpreter": kind, "tuneboard.code.characters": len(code)}
        self._start(call_id, f"interpreter {kind}", about, {"tuneboard.code": code})

    def on_interpreter_execute_end(self, call_id: str, outputs: Any, exception: Raised = None) -> None:
        """Its output."""
        content = {"tuneboard.output": outputs.text()} if outputs is not None else None
        self._end(call_id, exception, None, content)

    # Evaluations and optimizers

    def on_evaluate_start(self, call_id: str, instance: object, inputs: Values) -> None:  # noqa: ARG002 - a hook
        """An evaluation."""
        self._start(call_id, "evaluate", {"tuneboard.rows": len(inputs.get("devset", ()))})

    def on_evaluate_end(self, call_id: str, outputs: Any, exception: Raised = None) -> None:
        """Its score, in percent."""
        about: Attributes = {} if outputs is None else {"tuneboard.score": float(outputs.score)}
        self._end(call_id, exception, about)

    def on_compile_start(self, call_id: str, instance: object, inputs: Inputs) -> None:  # noqa: ARG002 - a hook
        """An optimizer's run."""
        self._start(call_id, f"compile {type(instance).__name__}", {})

    def on_compile_end(self, call_id: str, outputs: object, exception: Raised = None) -> None:  # noqa: ARG002 - a hook
        """Its end."""
        self._end(call_id, exception)


def provider_of(model: str) -> str:
    """Return a model's provider under the name the conventions give it.

    >>> provider_of("openai/gpt-4o-mini"), provider_of("bedrock/some-model"), provider_of("echo")
    ('openai', 'aws.bedrock', 'other')
    """
    name, slash, _ = model.partition("/")
    return _PROVIDERS.get(name, name) if slash else "other"


def safe(text: str) -> str:
    """Return a text cut to 10,000 characters, without keys, tokens and passwords.

    >>> safe("refused: api_key=abc123, Authorization: Bearer xyz")
    'refused: api_key=[key], Authorization: [key]'
    """
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"
    return _SECRET.sub(r"\1[key]", without_keys(text))


def _provider_for(endpoint: str) -> object:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ConfigurationError(
            "Sending spans needs more packages. Install them with: pip install 'tuneboard[otel]'"
        ) from error
    provider = TracerProvider(resource=Resource.create({"service.name": "tuneboard"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    return provider


def _arrow(signature: Any) -> str:
    if signature is None:
        return "?"
    return f"{', '.join(signature.input_fields)} -> {', '.join(signature.output_fields)}"


def _message(message: Mapping[str, object]) -> JsonObject:
    """Return a message in the form of the conventions; a part that is no text is only named."""
    content = message.get("content")
    given = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
    parts = [
        {"type": "text", "content": part["text"]} if "text" in part else {"type": str(part.get("type"))}
        for part in given
    ]
    return {"role": message.get("role"), "parts": parts}


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(json_value(value), default=str).decode()
    except (TypeError, ValueError, RecursionError):
        return str(value)


_SECRET = re.compile(
    r"((?:authorization|api[-_ ]?key|access[-_ ]?token|password|secret)[\"']?\s*[:=]\s*[\"']?)(?:bearer\s+)?[^\s\"',;]+",
    re.IGNORECASE,
)
_REQUEST = {
    "temperature": "gen_ai.request.temperature",
    "max_tokens": "gen_ai.request.max_tokens",
    "top_p": "gen_ai.request.top_p",
    "n": "gen_ai.request.choice.count",
    "seed": "gen_ai.request.seed",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
}
_PROVIDERS = {
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex_ai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
