"""Strategies of a pipeline's steps: each strategy's name, the module it becomes, and the tools it may be given by name.

It knows modules and tools, and one step at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.adapters.values import UnreadableError, format_value, parse_value
from engine.basics.data import JsonObject
from engine.errors import SandboxError, ToolError
from engine.modules.best_of_n import BestOfN, Refine
from engine.modules.code_act import ProgramOfThought
from engine.modules.extract import EVIDENCE, QUOTES, Extract
from engine.modules.module import Module
from engine.modules.predict import ChainOfThought, Predict
from engine.modules.react import OUTPUT_LIMIT, ReAct
from engine.modules.retrieve import Retrieve
from engine.pipeline.corpora import CorpusRetriever
from engine.pipeline.spec import StepOptions
from engine.runtime import current
from engine.signature import InputField, OutputField, Signature, make_signature
from engine.signature.prediction import Prediction
from engine.tools.function import Tool, shown
from engine.tools.interpreter import DIALECT, PythonInterpreter


class Search(Module):
    """Finds the passages nearest to the first input: one output, a list of texts (as one text where its type is str).

    >>> from engine.pipeline.corpora import CorpusRetriever
    >>> from engine.pipeline.spec import CorpusSpec
    >>> corpus = CorpusSpec(passages=("Refunds take five days.", "Parcels go out on Mondays."))
    >>> Search(Signature("query -> passages: list[str]"), CorpusRetriever(corpus), k=1)(query="refunds").passages
    ['Refunds take five days.']
    """

    def __init__(self, signature: type[Signature], retriever: Any, k: int = 3) -> None:
        super().__init__()
        self.signature = signature
        self.retrieve = Retrieve(k, rm=retriever)

    async def aforward(self, **inputs: object) -> Prediction:
        """Search once; nothing is found for an empty query."""
        name, output = next(iter(self.signature.input_fields)), next(iter(self.signature.output_fields))
        query = inputs.get(name)
        text = " ".join(map(str, query)) if isinstance(query, list | tuple) else str(query)
        passages = list((await self.retrieve.acall(text)).passages) if query else []
        listed = self.signature.annotation(output) is not str
        return _noted_answer(self, inputs, {output: passages if listed else format_value(passages, str)})


class CallTool(Module):
    """Calls a tool with the step's inputs as its arguments; its result is the one output, read as that field's type.

    >>> def double(number: int) -> int:
    ...     return 2 * number
    >>> CallTool(Signature("number: int -> twice: int"), Tool(double))(number=4).twice
    8
    """

    stand_in: Any = None
    """In an estimate arguments are invented, so the tool must not be called: this prediction is given instead."""

    def __init__(self, signature: type[Signature], tool: Tool) -> None:
        super().__init__()
        self.signature = signature
        self.tool = tool

    async def aforward(self, **inputs: object) -> Prediction:
        """Call the tool once. Raises ToolError, also for a result that the output's type cannot hold."""
        output = next(iter(self.signature.output_fields))
        if self.stand_in is not None:
            return Prediction(self.stand_in)
        result = await self.tool.acall(**{n: v for n, v in inputs.items() if v is not None})
        annotation = self.signature.annotation(output)
        text = shown(result, OUTPUT_LIMIT)
        try:
            value = text if annotation is str else parse_value(text, annotation)
        except UnreadableError as error:
            raise ToolError(
                f"The tool {self.tool.name!r} gave {text[:80]!r}, which is no value of {output!r}: {error}"
            ) from error
        return _noted_answer(self, inputs, {output: value})


def _noted_answer(step: Module, inputs: Mapping[str, object], values: dict[str, object]) -> Prediction:
    """Return a step's answer, and note it in the trace among the steps that ask a model."""
    prediction = Prediction.of(values)
    if (trace := current().trace) is not None:
        trace.append((step, inputs, prediction))
    return prediction


class CriteriaReward(Module):
    """Rates a step's answer from 0 to 1 by criteria in plain words: the reward of best_of_n and refine.

    >>> from engine.testing import ScriptedLM
    >>> from engine import context
    >>> judge = CriteriaReward(Signature("question -> answer"), "The answer is polite.")
    >>> with context(lm=ScriptedLM([{"explanation": "Rude.", "score": 0.2}])):
    ...     judge({"question": "?"}, {"answer": "No."})
    0.2
    """

    def __init__(self, signature: type[Signature], criteria: str = "") -> None:
        super().__init__()
        fields: JsonObject = {
            name: (signature.annotation(name), InputField(desc=signature.description(name)))
            for name in signature.fields
        }
        fields["explanation"] = (str, OutputField(desc="What is good and what is wrong"))
        fields["score"] = (float, OutputField(desc="From 0 (useless) to 1 (perfect)", ge=0, le=1))
        asked = ", ".join(f"`{name}`" for name in signature.output_fields)
        text = JUDGE.format(
            task=signature.instructions, outputs=asked, criteria=criteria.strip() or CORRECTNESS
        )
        self.criteria = criteria
        self.rate = Predict(make_signature(fields, text))
        self._outputs = tuple(signature.output_fields)

    async def aforward(self, args: Mapping[str, object], prediction: Mapping[str, object]) -> float:
        """Rate one answer to one set of inputs."""
        outputs = {name: prediction[name] for name in self._outputs if name in prediction}
        return float((await self.rate.acall(**args, **outputs)).score)


