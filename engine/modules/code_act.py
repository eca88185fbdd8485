"""`ProgramOfThought` writes a program, runs it in the sandbox, and answers from what it gives; `CodeAct` does so step by step.

Sources of the methods: Chen et al. 2022, "Program of Thoughts Prompting"; Wang et al. 2024, "Executable Code Actions
Elicit Better LLM Agents".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.basics.text import fenced_blocks
from engine.errors import SandboxError
from engine.modules.predict import ChainOfThought
from engine.modules.react import OUTPUT_LIMIT, Agent, ToolStep, Trajectory, failed, inputs_and, named
from engine.signature import AnySignature, InputField, OutputField, Signature
from engine.signature.prediction import Prediction
from engine.tools.function import as_tool
from engine.tools.interpreter import PythonInterpreter, Sandbox, dialect_of


class ProgramOfThought(Agent):
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
        signature: AnySignature,
        max_iters: int = 3,
        interpreter_factory: Callable[[], Sandbox] = PythonInterpreter,
    ) -> None:
        super().__init__(signature, max_iters)
        self.interpreter_factory = interpreter_factory
        task, plain = self.signature.instructions, self.signature
        dialect = dialect_of(interpreter_factory)
        code = (str, OutputField(desc="Python code that gives the result"))
        self.code_generate = ChainOfThought(
            inputs_and(plain, GENERATE.format(task=task, dialect=dialect), generated_code=code)
        )
        self.code_regenerate = ChainOfThought(
            inputs_and(
                plain,
                REGENERATE.format(task=task, dialect=dialect),
                previous_code=(str, InputField()),
                error=(str, InputField(desc="Why that code did not do")),
                generated_code=code,
            )
        )
        ran = plain.append("final_generated_code", InputField(desc="The program that was run"), str)
        ran = ran.append("code_output", InputField(desc="What it gave"), str)
        self.generate_output = ChainOfThought(ran.with_instructions(ANSWER.format(task=task)))

    async def aforward(self, **kwargs: object) -> Prediction:
        """Write code until it runs, then answer."""
        inputs = self.inputs(kwargs)
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
    blocks = fenced_blocks(text)
    return "\n\n".join(blocks) if blocks else text.strip().strip("`")


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


class CodeAct(Agent):
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

    saved_as = {"extract.predict": "extractor.predict"}

    def __init__(
        self,
        signature: AnySignature,
        tools: Sequence[object],
        max_iters: int = 5,
        interpreter_factory: Callable[..., Sandbox] = PythonInterpreter,
    ) -> None:
        super().__init__(signature, max_iters)
        self.interpreter_factory = interpreter_factory
        self.codeact = ToolStep(_acting(self.signature, dialect_of(interpreter_factory)), map(as_tool, tools))
        place = len(self.signature.input_fields)
        done = InputField(desc="The code that was run and what it gave")
        self.extract = ChainOfThought(self.signature.insert(place, "trajectory", done, str))

    async def aforward(self, **kwargs: object) -> Prediction:
        """Run code until the model says it is done, then answer."""
        most = self.most_steps(kwargs)
        inputs: dict[str, object] | None = self.inputs(kwargs)
        log = Trajectory()
        with self.interpreter_factory(tools=list(self.codeact.tools.values())) as python:
            for _ in range(most):
                step = await log.next_step(self.codeact, kwargs)
                if step is None:
                    break
                code = code_of(step.generated_code)
                try:
                    done = await python.arun(code, inputs)
                    seen, finished = done.text(OUTPUT_LIMIT), step.finished or done.output is not None
                except SandboxError as error:
                    seen, finished = failed(error), False
                log.add(generated_code=code, code_output=seen)
                inputs = None
                if finished:
                    break
        answer = await log.ask(self.extract, kwargs)
        return Prediction.of({**answer, "trajectory": log.steps})


def _acting(signature: type[Signature], dialect: str) -> type[Signature]:
    outputs = named(signature.output_fields)
    return inputs_and(
        signature,
        f"{signature.instructions}\n\n{ACTING.format(outputs=outputs, dialect=dialect)}",
        trajectory=(str, InputField(desc="The code run so far and what it gave")),
        generated_code=(str, OutputField(desc="Python code to run next")),
        finished=(bool, OutputField(desc=f"Whether this code gives all that {outputs} need")),
    )


ACTING = """\
You work by running Python code step by step. Your aim is to find out all that is needed to give {outputs}.
The inputs are ready as variables under their names; variables and functions live on from one step to the next. The tools \
below are functions: call them by name, without import or await. Do not repeat what was run already.
{dialect}"""
