"""`ProgramOfThought`: write a program, run it in the sandbox, and answer from what it gives.

Source of the method: Chen et al. 2022, "Program of Thoughts Prompting". `code_of` finds the code in what a model wrote.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from engine.errors import SandboxError
from engine.modules.call_range import CallRange
from engine.modules.chain_of_thought import ChainOfThought
from engine.modules.module import Module
from engine.modules.trajectory import OUTPUT_LIMIT, failed
from engine.prediction import Prediction
from engine.signature import InputField, OutputField, Signature, ensure_signature, make_signature
from engine.tools.interpreter import PythonInterpreter, Sandbox, dialect_of

_FENCE = re.compile(r"```[a-zA-Z0-9_+-]*[ \t]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)


class ProgramOfThought(Module):
    """Answer a signature by a program: code that fails is written again with its error, `max_iters` times in all.

    The inputs are variables of the code. The steps inside are `code_generate.predict`, `code_regenerate.predict` and
    `generate_output.predict`: two calls when the first code runs. `interpreter_factory` makes each call's sandbox.
    Raises SandboxError when no code ran.

    >>> from engine import context
    >>> from engine.testing import ScriptedLM
    >>> calls = [
    ...     {"reasoning": "Sum them.", "generated_code": "sum(numbers)"},
    ...     {"reasoning": "The code gave 6.", "total": 6},
    ... ]
    >>> with context(lm=ScriptedLM(calls)):
    ...     ProgramOfThought("numbers: list[int] -> total: int")(numbers=[1, 2, 3]).total
    6
    """

    def __init__(
        self,
        signature: Any,
        max_iters: int = 3,
        interpreter_factory: Callable[[], Sandbox] = PythonInterpreter,
    ) -> None:
        super().__init__()
        self.signature = ensure_signature(signature)
        self.max_iters = max_iters
        self.interpreter_factory = interpreter_factory
        task, plain = self.signature.instructions, self.signature
        failed_code = {
            "previous_code": (str, InputField()),
            "error": (str, InputField(desc="Why that code did not do")),
        }
        dialect = dialect_of(interpreter_factory)
        self.code_generate = ChainOfThought(_writing(plain, GENERATE.format(task=task, dialect=dialect)))
        self.code_regenerate = ChainOfThought(
            _writing(plain, REGENERATE.format(task=task, dialect=dialect), failed_code)
        )
        ran = plain.append("final_generated_code", InputField(desc="The program that was run"), str)
        ran = ran.append("code_output", InputField(desc="What it gave"), str)
        self.generate_output = ChainOfThought(ran.with_instructions(ANSWER.format(task=task)))

    @property
    def call_range(self) -> CallRange:
        """One program and the answer at least, `max_iters` programs and the answer at most."""
        return CallRange(2, self.max_iters + 1)

    async def aforward(self, **kwargs: object) -> Prediction:
        """Write code until it runs, then answer."""
        inputs = {name: value for name, value in kwargs.items() if name in self.signature.input_fields}
        code = error = ""
        for i in range(self.max_iters):
            if i == 0:
                written = await self.code_generate.acall(**kwargs)
            else:
                written = await self.code_regenerate.acall(**kwargs, previous_code=code, error=error)
            code = code_of(written.generated_code)
            try:
                with self.interpreter_factory() as python:
                    done = await python.arun(code, inputs)
            except SandboxError as problem:
                error = failed(problem)
                continue
            if done.output is None and done.value is None and not done.printed.strip():
                error = NOTHING
                continue
            answer: Prediction = await self.generate_output.acall(
                **kwargs, final_generated_code=code, code_output=done.text(OUTPUT_LIMIT)
            )
            return answer
        raise SandboxError(f"No program ran in {self.max_iters} tries. The last one ended with {error}")


def code_of(text: str) -> str:
    """Return the code in what a model wrote: the fenced blocks if there are any, else all of it.

    >>> code_of("Here it is:\\n```python\\nx = 1\\nx\\n```\\nDone.")
    'x = 1\\nx'
    """
    blocks = _FENCE.findall(text)
    return "\n\n".join(blocks) if blocks else text.strip().strip("`")


def _writing(
    signature: type[Signature], instructions: str, more: dict[str, Any] | None = None
) -> type[Signature]:
    fields: dict[str, Any] = {
        name: (signature.annotation(name), field) for name, field in signature.input_fields.items()
    }
    fields |= more or {}
    fields["generated_code"] = (str, OutputField(desc="Python code that gives the result"))
    return make_signature(fields, instructions)


GENERATE = """\
Write a Python program that works out the result of this task: {task}
The inputs are ready as variables under their names. End with an expression that is the result, or print it.
{dialect}"""
REGENERATE = """\
A Python program for this task did not run: {task}
Write it again without the mistake. The inputs are ready as variables under their names. End with an expression that is \
the result, or print it.
{dialect}"""
ANSWER = """\
{task}
A program was run for this; go by what it gave."""
NOTHING = "The code gave no result: end it with an expression that is the result, or print it."
