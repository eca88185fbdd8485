"""`RLM`: a recursive language model, which explores an input too long to read from inside the sandbox.

The input is a variable; the model sees a preview, writes code that searches and slices it, and may ask a model about
pieces. Source of the method: Zhang and Khattab 2025, "Recursive Language Models".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from engine import loop
from engine.adapters.plan import plan_of, read_fields
from engine.adapters.values import format_value
from engine.basics.data import JsonObject
from engine.errors import AdapterParseError, ConfigurationError, SandboxError, ToolError
from engine.modules.call_range import CallRange
from engine.modules.code_act import code_of
from engine.modules.predict import NO_MODEL, ChainOfThought
from engine.modules.react import Agent, ToolStep, Trajectory, failed
from engine.runtime import current
from engine.signature import AnySignature, InputField, OutputField, Signature, make_signature
from engine.signature.prediction import Prediction
from engine.tools.function import Tool, as_tool, shown
from engine.tools.interpreter import PythonInterpreter, Sandbox, dialect_of, sandboxed

if TYPE_CHECKING:
    from engine.lm.base import BaseLM

PREVIEW = 1000
_AT_ONCE = 8
_QUERY_SECONDS = 600.0


class RLM(Agent):
    """Answer a signature about inputs of any length, in at most `max_iters` pieces of code.

    In the sandbox the inputs are variables; `llm_query(prompt)` and `llm_query_batched(prompts)` ask `sub_lm` (the
    model in force without one), at most `max_llm_calls` times together; `SUBMIT(...)` hands over the outputs, which
    are checked against their types. Without a SUBMIT in time one more call answers from what was found. The answer
    holds the outputs, `trajectory` (reasoning_0, code_0, output_0 and so on) and `final_reasoning`. The steps
    inside are `generate_action` and `extract.predict`.

    >>> from engine import context
    >>> from engine.testing import ScriptedLM
    >>> calls = [{"reasoning": "Count.", "code": "SUBMIT(text.count('needle'))"}]
    >>> with context(lm=ScriptedLM(calls)):
    ...     RLM("text, question -> count: int")(text="hay needle " * 50_000, question="How many needles?").count
    50000
    """

    saved_as = {"extract.predict": "extract"}

    def __init__(
        self,
        signature: AnySignature,
        max_iters: int = 20,
        max_llm_calls: int = 50,
        max_output_chars: int = 10_000,
        tools: Sequence[object] | None = None,
        sub_lm: BaseLM | None = None,
        interpreter_factory: Callable[..., Sandbox] = PythonInterpreter,
    ) -> None:
        super().__init__(signature, max_iters)
        self.max_llm_calls = max_llm_calls
        self.max_output_chars = max_output_chars
        self.sub_lm = sub_lm
        self.interpreter_factory = interpreter_factory
        exploring = _exploring(self.signature, max_llm_calls, dialect_of(interpreter_factory))
        self.generate_action = ToolStep(exploring, map(as_tool, tools or ()))
        self.extract = ChainOfThought(_extracting(self.signature))

    @property
    def call_range(self) -> CallRange:
        """One step at least; at most `max_iters` steps, `max_llm_calls` from the code, and the answer."""
        return CallRange(1, self.max_iters + self.max_llm_calls + 1)

    async def aforward(self, **kwargs: object) -> Prediction:
        """Explore until the model submits, then answer."""
        with self._sandbox() as python:
            return await self._explored(python, self.inputs(kwargs))

    async def _explored(self, python: Sandbox, inputs: dict[str, object]) -> Prediction:
        about = {"variables": _preview(self.signature, inputs)}
        log = Trajectory()
        for i in range(self.max_iters):
            step = await log.next_step(self.generate_action, about)
            if step is None:
                break
            code = code_of(step.code)
            try:
                done = await python.arun(code, inputs if i == 0 else None)
                seen = done.text(self.max_output_chars)
                if done.output is not None:
                    outputs = self._outputs(done.output)
                    log.add(reasoning=step.reasoning, code=code, output=SUBMITTED)
                    submitted = {**outputs, "trajectory": log.steps, "final_reasoning": step.reasoning}
                    return Prediction.of(submitted)
            except SandboxError as error:
                seen = failed(error, self.max_output_chars)
            log.add(reasoning=step.reasoning, code=code, output=seen)
        answer = await log.ask(self.extract, about)
        values = {name: answer[name] for name in self.signature.output_fields}
        return Prediction.of({**values, "trajectory": log.steps, "final_reasoning": answer.reasoning})

    def _sandbox(self) -> Sandbox:
        lm = self.sub_lm or self.generate_action.lm or current().lm
        left = self.max_llm_calls

        async def llm_query(prompt: str) -> str:
            nonlocal left
            if lm is None:
                raise ConfigurationError(NO_MODEL)
            if left <= 0:
                raise ToolError(f"All {self.max_llm_calls} calls of llm_query are used up. Go on without.")
            left -= 1
            reply = await lm.send(lm.request([{"role": "user", "content": prompt}]))
            return reply.text

        async def llm_query_batched(prompts: list[str]) -> list[str]:
            return await loop.all_of(map(llm_query, prompts), _AT_ONCE)

        asking = [Tool(ask, desc="", timeout=_QUERY_SECONDS) for ask in (llm_query, llm_query_batched)]
        tools = [*self.generate_action.tools.values(), *asking]
        return self.interpreter_factory(tools=tools, output_fields=list(self.signature.output_fields))

    def _outputs(self, submitted: Mapping[str, object]) -> JsonObject:
        """Return what was submitted in the outputs' types. Raises SandboxError, for the model to read."""
        missing = [name for name in self.signature.output_fields if name not in submitted]
        if missing:
            raise SandboxError(f"SUBMIT needs the output {missing[0]!r}.")
        plain = {
            name: str(value) if self.signature.annotation(name) is str and value is not None else value
            for name, value in submitted.items()
        }
        try:
            return read_fields(plan_of(self.signature).outputs, plain, "", decoded=True)
        except AdapterParseError as error:
            raise SandboxError(f"SUBMIT: {error}") from error