async def calculator(expression: str) -> str:
    """Work out an arithmetic expression, such as "(3 + 4) * 2 ** 5" or "sqrt(2) / pi".

    >>> import asyncio
    >>> asyncio.run(calculator("(3 + 4) * 2 ** 5"))
    '224'
    """
    try:
        done = await PythonInterpreter(time_limit=1.0, memory_limit=32 * 2**20).arun(
            f"{_MATHS}\n({expression}\n)"
        )
    except SandboxError as error:
        raise ToolError(f"{expression!r} cannot be worked out: {str(error).splitlines()[-1]}") from error
    return done.text()


async def run_python(code: str) -> str:
    """Run Python code and return what it prints, or the value of its last line."""
    return (await PythonInterpreter().arun(code)).text()


def _searching(step: Retrieve | None = None) -> Callable[..., Any]:
    """Return the function of a search; without its own step it asks the retriever in force."""

    async def search(query: str) -> str:
        passages = (await (step or Retrieve()).acall(query)).passages
        return format_value(list(passages), str) if passages else NOTHING_FOUND

    return search


TOOLS: dict[str, Tool] = {
    "calculator": Tool(calculator, desc='Works out an arithmetic expression, such as "(3 + 4) * 2 ** 5".'),
    "python": Tool(run_python, "python", f"Runs Python code and returns what it prints. {DIALECT}"),
    "search": Tool(
        _searching(), desc='Finds the passages that say most about a query, such as "refund after a month".'
    ),
}
"""Tools that a step may call, by name."""


def step_tools(options: StepOptions) -> list[Tool]:
    """Return the tools a step may call; `search` looks in the step's own corpus where it has one."""
    tools = []
    for name in dict.fromkeys(options.tools):
        tool = TOOLS[name]
        if name == "search" and (options.corpus.passages or options.corpus.file):
            step = Retrieve(options.k, rm=CorpusRetriever(options.corpus, options.retriever))
            tool = Tool(_searching(step), name, tool.desc)
        tools.append(tool)
    return tools


def _sampled(kind: type[BestOfN], signature: type[Signature], options: StepOptions) -> Module:
    judge = CriteriaReward(signature, options.criteria)
    return kind(ChainOfThought(signature), options.tries, judge, options.threshold)


STRATEGIES: dict[str, Callable[[type[Signature], StepOptions], Module]] = {
    "predict": lambda signature, _options: Predict(signature),
    "chain_of_thought": lambda signature, _options: ChainOfThought(signature),
    "extract": lambda signature, _options: Extract(signature),
    "react": lambda signature, options: ReAct(signature, step_tools(options), options.max_iters or 10),
    "program_of_thought": lambda signature, options: ProgramOfThought(signature, options.max_iters or 3),
    "best_of_n": lambda signature, options: _sampled(BestOfN, signature, options),
    "refine": lambda signature, options: _sampled(Refine, signature, options),
    "retrieve": lambda signature, options: Search(
        signature, CorpusRetriever(options.corpus, options.retriever), options.k
    ),
    "tool": lambda signature, options: CallTool(signature, step_tools(options)[0]),
}

RESERVED: dict[str, frozenset[str]] = {
    "chain_of_thought": frozenset({"reasoning"}),
    "extract": frozenset({EVIDENCE, QUOTES}),
    "react": frozenset(
        {"reasoning", "trajectory", "max_iters", "next_thought", "next_tool_name", "next_tool_args"}
    ),
    "program_of_thought": frozenset(
        {"reasoning", "generated_code", "previous_code", "error", "final_generated_code", "code_output"}
    ),
    "best_of_n": frozenset({"reasoning", "explanation", "score"}),
    "refine": frozenset({"reasoning", "explanation", "score", "hint_"}),
}
"""Field names that a strategy uses itself."""

_MATHS = "from math import acos, asin, atan, ceil, cos, e, exp, factorial, floor, log, log10, log2, pi, sin, sqrt, tan"
JUDGE = """\
A model was given this task: {task}
Rate their result ({outputs}) by these criteria, strictly and without favour: {criteria}"""
NOTHING_FOUND = "Nothing was found."
CORRECTNESS = "the result is right, complete, and in the form that was asked for."
