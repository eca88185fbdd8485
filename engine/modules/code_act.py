"""`CodeAct`: an agent whose every action is a piece of Python that may call tools.

Source of the method: Wang et al. 2024, "Executable Code Actions Elicit Better LLM Agents".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from engine.errors import AdapterParseError, SandboxError
from engine.modules.call_range import CallRange
from engine.modules.chain_of_thought import ChainOfThought
from engine.modules.module import Module
from engine.modules.program_of_thought import code_of
from engine.modules.trajectory import OUTPUT_LIMIT, ToolStep, Trajectory, failed
from engine.prediction import Prediction
from engine.signature import InputField, OutputField, Signature, ensure_signature, make_signature
from engine.tools.function import as_tool
from engine.tools.interpreter import PythonInterpreter, Sandbox, dialect_of


class CodeAct(Module):
    """Answer a signature by running code step by step, in at most `max_iters` steps; variables live on between them.

    Tools (functions or `engine.Tool`s) are called by name in the code; the inputs are variables. The answer holds the
    outputs, `reasoning`, and `trajectory`: generated_code_0, code_output_0 and so on. The steps inside are `codeact`
    and `extract.predict`; the tools' descriptions are tuned with `codeact`. `interpreter_factory(tools=...)` makes each
    call's sandbox.

    >>> from engine import context
    >>> from engine.testing import ScriptedLM
    >>> def price(item: str) -> float:
    ...     return {"tea": 2.5}[item]
    >>> calls = [
    ...     {"generated_code": "price('tea') * 4", "finished": True},
    ...     {"reasoning": "Four teas.", "total": 10.0},
    ... ]
    >>> with context(lm=ScriptedLM(calls)):
    ...     result = CodeAct("order -> total: float", tools=[price])(order="4 teas")
    >>> result.total, result.trajectory["code_output_0"]
    (10.0, '10.0')
    """

    def __init__(
        self,
        signature: Any,
        tools: Sequence[Any],
        max_iters: int = 5,
        interpreter_factory: Callable[..., Sandbox] = PythonInterpreter,
    ) -> None:
        super().__init__()
        self.signature = ensure_signature(signature)
        self.max_iters = max_iters
        self.interpreter_factory = interpreter_factory
        self.codeact = ToolStep(
            _acting(self.signature, dialect_of(interpreter_factory)),
            [as_tool(tool) for tool in tools],
        )
        place = len(self.signature.input_fields)
        done = InputField(desc="The code that was run and what it gave")
        self.extract = ChainOfThought(self.signature.insert(place, "trajectory", done, str))

    @property
    def call_range(self) -> CallRange:
        """One step and the answer at least, `max_iters` steps and the answer at most."""
        return CallRange(2, self.max_iters + 1)

    async def aforward(self, **kwargs: Any) -> Prediction:
        """Run code until the model says it is done, then answer."""
        own = "max_iters" in kwargs and "max_iters" not in self.signature.input_fields
        most = kwargs.pop("max_iters") if own else self.max_iters
        with self.interpreter_factory(tools=list(self.codeact.tools.values())) as python:
            log = await self._work(python, kwargs, most)
        answer = await log.ask(self.extract, kwargs)
        return Prediction.of({**answer, "trajectory": log.steps})

    async def _work(self, python: Sandbox, kwargs: dict[str, object], most: int) -> Trajectory:
        inputs = {name: value for name, value in kwargs.items() if name in self.signature.input_fields}
        log = Trajectory()
        for i in range(most):
            try:
                step = await log.ask(self.codeact, kwargs)
            except AdapterParseError:
                if i == 0:
                    raise
                break  # what was found out so far may do for an answer
            code = code_of(step.generated_code)
            ran = True
            try:
                done = await python.arun(code, inputs if i == 0 else None)
                seen = done.text(OUTPUT_LIMIT)
            except SandboxError as error:
                ran, seen = False, failed(error)
            log.add(generated_code=code, code_output=seen)
            if ran and (step.finished or done.output is not None):
                break
        return log


def _acting(signature: type[Signature], dialect: str) -> type[Signature]:
    outputs = ", ".join(f"`{name}`" for name in signature.output_fields)
    fields: dict[str, object] = {
        name: (signature.annotation(name), field) for name, field in signature.input_fields.items()
    }
    fields["trajectory"] = (str, InputField(desc="The code run so far and what it gave"))
    fields["generated_code"] = (str, OutputField(desc="Python code to run next"))
    fields["finished"] = (bool, OutputField(desc=f"Whether this code gives all that {outputs} need"))
    guide = ACTING.format(outputs=outputs, dialect=dialect)
    return make_signature(fields, f"{signature.instructions}\n\n{guide}")


ACTING = """\
You work by running Python code step by step. Your aim is to find out all that is needed to give {outputs}.
The inputs are ready as variables under their names; variables and functions live on from one step to the next. The tools \
below are functions: call them by name, without import or await. Do not repeat what was run already.
{dialect}"""