def _preview(signature: type[Signature], inputs: Mapping[str, object]) -> str:
    """Return every input's name, type, size, description, and the ends of its text."""
    parts = []
    for name, value in inputs.items():
        text = value if isinstance(value, str) else format_value(value, signature.annotation(name))
        kind = type(sandboxed(value)).__name__
        described = signature.description(name)
        lead = f"{name} ({kind}, {len(text)} characters){f': {described}' if described else ''}"
        parts.append(f"{lead}\n{shown(text, PREVIEW)}")
    return "\n\n".join(parts)


def _exploring(signature: type[Signature], calls: int, dialect: str) -> type[Signature]:
    outputs = ", ".join(f"{name}=..." for name in signature.output_fields)
    described = "\n".join(
        f"- {name} ({getattr(signature.annotation(name), '__name__', signature.annotation(name))})"
        f"{f': {signature.description(name)}' if signature.description(name) else ''}"
        for name in signature.output_fields
    )
    guide = EXPLORING.format(outputs=outputs, described=described, calls=calls, dialect=dialect)
    fields: dict[str, object] = {
        "variables": (str, InputField(desc="What is ready in the sandbox, with the ends of each text")),
        "trajectory": (str, InputField(desc="The code run so far and what it gave")),
        "reasoning": (str, OutputField(desc="What is known and what to do next")),
        "code": (str, OutputField(desc="Python code to run next")),
    }
    return make_signature(fields, f"{signature.instructions}\n\n{guide}")


def _extracting(signature: type[Signature]) -> type[Signature]:
    fields: dict[str, object] = {
        "variables": (str, InputField(desc="What there was to explore")),
        "trajectory": (str, InputField(desc="What was done and found out")),
    }
    fields |= {name: (signature.annotation(name), field) for name, field in signature.output_fields.items()}
    return make_signature(fields, f"{signature.instructions}\n\n{EXTRACTING}")


EXPLORING = """\
The inputs may be too long to read: explore them with Python code, step by step. They are variables in a sandbox, and \
variables live on between steps. You see only what you print.
- llm_query(prompt) asks a language model and returns its text; it sees nothing but the prompt. llm_query_batched(prompts) \
asks several at once. Both together: at most {calls} prompts. Give each piece of text with a clear question.
- SUBMIT({outputs}) ends the work with these outputs:
{described}
Look at the data first, work on pieces, check what you found, then submit.
{dialect}"""
EXTRACTING = "The exploration ran out of steps. Give the best answer that what was found out allows."
SUBMITTED = "(submitted)"
